"""Figures of an extractor on examples: what is asked, what counts as right, at which threshold."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from tiny_models import LABELS, TEXTS, tiny_extractor

from gliner_mt.config import Thresholds
from gliner_mt.errors import InputError
from gliner_mt.evaluation import (
    Result,
    evaluate_classification,
    evaluate_given,
    evaluate_ner,
    evaluate_one_pair,
    evaluate_openie,
    evaluate_qa,
    evaluate_relations,
    evaluate_summary,
    has_one_pair,
)
from gliner_mt.evaluation.summary import best_sentences
from gliner_mt.metrics import PredictedAnswer, qa_scores
from gliner_mt.tasks import NER, QA, Classification, Kind, OpenIE, Relations, Summary
from gliner_mt.tokenization import WordTokenizer
from gliner_mt.types import (
    Answer,
    ClassificationExample,
    ClassScore,
    Entity,
    Example,
    GoldRelation,
    GoldTuple,
    Offsets,
    OpenIEExample,
    Part,
    QAExample,
    Relation,
    RelationExample,
    Span,
    SummaryExample,
    Triple,
)


@dataclass
class Scripted:
    """An extractor that knows the answer to each text, and notes what it was asked."""

    known: Mapping[str, Any]
    asked: list[Any] = field(default_factory=list)
    thresholds: Thresholds = field(default_factory=Thresholds)

    def threshold(self, kind: Kind) -> float:
        return self.thresholds.of(kind)

    def extract(self, text: str, task: object) -> object:
        self.asked.append(task)
        return self.known[text]

    def extract_many(self, texts: Iterable[str], task: object) -> Iterator[object]:
        self.asked.append(task)
        return (self.known[text] for text in texts)


def found(text: str, words: str, label: str, score: float = 0.9) -> Span:
    start = text.index(words)
    return Span(start, start + len(words), words, label, score)


def gold(text: str, words: str, label: str) -> Entity:
    return Entity(text.index(words), text.index(words) + len(words), label)


def part(text: str, words: str) -> Part:
    return Part(words, Offsets(text.index(words), text.index(words) + len(words)))


def values(result: Result) -> dict[str, float]:
    return {name: round(figure.value, 3) for name, figure in result.figures.items()}


ADA, BOB = "Ada lives in Paris", "Bob likes Rome"


def test_entities_are_scored_at_one_threshold_and_swept_from_the_same_answers() -> None:
    examples = [
        Example(ADA, (gold(ADA, "Ada", "person"), gold(ADA, "Paris", "city")), ("person", "city")),
        Example(BOB, (gold(BOB, "Bob", "person"),), ("person", "city")),
        Example("unknown", (), ()),
    ]
    extractor = Scripted(
        {
            ADA: [found(ADA, "Ada", "person"), found(ADA, "Paris", "city", 0.4)],
            BOB: [found(BOB, "Bob", "city", 0.8)],
        }
    )
    result = evaluate_ner(extractor, examples, "mine")
    assert extractor.asked == [NER(("person", "city"), threshold=0.1)]
    assert (result.task, result.dataset, result.n_examples, result.threshold) == ("ner", "mine", 3, 0.5)
    assert values(result) == {"micro F1": 0.4, "precision": 0.5, "recall": 0.333, "macro F1": 0.333}
    assert result.sweep[0.3] == pytest.approx(4 / 6)
    assert result.sweep[0.9] == 0.0
    assert result.best_threshold == 0.35
    assert (result.types["city"].fp, result.types["city"].fn) == (1, 1)
    low, high = result.figures["micro F1"].low, result.figures["micro F1"].high
    assert low == 0.0 < 0.4 < high <= 1.0
    assert json.loads(json.dumps(result.as_dict()))["types"]["person"]["f1"] == pytest.approx(2 / 3)
    assert values(evaluate_ner(extractor, examples, threshold=0.3))["micro F1"] == 0.667


KNOWS = ("lives in", "likes")


def related(text: str, head: Span, tail: Span, label: str, score: float = 0.9) -> Relation:
    return Relation(head, tail, label, score)


RELATED = RelationExample(
    ADA,
    (gold(ADA, "Ada", "person"), gold(ADA, "Paris", "city")),
    (GoldRelation(gold(ADA, "Ada", "person"), gold(ADA, "Paris", "city"), "lives in"),),
    ("person", "city"),
    KNOWS,
)
UNRELATED = RelationExample(
    BOB, (gold(BOB, "Bob", "person"), gold(BOB, "Rome", "city")), (), ("person", "city"), KNOWS
)


def test_relations_from_end_to_end_are_strict_about_types() -> None:
    wrong_type = related(ADA, found(ADA, "Ada", "city"), found(ADA, "Paris", "city"), "lives in")
    weak = related(BOB, found(BOB, "Bob", "person"), found(BOB, "Rome", "city"), "likes", 0.3)
    extractor = Scripted({ADA: [wrong_type], BOB: [weak]})
    result = evaluate_relations(extractor, [RELATED, UNRELATED])
    assert extractor.asked == [Relations(KNOWS, ("person", "city"), threshold=0.05)]
    assert values(result)["micro F1"] == 0.0
    assert values(result)["boundary micro F1"] == 1.0
    assert result.threshold == 0.5
    low = evaluate_relations(extractor, [RELATED, UNRELATED], threshold=0.2)
    assert values(low)["boundary micro F1"] == 0.667


def test_given_entities_are_paired_on_the_edges_of_words() -> None:
    text = "Ada's house, 10mg"
    entities = (Entity(0, 3, "person"), Entity(6, 11, "house"), Entity(13, 15, "dose"), Entity(0, 3, "name"))
    example = RelationExample(text, entities, (GoldRelation(entities[2], entities[1], "of"),), (), ("of",))
    right = related(text, found(text, "10mg", ""), found(text, "house", ""), "of")
    extractor = Scripted({text: [right]})
    alone = RelationExample(text, entities[:1], (), (), ("of",))
    result = evaluate_given(extractor, [example, alone])
    assert extractor.asked == [
        Relations(["of"], spans=[(0, 3), (6, 11), (13, 17)], threshold=0.05, max_spans=3)
    ]
    assert values(result)["micro F1"] == 1.0


def test_symmetric_relations_count_in_either_order() -> None:
    turned = related(ADA, found(ADA, "Paris", "city"), found(ADA, "Ada", "person"), "lives in")
    extractor = Scripted({ADA: [turned]})
    assert values(evaluate_given(extractor, [RELATED]))["micro F1"] == 0.0
    assert values(evaluate_given(extractor, [RELATED], symmetric=["lives in"]))["micro F1"] == 1.0
    assert [one.symmetric for one in extractor.asked[-1].relations] == [True, False]


def test_of_one_annotated_pair_the_best_label_counts() -> None:
    assert not has_one_pair([RELATED, UNRELATED])
    things = (gold(BOB, "Bob", "thing"), gold(BOB, "Rome", "thing"))
    assert has_one_pair([RelationExample(BOB, things, (), (), KNOWS)] * 2)
    assert not has_one_pair([RelationExample(BOB, things[:1], (), (), KNOWS)])
    ada, paris = found(ADA, "Ada", ""), found(ADA, "Paris", "")
    labels = [related(ADA, ada, paris, "likes", 0.1), related(ADA, ada, paris, "lives in", 0.2)]
    extractor = Scripted({ADA: labels, BOB: []})
    closed = evaluate_one_pair(extractor, [RELATED])
    (task,) = extractor.asked
    assert [(span.start, span.label) for span in task.spans] == [(0, "head"), (13, "tail")]
    assert all((one.head, one.tail) == (("head",), ("tail",)) for one in task.relations)
    assert values(closed)["accuracy"] == 1.0
    assert closed.threshold is None and not closed.sweep

    open_ = evaluate_one_pair(extractor, [RELATED, UNRELATED])
    assert [span.label for span in extractor.asked[-1].spans] == ["", ""]
    assert values(open_) == {"accuracy": 0.5, "macro F1": 0.0, "micro F1": 0.0}
    assert open_.sweep[0.15] == 1.0
    turned = Scripted({ADA: [related(ADA, paris, ada, "lives in")], BOB: []})
    assert values(evaluate_one_pair(turned, [RELATED, UNRELATED]))["accuracy"] == 0.5


def test_questions_are_scored_as_squad_does() -> None:
    where, who = "Where does Ada live?", "Who likes Milan?"
    examples = [QAExample(ADA, where, (Offsets(13, 18),)), QAExample(BOB, who, ())]
    extractor = Scripted({ADA: [[Answer(10, 18, "in Paris", 0.9)]], BOB: [[Answer(0, 3, "Bob", 0.6)]]})
    result = evaluate_qa(extractor, examples)
    assert extractor.asked == [QA(where, threshold=0.01, top=1), QA(who, threshold=0.01, top=1)]
    assert values(result) == {
        "F1": 0.333,
        "exact match": 0.0,
        "F1 if answerable": 0.667,
        "exact match if answerable": 0.0,
        "accuracy if not": 0.0,
    }
    assert result.sweep[0.6] == pytest.approx((2 / 3 + 1) / 2)
    official = qa_scores([["Paris"], []], [PredictedAnswer("in Paris"), PredictedAnswer("Bob")])
    assert result.figures["F1"].value == official.overall.f1
    assert list(evaluate_qa(extractor, examples[:1]).figures) == ["F1", "exact match"]


def test_tuples_are_scored_by_carb_at_their_best_threshold() -> None:
    example = OpenIEExample(ADA, (GoldTuple(part(ADA, "lives"), part(ADA, "Ada"), (part(ADA, "in Paris"),)),))
    right = Triple(
        found(ADA, "Ada", ""), found(ADA, "lives", ""), found(ADA, "in Paris", ""), None, None, 0.8
    )
    wrong = Triple(None, found(ADA, "Paris", ""), found(ADA, "Ada", ""), None, None, 0.4)
    extractor = Scripted({ADA: [right, wrong]})
    result = evaluate_openie(extractor, [example])
    assert extractor.asked == [OpenIE(threshold=0.1, span_threshold=0.1)]
    assert values(result) == {"best F1": 1.0, "precision": 1.0, "recall": 1.0, "AUC": 1.0}
    assert result.threshold == 0.8


def test_summaries_have_as_many_sentences_as_the_gold() -> None:
    text = "One is here. Two is there. Three is gone."
    sentences = (Offsets(0, 12), Offsets(13, 26), Offsets(27, 41))
    example = SummaryExample(text, sentences, (0, 2), "One is gone.")
    scored = [Span(0, 12, "", "summary", 0.2), Span(13, 41, "", "summary", 0.6)]
    extractor = Scripted({text: scored})
    result = evaluate_summary(extractor, [example])
    assert isinstance(extractor.asked[0], Summary)
    assert extractor.asked[0].threshold == 0.0
    assert list(result.figures) == ["selection F1", "ROUGE-1", "ROUGE-2", "ROUGE-L"]
    assert values(result)["selection F1"] == 0.5
    assert 0 < values(result)["ROUGE-2"] < values(result)["ROUGE-1"] < 1
    unwritten = evaluate_summary(extractor, [SummaryExample(text, sentences, (0, 2))])
    assert list(unwritten.figures) == ["selection F1"]


def test_sentences_get_the_best_score_of_those_they_share_most_with() -> None:
    sentences = [Offsets(0, 10), Offsets(10, 30)]
    pieces = [Span(0, 14, "", "", 0.5), Span(14, 22, "", "", 0.1), Span(22, 30, "", "", 0.7)]
    assert best_sentences(sentences, pieces, 1) == (1,)
    assert best_sentences(sentences, pieces, 5) == (0, 1)
    assert best_sentences(sentences, pieces[1:2], 5) == (1,)
    assert best_sentences(sentences, [], 5) == ()


def test_one_class_is_the_best_one() -> None:
    examples = [
        ClassificationExample(ADA, ("a", "b"), ("a",)),
        ClassificationExample(BOB, ("a", "b"), ("b",)),
    ]
    extractor = Scripted({ADA: [ClassScore("a", 0.3), ClassScore("b", 0.2)], BOB: []})
    result = evaluate_classification(extractor, examples)
    assert extractor.asked == [Classification(("a", "b"))]
    assert values(result) == {"accuracy": 0.5, "macro F1": 0.5}
    assert result.threshold is None


def test_several_classes_are_those_above_the_threshold() -> None:
    examples = [
        ClassificationExample(ADA, ("a", "b"), ("a", "b")),
        ClassificationExample(BOB, ("a", "b"), ()),
    ]
    extractor = Scripted({ADA: [ClassScore("a", 0.7), ClassScore("b", 0.3)], BOB: [ClassScore("b", 0.2)]})
    result = evaluate_classification(extractor, examples)
    assert extractor.asked == [Classification(("a", "b"), multi_label=True)]
    assert values(result)["micro F1"] == 0.667
    assert values(result)["accuracy"] == 0.5
    assert result.sweep[0.25] == 1.0
    assert result.best_threshold == 0.25
    assert values(evaluate_classification(extractor, examples, threshold=0.1))["accuracy"] == 0.5


ALL = (
    evaluate_classification,
    evaluate_given,
    evaluate_ner,
    evaluate_one_pair,
    evaluate_openie,
    evaluate_qa,
    evaluate_relations,
    evaluate_summary,
)


@pytest.mark.parametrize("evaluate", ALL)
def test_no_examples_are_an_error(evaluate: Callable[..., Result]) -> None:
    with pytest.raises(InputError, match="no examples"):
        evaluate(Scripted({}), [])


def test_a_model_answers_all_of_it(tokenizer: WordTokenizer) -> None:
    extractor = tiny_extractor(tokenizer, 2, labels="parallel", word_shapes=True, hidden_size=24, pairs=True)
    text = TEXTS[0]
    person, city = gold(text, "Ada", "person"), gold(text, "London", "city")
    relation = RelationExample(
        text, (person, city), (GoldRelation(person, city, "born in"),), LABELS, ("born in", "met")
    )
    results = [
        evaluate_ner(extractor, [Example(text, (person,), LABELS)] * 2),
        evaluate_relations(extractor, [relation]),
        evaluate_given(extractor, [relation]),
        evaluate_one_pair(extractor, [relation]),
        evaluate_one_pair(extractor, [RelationExample(text, (person, city), (), (), ("born in", "met"))]),
        evaluate_qa(extractor, [QAExample(text, "for one city", (Offsets(15, 21),))]),
        evaluate_openie(
            extractor, [OpenIEExample(text, (GoldTuple(part(text, "met"), part(text, "Ada"), ()),))]
        ),
        evaluate_summary(extractor, [SummaryExample(text, (Offsets(0, len(text)),), (0,))]),
        evaluate_classification(extractor, [ClassificationExample(text, LABELS, ("person",))]),
    ]
    for result in results:
        for figure in result.figures.values():
            assert 0.0 <= figure.low <= figure.high <= 1.0
        assert json.dumps(result.as_dict())
