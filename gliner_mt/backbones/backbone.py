"""A Hugging Face encoder behind one narrow call."""

from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from gliner_mt.batch import Batch
from gliner_mt.tokenization import N_SHAPES


@final
class Backbone(nn.Module):
    """Runs a Hugging Face encoder over a batch.

    With `shapes`, an embedding of how each word is written (`word_shape`) is added to its sub-words: it gives
    a lower-casing vocabulary its capitals back.
    """

    def __init__(self, model: PreTrainedModel, shapes: nn.Embedding | None = None) -> None:
        super().__init__()
        self.model = model
        self.shapes = shapes

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
            mask = visibility(batch.groups, vectors.dtype)
            output = self.model(inputs_embeds=vectors, attention_mask=mask, position_ids=batch.positions)
        hidden: Tensor = output.last_hidden_state
        return hidden


def shape_embedding(hidden_size: int) -> nn.Embedding:
    """Return an embedding of word shapes that changes nothing until it is trained."""
    embedding = nn.Embedding(N_SHAPES, hidden_size)
    nn.init.zeros_(embedding.weight)
    return embedding


def visibility(groups: Int[Tensor, "b t"], dtype: torch.dtype) -> Float[Tensor, "b 1 t t"]:
    """Return the additive mask in which group 0 sees and is seen by all, other groups see themselves and 0."""
    query, key = groups[:, :, None], groups[:, None, :]
    visible = ((query == key) | (query == 0) | (key == 0)) & (key >= 0)
    mask = torch.zeros(visible.shape, dtype=dtype, device=groups.device)
    return mask.masked_fill_(~visible, torch.finfo(dtype).min)[:, None]
