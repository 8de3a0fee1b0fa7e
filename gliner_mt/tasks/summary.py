"""Summaries: the sentences of a text that say most of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from gliner_mt.tasks.base import Candidates, Found, Label, Queries
from gliner_mt.tasks.parsing import at_least_one, own_threshold
from gliner_mt.text import split_words
from gliner_mt.types import Span

SUMMARY = Label("summary", "a sentence that belongs into a summary of the text")
_SENTENCES = 3


@final
@dataclass(frozen=True, init=False)
class Summary:
    """Choose the key sentences; answers `list[Span]`, label "summary", in document order.

    The best sentences are taken, up to `max_sentences` and `max_words` (punctuation is no word); a sentence
    that no longer fits is left out for the next best. Without either, three sentences. `threshold` is what a
    sentence's probability must exceed; 0 (None or "auto") takes the best, good or not.
    """

    max_sentences: int | None = None
    max_words: int | None = None
    threshold: float = 0.0

    def __init__(
        self,
        *,
        max_sentences: int | None = None,
        max_words: int | None = None,
        threshold: float | str | None = None,
    ) -> None:
        for name, value in (("max_sentences", max_sentences), ("max_words", max_words)):
            object.__setattr__(self, name, None if value is None else at_least_one(value, name))
        object.__setattr__(self, "threshold", own_threshold(threshold, "threshold") or 0.0)

    def queries(self) -> tuple[Queries]:
        """Return the one label, asked of every sentence."""
        return (Queries((SUMMARY,), self.threshold, candidates=Candidates.SENTENCES),)

    def result(self, found: Sequence[Found]) -> list[Span]:
        """Return the best sentences that fit."""
        none_given = self.max_sentences is None and self.max_words is None
        most = _SENTENCES if none_given else self.max_sentences
        chosen: list[Span] = []
        room = self.max_words
        for span in sorted(found[0].spans, key=lambda span: -span.score):
            if len(chosen) == most:
                break
            n_words = 0 if room is None else _n_words(span.text)
            if room is not None and n_words > room:
                continue
            room = None if room is None else room - n_words
            chosen.append(span)
        return sorted(chosen, key=lambda span: span.start)


def _n_words(text: str) -> int:
    return sum(text[word.start].isalnum() for word in split_words(text))
