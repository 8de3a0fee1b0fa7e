"""A measurement, and how it is made: figures of summed counts, with intervals over examples."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from gliner_mt.errors import InputError
from gliner_mt.metrics import F1, Interval, TypeScores, bootstrap_intervals

Table = npt.NDArray[np.float64]
"""What each example adds, a row an example: every figure is a function of sums over examples."""

THRESHOLDS = tuple(round(0.05 * n, 2) for n in range(1, 20))

NO_SWEEP: Mapping[float, float] = MappingProxyType({})
NO_TYPES: Mapping[str, F1] = MappingProxyType({})
NO_LABELS: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Result:
    """How good a model's answers are on a set of examples.

    `figures`, of which the first is the one to compare by, are from 0 to 1 and hold at `threshold` (None:
    the task has none here), but for labels in `label_thresholds` at their own. `sweep` is the first figure at
    other thresholds, each for all labels. `types` are the counts of each type or class, as in `figures`.
    """

    task: str
    dataset: str
    n_examples: int
    figures: Mapping[str, Interval]
    threshold: float | None = None
    sweep: Mapping[float, float] = field(default_factory=lambda: NO_SWEEP)
    types: Mapping[str, F1] = field(default_factory=lambda: NO_TYPES)
    label_thresholds: Mapping[str, float] = field(default_factory=lambda: NO_LABELS)

    @property
    def main(self) -> tuple[str, Interval]:
        """The figure to compare by."""
        return next(iter(self.figures.items()))

    @property
    def best_threshold(self) -> float | None:
        """The threshold of the sweep with the best first figure, the highest of equals; None without one."""
        return max(self.sweep, key=lambda threshold: (self.sweep[threshold], threshold), default=None)

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON holds it."""
        return {
            "task": self.task,
            "dataset": self.dataset,
            "examples": self.n_examples,
            "threshold": self.threshold,
            "label_thresholds": dict(self.label_thresholds),
            "figures": {name: asdict(figure) for name, figure in self.figures.items()},
            "best_threshold": self.best_threshold,
            "sweep": {f"{threshold:g}": value for threshold, value in self.sweep.items()},
            "types": {
                name: {"precision": one.precision, "recall": one.recall, "f1": one.f1, **asdict(one)}
                for name, one in self.types.items()
            },
        }


def intervals(table: Table, figures: Callable[[Table], Mapping[str, float]]) -> Mapping[str, Interval]:
    """Return figures of the sums over examples (k), and their intervals. `table` is (examples, k).

    Raises:
        InputError: there are no examples.
    """
    if not len(table):
        raise InputError("there are no examples; expected at least one to evaluate a model on.")

    def drawn(examples: Sequence[int]) -> Mapping[str, float]:
        return figures(np.bincount(examples, minlength=len(table)) @ table)

    return bootstrap_intervals(range(len(table)), drawn)


def type_table(scores: Sequence[TypeScores]) -> tuple[Table, list[str]]:
    """Return the counts of each example, (examples, types * 3), and the types."""
    types = sorted({name for one in scores for name in one.per_type})
    table = np.zeros((len(scores), len(types), 3))
    column = {name: index for index, name in enumerate(types)}
    for row, one in zip(table, scores, strict=True):
        for name, counts in one.per_type.items():
            row[column[name]] = counts.tp, counts.fp, counts.fn
    return table.reshape(len(scores), 3 * len(types)), types


def type_scores(sums: Table, types: Sequence[str]) -> TypeScores:
    """Return the scores of summed counts (types * 3); types that occur nowhere are left out."""
    counts = sums.reshape(-1, 3).astype(int).tolist()
    return TypeScores({name: F1(*one) for name, one in zip(types, counts, strict=True) if any(one)})


def extraction_figures(scores: TypeScores) -> dict[str, float]:
    """Return what is published of extracted items."""
    micro = scores.micro
    return {
        "micro F1": micro.f1,
        "precision": micro.precision,
        "recall": micro.recall,
        "macro F1": scores.macro_f1,
    }
