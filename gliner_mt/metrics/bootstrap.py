"""How far a figure would move with other documents: bootstrap confidence intervals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from gliner_mt.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and the interval in which it lies with the given confidence."""

    value: float
    low: float
    high: float


def bootstrap_interval(
    documents: Sequence[T],
    metric: Callable[[Sequence[T]], float],
    *,
    samples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return `metric` of all documents, and its percentile interval over documents drawn with replacement.

    Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13. `metric` is called once for
    each sample, so let a document be its counts rather than its text. The same seed gives the same interval.

    Raises:
        InputError: no documents, fewer than one sample, or a confidence that is not between 0 and 1.
    """
    if not documents or samples < 1 or not 0 < confidence < 1:
        raise InputError(
            f"{len(documents)} documents, samples={samples}, confidence={confidence}; expected at least one "
            "document and one sample, and a confidence between 0 and 1."
        )
    generator = np.random.default_rng(seed)
    drawn = (generator.integers(len(documents), size=len(documents)) for _ in range(samples))
    values = [metric([documents[index] for index in indices]) for indices in drawn]
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(metric(documents), float(low), float(high))
