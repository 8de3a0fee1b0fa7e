"""Entities: exact match of start, end and type, as the CoNLL-2003 shared task scores them."""

from collections.abc import Collection, Iterable

from gliner_mt.metrics.counts import TypeScores, count_by_type
from gliner_mt.types import Entity, Span

EntityScores = TypeScores


def entity_f1(gold: Iterable[Collection[Entity]], predicted: Iterable[Collection[Span]]) -> EntityScores:
    """Compare each text's entities with the spans predicted for it: right is same start, end and label.

    What is listed twice for one text counts once. Raises ValueError if one side has more texts.
    """
    return count_by_type(_keys(gold), _keys(predicted), lambda key: key[2])


def _keys(texts: Iterable[Collection[Entity] | Collection[Span]]) -> Iterable[set[tuple[int, int, str]]]:
    return ({(found.start, found.end, found.label) for found in text} for text in texts)
