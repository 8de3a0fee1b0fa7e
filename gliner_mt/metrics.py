"""How right an answer is: exact-match precision, recall and F1 of entities."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from gliner_mt.types import Entity, Span


@dataclass(frozen=True, slots=True)
class F1:
    """Counts of true positives, false positives and false negatives; a ratio over nothing is 0.0."""

    tp: int = 0
    fp: int = 0
    fn: int = 0

    @property
    def precision(self) -> float:
        """The share of what was predicted that is right, 0 to 1."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """The share of the gold that was predicted, 0 to 1."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall, 0 to 1."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    def __add__(self, other: "F1") -> "F1":
        return F1(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)


@dataclass(frozen=True, slots=True)
class EntityScores:
    """The counts of each entity type found in the gold or the predictions, in alphabetical order."""

    per_type: Mapping[str, F1]

    @property
    def micro(self) -> F1:
        """The counts of all types together: every entity weighs the same."""
        return sum(self.per_type.values(), F1())

    @property
    def macro_f1(self) -> float:
        """The mean F1 of the types, 0 to 1: every type weighs the same."""
        return _ratio(sum(score.f1 for score in self.per_type.values()), len(self.per_type))


def entity_f1(gold: Iterable[Collection[Entity]], predicted: Iterable[Collection[Span]]) -> EntityScores:
    """Compare each text's entities with the spans predicted for it: right is same start, end and label.

    What is listed twice for one text counts once. Raises ValueError if one side has more texts.
    """
    tp, fp, fn = Counter[str](), Counter[str](), Counter[str]()
    for entities, spans in zip(gold, predicted, strict=True):
        expected = {(entity.start, entity.end, entity.label) for entity in entities}
        found = {(span.start, span.end, span.label) for span in spans}
        tp.update(label for _, _, label in expected & found)
        fp.update(label for _, _, label in found - expected)
        fn.update(label for _, _, label in expected - found)
    labels = sorted({*tp, *fp, *fn})
    return EntityScores({label: F1(tp[label], fp[label], fn[label]) for label in labels})


def _ratio(part: float, whole: int) -> float:
    return part / whole if whole else 0.0
