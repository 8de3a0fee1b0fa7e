"""What is known of a text while it is read: for each query, by the kind of its candidate spans. Pure Python.

Spans up to the model's width are found in windows, and judged by the window that owns them. Stated spans
(sentences, or those that a caller gives) are scored in each window that holds them, or a part of them; the
window that holds most of them counts. A text as a whole is scored in each window.
"""

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple, final

from gliner_mt.asking import Asked
from gliner_mt.decode import Candidate, join_adjacent, resolve_overlaps, uncrossed
from gliner_mt.related import Mention, Place, Related
from gliner_mt.tasks import Evidence, Found, Queries
from gliner_mt.tasks.parsing import sigmoid
from gliner_mt.tokenization import EncodedWord
from gliner_mt.types import Span
from gliner_mt.windows import Window, merge_windows


class Part(NamedTuple):
    """What a window holds of a stated span: words of the window, and whether that is all of it."""

    span: int
    word_start: int
    word_end: int
    whole: bool


class Collected(ABC):
    """What is known of a text so far, for one query."""

    def __init__(self, queries: Queries) -> None:
        self.queries = queries
        self.related = None if queries.pairs is None else Related(queries.pairs)

    def parts(self, window: Window) -> list[Part]:
        """Return the stated spans that a window holds."""
        return []

    def add_found(self, window: int, offset: int, words: Sequence[EncodedWord], one: Candidate) -> None:
        """Remember a span of a window that starts at the word `offset`; `one` counts from there."""
        raise TypeError(f"{type(self).__name__} takes no spans up to the model's width")

    def add_stated(self, index: int, window: Window, part: Part, asked: Asked, logit: float) -> None:
        """Remember the logit of a stated span, or of a part of it, in the window of this index."""
        raise TypeError(f"{type(self).__name__} states no spans")

    def mentions(self, parts: Sequence[Part], found: Sequence[Candidate]) -> list[Mention]:
        """Return the spans of a window that may be related: `found` there, or stated. Words of the window."""
        return []

    @abstractmethod
    def settle(self, windows: Sequence[Window], *, read: bool) -> None:
        """Take up what no window to come can change."""

    @abstractmethod
    def found(self, windows: Sequence[Window]) -> Found:
        """Return the answer, once the text is read."""


@final
class FreeSpans(Collected):
    """Spans up to the model's width, with what was found behind those that are settled."""

    def __init__(self, queries: Queries, text: str) -> None:
        super().__init__(queries)
        self._text = text
        self._found: list[tuple[int, Candidate]] = []
        self._starts: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._spans: list[Span] = []
        self._places: dict[Place, list[Span]] = {}

    def add_found(self, window: int, offset: int, words: Sequence[EncodedWord], one: Candidate) -> None:
        """Remember what was found in a window that starts at the word `offset`; `one` counts from there."""
        first, last = offset + one.word_start, offset + one.word_end
        self._starts[first] = words[one.word_start].start
        self._ends[last] = words[one.word_end - 1].end
        self._found.append((window, Candidate(first, last, one.label, one.score)))

    def mentions(self, parts: Sequence[Part], found: Sequence[Candidate]) -> list[Mention]:
        """Return the spans that a window keeps when overlaps are resolved in it."""
        labels = self.queries.labels
        return [
            Mention(one.word_start, one.word_end, labels[one.label].name, one.score)
            for one in self._resolved(found)
        ]

    def settle(self, windows: Sequence[Window], *, read: bool) -> None:
        """Make spans of the candidates that no window to come can change, and forget all others before them.

        A later window starts after the last one: it holds no span that starts up to there, and finds none.
        Up to a word that no candidate crosses, overlaps are resolved as they would be on the whole text.
        """
        last = windows[-1] if windows else Window(0, 0)
        known = last.word_end if read else last.word_start + 1
        owned = merge_windows(windows, [pair for pair in self._found if pair[1].word_start < known])
        until = uncrossed(owned, known)
        for one in self._resolved([one for one in owned if one.word_end <= until]):
            self._take(one)
        self._found = [pair for pair in self._found if pair[1].word_start >= until]
        self._starts = {one.word_start: self._starts[one.word_start] for _, one in self._found}
        self._ends = {one.word_end: self._ends[one.word_end] for _, one in self._found}

    def found(self, windows: Sequence[Window]) -> Found:
        """Return the spans, and what relates them."""
        spans = join_adjacent(self._spans, self._text) if self.queries.join_adjacent else self._spans
        pairs = [] if self.related is None else self.related.relations(windows, self._places)
        return Found(spans, pairs, [])

    def _resolved(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        queries = self.queries
        if not queries.by_label:
            return resolve_overlaps(candidates, nested=queries.nested, multi_label=queries.multi_label)
        kept = []
        for label in range(len(queries.labels)):
            own = [one for one in candidates if one.label == label]
            kept += resolve_overlaps(own, nested=queries.nested, multi_label=False)
        return sorted(kept, key=lambda one: (one.word_start, -one.word_end, one.label))

    def _take(self, one: Candidate) -> None:
        start, end = self._starts[one.word_start], self._ends[one.word_end]
        span = Span(start, end, self._text[start:end], self.queries.labels[one.label].name, one.score)
        self._spans.append(span)
        if self.related is not None:
            self._places.setdefault((one.word_start, one.word_end), []).append(span)


class Stated(NamedTuple):
    """A span that a query states: words and characters of the text, and its type if a caller gives it."""

    words: Place
    start: int
    end: int
    label: str = ""


class _Scored(NamedTuple):
    sure: tuple[int, int]
    score: float
    threshold: float


@final
class StatedSpans(Collected):
    """Spans that are known before the text is read, each with the best window that it was scored in.

    Where the same characters are stated with several ranges of words, the best of them counts.
    """

    def __init__(self, queries: Queries, text: str, stated: Sequence[Stated]) -> None:
        super().__init__(queries)
        self._text = text
        self._stated = sorted(set(stated))
        self._starts = [one.words[0] for one in self._stated]
        self._furthest = list(accumulate((one.words[1] for one in self._stated), max))
        self._scores: dict[tuple[int, int], _Scored] = {}

    def parts(self, window: Window) -> list[Part]:
        """Return the stated spans that a window holds."""
        first = bisect_left(self._furthest, window.word_start + 1)
        last = bisect_left(self._starts, window.word_end)
        parts = []
        for index in range(first, last):
            start, end = self._stated[index].words
            inside = max(start, window.word_start), min(end, window.word_end)
            if inside[0] < inside[1]:
                first_word, last_word = (place - window.word_start for place in inside)
                parts.append(Part(index, first_word, last_word, inside == (start, end)))
        return parts

    def add_stated(self, index: int, window: Window, part: Part, asked: Asked, logit: float) -> None:
        """Remember a score, unless another window held more of the span, or it farther from an edge."""
        after = window.word_end - window.word_start - part.word_end
        sure = (part.word_end - part.word_start, min(part.word_start, after))
        known = self._scores.get((part.span, asked.index))
        if known is None or known.sure < sure:
            self._scores[part.span, asked.index] = _Scored(sure, sigmoid(logit), asked.threshold)

    def mentions(self, parts: Sequence[Part], found: Sequence[Candidate]) -> list[Mention]:
        """Return the spans that lie whole in a window; those that a caller gives are sure."""
        return [
            Mention(part.word_start, part.word_end, self._stated[part.span].label, 1.0)
            for part in parts
            if part.whole
        ]

    def settle(self, windows: Sequence[Window], *, read: bool) -> None:
        """Do nothing: the best window of each span is known at any time."""

    def found(self, windows: Sequence[Window]) -> Found:
        """Return the spans that pass their thresholds, and what relates the spans."""
        best: dict[tuple[int, int, str], Span] = {}
        for (index, label), (_, score, threshold) in sorted(self._scores.items()):
            span = self._span(self._stated[index], self.queries.labels[label].name, score)
            known = best.get((span.start, span.end, span.label))
            if score > threshold and (known is None or known.score < score):
                best[span.start, span.end, span.label] = span
        spans = list(best.values())
        if self.related is None:
            return Found(spans, [], [])
        places: dict[Place, list[Span]] = {}
        for one in self._stated:
            places.setdefault(one.words, []).append(self._span(one, one.label, 1.0))
        return Found(spans, self.related.relations(windows, places), [])

    def _span(self, one: Stated, label: str, score: float) -> Span:
        return Span(one.start, one.end, self._text[one.start : one.end], label, score)


@final
class FreeAndStated(Collected):
    """Spans up to the model's width and stated ones together; whoever asked chooses where they overlap."""

    def __init__(self, queries: Queries, free: FreeSpans, stated: StatedSpans) -> None:
        if queries.pairs is not None:
            raise TypeError("pairs are asked of free spans or of stated ones, not of both")
        super().__init__(queries)
        self._free = free
        self._stated = stated

    def parts(self, window: Window) -> list[Part]:
        """Return the stated spans that a window holds."""
        return self._stated.parts(window)

    def add_found(self, window: int, offset: int, words: Sequence[EncodedWord], one: Candidate) -> None:
        """Remember a free span."""
        self._free.add_found(window, offset, words, one)

    def add_stated(self, index: int, window: Window, part: Part, asked: Asked, logit: float) -> None:
        """Remember the logit of a stated span."""
        self._stated.add_stated(index, window, part, asked, logit)

    def settle(self, windows: Sequence[Window], *, read: bool) -> None:
        """Settle the free spans."""
        self._free.settle(windows, read=read)

    def found(self, windows: Sequence[Window]) -> Found:
        """Return the spans of both kinds, in text order."""
        spans = self._free.found(windows).spans + self._stated.found(windows).spans
        return Found(sorted(spans, key=lambda span: (span.start, -span.end)), [], [])


@final
class WholeText(Collected):
    """What each window says of the text as a whole."""

    def __init__(self, queries: Queries) -> None:
        super().__init__(queries)
        self._logits: dict[int, list[float]] = {}

    def parts(self, window: Window) -> list[Part]:
        """Return the window."""
        return [Part(0, 0, window.word_end - window.word_start, True)]

    def add_stated(self, index: int, window: Window, part: Part, asked: Asked, logit: float) -> None:
        """Remember a label's logit in a window."""
        self._logits.setdefault(index, [0.0] * len(self.queries.labels))[asked.index] = logit

    def settle(self, windows: Sequence[Window], *, read: bool) -> None:
        """Do nothing: each window speaks for itself."""

    def found(self, windows: Sequence[Window]) -> Found:
        """Return the evidence of the windows."""
        return Found([], [], _evidence(windows, self._logits))


@final
class NamedClasses(Collected):
    """What each window says of the classes that an instruction before the text names, at `places` of words.

    Places are counted from the first word of the text, so they are negative.
    """

    def __init__(self, queries: Queries, places: Sequence[Place]) -> None:
        super().__init__(queries)
        self._places = places
        self._logits: dict[int, list[float]] = {}

    def parts(self, window: Window) -> list[Part]:
        """Return the names, which are before every window."""
        return [Part(n, first, last, True) for n, (first, last) in enumerate(self._places)]

    def add_stated(self, index: int, window: Window, part: Part, asked: Asked, logit: float) -> None:
        """Remember a class's logit in a window."""
        self._logits.setdefault(index, [0.0] * len(self._places))[part.span] = logit

    def settle(self, windows: Sequence[Window], *, read: bool) -> None:
        """Do nothing: each window speaks for itself."""

    def found(self, windows: Sequence[Window]) -> Found:
        """Return the evidence of the windows."""
        return Found([], [], _evidence(windows, self._logits))


def _evidence(windows: Sequence[Window], logits: Mapping[int, Sequence[float]]) -> list[Evidence]:
    sizes = [window.word_end - window.word_start for window in windows]
    return [Evidence(sizes[at], tuple(of_window)) for at, of_window in sorted(logits.items())]
