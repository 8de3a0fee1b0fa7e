"""A Hugging Face encoder behind one narrow call."""

from collections.abc import Iterator
from typing import final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from gliner_mt.backbones.attention import PACKED
from gliner_mt.backbones.packing import Packing, Run, packing_of
from gliner_mt.batch import Batch
from gliner_mt.tokenization import N_SHAPES


@final
class Backbone(nn.Module):
    """Runs a Hugging Face encoder over a batch.

    With `shapes`, an embedding of how each word is written (`word_shape`) is added to its sub-words: it gives
    a lower-casing vocabulary its capitals back. `first_position` is the position id of a row's first sub-word
    in the model's table; `sliding_window` the positions to either side that its local layers see, if any.
    With `hidden_shift` 1 the vector of a sub-word is the state of the one before it, which a decoder was
    trained to foresee it from (LLM2Vec's word tasks, arXiv 2404.05961); the first one keeps its own.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        shapes: nn.Embedding | None = None,
        *,
        first_position: int = 0,
        sliding_window: int | None = None,
        hidden_shift: int = 0,
    ) -> None:
        super().__init__()
        self.model = model
        self.shapes = shapes
        self._first_position = first_position
        self._sliding_window = sliding_window
        self._hidden_shift = hidden_shift

    @property
    def hidden_size(self) -> int:
        """Width of the vectors it returns."""
        return int(self.model.config.hidden_size)

    def forward(self, batch: Batch) -> Float[Tensor, "b t h"]:
        """Return the vector of each sub-word: the last hidden states. Those of padding mean nothing."""
        packed = self.model.config._attn_implementation == PACKED
        hidden = self._packed(batch) if packed else self._padded(batch)
        if self._hidden_shift:
            hidden = torch.cat([hidden[:, :1], hidden[:, :-1]], dim=1)
        return hidden

    def _packed(self, batch: Batch) -> Float[Tensor, "b t h"]:
        packing = packing_of(batch.groups >= 0)
        vectors = self._embed(packing.pack(batch.ids), packing.pack(batch.shapes))
        if batch.positions is None:
            positions, runs = packing.offsets[None], tuple(packing.runs())
        else:
            positions, runs = packing.pack(batch.positions), tuple(self._runs(batch, packing, vectors.dtype))
        positions = positions + self._first_position
        output = self.model(inputs_embeds=vectors, position_ids=positions, **packing.arguments(runs))
        return packing.unpack(output.last_hidden_state)

    def _padded(self, batch: Batch) -> Float[Tensor, "b t h"]:
        vectors = self._embed(batch.ids, batch.shapes)
        if batch.positions is None:
            output = self.model(inputs_embeds=vectors, attention_mask=(batch.groups >= 0).long())
        else:
            positions = batch.positions + self._first_position
            mask = self._mask(visible(batch.groups), batch.positions, vectors.dtype)
            output = self.model(inputs_embeds=vectors, attention_mask=mask, position_ids=positions)
        hidden: Tensor = output.last_hidden_state
        return hidden

    def _embed(self, ids: Int[Tensor, "b t"], shapes: Int[Tensor, "b t"]) -> Float[Tensor, "b t h"]:
        vectors: Tensor = self.model.get_input_embeddings()(ids)
        return vectors if self.shapes is None else vectors + self.shapes(shapes)

    def _runs(self, batch: Batch, packing: Packing, dtype: torch.dtype) -> Iterator[Run]:
        """Yield runs with the masks of labels that do not see each other."""
        if batch.positions is None:
            raise TypeError("only labels with positions of their own have masks")
        start = 0
        for run in packing.runs():
            rows = packing.rows[start : start + run.rows]
            groups, positions = (x[rows, : run.length] for x in (batch.groups, batch.positions))
            labels = (groups > 0).any(0).nonzero()
            seen, near = visible(groups), None
            if self._sliding_window is not None:
                near = additive(seen & _within(positions, self._sliding_window), dtype)
            # What stands behind the last label sees everything.
            masked = additive(seen[:, : int(labels.max()) + 1], dtype) if len(labels) else None
            yield Run(run.rows, run.length, masked, near)
            start += run.rows

    def _mask(
        self, seen: Bool[Tensor, "b t t"], positions: Int[Tensor, "b t"], dtype: torch.dtype
    ) -> Tensor | dict[str, Tensor]:
        if self._sliding_window is None:
            return additive(seen, dtype)
        local = additive(seen & _within(positions, self._sliding_window), dtype)
        return {"full_attention": additive(seen, dtype), "sliding_attention": local}


def shape_embedding(hidden_size: int) -> nn.Embedding:
    """Return an embedding of word shapes that changes nothing until it is trained."""
    embedding = nn.Embedding(N_SHAPES, hidden_size)
    nn.init.zeros_(embedding.weight)
    return embedding


def visible(groups: Int[Tensor, "b t"]) -> Bool[Tensor, "b t t"]:
    """Return the keys each query sees: group 0 sees and is seen by all, others see themselves and group 0."""
    query, key = groups[:, :, None], groups[:, None, :]
    return ((query == key) | (query == 0) | (key == 0)) & (key >= 0)


def _within(positions: Int[Tensor, "b t"], reach: int) -> Bool[Tensor, "b t t"]:
    # Distances are those of position ids: indices would bring the order of labels back.
    return (positions[:, :, None] - positions[:, None, :]).abs() <= reach


def additive(seen: Bool[Tensor, "b q t"], dtype: torch.dtype) -> Float[Tensor, "b 1 q t"]:
    """Return the mask that is added to attention scores: 0 where a key is seen, else the least number."""
    mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return mask.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]
