"""Open information extraction: precision, recall and area under the curve as CaRB scores them."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from gliner_mt.errors import InputError
from gliner_mt.evaluation.answers import answers
from gliner_mt.evaluation.result import Result
from gliner_mt.metrics import (
    SentenceMatches,
    binary_lenient_match,
    bootstrap_intervals,
    carb_matches,
    carb_scores,
    text_tuple,
)
from gliner_mt.tasks import OpenIE
from gliner_mt.text import split_words
from gliner_mt.types import OpenIEExample, TextTuple

if TYPE_CHECKING:
    from gliner_mt.extractor import Extractor

_LOWEST = 0.1
_SAMPLES = 200  # each is a curve over all tuples


def evaluate_openie(
    extractor: "Extractor",
    examples: Sequence[OpenIEExample],
    dataset: str = "",
    threshold: float | None = None,
) -> Result:
    """Return CaRB's best F1, precision and recall there, and the area under the curve.

    Tuples are asked at `threshold` (None: 0.1), of spans and of roles; their scores make the curve. What the
    result calls its threshold is the best point of the curve.
    """
    lowest = _LOWEST if threshold is None else threshold
    task = OpenIE(threshold=lowest, span_threshold=lowest)
    found = answers(extractor, [(one.text, task) for one in examples])
    return tuple_result(examples, [[text_tuple(one) for one in triples] for triples in found], dataset)


def tuple_result(
    examples: Sequence[OpenIEExample], predicted: Sequence[Sequence[TextTuple]], dataset: str
) -> Result:
    """Return the figures of the tuples predicted for each example."""
    if not examples:
        raise InputError("there are no examples; expected at least one to evaluate a model on.")
    match = partial(binary_lenient_match, split=_words)
    sentences = [
        carb_matches([text_tuple(item) for item in one.tuples], tuples, match)
        for one, tuples in zip(examples, predicted, strict=True)
    ]
    curve = carb_scores(sentences)
    return Result(
        "triples",
        dataset,
        len(examples),
        bootstrap_intervals(sentences, _figures, samples=_SAMPLES),
        curve.best.threshold,
    )


def _words(part: str) -> list[str]:
    return [part[word.start : word.end] for word in split_words(part)]


def _figures(sentences: Sequence[SentenceMatches]) -> Mapping[str, float]:
    scores = carb_scores(sentences)
    return {
        "best F1": scores.best.f1,
        "precision": scores.best.precision,
        "recall": scores.best.recall,
        "AUC": scores.auc,
    }
