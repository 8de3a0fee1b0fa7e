"""How far a figure would move with other documents: bootstrap confidence intervals."""

from collections.abc import Callable, Mapping, Sequence
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
    return bootstrap_intervals(
        documents, lambda drawn: {"": metric(drawn)}, samples=samples, confidence=confidence, seed=seed
    )[""]


def bootstrap_intervals(
    documents: Sequence[T],
    metrics: Callable[[Sequence[T]], Mapping[str, float]],
    *,
    samples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return intervals as `bootstrap_interval` does, of several figures of the same samples.

    `metrics` may leave out what a sample does not define; a figure's interval is over the other samples.
    """
    if not documents or samples < 1 or not 0 < confidence < 1:
        raise InputError(
            f"{len(documents)} documents, samples={samples}, confidence={confidence}; expected at least one "
            "document and one sample, and a confidence between 0 and 1."
        )
    generator = np.random.default_rng(seed)
    drawn = (generator.integers(len(documents), size=len(documents)) for _ in range(samples))
    values = [metrics([documents[index] for index in indices]) for indices in drawn]
    tail = (1 - confidence) / 2
    found = {}
    for name, value in metrics(documents).items():
        low, high = np.quantile([one[name] for one in values if name in one], [tail, 1 - tail])
        found[name] = Interval(float(value), float(low), float(high))
    return found
