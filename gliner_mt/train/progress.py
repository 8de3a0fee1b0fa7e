"""Bars on stderr: of a run, with steps, loss, best score and time left; and of what is read before it."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gliner_mt.train.processes import speaks

T = TypeVar("T")

_PATIENCE = 3.0  # seconds without a bar
_AT_ONCE = 1_000


def with_bar(things: Sequence[T], what: str) -> Iterator[T]:
    """Yield `things`; a terminal shows how far it is when it takes more than some seconds."""
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not (console.is_terminal and speaks()),
    )
    task, since = bar.add_task(what, total=len(things)), time.monotonic()
    try:
        for number, one in enumerate(things):
            if number % _AT_ONCE == 0 and time.monotonic() - since > _PATIENCE:
                bar.start()
                bar.update(task, completed=number)
            yield one
    finally:
        bar.stop()


@contextmanager
def training_bar(
    steps: int, done: int, *, shown: bool
) -> Iterator[Callable[[int, float, float | None], None]]:
    """Show a bar; yields what is to be called with the step, the recent loss and the best score, if any."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        refresh_per_second=0.5,
        disable=not shown,
    )
    with bar:
        task = bar.add_task("training", total=steps, completed=done, figures="")

        def tell(step: int, loss: float, best: float | None) -> None:
            score = "" if best is None else f", best score {best:.3f}"
            bar.update(task, completed=step, figures=f"loss {loss:.3f}{score}")

        yield tell
