"""How good a model is at a task: the figures that are published for it, on annotated examples."""

from gliner_mt.evaluation.classification import class_result, evaluate_classification, has_several
from gliner_mt.evaluation.ner import evaluate_ner
from gliner_mt.evaluation.openie import evaluate_openie, tuple_result
from gliner_mt.evaluation.qa import answer_result, evaluate_qa
from gliner_mt.evaluation.relations import (
    evaluate_given,
    evaluate_one_pair,
    evaluate_relations,
    given_result,
    has_one_pair,
    pair_result,
    relation_result,
)
from gliner_mt.evaluation.result import THRESHOLDS, Result
from gliner_mt.evaluation.summary import evaluate_summary, sentence_count, summary_result

__all__ = [
    "THRESHOLDS",
    "Result",
    "answer_result",
    "class_result",
    "evaluate_classification",
    "evaluate_given",
    "evaluate_ner",
    "evaluate_one_pair",
    "evaluate_openie",
    "evaluate_qa",
    "evaluate_relations",
    "evaluate_summary",
    "given_result",
    "has_one_pair",
    "has_several",
    "pair_result",
    "relation_result",
    "sentence_count",
    "summary_result",
    "tuple_result",
]
