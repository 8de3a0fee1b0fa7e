"""DeBERTa-v2/v3 on a CPU: the answers of Hugging Face's encoder, close to the time of its linear layers alone.

Disentangled attention (He et al., arXiv 2006.03654, section 3.1) scores query i and key j by

    q_i . k_j  +  q_i . P_k[bucket(i - j)]  +  k_j . P_q[bucket(i - j)]

content to content, content to position (c2p), position to content (p2c). Three savings follow from that form:

- P_k and P_q depend on weights alone, so they are computed once.
- The position terms depend on i and j by i - j only. The product of `w` rows with the positions within their
  reach, in order of distance, holds their `w` x `t` scores as a skewed view: each row starts one element earlier.
  There is no index of `t` x `t` and nothing to gather, and in blocks of rows products stay in the CPU's cache.
- The rows of a batch do not meet, so padding is left out of everything.
"""

import math
from collections.abc import Iterable
from itertools import groupby
from typing import final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import DebertaV2Model, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.deberta_v2.modeling_deberta_v2 import (
    DebertaV2Encoder,
    DebertaV2Layer,
    DisentangledSelfAttention,
)

_BLOCK = 64
"""Tokens of a row whose position scores are computed at a time: more leave the cache, fewer waste calls."""
_RUN = 128
"""Rows of one length are attended together up to so many tokens."""
_CHUNK = 512
"""Tokens between two attentions at a time: the widest activations stay near the CPU."""

Tables = tuple[Tensor | None, Tensor | None]
"""P_k and P_q of a layer, scaled. *Shape:* (heads, positions, width of a head)."""


def speed_up(model: PreTrainedModel) -> None:
    """Make a `DebertaV2Model` faster at inference; other models, and all names of weights, stay as they are."""
    if isinstance(model, DebertaV2Model) and isinstance(model.encoder, DebertaV2Encoder):
        model.register_module("encoder", FastEncoder(model.encoder))


@final
class FastEncoder(nn.Module):
    """Stands for a `DebertaV2Encoder` and shares its modules.

    Left to the original: training, gradients, other devices than CPUs, attention maps, and masks that are more
    than padding at the end of rows.
    """

    def __init__(self, original: DebertaV2Encoder) -> None:
        super().__init__()
        for name, child in original.named_children():
            self.add_module(name, child)
        # One dictionary of children: what replaces a module here, such as an adapter, replaces it there.
        original._modules = self._modules
        self._original = (original,)  # in a tuple, so that no weight is registered twice
        self._tables: tuple[object, list[Tables]] | None = None

    def forward(
        self,
        hidden_states: Float[Tensor, "b t h"],
        attention_mask: Tensor,
        output_hidden_states: bool = True,
        output_attentions: bool = False,
        return_dict: bool = True,
    ) -> BaseModelOutput | tuple[Tensor, ...]:
        """Return the hidden states as the original does, but zeros on padding."""
        inference = not (self.training or torch.is_grad_enabled() or output_attentions) and return_dict
        lengths = None
        if inference and hidden_states.device.type == "cpu" and attention_mask.dim() == 2:
            lengths = _lengths(attention_mask.bool())
        if lengths is None:
            output: BaseModelOutput | tuple[Tensor, ...] = self._original[0](
                hidden_states, attention_mask, output_hidden_states, output_attentions, return_dict=return_dict
            )
            return output
        states = self._run(hidden_states, attention_mask, lengths)
        return BaseModelOutput(
            last_hidden_state=states[-1], hidden_states=tuple(states) if output_hidden_states else None
        )

    def _run(self, hidden: Float[Tensor, "b t h"], mask: Int[Tensor, "b t"], lengths: list[int]) -> list[Tensor]:
        original, t = self._original[0], hidden.shape[1]
        positions = self._reachable_positions(max(lengths)) if original.relative_attention else None
        packed, states = _pack(hidden, lengths), [hidden]
        for index, layer in enumerate(original.layer):
            packed = _run_layer(layer, packed, lengths, self._position_tables(index, positions, packed))
            states.append(_pad(packed, lengths, t))
            if index == 0 and original.conv is not None:
                states[-1] = original.conv(hidden, states[-1], mask)
                packed = _pack(states[-1], lengths)
        return states
