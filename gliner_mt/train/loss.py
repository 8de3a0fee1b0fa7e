"""The loss: logits and gold in, one number out."""

import torch
from accelerate.utils import extract_model_from_parallel
from jaxtyping import Float
from torch import Tensor

from gliner_mt.batch import Batch
from gliner_mt.heads import Gold, SpanHead
from gliner_mt.model import SpanMatcher
from gliner_mt.train.sampling import TrainBatch


def matcher_loss(model: SpanMatcher, batch: TrainBatch) -> Float[Tensor, ""]:
    """Return the `span_loss` of a model, as it is or wrapped for several processes."""
    head = extract_model_from_parallel(model).head
    return span_loss(head, model(batch.batch), batch.batch, batch.gold)


def span_loss(head: SpanHead, logits: Tensor, batch: Batch, gold: Gold) -> Float[Tensor, ""]:
    """Return the binary cross-entropy of every span and label that exist, summed, per row.

    As in GLiNER, arXiv 2311.08526, section 2.2.
    """
    logits = logits.float()
    loss = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, head.targets(logits, gold), reduction="none"
    )
    return loss.masked_fill(~head.valid(logits, batch.n_words, batch.n_labels), 0.0).sum() / len(batch.ids)
