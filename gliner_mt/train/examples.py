"""What is learnt and judged by: examples of any task, in memory or on disk, sorted by task."""

import warnings
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, TypeVar, final, overload

from gliner_mt.errors import InputError
from gliner_mt.formats.convert import OURS, Format, detect, read_annotated, types_of, with_labels
from gliner_mt.formats.indexed import ExampleFile
from gliner_mt.formats.items import LeftOut
from gliner_mt.formats.json_stream import holds_list, json_records
from gliner_mt.formats.records import is_other_task, parse_any
from gliner_mt.train.progress import with_bar
from gliner_mt.types import (
    AnyExample,
    ClassificationExample,
    Example,
    OpenIEExample,
    QAExample,
    RelationExample,
    SummaryExample,
)

Given = Sequence[AnyExample] | str | Path
"""Examples in memory, or a file of them: that of this project's format stays on disk."""
ByTask = Mapping[str, Sequence[Any]]
"""Examples by the name of their task, as `gliner_mt.evaluation` has them."""

T = TypeVar("T")

_LINES = (".jsonl", ".jsonl.gz")
_SEEN = 100  # records that are looked at to tell the format

_TASKS: Mapping[type, str] = {
    Example: "ner",
    RelationExample: "relations",
    QAExample: "answer",
    OpenIEExample: "triples",
    SummaryExample: "summarize",
    ClassificationExample: "classify",
}


@final
class Chosen(Sequence[T]):
    """Some elements of a sequence, which stay where they are; 8 bytes of memory for one."""

    def __init__(self, whole: Sequence[T], places: "array[int]") -> None:
        self._whole = whole
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return [self._whole[place] for place in self._places[index]]
        return self._whole[self._places[index]]


def open_examples(given: Given, form: Format | None = None) -> Sequence[AnyExample]:
    """Return examples as a sequence.

    `form` is that of a file, told by what it holds if None. Lines of this project's format are read where
    they lie, others are held in memory.

    Raises:
        InputError: no such file, or one of no known format, or `given` is neither file nor sequence.
    """
    if not isinstance(given, (str, Path, Sequence)):
        raise InputError(f"examples are a {type(given).__name__}; expected a list of them, or a file.")
    return _opened(Path(given).expanduser(), form) if isinstance(given, (str, Path)) else given


def _opened(path: Path, form: Format | None) -> Sequence[AnyExample]:
    if form is None and path.name.endswith(_LINES) and _is_any_task(path):
        return ExampleFile(path, parse_any)
    form = form or detect(path).format
    if form.name == OURS and not holds_list(path):
        return ExampleFile(path, parse_any)
    return list(_converted(path, form))


def _is_any_task(path: Path) -> bool:
    """Say whether lines are records of tasks other than entities, or of nothing at all."""
    values = [one[1] for one in islice(json_records(path, "a record"), _SEEN) if isinstance(one, tuple)]
    return not values or any(isinstance(value, dict) and is_other_task(value) for value in values)


def _converted(path: Path, form: Format) -> Iterator[AnyExample]:
    labels = types_of(read_annotated(path, form)) if form.closed else ()
    left_out: Counter[str] = Counter()
    for item in read_annotated(path, form):
        if isinstance(item, InputError):
            raise item
        if isinstance(item, LeftOut):
            left_out[item.reason] += 1
        else:
            yield with_labels(item, labels) if isinstance(item, Example) else item
    if left_out:
        reasons = ", ".join(f"{count} ({reason})" for reason, count in left_out.items())
        warnings.warn(f"{path}: records left out: {reasons}", stacklevel=2)


def by_task(
    examples: Sequence[AnyExample], what: str, seen: Callable[[int, AnyExample], None] = lambda *_: None
) -> ByTask:
    """Return the examples of each task; all are read once, so that what is broken shows at once.

    Each one passes `seen` on the way, with its number from 1.

    Raises:
        InputError: there are none, or one is no example; `what` says whose they are.
    """
    places: dict[str, array[int]] = {}
    for index, one in enumerate(with_bar(examples, f"reading {what}")):
        task = _TASKS.get(type(one))
        if task is None:
            raise InputError(
                f"{what} holds a {type(one).__name__} at {index}; expected examples such as Example, "
                "RelationExample or QAExample of gliner_mt.types."
            )
        places.setdefault(task, array("Q")).append(index)
        seen(index + 1, one)
    if not places:
        raise InputError(f"{what} holds no examples; expected at least one.")
    if len(places) == 1:
        return dict.fromkeys(places, examples)
    return {task: Chosen(examples, at) for task, at in places.items()}


def entity_examples(given: Given, what: str) -> Sequence[Example]:
    """Return the examples with entities.

    Raises:
        InputError: there are none; `what` says whose they are.
    """
    examples: Sequence[Example] = by_task(open_examples(given), what).get("ner", ())
    if not examples:
        raise InputError(f"{what} has no texts with entities; they are what thresholds are fitted to.")
    return examples


def some_of(examples: Sequence[T], limit: int | None) -> Sequence[T]:
    """Return `limit` of the examples, always the same ones, in their order; None is all."""
    if limit is None or len(examples) <= limit:
        return examples
    return Chosen(examples, array("Q", sorted(Random(0).sample(range(len(examples)), limit))))
