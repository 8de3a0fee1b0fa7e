"""A batch as two, where it does not fit into memory: their losses, weighted, add up to that of the whole."""

from functools import singledispatch
from typing import Any, TypeVar

from torch import Tensor

from gliner_mt.heads import Gold, Spans
from gliner_mt.model import Beside
from gliner_mt.pairs import Pairs
from gliner_mt.train.mntp import MaskedBatch
from gliner_mt.train.questions import Targets, TrainBatch

BatchT = TypeVar("BatchT")


def pieces(batch: BatchT, cuts: int) -> list[tuple[float, BatchT]]:
    """Return a batch halved `cuts` times, each part with its share of the loss; less if it cannot be."""
    parts = [(1.0, batch)]
    for _ in range(cuts):
        parts = [(share * own, half) for share, part in parts for own, half in halves(part) or [(1.0, part)]]
    return parts


@singledispatch
def halves(batch: object) -> list[tuple[float, Any]]:
    """Return two halves of a batch, each with its share of the loss; nothing if it cannot be halved."""
    return []


@halves.register
def _(batch: Tensor) -> list[tuple[float, Any]]:
    """Halve a batch of rows that count alike."""
    if len(batch) < 2:
        return []
    return [(len(half) / len(batch), half) for half in batch.tensor_split(2)]


@halves.register
def _(batch: MaskedBatch) -> list[tuple[float, Any]]:
    """Halve sequences; a half weighs as many targets as it has."""
    if len(batch.ids) < 2:
        return []
    ids, before = batch.ids.tensor_split(2), batch.before.tensor_split(2)
    targets = batch.targets.tensor_split([int(before[0].sum())])
    total = max(1, len(batch.targets))
    return [(len(one.targets) / total, one) for one in map(MaskedBatch, ids, before, targets)]


@halves.register
def _(batch: TrainBatch) -> list[tuple[float, Any]]:
    """Halve the rows of questions; each row counts alike."""
    n_rows = len(batch.batch.ids)
    if n_rows < 2:
        return []
    middle = (n_rows + 1) // 2
    return [
        ((end - start) / n_rows, _rows(batch, start, end)) for start, end in ((0, middle), (middle, n_rows))
    ]


def _rows(batch: TrainBatch, start: int, end: int) -> TrainBatch:
    gold, rows = batch.gold, slice(start, end)
    inside = (gold.row >= start) & (gold.row < end)
    own_gold = Gold(gold.row[inside] - start, *(column[inside] for column in gold[1:]))
    targets = None if batch.targets is None else _targets(batch.targets, start, end)
    recalled = None if batch.recalled is None else batch.recalled[rows]
    return TrainBatch(batch.batch.rows(rows), own_gold, targets, recalled)


def _targets(targets: Targets, start: int, end: int) -> Targets:
    (stated, at_stated), (ends, at_ends) = (
        _spans(spans, start, end) for spans in (targets.asked.stated, targets.asked.ends)
    )
    pairs = targets.asked.pairs
    at_pairs = (pairs.row >= start) & (pairs.row < end)
    first = int(at_ends.nonzero()[0]) if at_ends.any() else 0
    own_pairs = Pairs(pairs.row[at_pairs] - start, pairs.head[at_pairs] - first, pairs.tail[at_pairs] - first)
    return Targets(
        Beside(stated, ends, own_pairs),
        targets.n_free[start:end],
        targets.stated[at_stated],
        targets.stated_asked[at_stated],
        targets.pairs[at_pairs],
        targets.pairs_asked[at_pairs],
    )


def _spans(spans: Spans, start: int, end: int) -> tuple[Spans, Tensor]:
    inside = (spans.row >= start) & (spans.row < end)
    return Spans(spans.row[inside] - start, spans.word_start[inside], spans.word_end[inside]), inside
