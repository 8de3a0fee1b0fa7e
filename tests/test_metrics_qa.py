from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.data.metrics.squad_metrics import squad_evaluate

from gliner_mt.metrics import AnswerScores, BestScore, PredictedAnswer, answer_exact, answer_f1, qa_scores

texts = st.lists(st.sampled_from(["the", "Ada", "ada.", "Lovelace", "in", "1843", ",", "A"]), max_size=4).map(
    " ".join
)
questions = st.lists(
    st.tuples(st.lists(texts, max_size=3), texts, st.sampled_from([0.0, 0.2, 0.3, 0.7, 1.0])),
    min_size=1,
    max_size=12,
)


def test_an_answer_counts_up_to_case_punctuation_articles_and_spaces() -> None:
    assert answer_exact(["The  Analytical Engine."], "analytical engine") == 1.0
    assert answer_exact(["an engine", "engines"], "Engines!") == 1.0
    assert answer_exact(["engine"], "engines") == 0.0
    assert answer_f1(["the blue car", "a red car outside"], "red car") == pytest.approx(0.8)


def test_no_answer_is_right_where_there_is_none() -> None:
    assert (answer_exact([], ""), answer_f1([], "")) == (1.0, 1.0)
    assert (answer_exact([], "Ada"), answer_f1([], "Ada")) == (0.0, 0.0)
    assert (answer_exact(["Ada"], ""), answer_f1(["Ada"], "")) == (0.0, 0.0)
    assert answer_exact(["..."], "") == 1.0  # an answer that is nothing once normalised is none


def test_answers_above_the_threshold_are_withheld() -> None:
    gold = [["Ada"], [], ["Ada Lovelace"]]
    predicted = [PredictedAnswer("Ada", 0.1), PredictedAnswer("Bob", 0.8), PredictedAnswer("Ada", 0.9)]
    scores = qa_scores(gold, predicted)
    assert scores.overall == AnswerScores(1 / 3, pytest.approx((1 + 2 / 3) / 3), 3)
    assert scores.has_answer == AnswerScores(0.5, pytest.approx((1 + 2 / 3) / 2), 2)
    assert scores.no_answer == AnswerScores(0.0, 0.0, 1)
    assert scores.best_exact == BestScore(2 / 3, 0.1)
    assert qa_scores(gold, predicted, threshold=0.5).overall == AnswerScores(2 / 3, 2 / 3, 3)
    assert qa_scores(gold, predicted, threshold=0.5).no_answer.exact == 1.0


def test_no_questions() -> None:
    assert qa_scores([], []).overall == AnswerScores(0.0, 0.0, 0)


def test_questions_without_a_partner_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        qa_scores([[]], [])


@settings(deadline=None, max_examples=150)
@given(questions, st.sampled_from([1.0, 0.5, 0.2]))
def test_figures_of_the_official_script(rows: list[tuple[list[str], str, float]], threshold: float) -> None:
    names = [f"q{number}" for number in range(len(rows))]
    examples = [
        SimpleNamespace(qas_id=name, answers=[{"text": text} for text in gold])
        for name, (gold, _, _) in zip(names, rows, strict=True)
    ]
    official = squad_evaluate(
        examples,
        {name: text for name, (_, text, _) in zip(names, rows, strict=True)},
        {name: none for name, (_, _, none) in zip(names, rows, strict=True)},
        threshold,
    )
    ours = qa_scores(
        [gold for gold, _, _ in rows], [PredictedAnswer(text, none) for _, text, none in rows], threshold
    )
    figures = {
        "exact": ours.overall.exact,
        "f1": ours.overall.f1,
        "HasAns_exact": ours.has_answer.exact,
        "HasAns_f1": ours.has_answer.f1,
        "NoAns_exact": ours.no_answer.exact,
        "NoAns_f1": ours.no_answer.f1,
        "best_exact": ours.best_exact.score,
        "best_f1": ours.best_f1.score,
    }
    for name, figure in figures.items():
        assert 100 * figure == pytest.approx(official.get(name, 0.0)), name
    assert ours.best_exact.threshold == official["best_exact_thresh"]
    assert ours.best_f1.threshold == official["best_f1_thresh"]
    assert ours.has_answer.total == official.get("HasAns_total", 0)
