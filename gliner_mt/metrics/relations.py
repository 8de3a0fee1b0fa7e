"""Relations: strict and boundary F1 of extraction, and classification of given pairs.

The names of the two are those of Taillé et al. 2020, "Let's Stop Incorrect Comparisons in End-to-end Relation
Extraction!": *strict* asks for the types of head and tail too, *boundaries* does not.
"""

from collections.abc import Collection, Iterable

from gliner_mt.metrics.counts import LabelScores, TypeScores, count_by_type, count_labels
from gliner_mt.types import Entity, GoldRelation, Relation, Span

_Argument = tuple[int, int, str]
_Key = tuple[_Argument, _Argument, str]
_Relations = Iterable[Collection[GoldRelation] | Collection[Relation]]


def strict_relation_f1(
    gold: Iterable[Collection[GoldRelation]],
    predicted: Iterable[Collection[Relation]],
    symmetric: Collection[str] = (),
) -> TypeScores:
    """Compare each text's relations: right is same offsets and type of head and tail, and same label.

    The order of head and tail does not count for the labels in `symmetric`. What is listed twice for one
    text counts once. Raises ValueError if one side has more texts.
    """
    return count_by_type(_strict(gold, symmetric), _strict(predicted, symmetric), _label)


def boundary_relation_f1(
    gold: Iterable[Collection[GoldRelation]],
    predicted: Iterable[Collection[Relation]],
    symmetric: Collection[str] = (),
) -> TypeScores:
    """Compare as `strict_relation_f1` does, but whatever the types of head and tail."""
    return count_by_type(_boundaries(gold, symmetric), _boundaries(predicted, symmetric), _label)


def pair_scores(gold: Iterable[Collection[str]], predicted: Iterable[Collection[str]]) -> LabelScores:
    """Compare the relation labels of given pairs of entities; no label at all is "no relation".

    "No relation" counts in the accuracy and is no type of its own, so micro F1 is that of TACRED's scorer
    (Zhang et al. 2017, "Position-aware Attention and Supervised Data Improve Slot Filling").
    Raises ValueError if one side has more pairs.
    """
    return count_labels(gold, predicted)


def _strict(texts: _Relations, symmetric: Collection[str]) -> Iterable[set[_Key]]:
    return (
        {_key(_typed(r.head), _typed(r.tail), r.label, symmetric) for r in relations} for relations in texts
    )


def _boundaries(texts: _Relations, symmetric: Collection[str]) -> Iterable[set[_Key]]:
    return (
        {_key(_untyped(r.head), _untyped(r.tail), r.label, symmetric) for r in relations}
        for relations in texts
    )


def _key(head: _Argument, tail: _Argument, label: str, symmetric: Collection[str]) -> _Key:
    return (tail, head, label) if label in symmetric and tail < head else (head, tail, label)


def _typed(argument: Entity | Span) -> _Argument:
    return argument.start, argument.end, argument.label


def _untyped(argument: Entity | Span) -> _Argument:
    return argument.start, argument.end, ""


def _label(key: _Key) -> str:
    return key[2]
