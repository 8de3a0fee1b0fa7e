"""Scores that mean what they say, and thresholds that suit the data, fitted on examples. Pure Python.

A span that is found is one decision, right or wrong. Temperature scaling (arXiv 1706.04599, section 4.2)
divides logits by one number, so that of the spans with a score of 0.8 about 80% are right. It changes no
order of scores.
"""

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from gliner_mt.config import Thresholds
from gliner_mt.errors import InputError
from gliner_mt.metrics.counts import F1
from gliner_mt.tasks import Kind
from gliner_mt.tasks.parsing import sigmoid
from gliner_mt.types import Example, Span

FLOOR = 0.05
"""The score from which spans are looked at."""

_BINS = 10
_SHARPEST, _SOFTEST = 0.2, 5.0  # temperatures; beyond them there are too few mistakes to tell
_LARGEST_LOGIT = 15.0  # scores are float32: nearer to 0 and 1 they say no more


class Decision(NamedTuple):
    """A span that was found: its label, its score, and whether it is right."""

    label: str
    score: float
    right: bool


class Bin(NamedTuple):
    """Decisions of nearly the same score: their mean score, the share that is right, how many they are."""

    score: float
    right: float
    size: int


@dataclass(frozen=True, slots=True)
class Reliability:
    """How well scores tell the chance of being right, and how good the spans above the thresholds are.

    `ece`: the expected calibration error, the mean distance of score and share over the bins, weighted by
    their sizes (arXiv 1706.04599, equation 3). `counts` are those of the spans above their thresholds.
    """

    bins: tuple[Bin, ...]
    counts: F1

    @property
    def ece(self) -> float:
        """The expected calibration error, 0 to 1."""
        total = sum(one.size for one in self.bins)
        return sum(one.size * abs(one.score - one.right) for one in self.bins) / max(1, total)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was fitted: temperature and thresholds, and how good they are, before and after.

    `n_examples`, `n_found`: examples, and spans found in them. `beta`: the thresholds' F-measure.
    """

    thresholds: Thresholds
    beta: float
    n_examples: int
    n_found: int
    before: Reliability
    after: Reliability

    def __str__(self) -> str:
        fitted = self.thresholds
        own = ", ".join(f"{label} {value:.2f}" for label, value in fitted.label_thresholds.items())
        rows = [
            f"temperature {fitted.temperature:.3f}, threshold {fitted.threshold:.3f}; own: {own or 'none'}",
            f"from {self.n_found} spans found in {self.n_examples} examples",
        ]
        for name, one in (("before", self.before), ("after", self.after)):
            f = f_beta(one.counts, self.beta)
            rows.append(f"{name:6}  ECE {100 * one.ece:4.1f}%  F{self.beta:g} {100 * f:4.1f}%")
        rows += ["score   right   spans"]
        rows += [f"{one.score:5.2f}  {one.right:6.2f}  {one.size:6}" for one in self.after.bins]
        return "\n".join(rows)

    def save_plot(self, path: str | Path) -> None:
        """Write a reliability diagram, before and after, as SVG."""
        Path(path).write_text(_svg(self), encoding="utf-8")


def decisions_of(
    examples: Sequence[Example], found: Sequence[Sequence[Span]]
) -> tuple[list[Decision], Counter[str]]:
    """Return the spans found in the examples as decisions, and how many gold spans each label has.

    Raises:
        InputError: there is no example, no gold span, or none was found.
    """
    decisions: list[Decision] = []
    n_gold: Counter[str] = Counter()
    for example, spans in zip(examples, found, strict=True):
        gold = {(one.start, one.end, one.label) for one in example.entities if one.label in example.labels}
        n_gold.update(label for _, _, label in gold)
        decisions += [
            Decision(one.label, one.score, (one.start, one.end, one.label) in gold) for one in spans
        ]
    n_right = sum(one.right for one in decisions)
    if not n_right:
        raise InputError(
            f"{len(examples)} examples have {n_gold.total()} annotated spans; {len(decisions)} were found, "
            "and none of them is right. Give examples with labels that the model knows, or train it first."
        )
    return decisions, n_gold


def fit_temperature(decisions: Sequence[Decision]) -> float:
    """Return the temperature under which the decisions are likeliest; 1 if all are right, or all wrong.

    The slope of its logarithm falls as 1 / temperature rises, so it has one root at most.
    """
    if len({one.right for one in decisions}) < 2:
        return 1.0
    logits = [(_logit(one.score), one.right) for one in decisions]
    low, high = 1 / _SOFTEST, 1 / _SHARPEST
    for _ in range(40):
        middle = (low + high) / 2
        if sum((sigmoid(middle * logit) - right) * logit for logit, right in logits) < 0:
            low = middle
        else:
            high = middle
    return 2 / (low + high)


def tempered(score: float, temperature: float) -> float:
    """Return a score after its logit is divided by `temperature`."""
    return score if temperature == 1.0 else sigmoid(_logit(score) / temperature)


def best_threshold(decisions: Sequence[Decision], n_gold: int, beta: float, floor: float) -> float:
    """Return the threshold of the best F-measure, in the middle between two scores; the highest of equals.

    `floor`: the least score that a decision could have.
    """
    scores = sorted(decisions, key=lambda one: -one.score)
    steps = [(score, list(group)) for score, group in groupby(scores, key=lambda one: one.score)]
    best, threshold, right, wrong = -1.0, 1.0, 0, 0
    belows = [*(score for score, _ in steps[1:]), floor]
    for (score, group), below in zip(steps, belows, strict=False):
        right += sum(one.right for one in group)
        wrong += sum(not one.right for one in group)
        f = f_beta(F1(right, wrong, n_gold - right), beta)
        if f > best:
            best, threshold = f, (score + below) / 2
    return threshold


def calibrate(
    decisions: Sequence[Decision],
    n_gold: Mapping[str, int],
    *,
    beta: float,
    least: int,
    current: Thresholds,
    n_examples: int,
) -> Calibration:
    """Fit a temperature and the thresholds of entities; labels with `least` gold spans get their own.

    `current`: those under which the scores were made. Thresholds of other kinds move with the temperature,
    and let the same through.
    """
    if not beta > 0 or not math.isfinite(beta):
        raise InputError(f"beta is {beta!r}; expected a number above 0: 1, or more where recall counts more.")
    factor = fit_temperature(decisions)
    scored = [one._replace(score=tempered(one.score, factor)) for one in decisions]
    floor, total = tempered(FLOOR, factor), sum(n_gold.values())
    threshold = best_threshold(scored, total, beta, floor)
    by_label = defaultdict(list)
    for one in scored:
        by_label[one.label].append(one)
    of_labels = {
        label: best_threshold(by_label[label], count, beta, floor)
        for label, count in sorted(n_gold.items())
        if count >= least and any(one.right for one in by_label[label])
    }
    others = (kind for kind in Kind if kind is not Kind.ENTITIES)
    of_kinds = {kind.value: tempered(current.of(kind), factor) for kind in others}
    fitted = Thresholds(threshold, of_kinds, of_labels, current.temperature * factor)
    return Calibration(
        thresholds=fitted,
        beta=beta,
        n_examples=n_examples,
        n_found=len(decisions),
        before=reliability(decisions, total, current),
        after=reliability(scored, total, fitted),
    )


def reliability(decisions: Sequence[Decision], n_gold: int, thresholds: Thresholds) -> Reliability:
    """Return how reliable scores are, and the counts of the decisions above their thresholds."""
    edges = [(n + 1) / _BINS for n in range(_BINS - 1)]
    in_bin = defaultdict(list)
    for one in decisions:
        in_bin[bisect_left(edges, one.score)].append(one)
    bins = tuple(
        Bin(sum(one.score for one in some) / len(some), sum(one.right for one in some) / len(some), len(some))
        for _, some in sorted(in_bin.items())
    )
    kept = [one for one in decisions if one.score > thresholds.of(Kind.ENTITIES, one.label)]
    right = sum(one.right for one in kept)
    return Reliability(bins, F1(right, len(kept) - right, n_gold - right))


def f_beta(counts: F1, beta: float) -> float:
    """Return the F-measure in which recall counts `beta` times as much as precision."""
    weight = beta * beta
    all_of_it = (1 + weight) * counts.tp + weight * counts.fn + counts.fp
    return (1 + weight) * counts.tp / all_of_it if all_of_it else 0.0


def _logit(score: float) -> float:
    if not 0.0 < score < 1.0:
        return math.copysign(_LARGEST_LOGIT, score - 0.5)
    return max(-_LARGEST_LOGIT, min(_LARGEST_LOGIT, math.log(score / (1 - score))))


def _svg(calibration: Calibration) -> str:
    """Return a reliability diagram: the share that is right over the score; larger dots for fuller bins."""
    size, edge = 300, 40
    most = max(one.size for side in (calibration.before, calibration.after) for one in side.bins)

    def at(x: float, y: float) -> tuple[str, str]:
        return f"{edge + size * x:.1f}", f"{edge + size * (1 - y):.1f}"

    (left, bottom), (right, top) = at(0, 0), at(1, 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size + 2 * edge} {size + 2 * edge}" '
        'font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<path d="M{left} {top}V{bottom}H{right}M{left} {bottom}L{right} {top}" fill="none" stroke="#999"/>',
        f'<text x="{edge + size / 2}" y="{size + edge + 28}" text-anchor="middle">score</text>',
        f'<text x="{edge - 26}" y="{edge - 12}">share that is right</text>',
    ]
    for tick in (0.0, 0.5, 1.0):
        (x, y), (_, base) = at(0, tick), at(tick, 0)
        parts.append(f'<text x="{edge - 6}" y="{y}" text-anchor="end">{tick:g}</text>')
        parts.append(
            f'<text x="{at(tick, 0)[0]}" y="{float(base) + 14}" text-anchor="middle">{tick:g}</text>'
        )
    sides = (("before", "#b0b0b0", calibration.before), ("after", "#1f77b4", calibration.after))
    for n, (name, colour, side) in enumerate(sides):
        points = [at(one.score, one.right) for one in side.bins]
        line = " ".join(",".join(point) for point in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for (x, y), one in zip(points, side.bins, strict=True):
            radius = 2 + 6 * (one.size / most) ** 0.5
            parts.append(f'<circle cx="{x}" cy="{y}" r="{radius:.1f}" fill="{colour}"/>')
        text = f"{name}: ECE {100 * side.ece:.1f}%"
        parts.append(f'<text x="{edge + 12}" y="{edge + 16 + 15 * n}" fill="{colour}">{text}</text>')
    return "\n".join([*parts, "</svg>", ""])
