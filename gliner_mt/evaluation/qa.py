"""Question answering: exact match and F1 as in SQuAD 2, with questions that the text does not answer."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gliner_mt.evaluation.answers import answers
from gliner_mt.evaluation.result import THRESHOLDS, Result, Table, intervals
from gliner_mt.metrics import answer_exact, answer_f1
from gliner_mt.tasks import QA, Kind
from gliner_mt.types import Answer, QAExample

if TYPE_CHECKING:
    from gliner_mt.extractor import Extractor

_THRESHOLDS = (0.01, 0.02, *THRESHOLDS)
"""Where every question has an answer, it is best to give one nearly always."""


def evaluate_qa(
    extractor: "Extractor", examples: Sequence[QAExample], dataset: str = "", threshold: float | None = None
) -> Result:
    """Return exact match and F1 over all questions, and of each of the two kinds if there are both.

    Each question is asked alone. Its best answer counts if it scores more than `threshold` (None: the
    model's); otherwise the model says that there is none.
    """
    at = extractor.threshold(Kind.ANSWERS) if threshold is None else threshold
    lowest = min(at, *_THRESHOLDS)
    tasks = [(one.text, QA(one.question, threshold=lowest, top=1)) for one in examples]
    best = [ranked[0] if ranked else None for (ranked,) in answers(extractor, tasks)]
    return answer_result(examples, best, dataset, at)


def answer_result(
    examples: Sequence[QAExample], best: Sequence[Answer | None], dataset: str, threshold: float
) -> Result:
    """Return the figures of the best answer to each question, of those that score more than `threshold`."""
    table = _table(examples, best, threshold)
    return Result(
        "answer",
        dataset,
        len(examples),
        intervals(table, _figures),
        threshold,
        {one: _figures(_table(examples, best, one).sum(0))["F1"] for one in _THRESHOLDS},
    )


def _table(examples: Sequence[QAExample], best: Sequence[Answer | None], threshold: float) -> Table:
    """Return exact match, F1 and one for each question, first of those with an answer, then of the others."""
    table = np.zeros((len(examples), 6))
    for row, example, answer in zip(table, examples, best, strict=True):
        gold = [example.text[one.start : one.end] for one in example.answers]
        given = answer.text if answer is not None and answer.score > threshold else ""
        row[slice(0, 3) if gold else slice(3, 6)] = answer_exact(gold, given), answer_f1(gold, given), 1
    return table


def _figures(sums: Table) -> Mapping[str, float]:
    (exact, f1, answerable), (right, _, unanswerable) = sums.reshape(2, 3).tolist()
    figures = {
        "F1": (f1 + right) / (answerable + unanswerable),
        "exact match": (exact + right) / (answerable + unanswerable),
    }
    if answerable and unanswerable:
        figures |= {
            "F1 if answerable": f1 / answerable,
            "exact match if answerable": exact / answerable,
            "accuracy if not": right / unanswerable,
        }
    return figures
