"""Entity-level exact F1 of an extractor on annotated examples, at every threshold from one pass."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from gliner_mt.extractor import Extractor
from gliner_mt.metrics import EntityScores, entity_f1
from gliner_mt.tasks import NER
from gliner_mt.types import Example, Span

THRESHOLDS = tuple(round(0.05 * n, 2) for n in range(2, 19))


def predict(
    extractor: Extractor, examples: Sequence[Example], *, threshold: float = THRESHOLDS[0]
) -> list[list[Span]]:
    """Return the flat spans found in each example, for the labels annotated in it.

    Greedy decoding goes by score, so the spans at a higher threshold are those of them that score more.
    """
    by_labels: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, example in enumerate(examples):
        if example.labels:
            by_labels[example.labels].append(index)
    predicted: list[list[Span]] = [[] for _ in examples]
    for labels, indices in by_labels.items():
        answers = extractor.extract_many(
            (examples[i].text for i in indices), NER(labels, threshold=threshold)
        )
        for index, spans in zip(indices, answers, strict=True):
            predicted[index] = spans
    return predicted


def scores_at(
    examples: Sequence[Example], predicted: Sequence[Sequence[Span]], threshold: float
) -> EntityScores:
    """Return the scores of the predicted spans above `threshold`."""
    kept = [[span for span in spans if span.score > threshold] for spans in predicted]
    return entity_f1([example.entities for example in examples], kept)


def micro_f1_by_threshold(
    extractor: Extractor, sets: Mapping[str, Sequence[Example]]
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
