"""What can be asked of a text: frozen questions with typed answers.

A task is data. It names its labels and the overlap rule, and turns what the engine found into its answer.
"""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, final, runtime_checkable

from gliner_mt.errors import InputError
from gliner_mt.types import Span

ResultT = TypeVar("ResultT", covariant=True)

DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class Label:
    """One thing to look for: its name in answers, the words the model reads, its own threshold if any."""

    name: str
    description: str | None = None
    threshold: float | None = None

    @property
    def prompt(self) -> str:
        """The words put to the model: the name, followed by the description if there is one."""
        return f"{self.name}: {self.description}" if self.description else self.name


@dataclass(frozen=True, slots=True)
class Queries:
    """What a task asks the engine.

    `nested` allows spans inside spans (never crossing ones); `multi_label` allows several labels on one
    span. `join_adjacent` makes one span of neighbours with the same label. `threshold` holds for labels
    without their own, and None takes the model's default.
    """

    labels: tuple[Label, ...]
    threshold: float | None = None
    nested: bool = False
    multi_label: bool = False
    join_adjacent: bool = False


@runtime_checkable
class Task(Protocol[ResultT]):
    """A question (`queries`) and the way to its typed answer (`result`); pure and frozen."""

    def queries(self) -> Queries:
        """Return what is asked."""
        ...

    def result(self, found: list[Span]) -> ResultT:
        """Turn the spans found, in text order and with overlaps resolved, into the answer."""
        ...


LabelSpec = Sequence[str] | Mapping[str, str | tuple[str, float]]


@final
@dataclass(frozen=True, init=False)
class NER:
    """Find every span that one of the labels describes; answers `list[Span]` in text order.

    `labels` is a list of names, a mapping name → description, or name → (description, threshold); an empty
    description stands for none. Duplicate names are merged with a warning. `threshold` is what a
    span's probability must exceed (None: the model's default). `join_adjacent` makes one span of neighbours
    with the same label and nothing but white space between them; models that judge single words need it
    (NuNER_Zero).
    """

    labels: tuple[Label, ...]
    threshold: float | None = None
    nested: bool = False
    multi_label: bool = False
    join_adjacent: bool = False

    def __init__(
        self,
        labels: LabelSpec,
        *,
        threshold: float | None = None,
        nested: bool = False,
        multi_label: bool = False,
        join_adjacent: bool = False,
    ) -> None:
        parsed = parse_labels(labels)
        if threshold is not None:
            check_threshold(threshold, "threshold")
        object.__setattr__(self, "labels", parsed)
        object.__setattr__(self, "threshold", threshold)
        object.__setattr__(self, "nested", nested)
        object.__setattr__(self, "multi_label", multi_label)
        object.__setattr__(self, "join_adjacent", join_adjacent)

    def queries(self) -> Queries:
        """Return the labels and the rules of overlap and joining."""
        return Queries(self.labels, self.threshold, self.nested, self.multi_label, self.join_adjacent)

    def result(self, found: list[Span]) -> list[Span]:
        """Return the spans as they are."""
        return found


def parse_labels(labels: LabelSpec) -> tuple[Label, ...]:
    """Check labels given by a caller and give them their one form.

    Raises:
        InputError: no labels, or one that is not a non-empty string on one line.
    """
    if isinstance(labels, str):
        raise InputError(
            f"labels is one string, {labels!r}; expected a list of names. Give it as [{labels!r}]."
        )
    if isinstance(labels, Mapping):
        parsed = [_described(name, value) for name, value in labels.items()]
    elif isinstance(labels, Sequence) and not isinstance(labels, bytes):
        parsed = [Label(_checked_name(name)) for name in labels]
    else:
        raise InputError(
            f"labels is a {type(labels).__name__}; expected a list of names or a mapping name → description."
        )
    if not parsed:
        raise InputError('labels is empty; expected at least one, for example ["person", "city"].')
    unique: dict[str, Label] = {}
    for label in parsed:
        unique.setdefault(label.name, label)
    if len(unique) < len(parsed):
        counts = Counter(label.name for label in parsed)
        twice = sorted(name for name, count in counts.items() if count > 1)
        warnings.warn(f"labels given more than once were merged: {', '.join(twice)}", stacklevel=3)
    return tuple(unique.values())


def check_threshold(value: object, what: str) -> float:
    """Return `value` if it is a probability, else raise `InputError` naming `what`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 <= value <= 1.0:
        raise InputError(f"{what} is {value!r}; expected a number from 0 to 1, for example 0.5.")
    return float(value)


def _described(name: object, value: object) -> Label:
    checked = _checked_name(name)
    description, threshold = value if isinstance(value, tuple) and len(value) == 2 else (value, None)
    if not isinstance(description, str):
        raise InputError(
            f"label {checked!r} maps to {value!r}; expected a description, or (description, threshold)."
        )
    if threshold is not None:
        check_threshold(threshold, f"the threshold of label {checked!r}")
    return Label(checked, " ".join(description.split()) or None, threshold)


def _checked_name(name: object) -> str:
    if not isinstance(name, str):
        raise InputError(f"label {name!r} is a {type(name).__name__}; expected a string.")
    if not name.strip():
        raise InputError(f"label {name!r} is blank; expected a name such as 'person'.")
    if "\n" in name or "\r" in name:
        raise InputError(f"label {name!r} has a line break; write it on one line.")
    return name.strip()
