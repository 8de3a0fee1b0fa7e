"""The packed attention against plain sums, its kernels for GPUs against stand-ins, and which one is taken."""

import inspect
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_backbones import backbone_of, batch_of, tiny
from torch import Tensor
from torch.nn.attention import varlen

from gliner_mt.backbones import attention
from gliner_mt.backbones.attention import (
    ATTENTIONS,
    PACKED,
    Kernel,
    Rule,
    attend,
    blocks,
    built_with,
    check_flash,
    describe,
    gpu_kernel,
    use_attention,
)
from gliner_mt.errors import ConfigError
from gliner_mt.extractor import Extractor

CUDA = torch.device("cuda")
RULES = [
    Rule(None),
    Rule(0.2, causal=True),
    Rule(0.3, reach=3),
    Rule(None, causal=True, reach=2),
    Rule(None, reach=0),
]


def plainly(query: Tensor, key: Tensor, value: Tensor, rule: Rule) -> Tensor:
    """Attend rows (heads t d) by the definition."""
    groups, t = query.shape[0] // key.shape[0], query.shape[1]
    key, value = (x.repeat_interleave(groups, 0) for x in (key, value))
    scores = query @ key.transpose(1, 2) * (query.shape[-1] ** -0.5 if rule.scale is None else rule.scale)
    if rule.softcap is not None:
        scores = rule.softcap * torch.tanh(scores / rule.softcap)
    distance = torch.arange(t)[:, None] - torch.arange(t)
    hidden = (distance < 0) & torch.tensor(rule.causal)
    if rule.reach is not None:
        hidden |= distance.abs() > rule.reach
    return scores.masked_fill(hidden, -torch.inf).softmax(-1) @ value


def inputs(n: int, heads: int = 4, kv_heads: int = 2, size: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n)
    shapes = ((n, heads, size), (n, kv_heads, size), (n, kv_heads, size))
    query, key, value = (torch.randn(shape, generator=generator) for shape in shapes)
    return query, key, value


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 150), st.booleans(), st.none() | st.integers(0, 160), st.none() | st.just(1.5))
def test_blocks_of_queries_see_what_a_matrix_of_pairs_would_show(
    t: int, causal: bool, reach: int | None, softcap: float | None
) -> None:
    rule = Rule(0.3, causal, reach, softcap)
    query, key, value = (x.transpose(0, 1) for x in inputs(2 * t))
    rows = [x.unflatten(1, (2, t)).transpose(0, 1) for x in (query, key, value)]
    found = attend(rows[0], rows[1], rows[2], None, rule)
    for row in range(2):
        expected = plainly(*(x[row] for x in rows), rule)
        torch.testing.assert_close(found[row], expected, rtol=0, atol=2e-6)


def test_blocks_stay_small_in_long_rows() -> None:
    parts = list(blocks(10_000, Rule(None, reach=64)))
    assert sum(queries.stop - queries.start for queries, _ in parts) == 10_000
    assert max(keys.stop - keys.start for _, keys in parts) <= 3 * 64
    assert max(queries.stop - queries.start for queries, _ in blocks(10_000, Rule(None, reach=4096))) == 512


def by_bounds(query: Tensor, key: Tensor, value: Tensor, bounds: Tensor, rule: Rule) -> Tensor:
    output = torch.full_like(query, torch.nan)
    for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        row = [x[start:end].transpose(0, 1) for x in (query, key, value)]
        output[start:end] = plainly(row[0], row[1], row[2], rule).transpose(0, 1)
    return output


def rule_of(scale: float | None, window: tuple[int, int], *, causal: bool, softcap: float = 0.0) -> Rule:
    """Read flash-attention's arguments back: (left, right), -1 for everything."""
    left, right = window
    assert right == 0 if causal else left == right
    return Rule(scale, causal, None if left == -1 else left, softcap or None)


def torch_stand_in(  # noqa: PLR0913 - the signature is the package's
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor | None,
    max_q: int,
    max_k: int,
    *,
    return_aux: object = None,
    scale: float | None = None,
    window_size: tuple[int, int] = (-1, -1),
    enable_gqa: bool = False,
    seqused_k: Tensor | None = None,
    block_table: Tensor | None = None,
    num_splits: int | None = None,
) -> Tensor:
    """Take the place of `torch.nn.attention.varlen.varlen_attn`, whose kernel is for GPUs only."""
    assert enable_gqa == (query.shape[1] != key.shape[1])
    _check_bounds(query, cu_seq_q, cu_seq_k, max_q, max_k)
    # Its rule: only (-1, 0) is called causal, but a right side of 0 hides what comes later all the same.
    return by_bounds(query, key, value, cu_seq_q, rule_of(scale, window_size, causal=window_size[1] == 0))


def flash_2_stand_in(  # noqa: PLR0913 - the signature is the package's
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
) -> Tensor:
    """Take the place of flash-attn 2.8's `flash_attn_varlen_func`, as far as we call it."""
    assert dropout_p == 0.0
    _check_bounds(q, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k)
    rule = rule_of(softmax_scale, window_size, causal=causal, softcap=softcap)
    return by_bounds(q, k, v, cu_seqlens_q, rule)


def flash_3_stand_in(  # noqa: PLR0913 - the signature is the package's
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Take the place of flash-attention 3's function of that name, in a release that returns sums too."""
    bounds, longest = (cu_seqlens_q, cu_seqlens_k), (max_seqlen_q, max_seqlen_k)
    output = flash_2_stand_in(q, k, v, *bounds, *longest, 0.0, softmax_scale, causal, window_size, softcap)
    return output, output.sum()


def _check_bounds(query: Tensor, first: Tensor, second: Tensor | None, longest: int, also: int) -> None:
    assert second is first and first.dtype is torch.int32
    assert longest == also == int(first.diff().max())
    assert query.dim() == 3 and len(query) == int(first[-1])


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put functions of plain torch where the packages have theirs."""
    own, theirs = (inspect.signature(function) for function in (torch_stand_in, varlen.varlen_attn))
    assert [(p.name, p.kind) for p in own.parameters.values()] == [
        (p.name, p.kind) for p in theirs.parameters.values()
    ]
    monkeypatch.setattr(varlen, "varlen_attn", torch_stand_in)
    for name, function in (("flash_attn", flash_2_stand_in), ("flash_attn_interface", flash_3_stand_in)):
        package = ModuleType(name)
        package.flash_attn_varlen_func = function  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, package)


KERNELS: tuple[Kernel, ...] = (attention.torch_varlen, attention.flash_2, attention.flash_3)


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.__name__)
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_kernels_are_told_what_the_rule_says(kernel: Kernel, rule: Rule) -> None:
    lengths = (9, 4, 4, 1)
    query, key, value = inputs(sum(lengths))
    bounds = torch.tensor([0, *lengths]).cumsum(0, dtype=torch.int32)
    found = kernel(query, key, value, bounds, max(lengths), rule)
    torch.testing.assert_close(found, by_bounds(query, key, value, bounds, rule), rtol=0, atol=1e-6)


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.__name__)
@pytest.mark.parametrize("name", ["bert", "modernbert", "qwen3", "phi3"])
def test_whole_models_get_the_same_from_kernels(
    kernel: Kernel, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone, batch = backbone_of(tiny(name)), batch_of((9, 40, 3, 9))
    use_attention(backbone.model, "packed", masked=False)
    with torch.inference_mode():
        text_by_text = backbone(batch)
        monkeypatch.setattr(attention, "gpu_kernel", lambda query, rule: kernel)
        by_kernel = backbone(batch)
    assert (by_kernel - text_by_text).abs().max() <= 1e-5 * text_by_text.abs().max()


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize("kernel", KERNELS[1:], ids=lambda kernel: kernel.__name__)
def test_flash_attn_caps_scores(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    test_whole_models_get_the_same_from_kernels(kernel, "gemma2", monkeypatch)


def on_gpu(dtype: torch.dtype = torch.bfloat16, size: int = 64) -> Tensor:
    """Return what the choice of a kernel looks at, without a GPU."""
    return cast(Tensor, SimpleNamespace(is_cuda=True, dtype=dtype, device=CUDA, shape=(1, 4, 10, size)))


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretend that there is a GPU of some age, with some packages."""

    def pretend(
        *, capability: tuple[int, int] = (8, 0), flash_2: bool = False, flash_3: bool = False
    ) -> None:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        monkeypatch.setattr(attention, "is_flash_attn_2_available", lambda: flash_2)
        monkeypatch.setattr(attention, "is_flash_attn_3_available", lambda: flash_3)

    pretend()
    return pretend


def test_the_best_kernel_that_can_do_it_is_taken(gpu: Callable[..., None]) -> None:
    plain, capped, dropping = Rule(None), Rule(None, softcap=50.0), Rule(None, dropout=0.1)
    assert gpu_kernel(on_gpu(), plain) is attention.torch_varlen
    assert gpu_kernel(on_gpu(), capped) is gpu_kernel(on_gpu(), dropping) is None
    assert gpu_kernel(on_gpu(torch.float32), plain) is None
    assert gpu_kernel(on_gpu(size=60), plain) is gpu_kernel(on_gpu(size=512), plain) is None
    assert gpu_kernel(torch.zeros(1, 4, 10, 64, dtype=torch.bfloat16), plain) is None
    gpu(flash_2=True)
    assert [gpu_kernel(on_gpu(), rule) for rule in (plain, capped, dropping)] == [attention.flash_2] * 3
    gpu(flash_2=True, flash_3=True)
    assert gpu_kernel(on_gpu(), capped) is attention.flash_3
    assert gpu_kernel(on_gpu(), dropping) is attention.flash_2
    gpu(flash_2=True, capability=(7, 5))
    assert gpu_kernel(on_gpu(), plain) is None


def test_auto_packs_where_it_helps(gpu: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    for device, masked, packs in (("cpu", False, True), ("cpu", True, True), ("meta", False, False)):
        model = tiny("bert").to(device)
        use_attention(model, "auto", masked=masked)
        assert (model.config._attn_implementation == PACKED) is packs
    monkeypatch.setattr(attention, "gpu_kernel", lambda query, rule: attention.torch_varlen)
    for masked in (False, True):
        model = tiny("bert").to("meta")
        use_attention(model, "auto", masked=masked)
        assert (model.config._attn_implementation == PACKED) is not masked
    assert describe(tiny("bert")) == "eager, padded"
    with pytest.raises(ConfigError, match=r"labels 'parallel' need a mask .*take \"auto\""):
        use_attention(tiny("bert").to("meta"), "packed", masked=True)


def test_padding_is_never_taken_for_text() -> None:
    model = tiny("bert")
    model.set_attn_implementation(PACKED)
    with pytest.raises(TypeError, match="runs"):
        model(input_ids=torch.ones(2, 5, dtype=torch.long))


def test_scores_with_a_softcap_are_not_left_to_sdpa() -> None:
    config = tiny("gemma2").config
    assert built_with("auto", config) == built_with("packed", config) == "eager"
    with pytest.raises(ConfigError, match=r"leaves out the softcap that gemma2 .*\"auto\" or \"eager\""):
        built_with("sdpa", config)
    bert = tiny("bert").config
    assert [built_with(name, bert) for name in ATTENTIONS] == [None, None, None, "sdpa", "eager"]


def test_flash_by_name_says_what_it_lacks(gpu: Callable[..., None]) -> None:
    half = torch.bfloat16
    with pytest.raises(ConfigError, match=r"CUDA devices only, but .* is cpu; take .*\"packed\", \"sdpa\""):
        Extractor.load(attention="flash", device="cpu")
    with pytest.raises(ConfigError, match=r"pip install 'gliner_mt\[flash\]'"):
        check_flash(CUDA, half)
    gpu(flash_2=True)
    with pytest.raises(ConfigError, match='the model is in float32; load it with dtype "bfloat16"'):
        check_flash(CUDA, torch.float32)
    check_flash(CUDA, half)


def test_info_tells_the_attention() -> None:
    packed = "packed, no padding (sdpa)"
    expected = {"auto": packed, "packed": packed, "sdpa": "sdpa, padded", "eager": "eager, padded"}
    for name, fact in expected.items():
        info: dict[str, Any] = Extractor.load(attention=name, device="cpu").info()
        assert info["attention"] == fact
    with pytest.raises(ConfigError, match="attention is 'falsh'; did you mean 'flash'"):
        Extractor.load(attention="falsh")
