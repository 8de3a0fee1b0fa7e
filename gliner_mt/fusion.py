"""Labels and words that read each other before they are matched: the poly-encoder's cross-attention."""

from collections.abc import Sequence
from typing import cast, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


@final
class Attention(nn.Module):
    """Scaled dot-product attention of `n_heads` heads, without a projection behind it."""

    def __init__(self, size: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.query_layer, self.key_layer, self.value_layer = (nn.Linear(size, size) for _ in range(3))
        self._n_heads = n_heads
        self._dropout = dropout

    def forward(
        self,
        query: Float[Tensor, "b q d"],
        key: Float[Tensor, "b k d"],
        value: Float[Tensor, "b k d"],
        seen: Bool[Tensor, "b k"],
    ) -> Float[Tensor, "b q d"]:
        """Return for each query the mean of the values seen, weighted."""
        parts = self.query_layer(query), self.key_layer(key), self.value_layer(value)
        q, k, v = (x.unflatten(-1, (self._n_heads, -1)).transpose(1, 2) for x in parts)
        dropout = self._dropout if self.training else 0.0
        mask = seen[:, None, None, :]
        context = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        return context.transpose(1, 2).flatten(2)


@final
class SelfBlock(nn.Module):
    """A sequence reads itself; what it read is added to its normalised input."""

    def __init__(self, size: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = Attention(size, n_heads, dropout)
        self.pre_norm, self.post_norm = nn.LayerNorm(size), nn.LayerNorm(size)
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(size, size) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(self, reader: Float[Tensor, "b q d"], seen: Bool[Tensor, "b q"]) -> Float[Tensor, "b q d"]:
        """Return the sequence's new vectors."""
        x = self.pre_norm(reader)
        read = self.self_attn(self.q_proj(x), self.k_proj(x), self.v_proj(x), seen)
        fused: Tensor = self.post_norm(x + self.dropout(read))
        return fused


@final
class CrossBlock(nn.Module):
    """A sequence reads another; what it read is added to its normalised input."""

    def __init__(self, size: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.cross_attn = Attention(size, n_heads, dropout)
        self.pre_norm, self.post_norm = nn.LayerNorm(size), nn.LayerNorm(size)
        self.v_proj = nn.Linear(size, size)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, reader: Float[Tensor, "b q d"], other: Float[Tensor, "b k d"], seen: Bool[Tensor, "b k"]
    ) -> Float[Tensor, "b q d"]:
        """Return the reader's new vectors."""
        x = self.pre_norm(reader)
        fused: Tensor = self.post_norm(x + self.dropout(self.cross_attn(x, other, self.v_proj(other), seen)))
        return fused


@final
class CrossFuser(nn.Module):
    """The poly-encoder's part (gliner 0.2.29, `CrossFuser`): blocks in the order of a schema, layer by layer.

    `schema` names the blocks of each layer, `l` for labels and `t` for words of the text: in `l2t`, labels
    read words. No block knows the order of the labels. At the end they pass `projection`.
    """

    def __init__(
        self,
        size: int,
        n_heads: int,
        n_layers: int,
        schema: Sequence[str],
        projection: nn.Module,
        dropout: float,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleList(
                (SelfBlock if block[0] == block[-1] else CrossBlock)(size, n_heads, dropout)
                for block in schema
            )
            for _ in range(n_layers)
        )
        self.projection = projection
        self._schema = tuple(schema)

    def forward(
        self,
        words: Float[Tensor, "b w d"],
        labels: Float[Tensor, "b c d"],
        n_words: Int[Tensor, " b"],
        n_labels: Int[Tensor, " b"],
    ) -> tuple[Float[Tensor, "b w d"], Float[Tensor, "b c d"]]:
        """Return the words and labels after they have read each other; padding is read by none."""
        vectors = {"l": labels, "t": words}
        seen = {"l": _within(n_labels, labels), "t": _within(n_words, words)}
        for layer in self.layers:
            for name, block in zip(self._schema, cast(nn.ModuleList, layer), strict=True):
                reader, other = name[0], name[-1]
                others = (vectors[other],) if reader != other else ()
                vectors[reader] = block(vectors[reader], *others, seen[other])
        return vectors["t"], self.projection(vectors["l"])


def _within(lengths: Int[Tensor, " b"], vectors: Float[Tensor, "b n d"]) -> Bool[Tensor, "b n"]:
    # The mean over nothing is no number: of an empty row, which training may draw, one place is seen.
    return torch.arange(vectors.shape[1], device=vectors.device) < lengths.clamp(min=1)[:, None]
