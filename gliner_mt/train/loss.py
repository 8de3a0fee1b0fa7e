"""The loss: logits and gold in, one number out."""

import torch
from accelerate.utils import extract_model_from_parallel
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gliner_mt.batch import Batch
from gliner_mt.heads import Gold, SpanHead
from gliner_mt.model import SpanMatcher
from gliner_mt.train.questions import TrainBatch


def matcher_loss(model: SpanMatcher, batch: TrainBatch) -> Float[Tensor, ""]:
    """Return the loss of a model, as it is or wrapped for several processes: that of all that is asked.

    Each span, stated span and pair is one decision for each label asked of it, and all count alike.
    """
    head, n_rows, targets = extract_model_from_parallel(model).head, len(batch.batch.ids), batch.targets
    if targets is None:
        return span_loss(head, model(batch.batch).spans, batch.batch, batch.gold)
    scores = model(batch.batch, targets.asked)
    loss = span_loss(head, scores.spans, batch.batch, batch.gold, targets.n_free)
    for logits, right, asked in (
        (scores.stated, targets.stated, targets.stated_asked),
        (scores.pairs, targets.pairs, targets.pairs_asked),
    ):
        if logits is not None:
            loss = loss + decision_loss(logits, right, asked) / n_rows
    return loss


def span_loss(
    head: SpanHead, logits: Tensor, batch: Batch, gold: Gold, n_labels: Int[Tensor, " b"] | None = None
) -> Float[Tensor, ""]:
    """Return the binary cross-entropy of every span and label that exist, summed, per row.

    As in GLiNER, arXiv 2311.08526, section 2.2. `n_labels`: how many labels of each row are matched with
    spans; None is all.
    """
    logits = logits.float()
    loss = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, head.targets(logits, gold), reduction="none"
    )
    valid = head.valid(logits, batch.n_words, batch.n_labels if n_labels is None else n_labels)
    return loss.masked_fill(~valid, 0.0).sum() / len(batch.ids)


def decision_loss(
    logits: Float[Tensor, "n c"], right: Float[Tensor, "n c"], asked: Bool[Tensor, "n c"]
) -> Float[Tensor, ""]:
    """Return the binary cross-entropy of given spans or pairs with the labels asked of them, summed."""
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), right, reduction="none")
    return loss.masked_fill(~asked, 0.0).sum()
