"""What came of a training: losses, scores, what was kept and what was forgotten."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from gliner_mt.checkpoint.native import write_whole
from gliner_mt.render import visible
from gliner_mt.train.checks import Report

REPORT = "report.json"

_LAST = 50
_WORTH_A_CHANGE = 0.005


@dataclass(frozen=True, slots=True)
class DevScore:
    """The figures on the dev set after a step, from 0 to 1, by task (step 0: before training).

    They hold at the default thresholds; `score` is their mean, by which checkpoints are compared. `sweeps`
    has the figures at other thresholds, of tasks with a threshold.
    """

    step: int
    figures: Mapping[str, float]
    score: float
    sweeps: Mapping[str, Mapping[float, float]] = field(repr=False)

    @property
    def better_thresholds(self) -> dict[str, float]:
        """The best threshold of each task, where that is half a point better than the default."""
        best = {
            task: max(sweep, key=lambda threshold: (sweep[threshold], threshold))
            for task, sweep in self.sweeps.items()
        }
        return {
            task: threshold
            for task, threshold in best.items()
            if self.sweeps[task][threshold] >= self.figures[task] + _WORTH_A_CHANGE
        }

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        sweeps = {
            task: {f"{threshold:g}": figure for threshold, figure in sweep.items()}
            for task, sweep in self.sweeps.items()
        }
        return asdict(self) | {"sweeps": sweeps}


@dataclass(frozen=True, slots=True)
class Retained:
    """A figure on a set that was not trained on, from 0 to 1: before, and after."""

    name: str
    figure: str
    n_examples: int
    before: float
    after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FitReport:
    """What came of a training.

    Attributes:
        folder: what `Extractor.load` takes: a model, or an adapter.
        size: bytes of the folder.
        method: what was trained, as in `Tuning`.
        n_trained: numbers that were trained.
        n_parameters: numbers of the model.
        seconds: how long training took, dev scores included; of a run that was taken up, since then.
        losses: the loss of each step; of a run that was taken up, of the steps since.
        dev: scores on the dev set at each checkpoint.
        best_step: the step whose weights were kept.
        thresholds: the default thresholds from now on, by kind of answers.
        retention: figures on other sets, before and after.
        checks: what was odd in the examples; None if there was nothing with entities to check.
    """

    folder: Path
    size: int
    method: str
    n_trained: int
    n_parameters: int
    seconds: float
    losses: tuple[float, ...]
    dev: tuple[DevScore, ...]
    best_step: int
    thresholds: Mapping[str, float]
    retention: tuple[Retained, ...]
    checks: Report | None

    @property
    def before(self) -> DevScore | None:
        """The dev scores before training."""
        return next((one for one in self.dev if one.step == 0), None)

    @property
    def best(self) -> DevScore | None:
        """The dev scores of the weights that were kept."""
        return next((one for one in self.dev if one.step == self.best_step), None)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return values | {
            "folder": str(self.folder),
            "losses": list(self.losses),
            "dev": [one.as_dict() for one in self.dev],
            "retention": [asdict(one) for one in self.retention],
            "checks": None if self.checks is None else self.checks.as_dict(),
        }

    def to_json(self) -> str:
        """Return it as JSON."""
        return json.dumps(self.as_dict(), ensure_ascii=False, indent=2)

    def write(self, out: Path) -> None:
        """Keep it in the folder of the run."""
        write_whole(out / REPORT, lambda path: path.write_text(self.to_json() + "\n", encoding="utf-8"))

    def table(self) -> Group:
        """Return it for a terminal: dev scores by step, retention, where the result is."""
        return Group(*self._tables(), *(Text(visible(line)) for line in self._lines()))

    def _tables(self) -> Iterator[Table]:
        if self.dev:
            tasks = list(self.dev[0].figures)
            table = _table("step", *tasks, "")
            for one in self.dev:
                figures = [f"{100 * one.figures[task]:.1f}" for task in tasks]
                kept = "kept" if one.step == self.best_step else ""
                table.add_row(f"{one.step:,}", *figures, kept)
            yield table
        if self.retention:
            table = _table("set", "figure", "examples", "before", "after", "change")
            for held in self.retention:
                change = 100 * (held.after - held.before)
                scores = f"{100 * held.before:.1f}", f"{100 * held.after:.1f}", f"{change:+.1f}"
                table.add_row(visible(held.name), held.figure, f"{held.n_examples:,}", *scores)
            yield table

    def _lines(self) -> Iterator[str]:
        if self.losses:
            last = self.losses[-_LAST:]
            mean = sum(last) / len(last)
            yield f"loss {self.losses[0]:.3f} at first, {mean:.3f} over the last {len(last)} steps"
        if self.before is not None and self.best is not None and self.best.score < self.before.score:
            yield (
                f"the dev set says that the model was better before: {100 * self.before.score:.1f}, and "
                f"{100 * self.best.score:.1f} now; try lower rates, or more examples"
            )
        yield (
            f"{self.method}: {self.n_trained:,} of {self.n_parameters:,} numbers trained "
            f"in {self.seconds / 60:.1f} minutes"
        )
        thresholds = ", ".join(f"{kind} {threshold:.4g}" for kind, threshold in self.thresholds.items())
        yield f"{self.folder} ({self.size / 1e6:.1f} MB), default thresholds: {thresholds}"


def size_of(folder: Path) -> int:
    """Return the bytes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.iterdir())


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="left" if column in ("set", "figure", "") else "right")
    return table
