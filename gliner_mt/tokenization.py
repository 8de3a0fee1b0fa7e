"""From text to sub-words: each word is tokenised once, whatever window or batch it lands in."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple, final

from tokenizers import Tokenizer

from gliner_mt.text import split_words

_CACHED_WORDS = 100_000
_WORDS_AT_A_TIME = 2_048


class EncodedWord(NamedTuple):
    """A word of a text: characters [start, end), its sub-word ids (never empty), its written shape."""

    start: int
    end: int
    ids: tuple[int, ...]
    shape: int
    ends_sentence: bool


@final
class WordTokenizer:
    """Sub-words of single words, with a bounded cache, over a Hugging Face `tokenizers.Tokenizer`.

    Words are encoded as the package `gliner` does it (`is_split_into_words=True`): each on its own, so a
    word has the same sub-words in every context. `prefix` and `suffix` are the special tokens that the
    tokenizer puts around a sequence, for example `[CLS]` and `[SEP]`. `labels` is the tokenizer of labels
    that have an encoder of their own, if the model reads them so.
    """

    def __init__(self, tokenizer: Tokenizer, pad_id: int, labels: Tokenizer | None = None) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.tokenizer = tokenizer
        self.labels = labels
        self.pad_id = pad_id
        self.prefix, self.suffix = _special_frame(tokenizer)
        self._cache: dict[str, tuple[int, ...]] = {}

    def words(self, words: Sequence[str]) -> list[tuple[int, ...]]:
        """Return the sub-word ids of each word; empty for one that the vocabulary cannot see at all."""
        if len(self._cache) > _CACHED_WORDS:
            self._cache = {}
        unknown = list(dict.fromkeys(word for word in words if word not in self._cache))
        if unknown:
            self._remember(unknown)
        return [self._cache[word] for word in words]

    def encode(self, text: str, max_word_tokens: int) -> Iterator[EncodedWord]:
        """Yield the words of `text` lazily, leaving out those without sub-words (control characters, say).

        A word of more than `max_word_tokens` sub-words is read by its first ones.
        """
        stream = split_words(text)
        while chunk := list(islice(stream, _WORDS_AT_A_TIME)):
            surfaces = [text[word.start : word.end] for word in chunk]
            for word, surface, ids in zip(chunk, surfaces, self.words(surfaces), strict=True):
                if ids:
                    shape = word_shape(surface)
                    yield EncodedWord(word.start, word.end, ids[:max_word_tokens], shape, word.ends_sentence)

    def _remember(self, unknown: list[str]) -> None:
        # Lone surrogates, which Python strings may hold, are no text to the Rust library.
        readable = [word.encode("utf-8", "replace").decode("utf-8") for word in unknown]
        encoding = self.tokenizer.encode(readable, is_pretokenized=True, add_special_tokens=False)
        ids: list[list[int]] = [[] for _ in unknown]
        for token, word_index in zip(encoding.ids, encoding.word_ids, strict=True):
            if word_index is not None:
                ids[word_index].append(token)
        self._cache.update(zip(unknown, map(tuple, ids), strict=True))


def word_span(words: Sequence[EncodedWord], start: int, end: int) -> tuple[int, int]:
    """Return the words [first, last) that characters [start, end) touch."""
    first = bisect_right(words, start, key=lambda word: word.end)
    return first, bisect_left(words, end, first, key=lambda word: word.start)


N_SHAPES = 8


def word_shape(word: str) -> int:
    """Return how a word is written, for models whose vocabulary is lower-cased.

    0 is kept for tokens that are no words of the text; 1 lower case, 2 Capitalised, 3 one capital letter,
    4 CAPITALS, 5 miXed, 6 digits with or without other characters, 7 neither letters nor digits.
    """
    if any(c.isdigit() for c in word):
        return 6
    if word.islower():
        return 1
    if not any(c.isalpha() for c in word):
        return 7
    if word.isupper():
        return 3 if len(word) == 1 else 4
    if word[0].isupper() and word[1:].islower():
        return 2
    return 5 if any(c.isupper() for c in word) else 1


def _special_frame(tokenizer: Tokenizer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    encoding = tokenizer.encode(["a"], is_pretokenized=True, add_special_tokens=True)
    inner = [i for i, special in enumerate(encoding.special_tokens_mask) if not special]
    if not inner:
        return (), ()
    return tuple(encoding.ids[: inner[0]]), tuple(encoding.ids[inner[-1] + 1 :])
