"""Answers to many examples, each with its own question; those that share one are read together."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from gliner_mt.tasks import Task

if TYPE_CHECKING:
    from gliner_mt.extractor import Extractor

ResultT = TypeVar("ResultT")


def answers(
    extractor: "Extractor", asked: Sequence[tuple[str, Task[list[ResultT]] | None]]
) -> list[list[ResultT]]:
    """Return the answer for each text and its task, in order; no task has the empty answer."""
    found: list[list[ResultT]] = [[] for _ in asked]
    by_task: dict[Task[list[ResultT]], list[int]] = defaultdict(list)
    for index, (_, task) in enumerate(asked):
        if task is not None:
            by_task[task].append(index)
    for task, indices in by_task.items():
        results = extractor.extract_many((asked[index][0] for index in indices), task)
        for index, result in zip(indices, results, strict=True):
            found[index] = result
    return found
