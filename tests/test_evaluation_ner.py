import pytest
from tiny_models import LABELS, TEXTS, WORDS

from gliner_mt import NER, Extractor
from gliner_mt.config import Thresholds
from gliner_mt.evaluation.ner import (
    THRESHOLDS,
    best_threshold,
    evaluate_ner,
    micro_f1_by_threshold,
    predict,
    scores_at,
)
from gliner_mt.metrics import entity_f1
from gliner_mt.tokenization import WordTokenizer
from gliner_mt.types import Entity, Example, Span

EXAMPLES = [
    Example(TEXTS[0], (Entity(0, 3, "person"), Entity(15, 21, "city")), LABELS),
    Example(TEXTS[1], (Entity(17, 25, "city"),), ("city", "company")),
    Example("", (), LABELS),
    Example(TEXTS[2], (), ()),
    Example(" ".join(WORDS), (Entity(0, 3, "person"),), LABELS),
]


def test_predictions_are_those_of_each_text_with_its_labels(extractor: Extractor) -> None:
    predicted = predict(extractor, EXAMPLES, threshold=0.3)
    for example, spans in zip(EXAMPLES, predicted, strict=True):
        alone = extractor.extract(example.text, NER(example.labels, threshold=0.3)) if example.labels else []
        assert [(s.start, s.end, s.label) for s in spans] == [(s.start, s.end, s.label) for s in alone]
    assert sum(map(len, predicted)) > 5
    assert predict(extractor, []) == []


def test_one_pass_gives_the_answers_at_every_threshold(extractor: Extractor) -> None:
    low = predict(extractor, EXAMPLES)
    for threshold in THRESHOLDS:
        at = predict(extractor, EXAMPLES, threshold=threshold)
        kept = [[span for span in spans if span.score > threshold] for spans in low]
        assert [[(s.start, s.end, s.label) for s in spans] for spans in kept] == [
            [(s.start, s.end, s.label) for s in spans] for spans in at
        ]
        assert scores_at(EXAMPLES, low, threshold).micro == scores_at(EXAMPLES, at, 0.0).micro


def test_labels_are_judged_at_their_own_thresholds(extractor: Extractor, tokenizer: WordTokenizer) -> None:
    own = {"person": 0.9, "city": 0.2, "elsewhere": 0.1}
    config = extractor._config.with_thresholds(Thresholds(0.6, {}, own))
    calibrated = Extractor(config, extractor._engine.model, tokenizer)
    result = evaluate_ner(calibrated, EXAMPLES)
    assert (result.threshold, result.label_thresholds) == (0.6, {"person": 0.9, "city": 0.2})
    assert result.as_dict()["label_thresholds"] == {"person": 0.9, "city": 0.2}
    found = [calibrated.extract(one.text, NER(one.labels)) if one.labels else [] for one in EXAMPLES]
    assert result.main[1].value == entity_f1([one.entities for one in EXAMPLES], found).micro.f1
    assert sum(one.tp + one.fp for one in result.types.values()) == sum(map(len, found))
    plain = evaluate_ner(extractor, EXAMPLES)
    assert result.sweep == plain.sweep
    stated = evaluate_ner(calibrated, EXAMPLES, threshold=0.5)
    assert (stated.label_thresholds, stated.figures) == (
        {},
        evaluate_ner(extractor, EXAMPLES, "", 0.5).figures,
    )


def test_the_table_has_every_set_at_every_threshold(extractor: Extractor) -> None:
    table = micro_f1_by_threshold(extractor, {"all": EXAMPLES, "first": EXAMPLES[:1]})
    assert list(table) == list(THRESHOLDS)
    for threshold, row in table.items():
        expected = scores_at(EXAMPLES, predict(extractor, EXAMPLES), threshold).micro.f1
        assert row["all"] == pytest.approx(expected)
        assert set(row) == {"all", "first"}
        assert all(0.0 <= f1 <= 1.0 for f1 in row.values())


def test_scores_count_what_is_above_the_threshold() -> None:
    text = "Ada met Bob"
    examples = [Example(text, (Entity(0, 3, "person"), Entity(8, 11, "person")), ("person",))]
    spans = [
        [
            Span(0, 3, "Ada", "person", 0.9),
            Span(8, 11, "Bob", "person", 0.6),
            Span(4, 7, "met", "person", 0.5),
        ]
    ]
    counts = [scores_at(examples, spans, threshold).micro for threshold in (0.4, 0.5, 0.6, 0.9)]
    assert [(one.tp, one.fp, one.fn) for one in counts] == [(2, 1, 0), (2, 0, 0), (1, 0, 1), (0, 0, 2)]


def test_the_best_threshold_has_the_best_mean() -> None:
    assert (
        best_threshold({0.3: {"a": 0.9, "b": 0.1}, 0.5: {"a": 0.6, "b": 0.6}, 0.7: {"a": 0.5, "b": 0.7}})
        == 0.5
    )
    assert best_threshold({0.9: {"a": 0.5}, 0.1: {"a": 0.5}}) == 0.1
