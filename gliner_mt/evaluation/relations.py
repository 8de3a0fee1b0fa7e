"""Relations: from the text alone, between given entities, and of the one pair that is annotated."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
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
from gliner_mt.metrics import TypeScores, boundary_relation_f1, strict_relation_f1
from gliner_mt.tasks import GivenSpan, Kind, RelationLabel, Relations
from gliner_mt.text import Word, split_words
from gliner_mt.types import Entity, GoldRelation, Relation, RelationExample

if TYPE_CHECKING:
    from gliner_mt.extractor import Extractor

_Gold = Sequence[Sequence[GoldRelation]]
_Predicted = Sequence[Sequence[Relation]]
_Metric = Callable[[_Gold, _Predicted], TypeScores]


def evaluate_relations(
    extractor: "Extractor",
    examples: Sequence[RelationExample],
    dataset: str = "",
    threshold: float | None = None,
    symmetric: Collection[str] = (),
) -> Result:
    """Return strict F1 from end to end, and boundary F1: entities are found, not given.

    Each example is asked for the entity and relation types annotated in it. `threshold` is that of relations
    (None: the model's), which are swept; entities have the model's. The order of head and tail does not count
    for the labels in `symmetric`.
    """
    at, lowest = _thresholds(extractor, threshold)
    tasks = [
        Relations(_labels(one, symmetric), one.entity_labels, threshold=lowest)
        if one.labels and one.entity_labels
        else None
        for one in examples
    ]
    predicted = answers(extractor, [(one.text, task) for one, task in zip(examples, tasks, strict=True)])
    return relation_result(examples, predicted, dataset, at, symmetric)


def relation_result(
    examples: Sequence[RelationExample],
    predicted: Sequence[Sequence[Relation]],
    dataset: str,
    threshold: float | None = None,
    symmetric: Collection[str] = (),
) -> Result:
    """Return the figures of found relations, of those that score more than `threshold` (None: of all)."""
    strict, boundary = (
        partial(metric, symmetric=symmetric) for metric in (strict_relation_f1, boundary_relation_f1)
    )
    result = Result("relations", dataset, len(examples), {}, threshold)
    others = {"boundary micro F1": boundary}
    return _scored(result, [one.relations for one in examples], predicted, strict, others)


def evaluate_given(
    extractor: "Extractor",
    examples: Sequence[RelationExample],
    dataset: str = "",
    threshold: float | None = None,
    symmetric: Collection[str] = (),
) -> Result:
    """Return the F1 of relations between given entities: every pair is asked, and none is the usual answer.

    The types of the entities are not put to the model. Other arguments are those of `evaluate_relations`.
    """
    at, lowest = _thresholds(extractor, threshold)
    on_words = [_on_words(one) for one in examples]
    predicted: list[list[Relation]] = []
    for one in on_words:
        spans = tuple(dict.fromkeys(GivenSpan(entity.start, entity.end) for entity in one.entities))
        if len(spans) < 2 or not one.labels:
            predicted.append([])
            continue
        labels = _labels(one, symmetric)
        task = Relations(labels, spans=spans, threshold=lowest, max_spans=len(spans))
        predicted.append(extractor.extract(one.text, task))
    return given_result(on_words, predicted, dataset, at, symmetric)


def given_result(
    examples: Sequence[RelationExample],
    predicted: Sequence[Sequence[Relation]],
    dataset: str,
    threshold: float | None = None,
    symmetric: Collection[str] = (),
) -> Result:
    """Return the figures of relations between given entities, whatever their types."""
    boundary = partial(boundary_relation_f1, symmetric=symmetric)
    result = Result("relations of given entities", dataset, len(examples), {}, threshold)
    return _scored(result, [one.relations for one in examples], predicted, boundary, {})


def evaluate_one_pair(
    extractor: "Extractor",
    examples: Sequence[RelationExample],
    dataset: str = "",
    threshold: float | None = None,
    symmetric: Collection[str] = (),
) -> Result:
    """Return accuracy and macro F1 of the best label for the one pair that each example annotates.

    If every example has a relation, head and tail are given and the best label is the answer, as in FewRel.
    If some have none, the direction is asked as well, and no relation is the answer where none scores more
    than `threshold` (None: the model's), as in SemEval-2010 task 8 (Hendrickx et al. 2010), whose macro F1
    leaves "Other" out, too.
    """
    closed = all(one.relations for one in examples)
    at = None if closed else _thresholds(extractor, threshold)[0]
    on_words = [_on_words(one) for one in examples]
    best = [_best(extractor, one, symmetric, directed=closed) for one in on_words]
    return pair_result(on_words, best, dataset, at, symmetric)


def pair_result(
    examples: Sequence[RelationExample],
    best: Sequence[Relation | None],
    dataset: str,
    threshold: float | None,
    symmetric: Collection[str] = (),
) -> Result:
    """Return the figures of the best relation of each annotated pair; those up to `threshold` are none."""

    def table_at(least: float) -> tuple[Table, list[str]]:
        predicted = _above([[one] if one else [] for one in best], least)
        scores = [
            boundary_relation_f1([example.relations], [relations], symmetric)
            for example, relations in zip(examples, predicted, strict=True)
        ]
        counts, types = type_table(scores)
        right = [not one.micro.fp and not one.micro.fn for one in scores]
        return np.column_stack([right, np.ones(len(scores)), counts]), types

    table, types = table_at(threshold or 0.0)

    def figures(sums: Table) -> dict[str, float]:
        scores = type_scores(sums[2:], types)
        return {
            "accuracy": float(sums[0] / sums[1]),
            "macro F1": scores.macro_f1,
            "micro F1": scores.micro.f1,
        }

    sweep = {} if threshold is None else {one: float(table_at(one)[0][:, 0].mean()) for one in THRESHOLDS}
    counted = type_scores(table.sum(0)[2:], types).per_type
    name = "relation of a pair"
    return Result(name, dataset, len(examples), intervals(table, figures), threshold, sweep, counted)


def has_one_pair(examples: Sequence[RelationExample]) -> bool:
    """Say whether each text has two entities alone, all of one type: a relation was asked of just these."""
    two = all(len(one.entities) == 2 and len(one.relations) < 2 for one in examples)
    return two and len({entity.label for one in examples for entity in one.entities}) == 1


def _thresholds(extractor: "Extractor", wanted: float | None) -> tuple[float, float]:
    """Return the threshold of the figures (None: the model's), and the lowest of those that are swept."""
    at = extractor.threshold(Kind.RELATIONS) if wanted is None else wanted
    return at, min(at, *THRESHOLDS)


def _scored(
    result: Result, gold: _Gold, predicted: _Predicted, metric: _Metric, others: Mapping[str, _Metric]
) -> Result:
    """Return a result with its figures; of the `others`, the micro F1."""
    kept = _above(predicted, result.threshold or 0.0)
    swept = () if result.threshold is None else THRESHOLDS
    pairs = list(zip(gold, kept, strict=True))
    counted = [type_table([one([g], [p]) for g, p in pairs]) for one in (metric, *others.values())]
    ends = np.cumsum([table.shape[1] for table, _ in counted])[:-1]
    types = counted[0][1]

    def figures(sums: Table) -> dict[str, float]:
        first, *rest = (type_scores(one, types) for one in np.split(sums, ends))
        return extraction_figures(first) | {
            name: one.micro.f1 for name, one in zip(others, rest, strict=True)
        }

    return replace(
        result,
        figures=intervals(np.hstack([table for table, _ in counted]), figures),
        sweep={one: metric(gold, _above(predicted, one)).micro.f1 for one in swept},
        types=type_scores(counted[0][0].sum(0), types).per_type,
    )


def _above(predicted: _Predicted, threshold: float) -> list[list[Relation]]:
    return [[one for one in relations if one.score > threshold] for relations in predicted]


def _labels(example: RelationExample, symmetric: Collection[str]) -> list[RelationLabel]:
    return [RelationLabel(name, symmetric=name in symmetric) for name in example.labels]


def _best(
    extractor: "Extractor", example: RelationExample, symmetric: Collection[str], *, directed: bool
) -> Relation | None:
    """Return the best relation between the two entities; if `directed`, from gold head to gold tail."""
    if directed:
        ends = (example.relations[0].head, example.relations[0].tail)
        types = ("head", "tail")
        labels = [RelationLabel(name, head="head", tail="tail") for name in example.labels]
    else:
        ends = (example.entities[0], example.entities[1])
        types = ("", "")
        labels = _labels(example, symmetric)
    spans = [GivenSpan(end.start, end.end, type_) for end, type_ in zip(ends, types, strict=True)]
    found = extractor.extract(example.text, Relations(labels, spans=spans, threshold=0.0))
    return max(found, key=lambda one: one.score, default=None)


def _on_words(example: RelationExample) -> RelationExample:
    """Return the example with its entities moved to the edges of words, as the model has them."""
    words = list(split_words(example.text))
    moved = {entity: _moved(entity, words) for entity in example.entities}
    relations = tuple(GoldRelation(moved[one.head], moved[one.tail], one.label) for one in example.relations)
    return replace(example, entities=tuple(moved[one] for one in example.entities), relations=relations)


def _moved(entity: Entity, words: Sequence[Word]) -> Entity:
    touched = [word for word in words if word.start < entity.end and word.end > entity.start]
    return replace(entity, start=touched[0].start, end=touched[-1].end) if touched else entity
