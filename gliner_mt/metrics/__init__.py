"""How right answers are, task by task. Functions of gold and predictions; figures go from 0 to 1."""

from gliner_mt.metrics.bootstrap import Interval, bootstrap_interval, bootstrap_intervals
from gliner_mt.metrics.classification import class_scores
from gliner_mt.metrics.counts import F1, LabelScores, TypeScores
from gliner_mt.metrics.openie import (
    CarbScores,
    CurvePoint,
    SentenceMatches,
    binary_lenient_match,
    carb_matches,
    carb_scores,
    lenient_match,
    text_tuple,
)
from gliner_mt.metrics.qa import (
    AnswerScores,
    BestScore,
    PredictedAnswer,
    QAScores,
    answer_exact,
    answer_f1,
    qa_scores,
)
from gliner_mt.metrics.relations import boundary_relation_f1, pair_scores, strict_relation_f1
from gliner_mt.metrics.spans import EntityScores, entity_f1
from gliner_mt.metrics.summaries import RougeScores, rouge_scores, selection_f1

__all__ = [
    "F1",
    "AnswerScores",
    "BestScore",
    "CarbScores",
    "CurvePoint",
    "EntityScores",
    "Interval",
    "LabelScores",
    "PredictedAnswer",
    "QAScores",
    "RougeScores",
    "SentenceMatches",
    "TypeScores",
    "answer_exact",
    "answer_f1",
    "binary_lenient_match",
    "bootstrap_interval",
    "bootstrap_intervals",
    "boundary_relation_f1",
    "carb_matches",
    "carb_scores",
    "class_scores",
    "entity_f1",
    "lenient_match",
    "pair_scores",
    "qa_scores",
    "rouge_scores",
    "selection_f1",
    "strict_relation_f1",
    "text_tuple",
]
