"""Tasks put to tiny models: offsets, windows, orders of labels, pairs, several tasks at once."""

from collections.abc import Sequence
from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from texts import any_text
from tiny_labels import apart_extractor
from tiny_models import LABELS, TEXTS, WORDS, tiny_config, tiny_extractor, tiny_model

from gliner_mt.errors import InputError
from gliner_mt.extractor import Extractor
from gliner_mt.tasks import NER, QA, Classification, OpenIE, RelationLabel, Relations, Several, Summary, Task
from gliner_mt.tasks.summary import SUMMARY
from gliner_mt.tokenization import WordTokenizer
from gliner_mt.types import Relation, Span

QUESTIONS = ["for one city", "in the north", "one two three"]
RELATIONS = Relations(
    {
        "born in": ("person", "city"),
        "met": RelationLabel(head="person", tail="person", symmetric=True),
        "of the north": "in the river",
    },
    ["person", "city", "company"],
    threshold=0.3,
    entity_threshold=0.1,
)
TASKS: dict[str, Task[object]] = {
    "qa": QA(QUESTIONS, threshold=0.1),
    "summary": Summary(max_sentences=2),
    "classification": Classification(LABELS),
    "multi": Classification(LABELS, multi_label=True, threshold=0.01),
    "relations": RELATIONS,
    "openie": OpenIE(threshold=0.3, span_threshold=0.1),
}
EVERYTHING = Several(**TASKS)


@pytest.fixture(scope="module", params=["marker", "boundary"])
def related(request: pytest.FixtureRequest, tokenizer: WordTokenizer) -> Extractor:
    # Seeds with which each task finds something, and not everything.
    seed = {"marker": 2, "boundary": 1}[request.param]
    parts = {"head": request.param, "word_shapes": True, "hidden_size": 24, "pairs": True}
    return tiny_extractor(tokenizer, seed, labels="parallel", **parts)


@pytest.fixture(scope="module")
def flat(tokenizer: WordTokenizer) -> Extractor:
    """Return a model without context, which reads long texts in one piece as in windows."""
    config = tiny_config(positions=2048, max_tokens=2048, labels="parallel", pairs=True)
    return Extractor(config, tiny_model(config, tokenizer, context=False), tokenizer)


def spans_in(answer: object) -> list[tuple[int, int, str]]:
    """Return the offsets and texts of everything in an answer that has them."""
    if hasattr(answer, "start"):
        return [(answer.start, answer.end, answer.text)]
    if isinstance(answer, dict):
        return spans_in(list(answer.values()))
    if isinstance(answer, (list, tuple)):
        return [one for part in answer for one in spans_in(part)]
    parts = ("head", "tail", "subject", "predicate", "object", "time", "place")
    return [one for part in parts for one in spans_in(getattr(answer, part, ()))]


@settings(deadline=None, max_examples=12)
@given(text=any_text)
def test_any_text_has_answers_with_its_own_offsets(related: Extractor, text: str) -> None:
    for start, end, words in spans_in(related.extract(text, EVERYTHING)):
        assert 0 <= start < end <= len(text)
        assert text[start:end] == words


@pytest.mark.parametrize("text", ["", " \n", "\u200b", "\x00"])
def test_a_text_without_words_has_an_empty_answer(related: Extractor, text: str) -> None:
    nothing: dict[str, list[object]] = {name: [] for name in TASKS} | {"qa": [[], [], []]}
    assert related.extract(text, EVERYTHING) == nothing
    assert {name: related.extract(text, task) for name, task in TASKS.items()} == nothing


def test_every_task_finds_something(related: Extractor) -> None:
    text = " ".join(WORDS)
    for name, task in TASKS.items():
        assert spans_in(related.extract(text, task)) or name in ("classification", "multi"), name
    assert related.extract(text, TASKS["multi"])
    classes = related.extract(text, Classification(LABELS))
    assert {one.label for one in classes} == set(LABELS)
    assert sum(one.score for one in classes) == pytest.approx(1.0)


def test_one_text_is_as_many(related: Extractor) -> None:
    texts = [*TEXTS, "", " ".join(WORDS * 6)]
    answers = list(related.extract_many(texts, EVERYTHING))
    assert_alike(answers, [related.extract(text, EVERYTHING) for text in texts])


def assert_alike(one: object, other: object) -> None:
    """Compare answers, scores up to the rounding of floats."""
    if isinstance(one, float):
        assert one == pytest.approx(other, abs=1e-4)
    elif isinstance(one, dict):
        assert_alike(list(one.items()), list(other.items()))
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            assert_alike(mine, theirs)
    elif hasattr(one, "__dataclass_fields__"):
        assert_alike(
            [getattr(one, name) for name in one.__dataclass_fields__],
            [getattr(other, name) for name in one.__dataclass_fields__],
        )
    else:
        assert one == other


@settings(deadline=None, max_examples=8)
@given(data=st.data(), text=st.sampled_from(TEXTS))
def test_the_order_of_labels_changes_nothing(related: Extractor, data: st.DataObject, text: str) -> None:
    def shuffled(values: Sequence[str]) -> list[str]:
        return data.draw(st.permutations(values))

    orders = shuffled(LABELS)
    both = [
        {one.label: one.score for one in related.extract(text, Classification(labels))}
        for labels in (LABELS, orders)
    ]
    assert both[0] == pytest.approx(both[1], abs=1e-4)
    asked = shuffled(QUESTIONS)
    answers = dict(zip(asked, related.extract(text, QA(asked, threshold=0.4)), strict=True))
    for question, expected in zip(
        QUESTIONS, related.extract(text, QA(QUESTIONS, threshold=0.4)), strict=True
    ):
        assert_alike(answers[question], expected)
    names = shuffled(["met", "born in", "near"])
    found = []
    for relations, entities in (
        (["met", "born in", "near"], ["person", "city"]),
        (names, ["city", "person"]),
    ):
        task = Relations(relations, entities, threshold=0.3, entity_threshold=0.1)
        found.append(sorted((r.head.start, r.tail.start, r.label) for r in related.extract(text, task)))
    assert found[0] == found[1]


def windowed(extractor: Extractor, tokenizer: WordTokenizer, tokens: int) -> Extractor:
    return Extractor(extractor._config, extractor._engine.model, tokenizer, max_tokens=tokens)


def test_without_context_windows_change_nothing(flat: Extractor, tokenizer: WordTokenizer) -> None:
    text = " ".join([*WORDS[:17], ".", *WORDS[17:], "zoo ."] * 5)
    near = 15

    def close(relations: list[Relation]) -> list[Relation]:
        return [
            one
            for one in relations
            if len(text[min(one.head.start, one.tail.start) : max(one.head.end, one.tail.end)].split())
            <= near
        ]

    small = windowed(flat, tokenizer, 100)
    task = Relations(
        ["met", "born in"], ["person", "city"], threshold=0.5, entity_threshold=0.7, max_spans=1000
    )
    whole = close(flat.extract(text, task))
    assert len(whole) > 10
    assert_alike(close(small.extract(text, task)), whole)
    # All of them: what comes again in the text has equal scores, of which rounding would choose.
    everything = Summary(max_sentences=99)
    assert len(flat.extract(text, everything)) == 10
    assert_alike(small.extract(text, everything), flat.extract(text, everything))
    answers = [
        sorted(
            one.extract(text, QA(QUESTIONS[0], threshold=0.5, top=999))[0], key=lambda answer: answer.start
        )
        for one in (small, flat)
    ]
    assert answers[0]
    assert_alike(answers[0], answers[1])


def test_names_far_apart_are_related_where_they_meet(flat: Extractor, tokenizer: WordTokenizer) -> None:
    """A relation between two names needs one window in which both are mentioned, wherever that is."""
    small = windowed(flat, tokenizer, 100)
    task = Relations(["met", "near"], ["person", "city"], threshold=0.2, entity_threshold=0.3, max_spans=99)

    def related(text: str, pair: tuple[str, str]) -> list[Relation]:
        return [r for r in small.extract(text, task) if (r.head.text, r.tail.text) == pair]

    dots = " . . . . "
    pair = next(pair for pair in permutations(WORDS, 2) if related(dots + dots.join(pair) + dots, pair))
    filler = dots * 40
    apart = f"{pair[0]}{filler}{pair[1]}"
    together = f"{apart}{filler}{pair[0]}{dots}{pair[1]}{filler}"
    assert not related(filler + apart + filler, pair)
    found = related(filler + together, pair)
    assert found
    assert all(r.head.start > len(filler + apart) for r in found)


def test_relations_keep_their_types(related: Extractor) -> None:
    text = " ".join(WORDS)
    found = related.extract(text, RELATIONS)
    allowed = {"born in": ("person", "city"), "met": ("person", "person")}
    for one in found:
        assert one.score > 0.3
        assert (one.head.start, one.head.end) != (one.tail.start, one.tail.end)
        assert allowed.get(one.label, (one.head.label, one.tail.label)) == (one.head.label, one.tail.label)
    met = [frozenset((one.head.start, one.tail.start)) for one in found if one.label == "met"]
    assert len(met) == len(set(met))
    assert [(r.head.start, r.tail.start) for r in found] == sorted(
        (r.head.start, r.tail.start) for r in found
    )
    spans = set(related.extract(text, NER(["person", "city", "company"], threshold=0.1)))
    assert len(spans) > 3


def test_a_relation_has_its_own_threshold(related: Extractor) -> None:
    text = " ".join(WORDS[:12])
    every = Relations(["near"], spans=[(0, 3), (4, 7), (8, 14)], threshold=0.0)
    found = related.extract(text, every)
    assert len(found) == 6
    middle = sorted(one.score for one in found)[2]
    some = Relations({"near": RelationLabel(threshold=middle)}, spans=every.spans, threshold=0.0)
    assert len(related.extract(text, some)) == 3


def test_a_bounded_number_of_spans_is_paired(related: Extractor) -> None:
    text = " ".join(WORDS)
    for most in (1, 2, 5):
        task = Relations(["near"], ["person", "city"], threshold=0.0, entity_threshold=0.1, max_spans=most)
        assert len(related.extract(text, task)) == most * (most - 1)


def test_given_spans_are_related_and_typed(related: Extractor) -> None:
    text = "Ada met Bob in London."
    spans = [(0, 3, "person"), (8, 11, "person"), (15, 21, "city")]
    task = Relations({"born in": ("person", "city")}, spans=spans, threshold=0.0)
    found = related.extract(text, task)
    assert [(r.head, r.tail) for r in found] == [
        (Span(0, 3, "Ada", "person", 1.0), Span(15, 21, "London", "city", 1.0)),
        (Span(8, 11, "Bob", "person", 1.0), Span(15, 21, "London", "city", 1.0)),
    ]
    assert related.extract(text, Relations(["near"], spans=[])) == []
    twice = Relations({"born in": ("person", "city")}, spans=[*spans, *spans, (0, 3, "city")], threshold=0.0)
    assert {(r.head, r.tail) for r in related.extract(text, twice)} >= {(r.head, r.tail) for r in found}
    assert len(related.extract(text, twice)) == 3


def test_given_spans_off_word_edges_are_moved_and_said_so(related: Extractor) -> None:
    task = Relations(["near"], spans=[(1, 4), (8, 11)], threshold=0.0)
    with pytest.warns(UserWarning, match=r"span \(1, 4\), 'da ', .* it is taken as \(0, 3\), 'Ada'"):
        found = related.extract("Ada met Bob.", task)
    assert {one.head.text for one in found} == {"Ada", "Bob"}


@pytest.mark.parametrize(
    ("spans", "text", "message"),
    [
        ([(0, 3), (8, 40)], "Ada met Bob.", r"span \(8, 40\) lies outside the text of 12 characters"),
        ([(0, 3)], "", r"outside the text of 0 characters"),
        ([(3, 4)], "Ada met Bob.", r"span \(3, 4\) holds no word: ' '"),
    ],
)
def test_given_spans_that_are_none(
    related: Extractor, spans: list[tuple[int, int]], text: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        related.extract(text, Relations(["near"], spans=spans))


def test_given_spans_belong_to_one_text(related: Extractor) -> None:
    with pytest.raises(InputError, match="spans of one text; ask it with extract"):
        related.extract_many(["Ada"], Relations(["near"], spans=[(0, 3)]))


@pytest.mark.parametrize("task", [RELATIONS, OpenIE(), Several(a=OpenIE())])
def test_a_model_without_a_pair_head(extractor: Extractor, task: Task[object]) -> None:
    for ask in (extractor.extract, extractor.extract_many):
        with pytest.raises(
            InputError, match=r"relates pairs of spans, and model cannot.*trained on relations"
        ):
            ask("Ada" if ask == extractor.extract else ["Ada"], task)
    assert extractor.extract("Ada", QA("who", threshold=0.0))[0]


def test_relations_in_groups_repeat_the_entities(related: Extractor) -> None:
    names = [f"{first} {second}" for first in WORDS[:6] for second in WORDS[6:10]]
    text = " ".join(WORDS)
    both = ((names, ["person", "city"]), (names[::-1], ["city", "person"]))
    tasks = [Relations(*asked, threshold=0.02, entity_threshold=0.05) for asked in both]
    found = [
        sorted((r.head.start, r.tail.start, r.label) for r in related.extract(text, task)) for task in tasks
    ]
    assert found[0] == found[1]
    assert len({label for *_, label in found[0]}) > 5
    # The types of the spans are those that the types alone, with the first relations, would get.
    ends = {(r.head.start, r.head.label) for r in related.extract(text, tasks[0])}
    assert len(ends) == len({start for start, _ in ends})
    with pytest.raises(InputError, match="leave no room for the relations between them"):
        related.extract(text, Relations(["near"], names))


def test_several_tasks_are_one_pass(related: Extractor) -> None:
    runs: list[int] = []
    handle = related._engine.model.backbone.register_forward_pre_hook(lambda _, __: runs.append(1))
    answers = related.extract(TEXTS[0], Several(who=NER(["person"]), about=Classification(["red", "blue"])))
    handle.remove()
    assert len(runs) == 1
    assert list(answers) == ["who", "about"]


def test_labels_apart_do_not_mind_company() -> None:
    extractor = apart_extractor("separate", pairs=True)
    apart = {name: extractor.extract(TEXTS[1], task) for name, task in TASKS.items()}
    assert_alike(extractor.extract(TEXTS[1], EVERYTHING), apart)
    assert spans_in(apart["relations"])


@pytest.mark.parametrize("head", ["marker", "marker_v0", "boundary"])
def test_stated_spans_score_as_free_ones_do(tokenizer: WordTokenizer, head: str) -> None:
    """A sentence that is no wider than the model's width has the score that it has as an entity."""
    extractor = tiny_extractor(tokenizer, labels="parallel", head=head)
    named = NER({SUMMARY.name: SUMMARY.description or ""}, threshold=0.0, nested=True)
    for text in ("Ada met Bob", "Paris", "born in New York"):
        free = {(one.start, one.end): one.score for one in extractor.extract(text, named)}
        (stated,) = extractor.extract(text, Summary())
        assert (stated.start, stated.end) == (0, len(text))
        assert stated.score == pytest.approx(free[0, len(text)], abs=1e-4)


def test_a_sentence_longer_than_a_window_is_scored_by_most_of_it(
    related: Extractor, tokenizer: WordTokenizer
) -> None:
    text = " ".join(WORDS * 8) + ". Ada sang."
    found = windowed(related, tokenizer, 100).extract(text, Summary())
    assert [(one.start, one.end) for one in found] == [(0, len(text) - 10), (len(text) - 9, len(text))]


def test_pairs_survive_saving(related: Extractor, tmp_path: object) -> None:
    related.save(tmp_path)
    loaded = Extractor.load(tmp_path, device="cpu", attention="sdpa")
    assert loaded.extract(TEXTS[1], RELATIONS) == related.extract(TEXTS[1], RELATIONS)
    assert any(name.startswith("pairs.") for name in loaded._engine.model.state_dict())
    assert torch.equal(
        loaded._engine.model.pairs.joint[0].weight, related._engine.model.pairs.joint[0].weight
    )
