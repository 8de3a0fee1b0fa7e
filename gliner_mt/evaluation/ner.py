"""Entities: exact F1 of an extractor on annotated examples, at every threshold from one pass."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gliner_mt.evaluation.answers import answers
from gliner_mt.evaluation.result import Result, extraction_figures, intervals, type_scores, type_table
from gliner_mt.metrics import EntityScores, entity_f1
from gliner_mt.tasks import NER, Kind
from gliner_mt.types import Example, Span

if TYPE_CHECKING:
    from gliner_mt.extractor import Extractor

THRESHOLDS = tuple(round(0.05 * n, 2) for n in range(2, 19))
"""Lower ones would find most spans of a text."""


def evaluate_ner(
    extractor: "Extractor", examples: Sequence[Example], dataset: str = "", threshold: float | None = None
) -> Result:
    """Return the exact F1 of entities: micro, macro, and of each type.

    Each example is asked for the labels annotated in it. `threshold` holds for all of them; None is the
    model's, and its labels' own where they were calibrated.
    """
    known, labels = extractor.thresholds, {label for one in examples for label in one.labels}
    at = known.of(Kind.ENTITIES) if threshold is None else threshold
    own = {} if threshold is not None else {k: v for k, v in known.label_thresholds.items() if k in labels}
    swept = predict(extractor, examples, threshold=min(at, *THRESHOLDS))
    # Some of these spans are below their label's own threshold, and stand where another one is found.
    found = predict(extractor, examples, threshold=None) if own else above(swept, at)
    scores = [entity_f1([one.entities], [spans]) for one, spans in zip(examples, found, strict=True)]
    table, types = type_table(scores)
    return Result(
        "ner",
        dataset,
        len(examples),
        intervals(table, lambda sums: extraction_figures(type_scores(sums, types))),
        at,
        {one: scores_at(examples, swept, one).micro.f1 for one in THRESHOLDS},
        type_scores(table.sum(0), types).per_type,
        own,
    )


def predict(
    extractor: "Extractor", examples: Sequence[Example], *, threshold: float | None = THRESHOLDS[0]
) -> list[list[Span]]:
    """Return the flat spans found in each example, for the labels annotated in it.

    `threshold` holds for all labels; None leaves it to the model. Greedy decoding goes by score, so the spans
    at a higher threshold are those of them that score more.
    """
    return answers(
        extractor,
        [(one.text, NER(one.labels, threshold=threshold) if one.labels else None) for one in examples],
    )


def scores_at(
    examples: Sequence[Example], predicted: Sequence[Sequence[Span]], threshold: float
) -> EntityScores:
    """Return the scores of the predicted spans above `threshold`."""
    return entity_f1([example.entities for example in examples], above(predicted, threshold))


def above(predicted: Sequence[Sequence[Span]], threshold: float) -> list[list[Span]]:
    """Return the predicted spans above `threshold`."""
    return [[span for span in spans if span.score > threshold] for spans in predicted]


def micro_f1_by_threshold(
    extractor: "Extractor", sets: Mapping[str, Sequence[Example]]
) -> dict[float, dict[str, float]]:
    """Return for each threshold the micro F1 (0 to 1) of each set."""
    predicted = {name: predict(extractor, examples) for name, examples in sets.items()}
    return {
        threshold: {
            name: scores_at(examples, predicted[name], threshold).micro.f1 for name, examples in sets.items()
        }
        for threshold in THRESHOLDS
    }


def best_threshold(table: Mapping[float, Mapping[str, float]]) -> float:
    """Return the one threshold with the best mean over the sets; the lowest of equals."""
    return max(table, key=lambda threshold: (sum(table[threshold].values()), -threshold))
