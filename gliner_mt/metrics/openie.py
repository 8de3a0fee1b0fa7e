"""Open information extraction: the precision and recall of tuples as CaRB scores them.

Bhardwaj et al. 2019, "CaRB: A Crowdsourced Benchmark for Open IE", in the form that its scorer has (`carb.py`
and `matcher.py`, by default `binary_linient_tuple_match`). Where paper and scorer differ, the scorer is
followed, since published figures come from it.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import attrgetter

from gliner_mt.metrics.counts import ratio
from gliner_mt.types import GoldTuple, Part, Span, TextTuple, Triple

Match = Callable[[TextTuple, TextTuple], tuple[float, float]]

_FORMS_OF_BE = frozenset(("be", "is", "am", "are", "was", "were", "been", "being"))
_SAYING = ("said", "told", "added", "adds", "says")


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Precision and recall of the tuples that score `threshold` or more, 0 to 1."""

    threshold: float
    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall, 0 to 1."""
        return ratio(2 * self.precision * self.recall, self.precision + self.recall)


@dataclass(frozen=True, slots=True)
class CarbScores:
    """The curve, from the highest threshold to the lowest, the area under it, and its point of best F1.

    Without predictions the curve is empty, and the area and all of `best` are 0.
    """

    curve: tuple[CurvePoint, ...]
    auc: float
    best: CurvePoint


@dataclass(frozen=True, slots=True)
class Step:
    """What the tuples that score `threshold` add to those that score more.

    `precision` is the sum of the precisions of the matched tuples, of `predicted` tuples in all; `recall` is
    the sum of the recalls of the gold tuples.
    """

    threshold: float
    precision: float
    predicted: int
    recall: float


@dataclass(frozen=True, slots=True)
class SentenceMatches:
    """How many gold tuples a sentence has, and what each score of its predicted tuples adds."""

    gold: int
    steps: tuple[Step, ...]


def text_tuple(item: GoldTuple | Triple) -> TextTuple:
    """Return the words of a tuple; a missing subject is an empty argument."""
    if isinstance(item, GoldTuple):
        return TextTuple(item.predicate.text, _arguments(item.subject, item.arguments))
    others = [span for span in (item.object, item.time, item.place) if span]
    return TextTuple(item.predicate.text, _arguments(item.subject, others), item.score)


def lenient_match(
    gold: TextTuple, predicted: TextTuple, split: Callable[[str], Sequence[str]] = str.split
) -> tuple[float, float]:
    """Return the share of the predicted words that are right and that of the gold words that were found.

    Words are compared part by part: predicate with predicate, argument with the argument in the same place.
    It is (0, 0) if the predicates share no word or one of the first two arguments is missing. `be` in a
    predicted predicate stands for any form of it. `split` makes words of a part; the published scorer
    splits tokenised text at spaces.
    """
    return _lenient(
        split(gold.predicate),
        [split(argument) for argument in gold.arguments],
        split(predicted.predicate),
        [split(argument) for argument in predicted.arguments],
    )


def binary_lenient_match(
    gold: TextTuple, predicted: TextTuple, split: Callable[[str], Sequence[str]] = str.split
) -> tuple[float, float]:
    """Match as `lenient_match` does, all arguments after the first as one.

    What someone said may stand before or after the speaker: for such gold predicates the better order counts.
    """
    binary = TextTuple(gold.predicate, _two(gold.arguments))
    first, *rest = _two(predicted.arguments) or ("",)
    straight = lenient_match(binary, TextTuple(predicted.predicate, _two(predicted.arguments)), split)
    if not rest or not any(verb in gold.predicate for verb in _SAYING):
        return straight
    return max(straight, lenient_match(binary, TextTuple(predicted.predicate, (*rest, first)), split))


def carb_matches(
    gold: Sequence[TextTuple], predicted: Sequence[TextTuple], match: Match = binary_lenient_match
) -> SentenceMatches:
    """Match the predicted tuples of one sentence with its gold tuples, at every threshold.

    A predicted tuple counts with its precision for the gold tuple that it is matched with, one to one and
    greedily; a gold tuple counts with the best recall that any predicted tuple has for it.
    """
    table = [[match(one, other) for other in predicted] for one in gold]
    steps: list[Step] = []
    precision, count, recall = 0.0, 0, 0.0
    for threshold in sorted({item.score for item in predicted}, reverse=True):
        above = Step(threshold, precision, count, recall)
        kept = [index for index, item in enumerate(predicted) if item.score >= threshold]
        precision, count = _matched_precision(table, kept), len(kept)
        recall = sum(max(row[index][1] for index in kept) for row in table)
        steps.append(
            Step(threshold, precision - above.precision, count - above.predicted, recall - above.recall)
        )
    return SentenceMatches(len(gold), tuple(steps))


def carb_scores(sentences: Iterable[SentenceMatches]) -> CarbScores:
    """Return the curve over all thresholds, the area under it and its point of best F1."""
    steps: list[Step] = []
    total = 0
    for sentence in sentences:
        total += sentence.gold
        steps += sentence.steps
    steps.sort(key=attrgetter("threshold"), reverse=True)
    curve: list[CurvePoint] = []
    precision, count, recall = 0.0, 0, 0.0
    for threshold, equal in groupby(steps, attrgetter("threshold")):
        for step in equal:
            precision += step.precision
            count += step.predicted
            recall += step.recall
        curve.append(CurvePoint(threshold, ratio(precision, count), ratio(recall, total)))
    best = max(reversed(curve), key=attrgetter("f1"), default=CurvePoint(0.0, 0.0, 0.0))
    return CarbScores(tuple(curve), _area(curve), best)


def _arguments(subject: Part | Span | None, others: Sequence[Part | Span]) -> tuple[str, ...]:
    if subject is None and not others:
        return ()
    return (subject.text if subject else "", *(other.text for other in others))


def _two(arguments: tuple[str, ...]) -> tuple[str, ...]:
    return arguments if len(arguments) < 2 else (arguments[0], " ".join(arguments[1:]))


def _lenient(
    gold_predicate: Sequence[str],
    gold_arguments: Sequence[Sequence[str]],
    predicate: Sequence[str],
    arguments: Sequence[Sequence[str]],
) -> tuple[float, float]:
    matched = _shared(gold_predicate, predicate) + _be(gold_predicate, predicate)
    if not matched or len(arguments) < min(2, len(gold_arguments)):
        return 0.0, 0.0
    compared = list(zip(gold_arguments, arguments, strict=False))
    matched += sum(_shared(one, other) for one, other in compared)
    return (
        ratio(matched, len(predicate) + sum(len(other) for _, other in compared)),
        ratio(matched, len(gold_predicate) + sum(len(words) for words in gold_arguments)),
    )


def _shared(gold: Iterable[str], predicted: Iterable[str]) -> int:
    return sum((Counter(gold) & Counter(predicted)).values())


def _be(gold: Collection[str], predicted: Collection[str]) -> bool:
    """Say if a `be` that matched no gold word stands for a form of it."""
    left = Counter(predicted) - Counter(gold)
    return "be" in left and not _FORMS_OF_BE.isdisjoint(gold)


def _matched_precision(table: Sequence[Sequence[tuple[float, float]]], kept: Sequence[int]) -> float:
    """Return the sum of the precisions of the pairs matched: the best pair first, each tuple once."""
    cells = sorted(
        ((row[index][0], -g, -index) for g, row in enumerate(table) for index in kept), reverse=True
    )
    precision, golds, predictions = 0.0, set[int](), set[int]()
    for value, g, index in cells:
        if g not in golds and index not in predictions:
            golds.add(g)
            predictions.add(index)
            precision += value
    return precision


def _area(curve: Sequence[CurvePoint]) -> float:
    """Return the area by trapezoids, from precision 1 at recall 0; 0 without a curve."""
    points = [(0.0, 1.0), *((point.recall, point.precision) for point in curve)]
    return sum((right - left) * (p + q) / 2 for (left, p), (right, q) in pairwise(points))
