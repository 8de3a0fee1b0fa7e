"""One attention for rows without padding, whatever the family: registered with transformers as `PACKED`.

A batch runs through the whole model as one row, its texts one behind the other, with flash-attention's
arguments: bounds of texts, the longest length, positions that start anew. On a GPU the kernels made for it
read the bounds. Elsewhere texts of one length are attended together by torch's SDPA, and no matrix of all
pairs is made: a layer with a window looks at the keys around each block of queries only.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import dropout, scaled_dot_product_attention, softmax
from transformers import AttentionInterface, PretrainedConfig, PreTrainedModel
from transformers.utils.import_utils import is_flash_attn_2_available, is_flash_attn_3_available

from gliner_mt.backbones.deberta import FastEncoder
from gliner_mt.backbones.families import family_of
from gliner_mt.backbones.packing import Run
from gliner_mt.errors import ConfigError

PACKED = "gliner_mt_packed"
ATTENTIONS = ("auto", "packed", "flash", "sdpa", "eager")

_HALF = (torch.float16, torch.bfloat16)
_SMALLEST_BLOCK, _LARGEST_BLOCK = 64, 512  # queries that look at the keys around them together
_WIDEST_HEAD = 256  # what kernels for GPUs take, in steps of 8
_AMPERE = (8, 0)  # the oldest GPUs that they run on


class Rule(NamedTuple):
    """How a layer attends.

    `reach`: the sub-words to either side that are seen; None is all. `softcap`: scores s become
    softcap * tanh(s / softcap) (Gemma 2, arXiv 2408.00118, section 2).
    """

    scale: float | None
    causal: bool = False
    reach: int | None = None
    softcap: float | None = None
    dropout: float = 0.0

    @property
    def window(self) -> tuple[int, int]:
        """What is seen to the left and to the right, in flash-attention's form: -1 is everything."""
        left = -1 if self.reach is None else self.reach
        return left, 0 if self.causal else left


Kernel = Callable[[Tensor, Tensor, Tensor, Int[Tensor, " r+1"], int, Rule], Tensor]
"""Attends queries, keys, values (n heads d) between bounds, given the longest length; returns (n heads d)."""


def packed_attention(  # noqa: PLR0913 - the names are those that transformers passes
    module: nn.Module,
    query: Float[Tensor, "1 heads n d"],
    key: Float[Tensor, "1 kv_heads n d"],
    value: Float[Tensor, "1 kv_heads n d"],
    attention_mask: None,
    *,
    runs: Sequence[Run],
    cu_seq_lens_q: Int[Tensor, " r+1"],
    max_length_q: int,
    scaling: float | None = None,
    dropout: float = 0.0,
    is_causal: bool | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **others: object,
) -> tuple[Float[Tensor, "1 n heads d"], None]:
    """Attend within each text of a packed row.

    `runs` has no default: a model that is called with padding instead fails here, and is not silently wrong.
    """
    causal = bool(module.is_causal if is_causal is None else is_causal)
    # Of `sliding_window` only the presence counts: whether it includes the farthest sub-word depends on the
    # family. The config's value does in the masks that transformers makes for two directions, not for one.
    config = cast(PretrainedConfig, module.config)
    reach = None if sliding_window is None else int(config.sliding_window) - causal
    rule = Rule(scaling, causal, reach, softcap, dropout)
    masks = [run.seen if reach is None else run.near for run in runs]
    kernel = gpu_kernel(query, rule) if all(mask is None for mask in masks) else None
    if kernel is not None:
        q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
        return kernel(q, k, v, cu_seq_lens_q, max_length_q, rule)[None], None
    outputs, start = [], 0
    for run, mask in zip(runs, masks, strict=True):
        q, k, v = (_rows(x, start, run) for x in (query, key, value))
        outputs.append(attend(q, k, v, mask, rule).transpose(1, 2).flatten(0, 1))
        start += run.rows * run.length
    return torch.cat(outputs)[None], None


def _rows(packed: Float[Tensor, "1 heads n d"], start: int, run: Run) -> Float[Tensor, "r heads t d"]:
    part = packed[0, :, start : start + run.rows * run.length]
    return part.view(len(part), run.rows, run.length, -1).transpose(0, 1)


AttentionInterface.register(PACKED, packed_attention)  # with no mask of its own, transformers makes none


def attend(
    query: Float[Tensor, "r heads t d"],
    key: Float[Tensor, "r kv_heads t d"],
    value: Float[Tensor, "r kv_heads t d"],
    mask: Float[Tensor, "r 1 q t"] | None,
    rule: Rule,
) -> Float[Tensor, "r heads t d"]:
    """Attend within rows of one length; `mask`, if any, stands in for what the rule says of places."""
    t = query.shape[2]
    if mask is not None:
        rule, masked = rule._replace(causal=False, reach=None), mask.shape[2]
        first = _product(query[:, :, :masked], key, value, mask, rule)
        if masked == t:
            return first
        return torch.cat([first, _product(query[:, :, masked:], key, value, None, rule)], dim=2)
    if rule.softcap is None and (rule.reach is None or rule.reach >= t - 1):
        return _product(query, key, value, None, rule)
    outputs = []
    for queries, keys in blocks(t, rule):
        seen = _seen(queries, keys, rule, query.device)
        part = query[:, :, queries], key[:, :, keys], value[:, :, keys]
        outputs.append(_product(*part, seen, rule._replace(causal=False)))
    return torch.cat(outputs, dim=2)


def blocks(t: int, rule: Rule) -> Iterator[tuple[slice, slice]]:
    """Yield blocks of the `t` queries of a row, each with the keys that it may see."""
    reach = t if rule.reach is None else rule.reach
    size = min(max(rule.reach or 0, _SMALLEST_BLOCK), _LARGEST_BLOCK)
    for start in range(0, t, size):
        end = min(start + size, t)
        yield slice(start, end), slice(max(0, start - reach), end if rule.causal else min(t, end + reach))


def _seen(queries: slice, keys: slice, rule: Rule, device: torch.device) -> Bool[Tensor, "q k"] | None:
    if rule.reach is None and not rule.causal:
        return None
    query = torch.arange(queries.start, queries.stop, device=device)
    distance = query[:, None] - torch.arange(keys.start, keys.stop, device=device)
    seen = distance >= (0 if rule.causal else -keys.stop)
    return seen if rule.reach is None else seen & (distance.abs() <= rule.reach)


def _product(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, rule: Rule) -> Tensor:
    # On CPUs SDPA's gradient is slow: a step of training in bf16 would take 1.4 times as long as this way.
    slow = query.requires_grad and query.device.type == "cpu"
    if rule.softcap is not None or slow:
        return _step_by_step(query, key, value, mask, rule)
    return scaled_dot_product_attention(
        query,
        key,
        value,
        mask,
        dropout_p=rule.dropout,
        is_causal=rule.causal,
        scale=rule.scale,
        enable_gqa=key.shape[1] != query.shape[1],
    )


def _step_by_step(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, rule: Rule) -> Tensor:
    groups = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(groups, dim=1) for x in (key, value))
    scale = query.shape[-1] ** -0.5 if rule.scale is None else rule.scale
    scores = query @ key.transpose(2, 3) * scale
    if rule.softcap is not None:
        cap = torch.tensor(rule.softcap, dtype=query.dtype, device=query.device)
        scores = cap * torch.tanh(scores / cap)
    if rule.causal and mask is None:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype is torch.bool else scores + mask
    weights = softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    return dropout(weights, rule.dropout) @ value


def gpu_kernel(query: Tensor, rule: Rule) -> Kernel | None:
    """Return the kernel for a packed row on the query's device; None if texts are to take turns."""
    fits = query.is_cuda and query.dtype in _HALF
    if not fits or torch.cuda.get_device_capability(query.device) < _AMPERE:
        return None
    if query.shape[-1] % 8 or query.shape[-1] > _WIDEST_HEAD:
        return None
    if is_flash_attn_3_available() and not rule.dropout:
        return flash_3
    if is_flash_attn_2_available():
        return flash_2
    return torch_varlen if has_varlen() and not (rule.dropout or rule.softcap) else None


@cache
def has_varlen() -> bool:
    """Return whether this torch has attention between bounds, with windows and shared keys."""
    if find_spec("torch.nn.attention.varlen") is None:
        return False
    from torch.nn.attention.varlen import varlen_attn

    return {"window_size", "enable_gqa"} <= set(inspect.signature(varlen_attn).parameters)


def torch_varlen(
    query: Tensor, key: Tensor, value: Tensor, bounds: Tensor, longest: int, rule: Rule
) -> Tensor:
    """Attend with `torch.nn.attention.varlen`: no dropout, no softcap."""
    from torch.nn.attention.varlen import varlen_attn

    output = varlen_attn(
        query,
        key,
        value,
        bounds,
        bounds,
        longest,
        longest,
        scale=rule.scale,
        window_size=rule.window,
        enable_gqa=key.shape[1] != query.shape[1],
    )
    return cast(Tensor, output)


def flash_2(query: Tensor, key: Tensor, value: Tensor, bounds: Tensor, longest: int, rule: Rule) -> Tensor:
    """Attend with the package flash-attn."""
    from flash_attn import flash_attn_varlen_func

    return _flash(flash_attn_varlen_func, (query, key, value), bounds, longest, rule, dropout_p=rule.dropout)


def flash_3(query: Tensor, key: Tensor, value: Tensor, bounds: Tensor, longest: int, rule: Rule) -> Tensor:
    """Attend with flash-attention 3, for Hopper: no dropout."""
    from flash_attn_interface import flash_attn_varlen_func

    return _flash(flash_attn_varlen_func, (query, key, value), bounds, longest, rule)


def _flash(
    function: Callable[..., Any],
    inputs: tuple[Tensor, Tensor, Tensor],
    bounds: Tensor,
    longest: int,
    rule: Rule,
    **more: float,
) -> Tensor:
    output = function(
        *inputs,
        cu_seqlens_q=bounds,
        cu_seqlens_k=bounds,
        max_seqlen_q=longest,
        max_seqlen_k=longest,
        softmax_scale=rule.scale,
        causal=rule.causal,
        window_size=rule.window,
        softcap=rule.softcap or 0.0,
        **more,
    )
    # Some releases return the sums of scores too.
    return cast(Tensor, output[0] if isinstance(output, tuple) else output)


def use_attention(model: PreTrainedModel, wanted: str, *, masked: bool) -> None:
    """Let a model that was built with `built_with(wanted)` run packed if that is what `wanted` means for it.

    "auto" packs where that works and is faster: on CPUs, and on GPUs that have a kernel for it. `masked`:
    there will be masks between sub-words (`parallel` labels).

    Raises:
        ConfigError: a packed attention by name that this model, device or dtype cannot have.
    """
    if wanted not in ("auto", "packed", "flash"):
        return
    device = next(model.parameters()).device
    obstacle = family_of(model.config.model_type).unpackable
    if masked and device.type != "cpu":
        obstacle = "labels 'parallel' need a mask between sub-words, which kernels for GPUs do not take"
    if wanted == "flash":
        check_flash(device, next(model.parameters()).dtype)
    if wanted != "auto" and obstacle is not None:
        raise ConfigError(
            f"attention is {wanted!r}, which runs rows without padding, but for this "
            f'{model.config.model_type} {obstacle}; take "auto" or "eager".'
        )
    if obstacle is None and (wanted != "auto" or device.type == "cpu" or kernel_of(model) is not None):
        model.set_attn_implementation(PACKED)


def built_with(wanted: str, config: PretrainedConfig) -> str | None:
    """Return the name to build a model with in transformers; None leaves the choice to it.

    Raises:
        ConfigError: an attention that leaves out what this model does to its scores.
    """
    if _softcap(config) is None:
        return wanted if wanted in ("eager", "sdpa") else None
    if wanted == "sdpa":
        raise ConfigError(
            f"attention is 'sdpa', which leaves out the softcap that {config.model_type} puts on its scores; "
            'take "auto" or "eager".'
        )
    return "eager"


def describe(model: PreTrainedModel) -> str:
    """Say how a model attends, for people."""
    name = str(model.config._attn_implementation)
    if name == PACKED:
        kernel = kernel_of(model)
        return f"packed, no padding ({'sdpa' if kernel is None else kernel.__name__})"
    if isinstance(getattr(model, "encoder", None), FastEncoder) and next(model.parameters()).is_cpu:
        return "disentangled with cached positions, no padding"
    return f"{name}, padded"


def kernel_of(model: PreTrainedModel) -> Kernel | None:
    """Return the kernel that a packed row of this model is attended with; None if texts take turns."""
    config = model.config
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    probe = next(model.parameters()).new_empty(1, 1, 1, size)
    return gpu_kernel(probe, Rule(None, softcap=_softcap(config)))


def _softcap(config: PretrainedConfig) -> float | None:
    cap: float | None = getattr(config, "attn_logit_softcapping", None)
    return cap


def check_flash(device: torch.device, dtype: torch.dtype) -> None:
    """Raise a `ConfigError` that says what flash-attn lacks here, if anything."""
    if device.type != "cuda":
        raise ConfigError(
            f"attention is 'flash', which runs on CUDA devices only, but the device is {device}; "
            'take "auto", "packed", "sdpa" or "eager".'
        )
    if not (is_flash_attn_2_available() or is_flash_attn_3_available()):
        raise ConfigError(
            "attention is 'flash', but flash-attn is not installed: pip install 'gliner_mt[flash]', "
            'or take "auto", which does without it.'
        )
    if dtype not in _HALF:
        raise ConfigError(
            f"attention is 'flash', which takes half precision only, but the model is in "
            f'{str(dtype).removeprefix("torch.")}; load it with dtype "bfloat16" or "float16".'
        )
