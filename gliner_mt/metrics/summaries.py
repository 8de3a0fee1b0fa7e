"""Summaries: ROUGE with summaries written by people, and F1 of the sentences chosen."""

from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from gliner_mt.errors import InputError
from gliner_mt.metrics.counts import F1, count_by_type, ratio

T = TypeVar("T", bound=Hashable)

_KINDS = ("rouge1", "rouge2", "rougeL")


@dataclass(frozen=True, slots=True)
class RougeScores:
    """Mean F1 of words, of pairs of words and of longest common subsequences, over `total` texts, 0 to 1."""

    rouge_1: float
    rouge_2: float
    rouge_l: float
    total: int


def rouge_scores(references: Iterable[Collection[str]], predicted: Iterable[str]) -> RougeScores:
    """Compare each summary with its references, the best of which counts, each measure for itself.

    Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries", sections 2 and 3, as the package
    `rouge-score` computes it, with stemming (`-m` of the original).

    Raises:
        InputError: the package is not installed, or a text has no reference.
        ValueError: one side has more texts.
    """
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError:
        raise InputError("ROUGE needs the package rouge-score: pip install gliner_mt[rouge]") from None
    scorer = RougeScorer(_KINDS, use_stemmer=True)
    sums, total = dict.fromkeys(_KINDS, 0.0), 0
    for possible, summary in zip(references, predicted, strict=True):
        if not possible:
            raise InputError(f"text {total + 1} has no reference summary; expected one or more for each.")
        scores = scorer.score_multi(list(possible), summary)
        sums = {kind: sums[kind] + scores[kind].fmeasure for kind in _KINDS}
        total += 1
    rouge_1, rouge_2, rouge_l = (ratio(sums[kind], total) for kind in _KINDS)
    return RougeScores(rouge_1, rouge_2, rouge_l, total)


def selection_f1(gold: Iterable[Collection[T]], predicted: Iterable[Collection[T]]) -> F1:
    """Compare the sentences chosen from each text, given by their indices or offsets.

    Every sentence weighs the same, whatever its text. Raises ValueError if one side has more texts.
    """
    return count_by_type(gold, predicted, lambda _: "").micro
