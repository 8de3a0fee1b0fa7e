from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from tiny_models import MARKER, SEP, WORDS, tiny_config

from gliner_mt.build import build_labels
from gliner_mt.errors import ConfigError
from gliner_mt.tokenization import WordTokenizer
from gliner_mt.train.entities import Source, entity_rows
from gliner_mt.train.questions import TrainBatch
from gliner_mt.train.sampling import LabelNames, RowSampler, SamplingConfig
from gliner_mt.types import Entity, Example

NEUTRAL = SamplingConfig(
    packed=0.0, foreign=0, alias=0.0, described=0.0, lower=0.0, upper=0.0, rows_per_pool=64, row_tokens=96
)
BUDGET = 256

RowSpans = set[tuple[str, str]]


def mark(text: str, labels: tuple[str, ...], **places: str) -> Example:
    """Return `text` annotated for `labels`; `places` gives the words of those that occur."""
    entities = [
        Entity(text.index(words), text.index(words) + len(words), label) for label, words in places.items()
    ]
    return Example(text, tuple(entities), labels)


CITIES = [
    mark("ada met bob in new york", ("person", "city", "river"), person="ada", city="new york"),
    mark("london and paris", ("person", "city", "river"), city="london"),
    mark("", ("person",)),
]
FRUIT = [mark("one red apple", ("apple", "red", "person"), apple="red apple", red="red")]
PLANES = [mark("seven north of east", ("north", "seven"), seven="seven")]


def make_sampler(
    tokenizer: WordTokenizer,
    *sources: Source,
    sampling: SamplingConfig = NEUTRAL,
    names: dict[str, LabelNames] | None = None,
    seed: int = 0,
    max_width: int = 4,
) -> RowSampler:
    labels = build_labels(tiny_config(labels="prompt"), tokenizer)
    rows = entity_rows(sources, labels, names or {}, sampling, max_width)
    return RowSampler(rows, labels, sampling, seed=seed)


def read_rows(
    tokenizer: WordTokenizer, sampler: RowSampler, pools: int = 2
) -> Iterator[tuple[str, list[str], RowSpans]]:
    """Yield text, labels and (words, label) of each row, read back from the tensors."""
    for pool in range(pools):
        for batch, gold, *_ in sampler.pool(pool, BUDGET):
            spans: list[RowSpans] = [set() for _ in batch.ids]
            texts, asked = [], []
            for row in range(len(batch.ids)):
                ids = batch.ids[row].tolist()
                prompt = ids[1 : ids.index(SEP)]
                blocks = spell(tokenizer, prompt).split(spell(tokenizer, [MARKER]))
                asked.append([block.strip() for block in blocks[1:]])
                assert len(asked[-1]) == batch.n_labels[row]
                texts.append(
                    [
                        spell(tokenizer, ids[first : last + 1])
                        for first, last in zip(batch.word_first[row], batch.word_last[row], strict=True)
                    ][: int(batch.n_words[row])]
                )
            for row, start, end, label in zip(*(column.tolist() for column in gold), strict=True):
                assert 0 <= start < end <= batch.n_words[row]
                spans[row].add((" ".join(texts[row][start:end]), asked[row][label]))
            yield from zip((" ".join(text) for text in texts), asked, spans, strict=True)


def spell(tokenizer: WordTokenizer, ids: list[int]) -> str:
    return " ".join(tokenizer.tokenizer.id_to_token(i) for i in ids).replace(" ##", "")


def same(one: list[TrainBatch], other: list[TrainBatch]) -> bool:
    def tensors(batches: list[TrainBatch]) -> list[torch.Tensor]:
        return [x for batch, gold, *_ in batches for x in (batch.ids, batch.shapes, batch.label_first, *gold)]

    pairs = list(zip(tensors(one), tensors(other), strict=False))
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in pairs)


def test_pool_n_is_always_the_same(tokenizer: WordTokenizer) -> None:
    lively = SamplingConfig(rows_per_pool=32)
    names = {"person": LabelNames(("ada", "bob"), "one of the two")}
    sources = [Source("a", CITIES, 1.0, "places"), Source("b", FRUIT, 2.0, "fruit")]

    def sampler(seed: int = 0) -> RowSampler:
        return make_sampler(tokenizer, *sources, sampling=lively, names=names, seed=seed)

    one, other = sampler(), sampler()
    pools = [one.pool(n, BUDGET) for n in range(3)]
    assert same(other.pool(2, BUDGET), pools[2])
    assert same(other.pool(0, BUDGET), pools[0])
    assert same(one.pool(1, BUDGET), pools[1])
    assert not same(pools[0], pools[1])
    assert not same(sampler(seed=1).pool(0, BUDGET), pools[0])


def test_batches_keep_to_the_budget(tokenizer: WordTokenizer) -> None:
    sampler = make_sampler(tokenizer, Source("a", CITIES, 1.0))
    batches = sampler.pool(0, BUDGET)
    assert sum(len(batch.ids) for batch, *_ in batches) == NEUTRAL.rows_per_pool
    # The budget is that of rows without the closing token.
    assert all(len(batch.ids) * (batch.ids.shape[1] - 1) <= BUDGET for batch, *_ in batches)


def test_rows_are_examples_with_their_gold(tokenizer: WordTokenizer) -> None:
    expected = {
        "ada met bob in new york": {("ada", "person"), ("new york", "city")},
        "london and paris": {("london", "city")},
        "": set(),
    }
    seen: dict[str, RowSpans] = {text: set() for text in expected}
    for text, asked, gold in read_rows(tokenizer, make_sampler(tokenizer, Source("a", CITIES, 1.0))):
        assert len(set(asked)) == len(asked)
        assert set(asked) <= {"person", "city", "river"}
        assert gold == {(words, label) for words, label in expected[text] if label in asked}
        seen[text] |= gold
    assert seen == expected


def test_texts_of_which_nothing_is_asked(tokenizer: WordTokenizer) -> None:
    nothing = Example("ada met bob", (), ())
    sampler = make_sampler(tokenizer, Source("some", [nothing, *CITIES], 1.0))
    assert all(asked for _, asked, _ in read_rows(tokenizer, sampler))
    ((text, asked, gold), *_) = read_rows(tokenizer, make_sampler(tokenizer, Source("none", [nothing], 1.0)))
    assert (text, asked, gold) == (nothing.text, [], set())


def test_no_more_labels_than_asked(tokenizer: WordTokenizer) -> None:
    many = mark("ada met bob", WORDS[:30], ada="ada", bob="bob")
    sampling = replace(NEUTRAL, max_labels=5)
    counts = {
        len(asked)
        for _, asked, _ in read_rows(
            tokenizer, make_sampler(tokenizer, Source("a", [many], 1.0), sampling=sampling)
        )
    }
    assert counts == {2, 3, 4, 5}


def test_labels_leave_a_row_its_length(tokenizer: WordTokenizer) -> None:
    long = tuple(" ".join([word] * 9) for word in WORDS[:12])
    example = mark("ada met bob", long)
    sampling = replace(NEUTRAL, row_tokens=64, max_labels=12)
    sampler = make_sampler(tokenizer, Source("a", [example], 1.0), sampling=sampling)
    sizes = {batch.ids.shape[1] for batch, *_ in sampler.pool(0, BUDGET)}
    assert 20 < max(sizes) <= 64 + len("ada met bob".split()) + 1


def test_foreign_labels_are_of_other_domains_only(tokenizer: WordTokenizer) -> None:
    # "two" comes up in its set only after many examples without it.
    late = [*[mark("one sea", ("seven",))] * 600, mark("two", ("two", "seven"), two="two")]
    other = [mark("east west", ("two", "west", "person", "five"), west="west")]
    sources = [
        Source("cities", CITIES, 1.0),
        Source("fruit", FRUIT, 1.0, "fruit"),
        Source("late", late, 1.0, "numbers"),
        Source("more", PLANES, 1.0, "numbers"),
        Source("other", other, 1.0, "directions"),
    ]
    names = {"seven": LabelNames(("five",))}
    sampling = replace(NEUTRAL, foreign=10)
    foreign: dict[str, set[str]] = {}
    own = {
        "cities": {"person", "city", "river"},
        "fruit": {"apple", "red", "person"},
        "numbers": {"seven", "two", "north"},
        "directions": {"two", "west", "person", "five"},
    }
    domains = {e.text: "cities" for e in CITIES} | {e.text: "numbers" for e in [*late, *PLANES]}
    domains |= {FRUIT[0].text: "fruit", other[0].text: "directions"}
    sampler = make_sampler(tokenizer, *sources, sampling=sampling, names=names)
    for text, asked, gold in read_rows(tokenizer, sampler, pools=4):
        domain = domains[text]
        foreign.setdefault(domain, set()).update(set(asked) - own[domain])
        assert {label for _, label in gold} <= own[domain]
    everyday = own["cities"]
    assert foreign["cities"] == set()
    assert foreign["fruit"] == {"seven", "two", "north", "west", "five"}
    # "five" is another name of the numbers' own "seven".
    assert foreign["numbers"] == {"apple", "red", "west"}
    assert foreign["directions"] == {"apple", "red", "seven", "north"}
    assert not any(labels & everyday for labels in foreign.values())


def test_what_the_row_cannot_hold_is_no_negative(tokenizer: WordTokenizer) -> None:
    text = "ada met bob in the green sea of new york"
    wide = Entity(0, len("ada met bob in the"), "city")
    example = Example(text, (wide, Entity(0, 3, "person")), ("person", "city", "river"))
    for _, asked, gold in read_rows(tokenizer, make_sampler(tokenizer, Source("a", [example], 1.0))):
        assert "city" not in asked
        assert gold <= {("ada", "person")}


def test_rows_read_every_part_of_a_long_text(tokenizer: WordTokenizer) -> None:
    # A row has room for 8 words: a part that holds half of "new york" says nothing of cities.
    long = "ada met bob in the green east new york paris"
    example = mark(long, ("person", "city", "river"), person="ada", city="new york", river="paris")
    sampling = replace(NEUTRAL, row_tokens=12)
    seen: RowSpans = set()
    sampler = make_sampler(tokenizer, Source("a", [example], 1.0), sampling=sampling)
    for text, asked, gold in read_rows(tokenizer, sampler):
        assert text in long
        assert len(text.split()) <= 8
        assert "city" not in asked or ("new" in text) == ("york" in text)
        expected = {("ada", "person"), ("new york", "city"), ("paris", "river")}
        assert gold == {(words, label) for words, label in expected if words in text and label in asked}
        seen |= gold
    assert seen == {("ada", "person"), ("new york", "city"), ("paris", "river")}


def test_gold_that_cuts_a_word_marks_the_whole_word(tokenizer: WordTokenizer) -> None:
    example = Example("the green sea", (Entity(5, 8, "river"), Entity(9, 10, "city")), ("river", "city"))
    found: RowSpans = set()
    for _, _, gold in read_rows(tokenizer, make_sampler(tokenizer, Source("a", [example], 1.0))):
        found |= gold
    assert found == {("green", "river")}


def test_texts_share_a_row_only_if_annotated_alike(tokenizer: WordTokenizer) -> None:
    packed = replace(NEUTRAL, packed=1.0)
    sampler = make_sampler(tokenizer, Source("a", CITIES, 1.0), sampling=packed)
    rows = list(read_rows(tokenizer, sampler))
    assert any(text.count("london") > 1 for text, _, _ in rows)
    for text, asked, gold in rows:
        assert len(text.split()) <= packed.row_tokens // 2
        assert ("ada" in text and "person" in asked) == (("ada", "person") in gold)
        assert ("london" in text and "city" in asked) == (("london", "city") in gold)
    alone = make_sampler(tokenizer, Source("a", CITIES, 1.0, packable=False), sampling=packed)
    assert {text for text, _, _ in read_rows(tokenizer, alone)} == {example.text for example in CITIES}


def test_labels_go_by_other_names_that_no_other_label_has(tokenizer: WordTokenizer) -> None:
    names = {
        "person": LabelNames(("bob", "ada"), "one of us"),
        "city": LabelNames(("bob", "river")),
        "river": LabelNames(("sea",)),
    }
    sampling = replace(NEUTRAL, alias=0.7, described=0.15)
    meaning = {
        "bob": {"person", "city"},
        "ada": {"person"},
        "sea": {"river"},
        "person : one of us": {"person"},
    }
    seen = set()
    rows = read_rows(
        tokenizer, make_sampler(tokenizer, Source("a", CITIES, 1.0), sampling=sampling, names=names), 4
    )
    for text, asked, gold in rows:
        assert len(set(asked)) == len(asked), "two labels under one name"
        if text:
            assert asked.count("river") <= 1
        for words, name in gold:
            assert {"ada": "person"}.get(words, "city") in meaning.get(name, {name})
            # Another label of the text keeps its name to itself.
            assert (words, name) != ("london", "river")
        seen.update(asked)
    assert {"bob", "ada", "sea", "person : one of us", "city", "river"} <= seen


def test_rows_lose_their_capitals_or_gain_them(tokenizer: WordTokenizer) -> None:
    example = mark("Ada met BOB in 1999 .", ("person",), person="Ada")

    def shapes(**changes: float) -> set[tuple[int, ...]]:
        sampler = make_sampler(tokenizer, Source("a", [example], 1.0), sampling=replace(NEUTRAL, **changes))
        found = set()
        for batch, *_ in sampler.pool(0, BUDGET):
            for row, first in zip(batch.shapes, batch.word_first, strict=True):
                found.add(tuple(row[first].tolist()))
        return found

    assert shapes() == {(2, 1, 4, 1, 6, 7)}
    assert shapes(lower=1.0) == {(1, 1, 1, 1, 6, 7)}
    assert shapes(upper=1.0) == {(4, 4, 4, 4, 6, 7)}
    assert len(shapes(lower=0.3, upper=0.3)) == 3


def test_sets_are_drawn_by_weight(tokenizer: WordTokenizer) -> None:
    sampling = replace(NEUTRAL, rows_per_pool=1000)
    sources = [Source("a", FRUIT, 1.0), Source("b", PLANES, 3.0), Source("c", CITIES[1:2], 0.0)]
    texts = [t for t, _, _ in read_rows(tokenizer, make_sampler(tokenizer, *sources, sampling=sampling), 1)]
    assert len(texts) == 1000
    assert 200 < texts.count(FRUIT[0].text) < 300
    assert CITIES[1].text not in texts


@pytest.mark.parametrize(
    "change",
    [
        {"max_labels": 1},
        {"max_questions": 0},
        {"foreign": -1},
        {"rows_per_pool": 0},
        {"row_tokens": 2},
        {"question_tokens": 0},
        {"packed": 1.1},
        {"alias": -0.1},
        {"lower": float("nan")},
    ],
)
def test_sampling_that_cannot_be(change: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(change))} is .*; expected"):
        SamplingConfig(**change)  # type: ignore[arg-type]
