"""DeBERTa-v2/v3 on a CPU: what Hugging Face's encoder answers, in little more time than linear layers take.

Disentangled attention (He et al., arXiv 2006.03654, section 3) scores query i and key j by

    q_i . k_j  +  q_i . P_k[bucket(i - j)]  +  k_j . P_q[bucket(i - j)]

content to content, content to position (c2p), position to content (p2c). Three savings follow from that form:

- P_k and P_q depend on weights alone, so they are computed once.
- The position terms depend on i and j by i - j only. The product of `w` tokens with the positions they can
  reach, in order of distance, holds their `w` x `t` scores as a skewed view: each row starts one element
  earlier. No index of `t` x `t` is made, nothing is gathered, and blocks of tokens stay in the CPU's cache.
- The rows of a batch do not meet, so padding is left out of everything.
"""

import math
from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, cast, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

if TYPE_CHECKING:  # importing it compiles code that other families do not need
    from transformers.models.deberta_v2.modeling_deberta_v2 import (
        DebertaV2Encoder,
        DebertaV2Layer,
        DisentangledSelfAttention,
    )

Positions = tuple[Float[Tensor, "heads n d"], Float[Tensor, "heads n d"]]
"""P_k and P_q of a layer, scaled."""

# Measured on cores with 1 MB of second-level cache; whatever is near does as well.
_BLOCK = 64  # tokens whose position scores are computed at a time: more leave the cache, fewer waste calls
# For each thread:
_RUN = 64  # tokens up to which rows of one length are attended together
_SCORES = 1 << 18  # scores of attention at a time: in long rows, heads take turns
_CHUNK = 256  # tokens between two attentions at a time: the widest activations stay near the CPU


def speed_up(model: PreTrainedModel) -> None:
    """Make a `DebertaV2Model` faster on CPUs; other models and the names of weights stay as they are."""
    config = model.config
    if config.model_type != "deberta-v2" or isinstance(model.encoder, FastEncoder):
        return
    if config.relative_attention and {"c2p", "p2c"} <= set(config.pos_att_type or ()):
        model.register_module("encoder", FastEncoder(cast("DebertaV2Encoder", model.encoder)))


@final
class FastEncoder(nn.Module):
    """Stands for a `DebertaV2Encoder` with both position terms, and shares its modules.

    Left to the original: devices other than CPUs, attention maps, masks that hide more than the ends of rows,
    and layers that are compiled, computed anew for the gradient or hooked, as FSDP does.
    """

    def __init__(self, original: "DebertaV2Encoder") -> None:
        super().__init__()
        for name, child in original.named_children():
            self.add_module(name, child)
        # One dictionary of children: what replaces a module here, such as an adapter, replaces it there.
        original._modules = self._modules
        self.training = original.training
        self._original = (original,)  # in a tuple, so that no weight is registered twice
        self._cache: tuple[object, list[Positions]] = (None, [])

    def forward(
        self,
        hidden_states: Float[Tensor, "b t h"],
        attention_mask: Tensor,
        output_hidden_states: bool = True,
        output_attentions: bool = False,
        return_dict: bool = True,
    ) -> BaseModelOutput | tuple[Tensor, ...]:
        """Return the hidden states as the original does, except that those of padding are zero."""
        lengths = None
        plain = return_dict and not output_attentions and attention_mask.dim() == 2
        if plain and hidden_states.device.type == "cpu" and not any(map(_is_wrapped, self._layers)):
            lengths = _lengths(attention_mask.bool())
        if lengths is None:
            output: BaseModelOutput | tuple[Tensor, ...] = self._original[0](
                hidden_states,
                attention_mask,
                output_hidden_states,
                output_attentions,
                return_dict=return_dict,
            )
            return output
        states = self._run(hidden_states, attention_mask, lengths)
        return BaseModelOutput(states[-1], states if output_hidden_states else None)  # type: ignore[arg-type]

    def _run(
        self, hidden: Float[Tensor, "b t h"], mask: Int[Tensor, "b t"], lengths: list[int]
    ) -> tuple[Float[Tensor, "b t h"], ...]:
        original = self._original[0]
        index = _reachable(original, max(lengths))
        packed, states = _pack(hidden, lengths), [hidden]
        for layer, (keys, queries) in zip(self._layers, self._positions(), strict=True):
            near = keys.index_select(1, index.flip(0)), queries.index_select(1, index)
            packed = _run_layer(layer, packed, lengths, near)
            states.append(_pad(packed, lengths, hidden.shape[1]))
            if len(states) == 2 and original.conv is not None:
                states[-1] = original.conv(hidden, states[-1], mask)
                packed = _pack(states[-1], lengths)
        return tuple(states)

    @property
    def _layers(self) -> list["DebertaV2Layer"]:
        return [cast("DebertaV2Layer", layer) for layer in self._original[0].layer]

    def _positions(self) -> list[Positions]:
        """Return P_k and P_q of every layer at every position, computed anew only if weights have changed."""
        if self.training or torch.is_grad_enabled():
            return self._projected()
        stamp = self._stamp()
        cached, positions = self._cache
        if stamp is None or stamp != cached:
            positions = self._projected()
            self._cache = (stamp, positions)
        return positions

    def _projected(self) -> list[Positions]:
        embeddings = self._original[0].get_rel_embedding()  # type: ignore[no-untyped-call]
        return [_project(layer.attention.self, embeddings) for layer in self._layers]

    def _stamp(self) -> object:
        """Return what changes with the weights that positions depend on, None if that cannot be known."""
        original = self._original[0]
        sources: list[nn.Module] = [original.rel_embeddings]
        if "layer_norm" in original.norm_rel_ebd:
            sources.append(original.LayerNorm)
        sources += [module for layer in self._layers for module in _projections(layer.attention.self)]
        weights = [weight for module in sources for weight in module.parameters()]
        plain = all(type(module) in (nn.Embedding, nn.LayerNorm, nn.Linear) for module in sources)
        if not plain or any(weight.is_inference() for weight in weights):
            return None  # an adapter that can be switched, say, or weights whose changes are not counted
        autocast = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None
        # Merging an adapter writes to `.data`, which counts no version, but does change the first element.
        return autocast, [(w.data_ptr(), w.dtype, w._version, w.flatten()[0].item()) for w in weights]


def _is_wrapped(layer: "DebertaV2Layer") -> bool:
    """Say whether a call of the layer does more than its modules do."""
    hooked = layer._forward_hooks or layer._forward_pre_hooks
    anew = layer.gradient_checkpointing and layer.training
    return bool(hooked) or anew or layer._compiled_call_impl is not None


def _projections(attention: "DisentangledSelfAttention") -> tuple[nn.Module, nn.Module]:
    """Return what makes position keys and position queries."""
    if attention.share_att_key:
        return attention.key_proj, attention.query_proj
    return attention.pos_key_proj, attention.pos_query_proj


def _project(attention: "DisentangledSelfAttention", embeddings: Float[Tensor, "n h"]) -> Positions:
    def heads(projection: nn.Module) -> Tensor:
        vectors: Tensor = projection(attention.pos_dropout(embeddings)) * _scale(attention)
        return vectors.view(len(vectors), attention.num_attention_heads, -1).transpose(0, 1).contiguous()

    keys, queries = _projections(attention)
    return heads(keys), heads(queries)


def _scale(attention: "DisentangledSelfAttention") -> float:
    return 1 / math.sqrt(3 * attention.attention_head_size)  # a score is the sum of three products


def _reachable(encoder: "DebertaV2Encoder", t: int) -> Int[Tensor, " 2*t-1"]:
    """Return the positions of the distances from -(t - 1) to t - 1: one each near 0, in log buckets afar."""
    buckets, furthest = encoder.position_buckets, encoder.max_relative_positions
    distance = torch.arange(1 - t, t)
    if buckets <= 0:
        return (distance + furthest).clamp(0, 2 * furthest - 1)
    middle = buckets // 2
    octaves = torch.log(distance.abs() / middle) / torch.log(torch.tensor((furthest - 1) / middle))
    far = (torch.ceil(octaves * (middle - 1)) + middle) * distance.sign()
    bucket = torch.where(distance.abs() <= middle, distance, far).long()
    return (bucket + buckets).clamp(0, 2 * buckets - 1)


def _run_layer(
    layer: "DebertaV2Layer", hidden: Float[Tensor, "n h"], lengths: list[int], positions: Positions
) -> Float[Tensor, "n h"]:
    context = _attend(layer.attention.self, hidden, lengths, positions)
    # With gradients, every further product would make and add another gradient of the weights.
    size = len(hidden) if torch.is_grad_enabled() else _CHUNK * torch.get_num_threads()
    outputs = []
    for attended, chunk in zip(torch.split(context, size), torch.split(hidden, size), strict=True):
        middle = layer.attention.output(attended, chunk)
        outputs.append(layer.output(layer.intermediate(middle), middle))
    return torch.cat(outputs)


def _attend(
    attention: "DisentangledSelfAttention", hidden: Tensor, lengths: list[int], positions: Positions
) -> Float[Tensor, "n h"]:
    inputs = [project(hidden) for project in (attention.query_proj, attention.key_proj, attention.value_proj)]
    n_heads, start, contexts = attention.num_attention_heads, 0, []
    dropout = attention.dropout.p if attention.training else 0.0
    for rows, t in _runs(lengths):
        end = start + rows * t
        parts = [x[start:end].view(rows, t, n_heads, -1).transpose(1, 2) for x in inputs]
        together, turns = max(1, _SCORES * torch.get_num_threads() // (rows * t * t)), []
        for first in range(0, n_heads, together):
            heads = slice(first, first + together)
            query, key, value = (x[:, heads] for x in parts)
            bias = _bias(query, key, positions[0][heads], positions[1][heads])
            turns.append(
                scaled_dot_product_attention(query, key, value, bias, dropout, scale=_scale(attention))
            )
        contexts.append(torch.cat(turns, 1).transpose(1, 2).reshape(rows * t, -1))
        start = end
    return torch.cat(contexts)


def _bias(
    query: Float[Tensor, "r heads t d"],
    key: Float[Tensor, "r heads t d"],
    position_keys: Float[Tensor, "heads n d"],
    position_queries: Float[Tensor, "heads n d"],
) -> Float[Tensor, "r heads t t"]:
    t = query.shape[2]
    blocks = [slice(start, min(start + _BLOCK, t)) for start in range(0, t, _BLOCK)]
    from_query = [_skewed(query[:, :, one], position_keys, one.stop, t) for one in blocks]
    from_key = [_skewed(key[:, :, one], position_queries, one.stop, t).transpose(2, 3) for one in blocks]
    return torch.cat(from_query, 2) + torch.cat(from_key, 3)


def _skewed(
    tokens: Float[Tensor, "r heads w d"], positions: Float[Tensor, "heads n d"], end: int, t: int
) -> Float[Tensor, "r heads w t"]:
    """Return the products of the `w` tokens before `end` with the positions of all `t` relative to them."""
    rows, heads, w, d = tokens.shape
    reach = t + w - 1
    first = (positions.shape[1] + 1) // 2 - end
    near = positions[:, first : first + reach].transpose(1, 2)
    scores = torch.bmm(tokens.transpose(0, 1).reshape(heads, rows * w, d), near)
    return scores.as_strided((rows, heads, w, t), (w * reach, rows * w * reach, reach - 1, 1), w - 1)


def _runs(lengths: list[int]) -> Iterator[tuple[int, int]]:
    """Yield how many rows to attend together, and their length."""
    for t, group in groupby(lengths):
        rows, most = len(list(group)), max(1, _RUN * torch.get_num_threads() // t)
        for start in range(0, rows, most):
            yield min(most, rows - start), t


def _lengths(mask: Bool[Tensor, "b t"]) -> list[int] | None:
    """Return the tokens of each row, None if padding is not all at the end or a row is nothing else."""
    lengths = mask.sum(1)
    at_end = mask == (torch.arange(mask.shape[1]) < lengths[:, None])
    return lengths.tolist() if bool(at_end.all() and lengths.all()) else None


def _pack(padded: Float[Tensor, "b t h"], lengths: list[int]) -> Float[Tensor, "n h"]:
    if min(lengths) == padded.shape[1]:
        return padded.flatten(0, 1)
    return torch.cat([row[:length] for row, length in zip(padded, lengths, strict=True)])


def _pad(packed: Float[Tensor, "n h"], lengths: list[int], t: int) -> Float[Tensor, "b t h"]:
    if min(lengths) == t:
        return packed.view(len(lengths), t, -1)
    padded = pad_sequence(list(torch.split(packed, lengths)), batch_first=True)
    return pad(padded, (0, 0, 0, t - max(lengths)))
