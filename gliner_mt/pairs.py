"""The head that relates spans: two span vectors and a relation's vector in, a logit out."""

from typing import NamedTuple, cast, final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class Pairs(NamedTuple):
    """Pairs of spans in the order of rows: all of shape (p,); `head` and `tail` index the spans."""

    row: Int[Tensor, " p"]
    head: Int[Tensor, " p"]
    tail: Int[Tensor, " p"]


@final
class PairHead(nn.Module):
    """Scores pairs of spans against labels: joint(cat(head, tail)) . label.

    `joint` is a two-layer projection, the `pair_rep_layer` of GLiNER's relex models. It is separable as the
    marker head is: its first layer is one product for each *span*, its last folds into the labels.
    """

    def __init__(self, joint: nn.Sequential) -> None:
        super().__init__()
        self.joint = joint

    def forward(
        self, spans: Float[Tensor, "n d"], labels: Float[Tensor, "b c d"], pairs: Pairs
    ) -> Float[Tensor, "p c"]:
        """Return the logits of pairs with the labels of their rows; one row of labels may stand for all."""
        first, dropout, last = cast(nn.Linear, self.joint[0]), self.joint[2], cast(nn.Linear, self.joint[3])
        split = spans.shape[-1]
        heads = spans @ first.weight[:, :split].T + first.bias
        tails = spans @ first.weight[:, split:].T
        folded, offset = labels @ last.weight, labels @ last.bias
        scores = []
        # Row by row, since a row has up to the square of its spans.
        counts = torch.bincount(pairs.row, minlength=1).tolist()
        for row, (head, tail) in enumerate(
            zip(torch.split(pairs.head, counts), torch.split(pairs.tail, counts), strict=True)
        ):
            asked = row if len(labels) > 1 else 0
            hidden = dropout((heads[head] + tails[tail]).relu())
            scores.append(hidden @ folded[asked].T + offset[asked])
        return torch.cat(scores)
