"""Tasks as data: what they ask, what they make of what was found, what they refuse. No model."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gliner_mt.errors import InputError
from gliner_mt.tasks import (
    NER,
    QA,
    Classification,
    Evidence,
    Found,
    GivenSpan,
    OpenIE,
    RelationLabel,
    Relations,
    Several,
    Summary,
    Task,
)
from gliner_mt.tasks.classification import pooled
from gliner_mt.types import Answer, ClassScore, Entity, Relation, Span, Triple

TASKS: dict[str, Task[object]] = {
    "ner": NER(["person"]),
    "classification": Classification(["sports", "politics"]),
    "summary": Summary(max_sentences=2),
    "qa": QA("Who sang?"),
    "relations": Relations({"works for": ("person", "company")}),
    "openie": OpenIE(),
    "several": Several(who=NER(["person"]), what=OpenIE(), about=Classification(["a", "b"])),
}


@pytest.mark.parametrize("name", TASKS)
def test_tasks_are_frozen_values(name: str) -> None:
    task = TASKS[name]
    assert isinstance(task, Task)
    assert hash(task) == hash(task)
    with pytest.raises(AttributeError):
        task.threshold = 0.1  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", TASKS)
def test_nothing_found_is_an_empty_result(name: str) -> None:
    task = TASKS[name]
    nothing = [Found([], [], []) for _ in task.queries()]
    empty = {"qa": [[]], "several": {"who": [], "what": [], "about": []}}.get(name, [])
    assert task.result(nothing) == empty


def span(start: int, text: str, label: str = "", score: float = 0.9) -> Span:
    return Span(start, start + len(text), text, label, score)


def test_answers_are_ranked_for_each_question_in_its_order() -> None:
    task = QA(["Who?", "Where\nis it?", "Who?", "When?"], top=2)
    assert [label.name for label in task.queries()[0].labels] == ["Who?", "Where is it?", "When?"]
    spans = [span(0, "Ada", "Who?", 0.6), span(4, "Rome", "Where is it?", 0.7), span(9, "Bob", "Who?", 0.8)]
    spans.append(span(20, "Eve", "Who?", 0.5))
    who = [Answer(9, 12, "Bob", 0.8), Answer(0, 3, "Ada", 0.6)]
    assert task.result([Found(spans, [], [])]) == [who, [Answer(4, 8, "Rome", 0.7)], who, []]
    assert QA("Who?").result([Found([], [], [])]) == [[]]


SENTENCES = [
    span(0, "One two.", "summary", 0.2),
    span(9, "Three four, five!", "summary", 0.9),
    span(30, "Six.", "summary", 0.5),
    span(40, "Seven eight nine ten eleven.", "summary", 0.8),
]


@pytest.mark.parametrize(
    ("task", "chosen"),
    [
        (Summary(), [1, 2, 3]),
        (Summary(max_sentences=2), [1, 3]),
        (Summary(max_words=4), [1, 2]),
        (Summary(max_words=9, max_sentences=9), [1, 2, 3]),
        (Summary(max_words=9, max_sentences=2), [1, 3]),
        (Summary(max_words=1), [2]),
        (Summary(max_sentences=9), [0, 1, 2, 3]),
    ],
)
def test_the_best_sentences_that_fit_in_document_order(task: Summary, chosen: list[int]) -> None:
    assert task.result([Found(SENTENCES, [], [])]) == [SENTENCES[n] for n in chosen]


logits = st.floats(-30, 30)
evidence = st.integers(1, 5).flatmap(
    lambda n: st.lists(
        st.builds(Evidence, st.integers(1, 500), st.tuples(*[logits] * n)), min_size=1, max_size=6
    )
)


@given(evidence)
def test_pooled_evidence_lies_between_that_of_the_windows(windows: list[Evidence]) -> None:
    for label, value in enumerate(pooled(windows)):
        column = [one.logits[label] for one in windows]
        assert min(column) - 1e-9 <= value <= max(column) + 1e-9
        if len(windows) == 1:
            assert value == pytest.approx(column[0])


def test_a_window_that_says_nothing_changes_nothing_and_one_loud_window_is_outvoted() -> None:
    assert pooled([Evidence(10, (3.0,)), Evidence(500, (0.0,))]) == [3.0]
    assert pooled([Evidence(100, (-3.0,))] * 5 + [Evidence(10, (6.0,))])[0] < -1.5
    assert pooled([Evidence(10, (0.0,))] * 2) == [0.0]


@given(evidence, st.booleans())
def test_classes_best_first_sum_to_one_or_stand_alone(windows: list[Evidence], multi_label: bool) -> None:
    names = [f"c{n}" for n in range(len(windows[0].logits))]
    if len(names) < 2 and not multi_label:
        return
    classes = Classification(names, multi_label=multi_label).result([Found([], [], windows)])
    scores = [one.score for one in classes]
    assert scores == sorted(scores, reverse=True)
    assert all(0.0 <= score <= 1.0 for score in scores)
    if not multi_label:
        assert math.fsum(scores) == pytest.approx(1.0, abs=1e-6)
    shifted = [Evidence(one.n_words, tuple(z + 7.0 for z in one.logits)) for one in windows]
    again = Classification(names, multi_label=multi_label).result([Found([], [], shifted)])
    if not multi_label:
        assert {one.label: one.score for one in again} == pytest.approx(
            {one.label: one.score for one in classes}, abs=1e-6
        )


def test_classes_have_thresholds() -> None:
    found = [Found([], [], [Evidence(9, (2.0, -2.0, 0.5))])]
    task = Classification({"a": "", "b": "", "c": ("", 0.9)}, multi_label=True, threshold=0.5)
    assert task.result(found) == [ClassScore("a", pytest.approx(0.8808, abs=1e-4))]


def role(label: str, argument: Span, predicate: Span, score: float = 0.9) -> Relation:
    return Relation(predicate, argument, label, score)


def test_triples_share_predicates_and_an_argument_has_one_role() -> None:
    sold, ada, bob = (
        span(8, "sold", "predicate", 0.95),
        span(0, "Ada", "argument"),
        span(4, "Bob", "argument"),
    )
    car, rome = span(13, "cars", "argument"), span(21, "Rome", "argument")
    pairs = [
        role("subject", ada, sold, 0.8),
        role("subject", bob, sold, 0.7),
        role("object", car, sold),
        role("subject", car, sold, 0.6),
        role("place", rome, sold, 0.85),
        role("time", rome, sold, 0.6),
    ]
    assert OpenIE().result([Found([], pairs, [])]) == [
        Triple(ada, sold, car, None, rome, 0.8),
        Triple(bob, sold, car, None, rome, 0.7),
    ]


def test_a_predicate_with_time_and_place_alone_is_no_triple() -> None:
    rained, rome = span(3, "rained", "predicate"), span(13, "Rome", "argument")
    assert OpenIE().result([Found([], [role("place", rome, rained)], [])]) == []
    only = OpenIE().result([Found([], [role("object", rome, rained)], [])])
    assert only == [Triple(None, rained, rome, None, None, 0.9)]


def test_relations_in_every_form() -> None:
    typed = RelationLabel("works for", head="person", tail=["company", "school"])
    spouse = RelationLabel(description="married", head="person", tail="person", symmetric=True, threshold=0.3)
    task = Relations(
        {"works for": ("person", ["company", "school"]), "spouse": spouse, "near": "is close to"}
    )
    assert task.relations[0] == typed
    assert task.relations[1].name == "spouse"
    assert task.relations[1].symmetric
    assert task.relations[1].threshold == 0.3
    assert task.relations[2] == RelationLabel("near", description="is close to")
    assert [label.name for label in task.entities] == ["person", "company", "school"]
    assert Relations(["near", typed]).relations == (RelationLabel("near"), typed)
    assert [label.name for label in Relations(["near"]).entities] == ["entity"]
    assert Relations(["near"], ["city"]).entities[0].name == "city"
    given_spans = Relations(
        ["near"], spans=[(0, 3), (4, 8, "city"), Entity(9, 11, "x"), span(20, "Rome", "y")]
    )
    assert given_spans.spans == (
        GivenSpan(0, 3),
        GivenSpan(4, 8, "city"),
        GivenSpan(9, 11, "x"),
        GivenSpan(20, 24, "y"),
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Classification(["one"]), "one class, 'one'.*two or more, or multi_label"),
        (lambda: Classification([]), "labels is empty"),
        (lambda: Classification(["a", "b"], threshold=2), "threshold is 2"),
        (lambda: QA(""), "question '' is empty"),
        (lambda: QA(["Who?", " "]), "question ' ' is empty"),
        (lambda: QA([]), "questions is empty"),
        (lambda: QA([None]), "question None is a NoneType"),
        (lambda: QA(3), "questions is a int"),
        (lambda: QA("Who?", top=0), "top is 0; expected a whole number"),
        (lambda: QA("Who?", threshold=-1), "threshold is -1"),
        (lambda: Summary(max_sentences=0), "max_sentences is 0"),
        (lambda: Summary(max_words=1.5), "max_words is 1.5"),
        (lambda: Summary(threshold="x"), "threshold is 'x'"),
        (lambda: OpenIE(threshold=2), "threshold is 2"),
        (lambda: OpenIE(span_threshold=2), "span_threshold is 2"),
        (lambda: Several(), "Several has no tasks"),
        (lambda: Several(a=NER), "a is <class.*expected a task"),
        (lambda: Several(a=["person"]), "a is .*expected a task"),
        (lambda: Relations([]), "relations is empty"),
        (lambda: Relations("near"), "relations is 'near'; expected a list"),
        (lambda: Relations([" "]), "relation ' ' is blank"),
        (lambda: Relations([3]), "relation 3 is a int"),
        (lambda: Relations([RelationLabel()]), "relation '' is blank"),
        (lambda: Relations({"near": 3}), "relation 'near' maps to 3; expected a description"),
        (lambda: Relations({"near": ("a", 3)}), "tail of relation 'near' is 3"),
        (lambda: Relations({"near": RelationLabel("far")}), "maps to one named 'far'"),
        (
            lambda: Relations({"works for": ("person", "company")}, ["person", "city"]),
            "'works for' names the type 'company', which is not asked for; expected one of city, person",
        ),
        (
            lambda: Relations({"works for": ("person", "company")}, spans=[(0, 3, "person"), (4, 8, "firm")]),
            "'works for' names the type 'company'",
        ),
        (
            lambda: Relations(["near", RelationLabel("near", head="city")]),
            "'near' is given twice, and not alike",
        ),
        (
            lambda: RelationLabel("near", head="city", tail="person", symmetric=True),
            "'near' is symmetric, but its head is .*give both the same types",
        ),
        (lambda: RelationLabel("near", threshold=3), "threshold of relation 'near' is 3"),
        (lambda: RelationLabel("near", symmetric=1), "symmetric of relation 'near' is 1"),
        (lambda: Relations(["near"], ["city"], spans=[(0, 3)]), "entities and spans are both given"),
        (lambda: Relations(["near"], spans=[(3, 3)]), r"span \(3, 3\) is none; .*0 <= start < end"),
        (lambda: Relations(["near"], spans=[(-1, 3)]), r"span \(-1, 3\) is none"),
        (lambda: Relations(["near"], spans=[(0, 3.0)]), "is none; expected characters"),
        (lambda: Relations(["near"], spans=["Ada"]), "span 'Ada' is none; expected"),
        (lambda: Relations(["near"], max_spans=0), "max_spans is 0"),
        (lambda: Relations(["near"], threshold=7), "threshold is 7"),
        (lambda: Relations(["near"], entity_threshold=7), "entity_threshold is 7"),
    ],
)
def test_what_cannot_be_asked(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_a_relation_given_twice_alike_is_merged_and_said_so() -> None:
    with pytest.warns(UserWarning, match="relations given more than once were merged"):
        assert len(Relations(["near", "near "]).relations) == 1
