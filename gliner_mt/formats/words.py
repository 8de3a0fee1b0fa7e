"""A text made of the words of a tokenised source, and the characters at which each of them stands."""

from collections.abc import Sequence
from dataclasses import dataclass

from gliner_mt.formats.files import index, string
from gliner_mt.types import Offsets


@dataclass(frozen=True, slots=True)
class JoinedWords:
    """A text and its words; joined by single spaces, as published evaluations read tokenised sources."""

    text: str
    words: tuple[Offsets, ...]

    def characters(self, first: object, end: object) -> Offsets:
        """Return where the words [first, end) stand. Raises ValueError if they are no words of the text."""
        start = index(first, len(self.words))
        last = index(end - 1 if isinstance(end, int) else end, len(self.words))
        offsets = Offsets(self.words[start].start, self.words[last].end)
        if offsets.start >= offsets.end:
            raise ValueError(f"words {first} to {end} are empty")
        return offsets


def join_words(words: Sequence[object]) -> JoinedWords:
    """Join words by spaces. Raises TypeError if one is no string."""
    offsets, start = [], 0
    for word in words:
        end = start + len(string(word))
        offsets.append(Offsets(start, end))
        start = end + 1
    return JoinedWords(" ".join(string(word) for word in words), tuple(offsets))


def placed_words(words: Sequence[str], text: str) -> JoinedWords:
    """Return where the words of a text stand, in order. Raises ValueError if one is not there."""
    offsets, start = [], 0
    for number, word in enumerate(words):
        if (start := text.find(word, start)) < 0:
            raise ValueError(f"word {number}, {word!r}, does not stand in the text")
        offsets.append(Offsets(start, start := start + len(word)))
    return JoinedWords(text, tuple(offsets))
