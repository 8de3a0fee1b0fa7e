"""The spans that a query states: sentences, and spans that a caller gives, on the words of a text."""

import warnings
from collections.abc import Iterator, Sequence

from gliner_mt.collected import Collected, FreeAndStated, FreeSpans, Stated, StatedSpans, WholeText
from gliner_mt.errors import InputError
from gliner_mt.tasks import Candidates, GivenSpan, Queries
from gliner_mt.tokenization import WordTokenizer, word_span


def collected(queries: Queries, text: str, tokenizer: WordTokenizer) -> Collected:
    """Return what will be known of a text for a query.

    Raises:
        InputError: a given span lies outside the text, or holds no word of it.
    """
    match queries.candidates:
        case Candidates.WORDS:
            return FreeSpans(queries, text)
        case Candidates.SENTENCES:
            return StatedSpans(queries, text, list(sentences(text, tokenizer)))
        case Candidates.WORDS_AND_SENTENCES:
            stated = StatedSpans(queries, text, list(sentences(text, tokenizer)))
            return FreeAndStated(queries, FreeSpans(queries, text), stated)
        case Candidates.WHOLE:
            return WholeText(queries)
        case Candidates.GIVEN:
            return StatedSpans(queries, text, on_words(queries.given, text, tokenizer))


def sentences(text: str, tokenizer: WordTokenizer) -> Iterator[Stated]:
    """Yield the sentences of a text, from their first word to their last."""
    first = start = end = 0
    at = -1
    open_ = False
    for at, word in enumerate(tokenizer.encode(text, max_word_tokens=1)):
        if not open_:
            first, start, open_ = at, word.start, True
        end = word.end
        if word.ends_sentence:
            yield Stated((first, at + 1), start, end)
            open_ = False
    if open_:
        yield Stated((first, at + 1), start, end)


def on_words(given: Sequence[GivenSpan], text: str, tokenizer: WordTokenizer) -> list[Stated]:
    """Return spans given in characters on the words that they touch, saying which were moved.

    Raises:
        InputError: a span lies outside the text, or holds no word.
    """
    words = list(tokenizer.encode(text, max_word_tokens=1))
    stated = []
    for one in given:
        if one.end > len(text):
            raise InputError(
                f"span {(one.start, one.end)} lies outside the text of {len(text)} characters; expected "
                "characters of this text, end-exclusive."
            )
        first, last = word_span(words, one.start, one.end)
        if first == last:
            raise InputError(f"span {(one.start, one.end)} holds no word: {text[one.start : one.end]!r}.")
        start, end = words[first].start, words[last - 1].end
        if (start, end) != (one.start, one.end):
            warnings.warn(
                f"span {(one.start, one.end)}, {text[one.start : one.end]!r}, does not lie on word edges; "
                f"it is taken as {(start, end)}, {text[start:end]!r}",
                stacklevel=2,
            )
        stated.append(Stated((first, last), start, end, one.label))
    return stated
