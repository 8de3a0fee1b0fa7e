"""Default thresholds of a finished model, one for each kind of answers, chosen on development sets."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import mean

from gliner_mt.config import ModelConfig
from gliner_mt.evaluation import evaluate_openie, evaluate_qa, evaluate_relations
from gliner_mt.evaluation.ner import micro_f1_by_threshold
from gliner_mt.extractor import Extractor
from gliner_mt.formats import read_passages
from gliner_mt.formats.passages import Passage
from gliner_mt.model import SpanMatcher
from gliner_mt.tasks import Kind
from gliner_mt.tokenization import WordTokenizer
from tasks import openie, relations
from tasks.ner import zero_shot_sets

Scores = Mapping[float, Mapping[str, float]]
"""The figure of each set at each threshold."""

_NEAR_THE_BEST = 0.005


def calibrated(
    config: ModelConfig, model: SpanMatcher, tokenizer: WordTokenizer, data: Path, limit: int
) -> tuple[ModelConfig, Scores]:
    """Return the config with thresholds, and the scores of the zero-shot sets of entities.

    Relations are judged on dev passages written for this project and on sets where entities have types,
    answers on those passages, a quarter of whose questions have none, tuples by the best point of CaRB's
    curve; each on up to half of `limit` examples of a set.
    """
    extractor = Extractor(config, model, tokenizer)
    entities = micro_f1_by_threshold(extractor, zero_shot_sets(data, limit))
    config = replace(config, threshold=highest_near_the_best(entities))
    if config.pairs:
        passages = list(read_passages(data / "authored" / "authored.dev.jsonl.gz"))
        Random(0).shuffle(passages)
        kinds = _kinds(Extractor(config, model, tokenizer), data, passages[: limit // 2], limit // 2)
        config = replace(config, kind_thresholds=kinds)
    return config, entities


def highest_near_the_best(scores: Scores) -> float:
    """Return the highest threshold whose mean is near the best one: what is found is wrong least often."""
    means = {threshold: mean(row.values()) for threshold, row in scores.items()}
    return max(one for one, value in means.items() if value >= max(means.values()) - _NEAR_THE_BEST)


def _kinds(extractor: Extractor, data: Path, passages: Sequence[Passage], limit: int) -> dict[str, float]:
    typed = relations.dev_sets(data, limit)
    related = [
        evaluate_relations(extractor, [one.relations for one in passages], "authored"),
        *(evaluate_relations(extractor, typed[name], name) for name in ("re_docred", "somesci")),
    ]
    questions = [question for one in passages for question in one.questions][:limit]
    answered = [evaluate_qa(extractor, questions, "authored")]
    tuples = [
        evaluate_openie(extractor, examples, name)
        for name, examples in openie.dev_sets(data, limit).items()
        if name != "qanom"  # its predicates are nouns
    ]
    return {
        Kind.RELATIONS.value: highest_near_the_best(_table([(one.dataset, one.sweep) for one in related])),
        Kind.ANSWERS.value: highest_near_the_best(_table([(one.dataset, one.sweep) for one in answered])),
        Kind.TUPLES.value: round(mean(one.threshold or 0.0 for one in tuples), 2),
    }


def _table(sweeps: Sequence[tuple[str, Mapping[float, float]]]) -> Scores:
    return {threshold: {name: sweep[threshold] for name, sweep in sweeps} for threshold in sweeps[0][1]}
