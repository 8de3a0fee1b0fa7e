"""A Hugging Face encoder behind one narrow call."""

from typing import final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from gliner_mt.batch import Batch
from gliner_mt.tokenization import N_SHAPES


@final
class Backbone(nn.Module):
    """Runs a Hugging Face encoder over a batch.

    With `shapes`, an embedding of how each word is written (`word_shape`) is added to its sub-words: it gives
    a lower-casing vocabulary its capitals back. `first_position` is the position id of a row's first sub-word
    in the model's table; `sliding_window` the positions to either side that its local layers see, if any.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        shapes: nn.Embedding | None = None,
        *,
        first_position: int = 0,
        sliding_window: int | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.shapes = shapes
        self._first_position = first_position
        self._sliding_window = sliding_window

    @property
    def hidden_size(self) -> int:
        """Width of the vectors it returns."""
        return int(self.model.config.hidden_size)

    def forward(self, batch: Batch) -> Float[Tensor, "b t h"]:
        """Return the last hidden states."""
        embedding = self.model.get_input_embeddings()
        vectors = embedding(batch.ids)
        if self.shapes is not None:
            vectors = vectors + self.shapes(batch.shapes)
        if batch.positions is None:
            output = self.model(inputs_embeds=vectors, attention_mask=(batch.groups >= 0).long())
        else:
            positions = batch.positions + self._first_position
            mask = self._mask(visible(batch.groups), batch.positions, vectors.dtype)
            output = self.model(inputs_embeds=vectors, attention_mask=mask, position_ids=positions)
        hidden: Tensor = output.last_hidden_state
        return hidden

    def _mask(
        self, seen: Bool[Tensor, "b t t"], positions: Int[Tensor, "b t"], dtype: torch.dtype
    ) -> Tensor | dict[str, Tensor]:
        if self._sliding_window is None:
            return additive(seen, dtype)
        # Distances are those of position ids: indices would bring the order of labels back.
        distance = (positions[:, :, None] - positions[:, None, :]).abs()
        local = additive(seen & (distance <= self._sliding_window), dtype)
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


def additive(seen: Bool[Tensor, "b t t"], dtype: torch.dtype) -> Float[Tensor, "b 1 t t"]:
    """Return the mask that is added to attention scores: 0 where a key is seen, else the least number."""
    mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return mask.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]
