from random import Random

from hypothesis import given
from hypothesis import strategies as st
from tiny_models import WORDS

from gliner_mt.tokenization import WordTokenizer
from gliner_mt.train.excerpts import excerpt
from gliner_mt.types import Offsets

sentence = st.lists(st.sampled_from(WORDS[:12]), min_size=1, max_size=9).map(
    lambda words: " ".join(words) + "."
)
texts = st.lists(sentence, min_size=1, max_size=30).map(" ".join)


@given(texts, st.integers(1, 40), st.integers(0, 99), st.data())
def test_a_part_fits_and_is_made_of_whole_words(
    tokenizer: WordTokenizer, text: str, room: int, seed: int, data: st.DataObject
) -> None:
    words = list(tokenizer.encode(text, room))
    gold = data.draw(st.sampled_from(words)) if data.draw(st.booleans()) else None
    marked = [] if gold is None else [Offsets(gold.start, gold.end)]
    part = excerpt(text, marked, tokenizer, room, Random(seed))
    assert part == excerpt(text, marked, tokenizer, room, Random(seed))
    inside = [word for word in words if part.start <= word.start and word.end <= part.end]
    assert 0 < sum(len(word.ids) for word in inside) <= room
    if part != Offsets(0, len(text)):
        assert part == Offsets(inside[0].start, inside[-1].end)
        before = words[: words.index(inside[0])]
        assert sum(len(word.ids) for word in words) > room
        # It begins within a sentence only where that sentence alone fills it.
        assert not before or before[-1].ends_sentence or not any(word.ends_sentence for word in inside[:-1])


def test_every_place_is_reached_and_sentences_stay_whole(tokenizer: WordTokenizer) -> None:
    text = " ".join(["ada met bob in london."] * 400)
    gold = Offsets(len(text) - 7, len(text) - 1)
    parts = [excerpt(text, [gold], tokenizer, 20, Random(n)) for n in range(400)]
    near = [part for part in parts if part.end > gold.end - 1]
    assert 0.65 < len(near) / len(parts) < 0.85
    assert len({part.start // 800 for part in parts}) == -(-len(text) // 800)
    assert all(text[part.start : part.end].startswith("ada") for part in parts)
    whole = [part for part in parts if text[part.start : part.end].endswith("london.")]
    assert len(whole) > 0.8 * len(parts)  # others end with the place that they hold


def test_a_place_that_is_too_long_and_a_text_without_words(tokenizer: WordTokenizer) -> None:
    text = " ".join(["ada"] * 90)
    wide = Offsets(40, 300)
    starts = {excerpt(text, [wide], tokenizer, 10, Random(n)).start for n in range(20)}
    assert 40 in starts
    assert excerpt(" " * 500, [], tokenizer, 10, Random(0)) in {Offsets(n, n) for n in range(500)}
    assert excerpt(text, [wide], tokenizer, 0, Random(0)) == Offsets(0, 0)
