"""Exact F1 of entities, as training watches it."""

from gliner_mt.evaluation.ner import THRESHOLDS, best_threshold, micro_f1_by_threshold, predict, scores_at

__all__ = ["THRESHOLDS", "best_threshold", "micro_f1_by_threshold", "predict", "scores_at"]
