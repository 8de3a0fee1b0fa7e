"""Classification: accuracy and macro F1 of one class a text; micro and macro F1 of several."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gliner_mt.evaluation.answers import answers
from gliner_mt.evaluation.result import (
    THRESHOLDS,
    Result,
    Table,
    extraction_figures,
    intervals,
    type_scores,
    type_table,
)
from gliner_mt.metrics import class_scores
from gliner_mt.tasks import Classification
from gliner_mt.types import ClassificationExample, ClassScore

if TYPE_CHECKING:
    from gliner_mt.extractor import Extractor

_DEFAULT = 0.5


def evaluate_classification(
    extractor: "Extractor",
    examples: Sequence[ClassificationExample],
    dataset: str = "",
    threshold: float | None = None,
) -> Result:
    """Return accuracy and macro F1 if each text has one class, else micro and macro F1 and accuracy.

    Of one class, the best is the answer, and there is no threshold. Where some text has none or several, all
    classes above `threshold` (None: 0.5) are.
    """
    several = has_several(examples)
    tasks = [(one.text, Classification(one.labels, multi_label=several)) for one in examples]
    return class_result(examples, answers(extractor, tasks), dataset, threshold)


def class_result(
    examples: Sequence[ClassificationExample],
    scored: Sequence[Sequence[ClassScore]],
    dataset: str,
    threshold: float | None = None,
) -> Result:
    """Return the figures of scored classes, best first."""
    if not has_several(examples):
        best = [[one.label for one in classes[:1]] for classes in scored]
        table, types = _table(examples, best)
        return Result(
            "classify",
            dataset,
            len(examples),
            intervals(table, lambda sums: _single(sums, types)),
            types=type_scores(table.sum(0)[2:], types).per_type,
        )
    at = _DEFAULT if threshold is None else threshold
    table, types = _table(examples, _above(scored, at))
    return Result(
        "classify",
        dataset,
        len(examples),
        intervals(table, lambda sums: _several(sums, types)),
        at,
        {one: _micro_f1(examples, _above(scored, one)) for one in THRESHOLDS},
        type_scores(table.sum(0)[2:], types).per_type,
    )


def has_several(examples: Sequence[ClassificationExample]) -> bool:
    """Say whether a text may have several classes, or none: some text of these has."""
    return any(len(set(one.gold)) != 1 for one in examples)


def _above(scored: Sequence[Sequence[ClassScore]], threshold: float) -> list[list[str]]:
    return [[one.label for one in classes if one.score > threshold] for classes in scored]


def _table(
    examples: Sequence[ClassificationExample], predicted: Sequence[Sequence[str]]
) -> tuple[Table, list[str]]:
    """Return for each example whether its classes are right, one, and its counts; and the classes."""
    scores = [class_scores([one.gold], [labels]) for one, labels in zip(examples, predicted, strict=True)]
    counts, types = type_table([one.labels for one in scores])
    return np.column_stack([[one.right for one in scores], np.ones(len(scores)), counts]), types


def _single(sums: Table, types: Sequence[str]) -> Mapping[str, float]:
    return {"accuracy": sums[0] / sums[1], "macro F1": type_scores(sums[2:], types).macro_f1}


def _several(sums: Table, types: Sequence[str]) -> Mapping[str, float]:
    return extraction_figures(type_scores(sums[2:], types)) | {"accuracy": sums[0] / sums[1]}


def _micro_f1(examples: Sequence[ClassificationExample], predicted: Sequence[Sequence[str]]) -> float:
    return class_scores([one.gold for one in examples], predicted).labels.micro.f1
