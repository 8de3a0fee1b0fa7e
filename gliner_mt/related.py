"""Pairs of spans: which are scored in a window, and which window answers for a pair. Pure Python."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations
from typing import NamedTuple, final

from gliner_mt.tasks import PairQueries
from gliner_mt.types import Relation, Span
from gliner_mt.windows import Window

Place = tuple[int, int]
"""Words of a text, end-exclusive."""


class Mention(NamedTuple):
    """A span that may be related to others: words of its window, its type ("" for any), its probability."""

    word_start: int
    word_end: int
    label: str
    score: float

    def place(self, offset: int) -> Place:
        """Return its words in the text, if its window starts at the word `offset`."""
        return self.word_start + offset, self.word_end + offset


class _Passed(NamedTuple):
    window: int
    share: int
    head: Place
    tail: Place
    label: int


@final
class Related:
    """The relations of a text that passed their thresholds, window by window.

    A pair is judged by one window only: of those in which both its spans were proposed, the one in which
    the pair has the widest margin to an edge. Relations that are asked in several groups are so for each
    group, its `share`.
    """

    def __init__(self, queries: PairQueries) -> None:
        self.queries = queries
        self._proposed: dict[tuple[int, Place], set[int]] = defaultdict(set)
        self._passed: dict[_Passed, float] = {}

    def propose(
        self, mentions: Sequence[Mention], sentence_ends: Iterable[int] = ()
    ) -> tuple[list[Mention], list[tuple[int, int]]]:
        """Return the best mentions that a relation admits, and the pairs of them that a relation joins.

        `sentence_ends` are the last words of sentences, in order.
        """
        labels = self.queries.labels
        fit = [
            one
            for one in mentions
            if any(label.joins(one.label, "") or label.joins("", one.label) for label in labels)
        ]
        best = sorted(fit, key=lambda one: -one.score)[: self.queries.max_spans]
        ends = list(sentence_ends) if self.queries.within_sentence else []
        sentence = [bisect_left(ends, one.word_start) for one in best]
        pairs = [
            (head, tail)
            for head, tail in permutations(range(len(best)), 2)
            if best[head][:2] != best[tail][:2]
            and sentence[head] == sentence[tail]
            and any(label.joins(best[head].label, best[tail].label) for label in labels)
        ]
        return best, pairs

    def remember(self, window: int, offset: int, share: int, mentions: Sequence[Mention]) -> None:
        """Note that these mentions were paired in a window that starts at the word `offset`."""
        for one in mentions:
            self._proposed[share, one.place(offset)].add(window)

    def add(self, window: int, share: int, head: Place, tail: Place, label: int, score: float) -> None:
        """Note a pair of words of the text that passed the threshold of a relation."""
        self._passed[_Passed(window, share, head, tail, label)] = score

    def relations(self, windows: Sequence[Window], spans: Mapping[Place, Sequence[Span]]) -> list[Relation]:
        """Return the relations between `spans` of the text, by head, then by tail, then best first."""
        relations = []
        for one, score in self._passed.items():
            if one.window != self._owner(one, windows):
                continue
            label = self.queries.labels[one.label]
            relations += [
                Relation(head, tail, label.name, score)
                for head in spans.get(one.head, ())
                for tail in spans.get(one.tail, ())
                if label.joins(head.label, tail.label)
            ]
        return sorted(relations, key=lambda r: (_order(r.head), _order(r.tail), -r.score))

    def _owner(self, pair: _Passed, windows: Sequence[Window]) -> int:
        start, end = min(pair.head[0], pair.tail[0]), max(pair.head[1], pair.tail[1])
        both = self._proposed[pair.share, pair.head] & self._proposed[pair.share, pair.tail]

        def margin(index: int) -> tuple[int, int]:
            return min(start - windows[index].word_start, windows[index].word_end - end), -index

        return max(both, key=margin)


def _order(span: Span) -> tuple[int, int]:
    return span.start, -span.end
