"""Words of a text, as offsets into the original string. Nothing is copied, normalised or lost."""

import re
from collections.abc import Iterator
from itertools import chain, pairwise
from typing import NamedTuple

# The word rule that published GLiNER checkpoints were trained with.
_WORD = re.compile(r"\w+(?:[-_]\w+)*|\S")
_SENTENCE_END = re.compile(r"""[.!?…][)\]"'»”\u2019]*$""")
_FULL_WIDTH_END = frozenset("。\uff01\uff1f")
_PARAGRAPH = re.compile(r"\n[^\S\n]*\n|\u2029")

# Longer runs are cut into pieces that are words of their own, so that no word outgrows a window.
MAX_WORD_CHARS = 128


class Word(NamedTuple):
    """A word as characters [start, end) of the text; `ends_sentence` if a sentence seems to end after it."""

    start: int
    end: int
    ends_sentence: bool


def split_words(text: str) -> Iterator[Word]:
    """Yield the words of `text` lazily, in order.

    A word is a run of letters, digits and underscores, possibly hyphenated, or one other visible character
    (the `whitespace` splitter of GLiNER). Runs of more than `MAX_WORD_CHARS` characters are cut into pieces.
    """
    for (start, end), (next_start, _) in pairwise(chain(word_places(text), [(len(text), len(text))])):
        yield Word(start, end, _ends_sentence(text, start, end, next_start))


def word_places(text: str) -> Iterator[tuple[int, int]]:
    """Yield the places [start, end) of the words of `split_words`, for a fraction of their price."""
    for match in _WORD.finditer(text):
        start, end = match.span()
        while end - start > MAX_WORD_CHARS:
            yield start, start + MAX_WORD_CHARS
            start += MAX_WORD_CHARS
        yield start, end


def _ends_sentence(text: str, start: int, end: int, next_start: int) -> bool:
    last = text[end - 1]
    if last in _FULL_WIDTH_END:
        return True
    if next_start == end and next_start < len(text):
        return False
    if _PARAGRAPH.search(text, end, next_start) is not None:
        return True
    # Closing quotes and brackets are words of their own, so look back at what they close.
    return not last.isalnum() and _SENTENCE_END.search(text[max(0, start - 3) : end]) is not None
