"""Which part of a text is read: a row holds so many sub-words, and the end of a text is learnt as well."""

from collections.abc import Sequence
from random import Random

from gliner_mt.tokenization import EncodedWord, WordTokenizer, word_span
from gliner_mt.types import Entity, Offsets

_NEAR_GOLD = 0.75
_CHARACTERS = 16  # to a sub-word, more than there are


def excerpt(
    text: str, marked: Sequence[Entity | Offsets], tokenizer: WordTokenizer, room: int, random: Random
) -> Offsets:
    """Return a part of a text with `room` sub-words at most: the whole of it if it fits.

    Three times in four it holds one of the places `marked`, if there are any; else it lies anywhere. It
    begins and ends with a sentence where it can. However long the text, little more than the part is read.
    """
    if room < 1:
        return Offsets(0, 0)
    reach = _CHARACTERS * room
    if len(text) <= reach and _size(list(tokenizer.encode(text, room))) <= room:
        return Offsets(0, len(text))
    near = marked[random.randrange(len(marked))] if marked and random.random() < _NEAR_GOLD else None
    at = random.randrange(len(text)) if near is None else near.start
    before, after = max(0, at - reach), at + reach
    words = list(tokenizer.encode(text[before:after], room))[before > 0 : -1 if after < len(text) else None]
    held = word_span(words, at - before, (at + 1 if near is None else near.end) - before)
    first, last = _around(words, held, room, random)
    if first == last:
        return Offsets(before, before)
    return Offsets(before + words[first].start, before + words[last - 1].end)


def _around(
    words: Sequence[EncodedWord], held: tuple[int, int], room: int, random: Random
) -> tuple[int, int]:
    """Return words [first, last) that fit and hold the words `held`, or as many of these as fit."""
    first, left = held[0], room - _size(words[slice(*held)])
    while first and len(words[first - 1].ids) <= left:
        first -= 1
        left -= len(words[first].ids)
    starts = [n for n in range(first, held[0] + 1) if not n or words[n - 1].ends_sentence]
    first = random.choice(starts or range(first, held[0] + 1))
    last, left = first, room
    while last < len(words) and len(words[last].ids) <= left:
        left -= len(words[last].ids)
        last += 1
    least = max(held[1], (first + last) // 2 + 1)
    return first, next((n for n in range(last, least - 1, -1) if words[n - 1].ends_sentence), last)


def _size(words: Sequence[EncodedWord]) -> int:
    return sum(len(word.ids) for word in words)
