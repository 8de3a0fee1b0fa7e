from random import Random

import pytest
from tiny_models import tiny_config

from gliner_mt.build import build_labels
from gliner_mt.tasks import Candidates
from gliner_mt.tokenization import WordTokenizer
from gliner_mt.train.drawing import (
    DrawClasses,
    DrawQuestions,
    DrawRelations,
    Questionnaire,
    RelationNames,
    TaskRows,
    draw_summary,
    draw_tuples,
    questionnaires,
    roles,
)
from gliner_mt.train.questions import Question
from gliner_mt.train.sampling import RowSampler, SamplingConfig
from gliner_mt.types import (
    ClassificationExample,
    Entity,
    GoldRelation,
    GoldTuple,
    Offsets,
    OpenIEExample,
    Part,
    QAExample,
    RelationExample,
    SummaryExample,
)

CONFIG = SamplingConfig(alias=0.0, described=0.0, max_labels=4, max_questions=3, foreign=2)
RANDOMS = [Random(n) for n in range(20)]

TEXT = "Ada runs Acme in Paris. Bob left."
ADA, ACME, PARIS = Entity(0, 3, "person"), Entity(9, 13, "company"), Entity(17, 22, "city")
RELATED = RelationExample(
    TEXT,
    (ADA, ACME, PARIS),
    (GoldRelation(ADA, ACME, "runs"),),
    ("person", "company", "city", "date"),
    ("runs", "owns", "born in"),
)


def at(text: str, words: str) -> Offsets:
    return Offsets(text.index(words), text.index(words) + len(words))


def asked(question: Question) -> list[str]:
    pairs = question.queries.pairs
    return [label.name for label in (pairs.labels if pairs else question.queries.labels)]


def test_relations_that_hold_are_asked_beside_others() -> None:
    for random in RANDOMS:
        question = DrawRelations({}, CONFIG)(RELATED, random)
        assert "runs" in asked(question)
        assert 2 <= len(asked(question)) <= 3
        assert [(r.head, r.tail, r.label) for r in question.relations] == [(ADA, ACME, "runs")]
        types = {label.name for label in question.queries.labels}
        assert {"person", "company", "city"} <= types <= {"person", "company", "city", "date"}
        assert question.spans == (ADA, ACME, PARIS)


def test_an_inverse_wording_turns_the_relation_round() -> None:
    names = {"runs": RelationNames(aliases=("leads",), inverse=("is led by",))}
    config = SamplingConfig(alias=1.0, described=0.0)
    seen = set()
    for random in RANDOMS:
        (relation,) = DrawRelations(names, config)(RELATED, random).relations
        seen.add((relation.head.label, relation.label))
    assert seen == {("person", "leads"), ("company", "is led by")}


def test_entities_without_a_type_are_given() -> None:
    entities = (Entity(0, 3, "entity"), Entity(9, 13, "entity"))
    relation = GoldRelation(entities[0], entities[1], "runs")
    example = RelationExample(TEXT, entities, (relation,), ("entity",), ("runs", "owns"))
    question = DrawRelations({}, CONFIG)(example, Random(0))
    assert question.queries.candidates is Candidates.GIVEN
    assert [(one.start, one.end, one.label) for one in question.queries.given] == [(0, 3, ""), (9, 13, "")]


def test_symmetric_relations_are_asked_as_such() -> None:
    question = DrawRelations({"runs": RelationNames(symmetric=True)}, CONFIG)(RELATED, Random(0))
    assert question.queries.pairs
    assert {one.name: one.symmetric for one in question.queries.pairs.labels}["runs"]


def test_questions_to_one_text_are_put_together() -> None:
    first, second = QAExample("a b", "x?", (Offsets(0, 1),)), QAExample("c", "y?", ())
    third = QAExample("a b", "z?", (Offsets(2, 3),))
    assert questionnaires([first, second, third]) == [
        Questionnaire("a b", (first, third)),
        Questionnaire("c", (second,)),
    ]


def test_questions_of_other_texts_have_no_answer() -> None:
    own = QAExample(TEXT, "who runs\nAcme?", (Offsets(0, 3),))
    draw = DrawQuestions(["who sang?", "who runs\nAcme?"], CONFIG)
    seen: set[str] = set()
    for random in RANDOMS:
        question = draw(Questionnaire(TEXT, (own,)), random)
        assert question.spans == (Entity(0, 3, "who runs Acme?"),)
        assert asked(question).count("who runs Acme?") == 1
        seen.update(asked(question))
    assert seen == {"who runs Acme?", "who sang?"}


def test_many_questions_leave_room_for_the_text(tokenizer: WordTokenizer) -> None:
    asked = [
        QAExample(TEXT, f"{who} met bob in the north of new york", (at(TEXT, "Ada"),)) for who in "abcde"
    ]
    sampling = SamplingConfig(max_questions=5, question_tokens=60)
    labels = build_labels(tiny_config(labels="parallel"), tokenizer)
    draw = DrawQuestions((), sampling)
    rows = TaskRows(questionnaires(asked), draw, 1.0, labels, sampling, max_width=4)
    drawn = [rows.row(random) for random in RANDOMS]
    assert all(len(one.row.prompt.ids) <= 45 and len(one.row) <= 60 and one.row.words for one in drawn)
    assert {one.n_free for one in drawn} > {1, 2}
    assert all({label for _, _, label in one.gold} == set(range(one.n_free)) for one in drawn)


def test_tuples_are_asked_by_the_roles_of_their_arguments() -> None:
    text = "Yesterday plans were dropped in Rome."
    verb = Part("were dropped", at(text, "were dropped"))
    arguments = (
        Part("plans", at(text, "plans"), "What was dropped?"),
        Part("Yesterday", at(text, "Yesterday"), "When was something dropped?"),
        Part("in Rome", at(text, "in Rome"), "Where was something dropped?"),
        Part("the idea", None, "What else was dropped?"),
    )
    gold = GoldTuple(verb, None, arguments)
    assert [role for role, _ in roles(gold)] == ["subject", "time", "place", "object"]
    question = draw_tuples(OpenIEExample(text, (gold,)), Random(0))
    assert {(text[r.tail.start : r.tail.end], r.label) for r in question.relations} == {
        ("plans", "subject"),
        ("Yesterday", "time"),
        ("in Rome", "place"),
    }
    assert {one.label for one in question.spans} == {"predicate", "argument"}


def test_key_sentences_are_the_answer_to_a_summary() -> None:
    example = SummaryExample(TEXT, (Offsets(0, 23), Offsets(24, 33)), (1,))
    assert draw_summary(example, Random(0)).spans == (Entity(24, 33, "summary"),)


def test_right_and_wrong_classes_are_asked() -> None:
    example = ClassificationExample(TEXT, tuple("abcdefgh"), ("c", "f"))
    for random in RANDOMS:
        question = DrawClasses(CONFIG)(example, random)
        assert set(question.classes) == {"c", "f"} & set(asked(question))
        assert question.classes
        assert len(asked(question)) > len(question.classes)
        assert len(set(asked(question))) == len(asked(question))


@pytest.mark.parametrize("lower", [0.0, 1.0])
def test_rows_of_any_task_share_batches(tokenizer: WordTokenizer, lower: float) -> None:
    labels = build_labels(tiny_config(labels="parallel"), tokenizer)
    sampling = SamplingConfig(rows_per_pool=32, lower=lower, upper=0.0, question_tokens=120)
    sources = [
        TaskRows([RELATED], DrawRelations({}, sampling), 1.0, labels, sampling, max_width=4),
        TaskRows(
            [ClassificationExample(TEXT, ("a", "b"), ("a",))], DrawClasses(sampling), 1.0, labels, sampling, 4
        ),
    ]
    batches = RowSampler(sources, labels, sampling, seed=0).pool(0, 512)
    assert sum(len(batch.batch.ids) for batch in batches) == 32
    assert all(batch.targets is not None for batch in batches)
    shapes = {int(shape) for batch in batches for shape in batch.batch.shapes.unique()}
    assert (2 in shapes) is (lower == 0.0)
