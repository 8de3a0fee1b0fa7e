"""Question answering: exact match and F1 of SQuAD, with questions that have no answer.

As the official script `evaluate-v2.0.py` computes them (Rajpurkar et al. 2018, "Know What You Don't Know:
Unanswerable Questions for SQuAD"), but from 0 to 1 where it prints percentages.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from gliner_mt.metrics.counts import ratio

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True, slots=True)
class PredictedAnswer:
    """The best answer to a question ("" for none), and how likely it is that there is none, 0 to 1."""

    text: str
    no_answer: float = 0.0


@dataclass(frozen=True, slots=True)
class AnswerScores:
    """Mean exact match and F1 over `total` questions, 0 to 1."""

    exact: float
    f1: float
    total: int


@dataclass(frozen=True, slots=True)
class BestScore:
    """The best mean score, and the highest `no_answer` up to which answers are given to reach it."""

    score: float
    threshold: float


@dataclass(frozen=True, slots=True)
class QAScores:
    """Scores over all questions, over those that have an answer and over those that have none.

    `best_exact` and `best_f1` are what the best threshold on `no_answer` would reach.
    """

    overall: AnswerScores
    has_answer: AnswerScores
    no_answer: AnswerScores
    best_exact: BestScore
    best_f1: BestScore


@dataclass(frozen=True, slots=True)
class _Question:
    answerable: bool
    predicted: PredictedAnswer
    exact: float
    f1: float


def qa_scores(
    gold: Iterable[Collection[str]], predicted: Iterable[PredictedAnswer], threshold: float = 1.0
) -> QAScores:
    """Compare each question's answer with the gold answers, the best of which counts; no gold is no answer.

    An answer whose `no_answer` exceeds `threshold` is not given. Raises ValueError if one side has more
    questions.
    """
    questions = [_judge(answers, guess) for answers, guess in zip(gold, predicted, strict=True)]
    return QAScores(
        _mean(questions, threshold),
        _mean([question for question in questions if question.answerable], threshold),
        _mean([question for question in questions if not question.answerable], threshold),
        _best(questions, lambda question: question.exact),
        _best(questions, lambda question: question.f1),
    )


def answer_exact(gold: Collection[str], predicted: str) -> float:
    """Return 1.0 if the answer is one of `gold` up to case, punctuation, articles and spaces, else 0.0."""
    return float(any(normalize(answer) == normalize(predicted) for answer in _possible(gold)))


def answer_f1(gold: Collection[str], predicted: str) -> float:
    """Return the best F1 of the answer's normalised words with those of a gold answer, 0 to 1."""
    words = normalize(predicted).split()
    return max(_word_f1(normalize(answer).split(), words) for answer in _possible(gold))


def normalize(answer: str) -> str:
    """Return an answer in lower case, without punctuation, articles and superfluous spaces."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_NO_PUNCTUATION)).split())


def _judge(gold: Collection[str], predicted: PredictedAnswer) -> _Question:
    return _Question(
        bool(gold), predicted, answer_exact(gold, predicted.text), answer_f1(gold, predicted.text)
    )


def _possible(gold: Collection[str]) -> list[str]:
    return [answer for answer in gold if normalize(answer)] or [""]


def _word_f1(gold: Sequence[str], predicted: Sequence[str]) -> float:
    if not gold or not predicted:
        return float(gold == predicted)
    same = sum((Counter(gold) & Counter(predicted)).values())
    return 2 * same / (len(gold) + len(predicted))


def _mean(questions: Sequence[_Question], threshold: float) -> AnswerScores:
    exact = f1 = 0.0
    for question in questions:
        withheld = question.predicted.no_answer > threshold
        exact += not question.answerable if withheld else question.exact
        f1 += not question.answerable if withheld else question.f1
    return AnswerScores(ratio(exact, len(questions)), ratio(f1, len(questions)), len(questions))


def _best(questions: Sequence[_Question], score: Callable[[_Question], float]) -> BestScore:
    """Raise the threshold question by question, from no answers at all, as `find_best_thresh` does.

    Questions of one `no_answer` are also taken one by one there, so ties may flatter the result.
    """
    current = best = float(sum(not question.answerable for question in questions))
    threshold = 0.0
    for question in sorted(questions, key=lambda question: question.predicted.no_answer):
        if question.answerable:
            current += score(question)
        elif question.predicted.text:
            current -= 1
        if current > best:
            best, threshold = current, question.predicted.no_answer
    return BestScore(ratio(best, len(questions)), threshold)
