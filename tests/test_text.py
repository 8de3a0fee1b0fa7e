import re
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from texts import any_text

from gliner_mt.text import MAX_WORD_CHARS, split_words


def surfaces(text: str) -> list[str]:
    return [text[word.start : word.end] for word in split_words(text)]


def sentence_ends(text: str) -> list[str]:
    return [text[word.start : word.end] for word in split_words(text) if word.ends_sentence]


@settings(deadline=None, max_examples=150)
@given(any_text)
def test_words_are_all_of_the_text_but_its_spaces(text: str) -> None:
    words = list(split_words(text))
    assert "".join(surfaces(text)) == re.sub(r"\s", "", text)
    assert all(0 < word.end - word.start <= MAX_WORD_CHARS for word in words)
    assert all(before.end <= after.start for before, after in pairwise(words))


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=MAX_WORD_CHARS))
def test_words_are_those_of_published_models(text: str) -> None:
    assert surfaces(text) == re.findall(r"\w+(?:[-_]\w+)*|\S", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \t\r\n\u3000", []),
        ("state-of-the-art", ["state-of-the-art"]),
        ("well- known", ["well", "-", "known"]),
        ("don't", ["don", "'", "t"]),
        ("$1,000.50", ["$", "1", ",", "000", ".", "50"]),
        ("a\x00b", ["a", "\x00", "b"]),
        ("e\u0301t", ["e", "\u0301", "t"]),
        ("東京。大阪", ["東京", "。", "大阪"]),
        ("\ud800x", ["\ud800", "x"]),
        ("👩\u200d👧", ["👩", "\u200d", "👧"]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert surfaces(text) == expected


def test_a_word_without_end_is_cut_into_pieces() -> None:
    pieces = surfaces("x" * 100_000)
    assert "".join(pieces) == "x" * 100_000
    assert {len(piece) for piece in pieces[:-1]} == {MAX_WORD_CHARS}


def test_words_come_as_they_are_asked_for() -> None:
    text = "word " * 50_000
    tracemalloc.start()
    try:
        count = sum(1 for _ in split_words(text))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 50_000
    assert peak < 100_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two", ["."]),
        ("One. Two.", [".", "."]),
        ("Really?! Yes", ["!"]),
        ('He said "no." Then', ['"']),
        ("(Done.) Next", [")"]),
        ("Version 3.5 came", []),
        ("www.example.org", []),
        ("a, b; c", []),
        ("東京。大阪\uff01", ["。", "\uff01"]),
        ("A title\n\nText", ["title"]),
        ("A title\r\n \r\nText", ["title"]),
        ("A list:\n\nText", [":"]),
        ("a line\nbroken", []),
        ("wide      gap", []),
        ("one\u2029two", ["one"]),
    ],
)
def test_sentence_ends(text: str, expected: list[str]) -> None:
    assert sentence_ends(text) == expected
