import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from texts import any_text
from tiny_models import CLS, PAD, SEP, UNK, tiny_tokenizer

from gliner_mt import tokenization
from gliner_mt.text import split_words
from gliner_mt.tokenization import N_SHAPES, WordTokenizer, word_shape


def tokens(tokenizer: WordTokenizer, word: str) -> list[str]:
    return [tokenizer.tokenizer.id_to_token(token) for token in tokenizer.words([word])[0]]


def test_the_frame_is_what_the_tokenizer_puts_around_a_text(tokenizer: WordTokenizer) -> None:
    assert (tokenizer.prefix, tokenizer.suffix, tokenizer.pad_id) == ((CLS,), (SEP,), PAD)


def test_a_tokenizer_without_frame_has_none() -> None:
    bare = tiny_tokenizer().tokenizer
    bare.post_processor = None
    tokenizer = WordTokenizer(bare, PAD)
    assert (tokenizer.prefix, tokenizer.suffix) == ((), ())


def test_settings_of_the_file_do_not_cut_or_pad() -> None:
    strict = tiny_tokenizer().tokenizer
    strict.enable_truncation(max_length=2)
    strict.enable_padding(length=8)
    assert len(WordTokenizer(strict, PAD).words(["abcdefgh"])[0]) == 8


def test_sub_words(tokenizer: WordTokenizer) -> None:
    assert tokens(tokenizer, "London") == ["london"]
    assert tokens(tokenizer, "zoo") == ["z", "##o", "##o"]
    assert tokenizer.words(["東", "\ud800", "\x00", "\u0301", ""])[2:] == [(), (), ()]
    assert tokenizer.words(["東"]) == [(UNK,)]
    assert tokenizer.words([]) == []


@settings(deadline=None, max_examples=100)
@given(st.lists(any_text.flatmap(lambda text: st.sampled_from(text.split() or ["a"])), max_size=8))
def test_a_word_has_the_same_sub_words_in_any_company(words: list[str]) -> None:
    together = tiny_tokenizer().words(words)
    assert together == [tiny_tokenizer().words([word])[0] for word in words]


@settings(deadline=None, max_examples=150)
@given(text=any_text, most=st.integers(1, 5))
def test_words_keep_their_offsets(tokenizer: WordTokenizer, text: str, most: int) -> None:
    encoded = list(tokenizer.encode(text, max_word_tokens=most))
    split = {(word.start, word.end): word.ends_sentence for word in split_words(text)}
    for word in encoded:
        assert split[word.start, word.end] is word.ends_sentence
        assert word.ids == tokenizer.words([text[word.start : word.end]])[0][:most]
        assert word.shape == word_shape(text[word.start : word.end])
    unseen = split.keys() - {(word.start, word.end) for word in encoded}
    assert all(tokenizer.words([text[start:end]]) == [()] for start, end in unseen)
    assert [word.start for word in encoded] == sorted(word.start for word in encoded)


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenization, "_CACHED_WORDS", 10)
    tokenizer = tiny_tokenizer()
    for number in range(100):
        assert tokenizer.words([str(number), "7"])[1] == tokenizer.words(["7"])[0]
    assert len(tokenizer._cache) <= 12


def test_encoding_is_lazy(tokenizer: WordTokenizer) -> None:
    text = "green river " * 100_000
    first = next(tokenizer.encode(text, max_word_tokens=9))
    assert (first.start, first.end) == (0, 5)


@pytest.mark.parametrize(
    ("word", "shape"),
    [
        ("river", 1),
        ("état", 1),
        ("東京", 1),
        ("London", 2),
        ("A", 3),
        ("NATO", 4),
        ("iPhone", 5),
        ("McDonald", 5),
        ("2022", 6),
        ("B2B", 6),
        ("-", 7),
        ("👩", 7),
        ("\ud800", 7),
    ],
)
def test_shapes(word: str, shape: int) -> None:
    assert word_shape(word) == shape
    assert 0 < shape < N_SHAPES
