"""The loss: logits and gold in, one number out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from accelerate.utils import extract_model_from_parallel
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from gliner_mt.batch import Batch
from gliner_mt.config import one_of
from gliner_mt.errors import ConfigError
from gliner_mt.heads import Gold, SpanHead
from gliner_mt.model import SpanMatcher
from gliner_mt.train.questions import TrainBatch

REDUCTIONS = ("sum", "mean", "balanced")

Element = Callable[[Tensor, Tensor], Tensor]
"""The loss of each decision: logits and targets (0 to 1) in, losses out, all of one shape."""
RowSum = Callable[[Tensor], Float[Tensor, " b"]]
"""Adds up what belongs to each row of a batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LossConfig:
    """How wrong decisions are counted. The default is the loss of GLiNER (arXiv 2311.08526, section 2.2).

    Attributes:
        reduction: `sum` of the decisions of a row; their `mean`; or `balanced`, the mean of the right ones
            plus the mean of the wrong ones, which no number of labels or widths shifts. The batch's loss is
            the mean over its rows. GLiNER's `sum` is that times the rows; its `mean` divides by spans.
        smoothing: share of a target that is moved to one half (arXiv 1512.00567, section 7, for two classes).
        focal_gamma: how much less a decision counts, the surer it is; 0: all alike (arXiv 1708.02002, eq. 4).
        focal_alpha: weight of what is right, from 0 to 1; 1 - alpha is that of what is wrong (eq. 5 there).
        hard_negatives: how much more a wrong span counts at a score of 1: 1 + hard_negatives * score, as if
            wrong spans were mined by their score (arXiv 1604.03540, section 4), but without a cut.
    """

    reduction: str = "sum"
    smoothing: float = 0.0
    focal_gamma: float = 0.0
    focal_alpha: float | None = None
    hard_negatives: float = 0.0

    def __post_init__(self) -> None:
        one_of("reduction", self.reduction, REDUCTIONS)
        if not 0.0 <= self.smoothing < 1.0:
            raise ConfigError(f"smoothing is {self.smoothing}; expected 0 or more, less than 1.")
        if self.focal_alpha is not None and not 0.0 <= self.focal_alpha <= 1.0:
            raise ConfigError(f"focal_alpha is {self.focal_alpha}; expected a number from 0 to 1.")
        for name in ("focal_gamma", "hard_negatives"):
            if getattr(self, name) < 0.0:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 0 or more.")


class Recalled(NamedTuple):
    """Rows (b,) of a batch, and what a teacher finds right in them: the shape of their logits, 0 to 1."""

    rows: Bool[Tensor, " b"]
    right: Tensor


@dataclass(frozen=True, slots=True)
class DecisionLoss:
    """The loss of decisions: each is judged by `element`, and `reduce` makes one number of those of a row."""

    element: Element
    reduce: Callable[[Tensor, Tensor, Tensor, RowSum], Float[Tensor, " b"]]

    def of_rows(self, logits: Tensor, right: Tensor, asked: Tensor, of_row: RowSum) -> Float[Tensor, " b"]:
        """Return the loss of each row; `right` (0 or 1) and `asked` have the shape of the logits."""
        # What does not count may hold anything, and must not reach the gradient either.
        losses = self.element(logits.float().masked_fill(~asked, 0.0), right)
        return self.reduce(losses.masked_fill(~asked, 0.0), right, asked, of_row)


def build_loss(config: LossConfig) -> DecisionLoss:
    """Return the loss that `config` describes."""
    element: Element = cross_entropy
    if config.focal_gamma:
        element = focal(element, config.focal_gamma)
    if config.focal_alpha is not None:
        element = weighted(element, config.focal_alpha)
    if config.hard_negatives:
        element = hard_negatives(element, config.hard_negatives)
    if config.smoothing:
        element = smoothed(element, config.smoothing)
    return DecisionLoss(
        element, {"sum": sum_of_row, "mean": mean_of_row, "balanced": balance}[config.reduction]
    )


def matcher_loss(
    model: SpanMatcher,
    batch: TrainBatch,
    loss: DecisionLoss | None = None,
    teacher: SpanMatcher | None = None,
) -> Float[Tensor, ""]:
    """Return the loss of a model, as it is or wrapped for several processes: that of all that is asked.

    Each span, stated span and pair is one decision for each label asked of it, and all count alike: the three
    are added. `loss` judges them, GLiNER's if None; with `functools.partial` it is what a `Run` takes. In
    rows that are `recalled`, what is right of the spans is the `teacher`'s probability (arXiv 1606.09282,
    equation 2, for two classes, at a temperature of 1).
    """
    judge = build_loss(LossConfig()) if loss is None else loss
    head, n_rows, targets = extract_model_from_parallel(model).head, len(batch.batch.ids), batch.targets
    if targets is None:
        return span_loss(head, model(batch.batch).spans, batch.batch, batch.gold, loss=judge)
    scores, told = model(batch.batch, targets.asked), None
    if teacher is not None and batch.recalled is not None:
        told = Recalled(batch.recalled, _probabilities(teacher, batch.batch.rows(batch.recalled)))
    total = span_loss(head, scores.spans, batch.batch, batch.gold, targets.n_free, judge, told)
    for logits, right, asked, row in (
        (scores.stated, targets.stated, targets.stated_asked, targets.asked.stated.row),
        (scores.pairs, targets.pairs, targets.pairs_asked, targets.asked.pairs.row),
    ):
        if logits is not None:
            total = total + judge.of_rows(logits, right, asked, by_row_of(row, n_rows)).mean()
    return total


def span_loss(
    head: SpanHead,
    logits: Tensor,
    batch: Batch,
    gold: Gold,
    n_labels: Int[Tensor, " b"] | None = None,
    loss: DecisionLoss | None = None,
    recalled: Recalled | None = None,
) -> Float[Tensor, ""]:
    """Return the loss of every span and label that exist, by row, averaged over the rows.

    `n_labels`: how many labels of each row are matched with spans; None is all. What is `recalled` stands in
    the place of gold.
    """
    judge = build_loss(LossConfig()) if loss is None else loss
    valid = head.valid(logits, batch.n_words, batch.n_labels if n_labels is None else n_labels)
    right = head.targets(logits.float(), gold)
    if recalled is not None:
        right[recalled.rows] = recalled.right
    return judge.of_rows(logits, right, valid.expand_as(logits), of_first_dimension).mean()


@torch.no_grad()
def _probabilities(teacher: SpanMatcher, batch: Batch) -> Tensor:
    spans: Tensor = teacher(batch).spans
    return spans.float().sigmoid()


def of_first_dimension(values: Tensor) -> Float[Tensor, " b"]:
    """Add up (b ...) by row."""
    return values.flatten(1).sum(1)


def by_row_of(row: Int[Tensor, " n"], n_rows: int) -> RowSum:
    """Return what adds up (n c) by the row of each of the n things."""

    def of_row(values: Float[Tensor, "n c"]) -> Float[Tensor, " b"]:
        sums = values.sum(1)
        return sums.new_zeros(n_rows).index_add(0, row, sums)

    return of_row


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the binary cross-entropy of each decision, of any shape."""
    return binary_cross_entropy_with_logits(logits, targets, reduction="none")


def focal(loss: Element, gamma: float) -> Element:
    """Weigh each decision by (1 - p)^gamma, p the probability of its target (arXiv 1708.02002, eq. 4)."""

    def element(logits: Tensor, targets: Tensor) -> Tensor:
        scores = logits.sigmoid()
        unsure = scores * (1 - targets) + (1 - scores) * targets
        return loss(logits, targets) * unsure.clamp(min=1e-6) ** gamma  # a root has no gradient at 0

    return element


def weighted(loss: Element, alpha: float) -> Element:
    """Weigh what is right by alpha and what is wrong by 1 - alpha (arXiv 1708.02002, eq. 5)."""
    return lambda logits, targets: loss(logits, targets) * (alpha * targets + (1 - alpha) * (1 - targets))


def hard_negatives(loss: Element, weight: float) -> Element:
    """Weigh what is wrong by 1 + weight * score: the surer a mistake, the more it counts."""

    def element(logits: Tensor, targets: Tensor) -> Tensor:
        return loss(logits, targets) * (1 + weight * logits.detach().sigmoid() * (1 - targets))

    return element


def smoothed(loss: Element, share: float) -> Element:
    """Move a share of each target to one half before it is judged (arXiv 1512.00567, section 7)."""
    return lambda logits, targets: loss(logits, targets * (1 - share) + share / 2)


def sum_of_row(losses: Tensor, right: Tensor, asked: Bool[Tensor, "..."], of_row: RowSum) -> Tensor:
    """Return the sum of a row's decisions."""
    return of_row(losses)


def mean_of_row(losses: Tensor, right: Tensor, asked: Bool[Tensor, "..."], of_row: RowSum) -> Tensor:
    """Return the mean of a row's decisions, 0 if it has none."""
    return of_row(losses) / of_row(asked.float()).clamp(min=1)


def balance(losses: Tensor, right: Tensor, asked: Bool[Tensor, "..."], of_row: RowSum) -> Tensor:
    """Return the mean of what is right in a row plus the mean of what is wrong."""
    is_right = right > 0.5
    return sum(
        (
            mean_of_row(losses.masked_fill(~part, 0.0), right, asked & part, of_row)
            for part in (is_right, ~is_right)
        ),
        torch.zeros((), device=losses.device),
    )
