"""The bar of a run: steps, loss, best score, time left."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def training_bar(
    steps: int, done: int, *, shown: bool
) -> Iterator[Callable[[int, float, float | None], None]]:
    """Show a bar; yields what is to be called with the step, the recent loss and the best score, if any."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}{task.fields[best]}"),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        refresh_per_second=0.5,
        disable=not shown,
    )
    with bar:
        task = bar.add_task("training", total=steps, completed=done, loss=math.nan, best="")

        def tell(step: int, loss: float, best: float | None) -> None:
            bar.update(
                task, completed=step, loss=loss, best="" if best is None else f", best score {best:.3f}"
            )

        yield tell
