"""Overlap resolution: from scored candidates to the spans of an answer. Pure Python."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, final

from gliner_mt.types import Span


@dataclass(frozen=True, slots=True)
class Candidate:
    """A span above its threshold: words of the document, end-exclusive; an index into the queries' labels."""

    word_start: int
    word_end: int
    label: int
    score: float


def resolve_overlaps(candidates: Iterable[Candidate], *, nested: bool, multi_label: bool) -> list[Candidate]:
    """Keep the best candidates that may stand together, greedily by score as the published GLiNER does.

    Flat: spans never share a word. `nested`: a span may lie inside another, but never cross it. In both,
    the same span is kept under several labels only if `multi_label`. Ties of score go to the span that
    starts first, then ends first, then to the lower label. Each (span, label) is expected at most once.

    The answer is in text order: by start, longest first, by label. The time is that of sorting plus the sum
    of the candidates' widths, whatever the length of the document.
    """
    kept: list[Candidate] = []
    spans: set[tuple[int, int]] = set()
    taken: _Taken = _TakenNested() if nested else _TakenFlat()
    for candidate in sorted(candidates, key=lambda c: (-c.score, c.word_start, c.word_end, c.label)):
        span = (candidate.word_start, candidate.word_end)
        # The same span as one kept agrees with all the others as that one does: only its label is new.
        if span in spans:
            if multi_label:
                kept.append(candidate)
        elif taken.allows(*span):
            taken.add(*span)
            spans.add(span)
            kept.append(candidate)
    return sorted(kept, key=lambda c: (c.word_start, -c.word_end, c.label))


def uncrossed(candidates: Iterable[Candidate], word: int) -> int:
    """Return the last boundary between words, `word` or before it, that no candidate crosses.

    What stands before it and what stands behind it can be resolved apart.
    """
    for one in sorted(candidates, key=lambda c: -c.word_start):
        if one.word_start < word < one.word_end:
            word = one.word_start
    return word


def join_adjacent(spans: Iterable[Span], text: str) -> list[Span]:
    """Make one span of neighbours with the same label and nothing but white space between them.

    `spans` are in text order, and so is the answer. The score is the least of those that are joined.
    """
    joined: list[Span] = []
    latest: dict[str, int] = {}
    for span in spans:
        at = latest.get(span.label, -1)
        before = joined[at] if at >= 0 else None
        if before and before.end <= span.start and not text[before.end : span.start].strip():
            score = min(before.score, span.score)
            joined[at] = Span(before.start, span.end, text[before.start : span.end], span.label, score)
        else:
            latest[span.label] = len(joined)
            joined.append(span)
    return joined


class _Taken(Protocol):
    """The spans kept so far, indexed by word so that a new span is compared with its neighbours only."""

    def allows(self, start: int, end: int) -> bool: ...

    def add(self, start: int, end: int) -> None: ...


@final
class _TakenFlat:
    def __init__(self) -> None:
        self._words: set[int] = set()

    def allows(self, start: int, end: int) -> bool:
        return self._words.isdisjoint(range(start, end))

    def add(self, start: int, end: int) -> None:
        self._words.update(range(start, end))


@final
class _TakenNested:
    def __init__(self) -> None:
        self._last_end: dict[int, int] = {}
        self._first_start: dict[int, int] = {}

    def allows(self, start: int, end: int) -> bool:
        # A crossing span has exactly one of its two boundaries strictly inside this one. The longest
        # span at each boundary reaches out if any does.
        return not any(
            self._last_end.get(boundary, end) > end or self._first_start.get(boundary, start) < start
            for boundary in range(start + 1, end)
        )

    def add(self, start: int, end: int) -> None:
        self._last_end[start] = max(end, self._last_end.get(start, end))
        self._first_start[end] = min(start, self._first_start.get(end, start))
