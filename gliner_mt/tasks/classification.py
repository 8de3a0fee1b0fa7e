"""Classification: the text as a whole is matched with the names of the classes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from gliner_mt.errors import InputError
from gliner_mt.tasks.base import Candidates, Evidence, Found, Label, Queries
from gliner_mt.tasks.labels import LabelSpec, parse_labels
from gliner_mt.tasks.parsing import own_threshold, sigmoid
from gliner_mt.types import ClassScore


@final
@dataclass(frozen=True, init=False)
class Classification:
    """Say which of the classes a text belongs to; answers `list[ClassScore]`, best first.

    `labels` are as in `NER`. Of one class only: the scores of all are a softmax and sum to one. With
    `multi_label` each is a probability of its own. Classes that score no more than their threshold are left
    out: their own, else `threshold`; 0 (None or "auto") keeps all. A text without words belongs to none.
    """

    labels: tuple[Label, ...]
    multi_label: bool = False
    threshold: float = 0.0

    def __init__(
        self, labels: LabelSpec, *, multi_label: bool = False, threshold: float | str | None = None
    ) -> None:
        parsed = parse_labels(labels)
        if len(parsed) < 2 and not multi_label:
            raise InputError(
                f"labels has one class, {parsed[0].name!r}, which every text would belong to; "
                "expected two or more, or multi_label=True."
            )
        object.__setattr__(self, "labels", parsed)
        object.__setattr__(self, "multi_label", multi_label)
        object.__setattr__(self, "threshold", own_threshold(threshold, "threshold") or 0.0)

    def queries(self) -> tuple[Queries]:
        """Return the classes, asked of the whole text."""
        return (Queries(self.labels, self.threshold, candidates=Candidates.WHOLE),)

    def result(self, found: Sequence[Found]) -> list[ClassScore]:
        """Return the classes above their thresholds."""
        evidence = found[0].evidence
        if not evidence:
            return []
        if self.multi_label:
            scores = [sigmoid(logit) for logit in pooled(evidence)]
        else:
            scores = _softmax(pooled([_centred(one) for one in evidence]))
        ranked = sorted(zip(self.labels, scores, strict=True), key=lambda pair: -pair[1])
        return [
            ClassScore(label.name, score)
            for label, score in ranked
            if score > (self.threshold if label.threshold is None else label.threshold)
        ]


def pooled(evidence: Sequence[Evidence]) -> list[float]:
    """Return one logit for each label: the mean over the windows, weighted by words and by evidence.

    With n words and the logit z in each window, it is sum(n |z| z) / sum(n |z|). A window that says little
    (z near 0, a probability near one half) weighs little, and one that is loud does not drown the rest as it
    would in a maximum.
    """
    return [
        _weighted([(one.n_words * abs(one.logits[label]), one.logits[label]) for one in evidence])
        for label in range(len(evidence[0].logits))
    ]


def _centred(evidence: Evidence) -> Evidence:
    """Measure logits from their mean: where one class is to be chosen, equal logits are no evidence."""
    mean = sum(evidence.logits) / len(evidence.logits)
    return Evidence(evidence.n_words, tuple(logit - mean for logit in evidence.logits))


def _weighted(pairs: Sequence[tuple[float, float]]) -> float:
    total = sum(weight for weight, _ in pairs)
    return sum(weight * value for weight, value in pairs) / total if total else 0.0


def _softmax(logits: Sequence[float]) -> list[float]:
    largest = max(logits)
    powers = [math.exp(logit - largest) for logit in logits]
    return [power / sum(powers) for power in powers]
