"""Right, wrong and missing answers, counted by type: precision, recall, F1, accuracy."""

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True, slots=True)
class F1:
    """Counts of true positives, false positives and false negatives; a ratio over nothing is 0.0."""

    tp: int = 0
    fp: int = 0
    fn: int = 0

    @property
    def precision(self) -> float:
        """The share of what was predicted that is right, 0 to 1."""
        return ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """The share of the gold that was predicted, 0 to 1."""
        return ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall, 0 to 1."""
        return ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    def __add__(self, other: "F1") -> "F1":
        return F1(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)


@dataclass(frozen=True, slots=True)
class TypeScores:
    """The counts of each type found in the gold or the predictions, in alphabetical order."""

    per_type: Mapping[str, F1]

    @property
    def micro(self) -> F1:
        """The counts of all types together: everything annotated weighs the same."""
        return sum(self.per_type.values(), F1())

    @property
    def macro_f1(self) -> float:
        """The mean F1 of the types, 0 to 1: every type weighs the same."""
        return ratio(sum(score.f1 for score in self.per_type.values()), len(self.per_type))


@dataclass(frozen=True, slots=True)
class LabelScores:
    """How many of `total` items have exactly their gold labels, and the counts of each label."""

    right: int
    total: int
    labels: TypeScores

    @property
    def accuracy(self) -> float:
        """The share of the items that have exactly their gold labels, 0 to 1."""
        return ratio(self.right, self.total)


def count_by_type(
    gold: Iterable[Collection[T]], predicted: Iterable[Collection[T]], type_of: Callable[[T], str]
) -> TypeScores:
    """Compare what each text should have with what was predicted for it; what is listed twice counts once.

    Raises ValueError if one side has more texts.
    """
    tp, fp, fn = Counter[str](), Counter[str](), Counter[str]()
    for one, other in zip(gold, predicted, strict=True):
        expected, found = set(one), set(other)
        tp.update(type_of(item) for item in expected & found)
        fp.update(type_of(item) for item in found - expected)
        fn.update(type_of(item) for item in expected - found)
    return TypeScores({name: F1(tp[name], fp[name], fn[name]) for name in sorted({*tp, *fp, *fn})})


def count_labels(gold: Iterable[Collection[str]], predicted: Iterable[Collection[str]]) -> LabelScores:
    """Compare the labels of each item. Raises ValueError if one side has more items."""
    pairs = [(set(one), set(other)) for one, other in zip(gold, predicted, strict=True)]
    types = count_by_type((one for one, _ in pairs), (other for _, other in pairs), str)
    return LabelScores(sum(one == other for one, other in pairs), len(pairs), types)


def ratio(part: float, whole: float) -> float:
    """Return the quotient, and 0.0 over nothing."""
    return part / whole if whole else 0.0
