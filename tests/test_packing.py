"""Rows without padding against each row alone, on every family of the table."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_backbones import backbone_of, batch_of, tiny
from torch import Tensor

from gliner_mt.backbones import Backbone
from gliner_mt.backbones.attention import PACKED, use_attention
from gliner_mt.backbones.families import families, family_of
from gliner_mt.backbones.packing import Packing, Run, packing_of
from gliner_mt.backbones.selftest import check_packed
from gliner_mt.batch import Batch, Collator, Row
from gliner_mt.errors import CheckpointError, ConfigError
from gliner_mt.labels import ParallelLabels
from gliner_mt.tokenization import WordTokenizer

LENGTHS = (9, 40, 1, 23, 23, 9, 70)
PACKABLE = [family.name for family in families() if family.unpackable is None]
OTHERS = [family.name for family in families() if family.unpackable is not None]


def row_of(batch: Batch, row: int, length: int) -> Batch:
    """Return one row without padding."""
    changed = {"ids": batch.ids, "groups": batch.groups, "shapes": batch.shapes}
    values = {name: getattr(batch, name) for name in Batch.__dataclass_fields__}
    return Batch(**(values | {name: tensor[row : row + 1, :length] for name, tensor in changed.items()}))


@torch.no_grad()
def alone(backbone: Backbone, batch: Batch, lengths: Sequence[int]) -> list[Tensor]:
    """Return the vectors of each row run by itself, attended by transformers."""
    backbone.model.set_attn_implementation("eager")
    return [backbone(row_of(batch, row, length))[0] for row, length in enumerate(lengths)]


@pytest.mark.parametrize(
    ("name", "causal"),
    [(name, causal) for name in PACKABLE for causal in (False, True) if family_of(name).decoder >= causal],
)
def test_packed_rows_are_those_that_run_alone(
    name: str, causal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone, batch = backbone_of(tiny(name, causal=causal)), batch_of(LENGTHS)
    separate = alone(backbone, batch, LENGTHS)
    use_attention(backbone.model, "auto", masked=False)
    assert backbone.model.config._attn_implementation == PACKED
    with torch.inference_mode():
        packed = backbone(batch)
    scale = max(1.0, *(row.abs().max().item() for row in separate))
    for row, vectors in enumerate(separate):
        assert (packed[row, : LENGTHS[row]] - vectors).abs().max() <= 1e-5 * scale
        assert not packed[row, LENGTHS[row] :].any()
    # Rows that see each other are far from that.
    monkeypatch.setattr(Packing, "runs", lambda self: iter([Run(1, sum(self.lengths))]))
    with torch.inference_mode():
        assert (backbone(batch) - packed).abs().max() > 1e-2 * scale


def test_positions_start_behind_that_of_padding() -> None:
    backbone, batch = backbone_of(tiny("roberta", pad_token_id=5)), batch_of(LENGTHS)
    separate = alone(backbone, batch, LENGTHS)
    use_attention(backbone.model, "auto", masked=False)
    with torch.inference_mode():
        packed = backbone(batch)
    for row, vectors in enumerate(separate):
        assert (packed[row, : LENGTHS[row]] - vectors).abs().max() <= 1e-5


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # by importing DeBERTa
@pytest.mark.parametrize("name", OTHERS)
def test_other_families_pad_and_say_why(name: str) -> None:
    model = tiny(name)
    use_attention(model, "auto", masked=False)
    assert model.config._attn_implementation == "eager"
    with pytest.raises(ConfigError, match=f'for this {name} its attention .*take "auto"'):
        use_attention(model, "packed", masked=False)


def labelled(tokenizer: WordTokenizer) -> Batch:
    """Return texts of several lengths, some asked for other labels than others."""
    encoding = ParallelLabels(tokenizer, marker_id=4, separator_id=3, text_position=8)
    prompts = [encoding.prompt(labels) for labels in (["city", "the date of birth"], ["person"], [])]
    texts = ["Ada Lovelace met Charles in London.", "Paris", "north of New York", "Ada met Bob in London."]
    words = [list(tokenizer.encode(text, max_word_tokens=8)) for text in texts * 2]
    return Collator(0, tokenizer.suffix)([Row(prompts[i % 3], row) for i, row in enumerate(words)])


@pytest.mark.parametrize("name", ["bert", "roberta", "modernbert", "eurobert", "llama", "gemma2"])
def test_labels_without_an_order_keep_their_masks(name: str, tokenizer: WordTokenizer) -> None:
    changes: dict[str, object] = {"num_key_value_heads": 4} if name == "llama" else {}
    backbone, batch = backbone_of(tiny(name, **changes)), labelled(tokenizer)
    real = (batch.groups >= 0)[..., None]
    with torch.inference_mode():
        padded = backbone(batch) * real
        use_attention(backbone.model, "auto", masked=True)
        assert backbone.model.config._attn_implementation == PACKED
        packed = backbone(batch)
    assert (packed - padded).abs().max() <= 1e-5 * max(1.0, padded.abs().max().item())


@pytest.mark.parametrize(
    ("name", "causal"),
    [("bert", False), ("modernbert", False), ("llama", False), ("llama", True), ("gemma2", False)],
)
def test_gradients_are_those_of_padded_rows(name: str, causal: bool) -> None:
    backbone, batch = backbone_of(tiny(name, causal=causal)), batch_of((9, 3, 12))
    backbone.train()
    direction = torch.randn(backbone.hidden_size)
    gradients = []
    for attention in ("eager", PACKED):
        backbone.model.set_attn_implementation(attention)
        backbone.zero_grad()
        vectors = backbone(batch) * (batch.groups >= 0)[..., None]
        (vectors @ direction).square().mean().backward()
        weights = dict(backbone.named_parameters())
        gradients.append({name: weight.grad for name, weight in weights.items() if weight.grad is not None})
    padded, packed = gradients
    assert list(padded) == list(packed)
    largest = max(gradient.abs().max().item() for gradient in padded.values())
    for name, gradient in padded.items():
        assert (packed[name] - gradient).abs().max() <= 1e-5 * largest, name


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=8), st.booleans())
def test_packing_and_back(lengths: list[int], left: bool) -> None:
    width = max(1, *lengths)
    real = torch.arange(width) < torch.tensor(lengths)[:, None]
    real = real.flip(1) if left else real
    packing = packing_of(real)
    values = torch.randn(len(lengths), width, 3)
    packed = packing.pack(values)
    assert packed.shape == (1, sum(lengths), 3)
    assert torch.equal(packing.unpack(packed), values * real[..., None])
    assert list(packing.lengths) == sorted(filter(None, lengths), reverse=True)
    assert packing.offsets.tolist() == [i for length in packing.lengths for i in range(length)]
    assert sum(run.rows * run.length for run in packing.runs()) == sum(lengths)
    bounds = packing.arguments()["cu_seq_lens_q"]
    assert bounds.dtype is torch.int32 and bounds.diff().tolist() == list(packing.lengths)


def test_a_packing_that_leaks_is_found_when_a_model_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("llama")
    use_attention(model, "auto", masked=False)
    check_packed(model, "llama")
    assert model.config._attn_implementation == PACKED
    monkeypatch.setattr(Packing, "runs", lambda self: iter([Run(1, sum(self.lengths))]))
    with pytest.raises(CheckpointError, match="states of llama change when its rows run without padding"):
        check_packed(model, "llama")
    assert model.config._attn_implementation == PACKED
