"""Which spans of a window are related at all: the filters before the pair head of GLiNER's relex models.

From the vectors of all spans found in a window, overlaps not yet resolved, an adjacency matrix is made
(`relations_layer` of the package `gliner`). A pair is linked if its entry is above a threshold; which
relation holds is the pair head's matter.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gliner_mt.pairs import Pairs

_HEADS = 8


class Links(nn.Module, ABC):
    """Says how probable it is that two spans of a row are related at all."""

    def forward(
        self, spans: Float[Tensor, "n d"], row: Int[Tensor, " n"], pairs: Pairs
    ) -> Float[Tensor, " p"]:
        """Return the probabilities of pairs; the spans of a row are all that is known of it."""
        links = spans.new_zeros(len(pairs.row))
        for one in sorted(set(pairs.row.tolist())):
            own, asked = (row == one).nonzero().squeeze(1), pairs.row == one
            adjacency = self.adjacency(spans[own])
            links[asked] = adjacency[pairs.head[asked] - own[0], pairs.tail[asked] - own[0]]
        return links

    @abstractmethod
    def adjacency(self, spans: Float[Tensor, "n d"]) -> Float[Tensor, "n n"]:
        """Return the probability of every link between some spans, from rows to columns."""


@final
class DotLinks(Links):
    """The products of span vectors; there is nothing to learn."""

    def adjacency(self, spans: Float[Tensor, "n d"]) -> Float[Tensor, "n n"]:
        """Return the sigmoid of the products."""
        return (spans @ spans.T).sigmoid()


@final
class BilinearLinks(Links):
    """The products of projected span vectors."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.proj = nn.Linear(size, size)

    def adjacency(self, spans: Float[Tensor, "n d"]) -> Float[Tensor, "n n"]:
        """Return the sigmoid of the products."""
        projected: Tensor = self.proj(spans)
        return (projected @ projected.T).sigmoid()


@final
class MLPLinks(Links):
    """Two layers on both span vectors."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(2 * size, size), nn.ReLU(), nn.Linear(size, 1))

    def adjacency(self, spans: Float[Tensor, "n d"]) -> Float[Tensor, "n n"]:
        """Return the sigmoid of the last layer."""
        n, size = spans.shape
        both = torch.cat([spans[:, None].expand(n, n, size), spans[None].expand(n, n, size)], dim=-1)
        scores: Tensor = self.mlp(both)
        return scores.squeeze(-1).sigmoid()


@final
class AttentionLinks(Links):
    """The mean weights of an attention of spans to each other."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(size, _HEADS)

    def adjacency(self, spans: Float[Tensor, "n d"]) -> Float[Tensor, "n n"]:
        """Return the weights; those of a row sum to one."""
        weights: Tensor = self.attn(spans, spans, spans)[1]
        return weights


@final
class GATLinks(Links):
    """The products of span vectors that have read each other."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(size, _HEADS)
        self.linear = nn.Linear(size, size)

    def adjacency(self, spans: Float[Tensor, "n d"]) -> Float[Tensor, "n n"]:
        """Return the sigmoid of the products."""
        read: Tensor = self.linear(self.attn(spans, spans, spans, need_weights=False)[0])
        return (read @ read.T).sigmoid()


@final
class GCNLinks(Links):
    """The products of span vectors after a graph convolution (arXiv 1609.02907, section 2) over dot links."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.gcn = nn.ModuleDict({"linear": nn.Linear(size, size)})
        self.proj = nn.Linear(size, size)

    def adjacency(self, spans: Float[Tensor, "n d"]) -> Float[Tensor, "n n"]:
        """Return the sigmoid of the products."""
        near = (spans @ spans.T).sigmoid() + torch.eye(len(spans), dtype=spans.dtype, device=spans.device)
        scale = near.sum(1).rsqrt()
        nodes = self.gcn["linear"](scale[:, None] * near * scale @ spans).relu()
        projected: Tensor = self.proj(nodes)
        return (projected @ projected.T).sigmoid()


LINKS: Mapping[str, Callable[[int], Links]] = {
    "attention": AttentionLinks,
    "bilinear": BilinearLinks,
    "dot": lambda _: DotLinks(),
    "gat": GATLinks,
    "gcn": GCNLinks,
    "mlp": MLPLinks,
}
