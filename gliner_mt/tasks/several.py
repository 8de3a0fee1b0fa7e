"""Several tasks in one pass over the text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType
from typing import Any, final

from gliner_mt.errors import InputError
from gliner_mt.tasks.base import Found, Queries, Task


@final
@dataclass(frozen=True, init=False, eq=False)
class Several:
    """Ask several tasks at once, each under a name; answers a dict from the names to their results.

    The labels of all stand in one prompt, as far as it holds them, so the text is read once. Where labels
    and text see each other (all encodings but `separate`), scores then differ a little from those that each
    task gets alone.
    """

    tasks: Mapping[str, Task[Any]]

    def __init__(self, /, **tasks: Task[Any]) -> None:
        if not tasks:
            raise InputError('Several has no tasks; expected some, such as people=NER(["person"]).')
        for name, task in tasks.items():
            if isinstance(task, type) or not isinstance(task, Task):
                raise InputError(f'{name} is {task!r}; expected a task such as NER(["person", "city"]).')
        object.__setattr__(self, "tasks", MappingProxyType(tasks))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Several) and dict(self.tasks) == dict(other.tasks)

    def __hash__(self) -> int:
        return hash(tuple(self.tasks.items()))

    def queries(self) -> tuple[Queries, ...]:
        """Return what all the tasks ask."""
        return tuple(chain.from_iterable(task.queries() for task in self.tasks.values()))

    def result(self, found: Sequence[Found]) -> dict[str, Any]:
        """Return each task's result under its name."""
        results: dict[str, Any] = {}
        at = 0
        for name, task in self.tasks.items():
            n_queries = len(task.queries())
            results[name] = task.result(found[at : at + n_queries])
            at += n_queries
        return results
