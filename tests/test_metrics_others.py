"""Summaries, classification, and bootstrap intervals."""

import sys
from collections.abc import Sequence

import pytest

from gliner_mt.errors import InputError
from gliner_mt.metrics import (
    F1,
    RougeScores,
    bootstrap_interval,
    bootstrap_intervals,
    class_scores,
    rouge_scores,
    selection_f1,
)


def test_rouge_counts_words_pairs_and_common_subsequences() -> None:
    scores = rouge_scores([["The cat sat on the mat."]], ["the cat lay on the mat"])
    assert scores.rouge_1 == pytest.approx(5 / 6)
    assert scores.rouge_2 == pytest.approx(3 / 5)
    assert scores.rouge_l == pytest.approx(5 / 6)


def test_the_best_reference_counts_and_texts_are_averaged() -> None:
    references = [["nothing like it", "cats sleep"], ["dogs bark"]]
    assert rouge_scores(references, ["the cat sleeps", "birds"]).rouge_1 == pytest.approx(0.8 / 2)
    assert rouge_scores([], []) == RougeScores(0.0, 0.0, 0.0, 0)


def test_a_text_without_reference_is_refused() -> None:
    with pytest.raises(InputError, match="text 2 has no reference summary"):
        rouge_scores([["one"], []], ["one", "two"])


def test_rouge_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rouge_score.rouge_scorer", None)
    with pytest.raises(InputError, match=r"pip install gliner_mt\[rouge\]"):
        rouge_scores([["one"]], ["one"])


def test_selected_sentences() -> None:
    assert selection_f1([{0, 3}, {1}], [{0, 1}, {1}]) == F1(2, 1, 1)
    assert selection_f1([[]], [[]]) == F1()


def test_one_class_a_text() -> None:
    scores = class_scores([["a"], ["b"], ["b"], ["c"]], [["a"], ["b"], ["a"], ["b"]])
    assert scores.accuracy == 0.5
    assert scores.labels.per_type == {"a": F1(1, 1, 0), "b": F1(1, 1, 1), "c": F1(0, 0, 1)}
    assert scores.labels.macro_f1 == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)


def test_several_classes_are_right_together() -> None:
    scores = class_scores([["a", "b"], ["a"]], [["b", "a"], ["a", "b"]])
    assert scores.accuracy == 0.5
    assert scores.labels.micro == F1(3, 1, 0)
    assert class_scores([], []).accuracy == 0.0


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def test_the_interval_holds_the_figure_and_narrows_with_more_documents() -> None:
    few = bootstrap_interval([0.0, 1.0] * 10, mean)
    many = bootstrap_interval([0.0, 1.0] * 500, mean)
    assert few.value == many.value == 0.5
    assert few.low < many.low < 0.5 < many.high < few.high
    # The normal approximation: 1.96 standard errors.
    assert (many.low, many.high) == pytest.approx((0.469, 0.531), abs=0.006)


def test_the_same_seed_gives_the_same_interval() -> None:
    counts = [F1(1, 0, 0), F1(0, 1, 1), F1(2, 1, 0), F1(0, 0, 3)]

    def micro(documents: Sequence[F1]) -> float:
        return sum(documents, F1()).f1

    first = bootstrap_interval(counts, micro, samples=50, seed=3)
    assert first == bootstrap_interval(counts, micro, samples=50, seed=3)
    assert first != bootstrap_interval(counts, micro, samples=50, seed=4)
    assert bootstrap_interval(counts[:1], micro, samples=5).low == 1.0


def test_several_figures_share_their_samples() -> None:
    values = [0.0, 0.0, 1.0, 0.5]

    def figures(drawn: Sequence[float]) -> dict[str, float]:
        positive = [value for value in drawn if value]
        return {"mean": mean(drawn)} | ({"positive": mean(positive)} if positive else {})

    found = bootstrap_intervals(values, figures, samples=100)
    assert found["mean"] == bootstrap_interval(values, mean, samples=100)
    assert 0.5 == found["positive"].low < found["positive"].value == 0.75 < found["positive"].high == 1.0


@pytest.mark.parametrize(
    ("documents", "samples", "confidence"), [([], 10, 0.9), ([1.0], 0, 0.9), ([1.0], 10, 1.0)]
)
def test_senseless_intervals_are_refused(documents: list[float], samples: int, confidence: float) -> None:
    with pytest.raises(InputError, match="expected at least one document"):
        bootstrap_interval(documents, mean, samples=samples, confidence=confidence)
