"""The head that relates spans: two span vectors and a relation's vector in, a logit out.

Two vectors hardly tell which of several spans of the right types belong together: `PairContext` adds where
they stand and what is said between them.
"""

from typing import NamedTuple, cast, final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gliner_mt.heads import Spans


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
        self,
        spans: Float[Tensor, "n d"],
        labels: Float[Tensor, "b c d"],
        pairs: Pairs,
        context: Float[Tensor, "p h"] | None = None,
    ) -> Float[Tensor, "p c"]:
        """Return the logits of pairs with the labels of their rows; one row of labels may stand for all.

        `context` is added to the first layer of the joint projection.
        """
        first, dropout, last = cast(nn.Linear, self.joint[0]), self.joint[2], cast(nn.Linear, self.joint[3])
        split = spans.shape[-1]
        heads = spans @ first.weight[:, :split].T + first.bias
        tails = spans @ first.weight[:, split:].T
        folded, offset = labels @ last.weight, labels @ last.bias
        scores, at = [], 0
        # Row by row, since a row has up to the square of its spans.
        for row, count in enumerate(torch.bincount(pairs.row, minlength=1).tolist()):
            asked, own = row if len(labels) > 1 else 0, slice(at, at + count)
            hidden = heads[pairs.head[own]] + tails[pairs.tail[own]]
            if context is not None:
                hidden = hidden + context[own]
            scores.append(dropout(hidden.relu()) @ folded[asked].T + offset[asked])
            at += count
        return torch.cat(scores)


@final
class PairContext(nn.Module):
    """What stands between two spans (the mean of its words), how far apart they are, and which comes first.

    SpERT (arXiv 1909.07755, section 3.3) takes the words between two spans as their context; the mean, unlike
    its maximum, is a difference of running sums, so a pair costs no more than its two spans do.
    """

    def __init__(self, size: int, hidden: int) -> None:
        super().__init__()
        self.between = nn.Linear(size, hidden, bias=False)
        self.distance = nn.Embedding(2 * DISTANCES, hidden)
        nn.init.zeros_(self.distance.weight)

    def forward(self, words: Float[Tensor, "b w d"], ends: Spans, pairs: Pairs) -> Float[Tensor, "p h"]:
        """Return a vector for each pair of the spans `ends`."""
        head_first = ends.word_start[pairs.head] <= ends.word_start[pairs.tail]
        start = ends.word_end[pairs.head].where(head_first, ends.word_end[pairs.tail])
        end = ends.word_start[pairs.tail].where(head_first, ends.word_start[pairs.head])
        gap = (end - start).clamp(min=0)
        rows, row = torch.unique(pairs.row, return_inverse=True)
        sums = nn.functional.pad(self.between(words[rows]).float().cumsum(1), (0, 0, 1, 0))
        between = (sums[row, start + gap] - sums[row, start]) / gap.clamp(min=1)[:, None]
        steps = torch.where(gap > 0, gap.float().log2().floor() + 1, 0).long().clamp(max=DISTANCES - 1)
        apart: Tensor = self.distance(steps + DISTANCES * head_first.long())
        return between + apart


DISTANCES = 9
"""Steps of distance, each twice as far as the one before: none, 1, 2, 4 … 128 words and more."""
