"""LLM2Vec checkpoints against states that the package `llm2vec` computed (oracles/make_llm2vec.py)."""

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig, AutoModel, PreTrainedModel

from gliner_mt.backbones import Backbone
from gliner_mt.backbones.attention import use_attention
from gliner_mt.backbones.loading import LoadedBackbone, load_backbone
from gliner_mt.batch import Batch
from gliner_mt.build import assemble, build_model
from gliner_mt.checkpoint.native import load_model, save_model
from gliner_mt.config import ModelConfig, from_mapping
from gliner_mt.errors import CheckpointError, ConfigError
from gliner_mt.new import NewModel, new_model
from gliner_mt.tokenization import WordTokenizer

FIXTURES = Path(__file__).parent / "fixtures" / "llm2vec"
CHAIN = FIXTURES / "chain"
FAMILIES = ("llama", "llama_gqa_rope", "mistral", "gemma", "qwen2")
LAYOUTS = ("no_mask", "full_mask", "right_padding", "left_padding")
ATTENTIONS = ("eager", "sdpa")
CLOSE, CLOSE_WITH_ADAPTERS, FAR = 1e-6, 1e-5, 0.1

stored = cache(load_file)


def inputs(layout: str) -> tuple[Tensor, Tensor | None]:
    """Return ids and mask of a layout, (3 10)."""
    tensors = stored(FIXTURES / "inputs.safetensors")
    return tensors[f"{layout}/ids"], tensors.get(f"{layout}/mask")


def expected(family: str, layout: str, attention: str, variant: str = "bidirectional") -> Tensor:
    return stored(FIXTURES / family / "states.safetensors")[f"{variant}/{layout}/{attention}"]


def gap(first: Tensor, second: Tensor, mask: Tensor | None) -> float:
    """Return the largest difference of states (b t h) outside padding."""
    apart = (first - second).abs()
    return float((apart if mask is None else apart[mask.bool()]).max())


@torch.inference_mode()
def states(model: PreTrainedModel, ids: Tensor, mask: Tensor | None) -> Tensor:
    hidden: Tensor = model(input_ids=ids, attention_mask=mask).last_hidden_state
    return hidden


def batch_of(ids: Tensor, mask: Tensor | None) -> Batch:
    """Return sub-words as our models get them, without words and labels."""
    nothing = torch.zeros(len(ids), 1, dtype=torch.long)
    none = nothing[:, 0]
    groups = torch.zeros_like(ids) if mask is None else mask - 1
    shapes = torch.zeros_like(ids)
    return Batch(ids, groups, None, shapes, nothing, nothing, none, nothing, nothing, none)


def config_of(loaded: LoadedBackbone, **changes: object) -> ModelConfig:
    sizes: dict[str, Any] = {"hidden_size": 32, "max_tokens": 64, "marker_id": 3, "separator_id": 2}
    return ModelConfig(backbone=loaded.config, **sizes | changes)


def backbone_of(loaded: LoadedBackbone, attention: str, **changes: object) -> Backbone:
    """Return the backbone of one of our models, padded or packed."""
    backbone = assemble(config_of(loaded, **changes), loaded.model).backbone
    use_attention(backbone.model, attention, masked=False)
    return backbone


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_states_are_those_of_llm2vec(family: str, attention: str) -> None:
    model = load_backbone(FIXTURES / family, attention=attention).model
    for layout in LAYOUTS:
        ids, mask = inputs(layout)
        assert gap(states(model, ids, mask), expected(family, layout, attention), mask) <= CLOSE, layout


@pytest.mark.parametrize("attention", [*ATTENTIONS, "packed"])
@pytest.mark.parametrize("family", FAMILIES)
def test_our_batches_give_the_same_states(family: str, attention: str) -> None:
    built_with = "sdpa" if attention == "packed" else attention
    backbone = backbone_of(load_backbone(FIXTURES / family, attention=built_with), attention)
    for layout in ("full_mask", "right_padding"):
        ids, mask = inputs(layout)
        with torch.inference_mode():
            ours = backbone(batch_of(ids, mask))
        assert gap(ours, expected(family, layout, built_with), mask) <= CLOSE, layout


@pytest.mark.parametrize("family", FAMILIES)
def test_the_saved_description_is_bidirectional_too(family: str) -> None:
    loaded = load_backbone(FIXTURES / family, attention="sdpa")
    values = json.loads(json.dumps(config_of(loaded).to_dict()))
    backbone = build_model(from_mapping(ModelConfig, values, "config"), attention="sdpa").backbone.eval()
    backbone.model.load_state_dict(loaded.model.state_dict())
    ids, mask = inputs("right_padding")
    with torch.inference_mode():
        ours = backbone(batch_of(ids, mask))
    assert gap(ours, expected(family, "right_padding", "sdpa"), mask) <= CLOSE


@pytest.mark.parametrize("attention", [*ATTENTIONS, "packed"])
def test_qwen2_is_causal_where_it_was_trained_so(attention: str) -> None:
    """The package never overrode Qwen2's mask: what it trained without flash-attention is causal."""
    built_with = "sdpa" if attention == "packed" else attention
    loaded = load_backbone(FIXTURES / "qwen2", attention=built_with, causal=True)
    backbone = backbone_of(loaded, attention, causal=True)
    for layout in LAYOUTS:
        ids, mask = inputs(layout)
        shipped = expected("qwen2", layout, built_with, "as_shipped")
        assert gap(shipped, expected("qwen2", layout, built_with), mask) > FAR
        if attention != "packed":
            assert gap(states(loaded.model, ids, mask), shipped, mask) <= CLOSE, layout
        if layout != "left_padding":
            with torch.inference_mode():
                assert gap(backbone(batch_of(ids, mask)), shipped, mask) <= CLOSE, layout


def test_mistral_sees_beyond_its_window() -> None:
    config = AutoConfig.from_pretrained(FIXTURES / "mistral")
    assert config.sliding_window == 3
    config.is_causal = False
    ids, mask = inputs("full_mask")
    with_window = states(AutoModel.from_pretrained(FIXTURES / "mistral", config=config).eval(), ids, mask)
    assert gap(with_window, expected("mistral", "full_mask", "sdpa"), mask) > FAR
    assert load_backbone(FIXTURES / "mistral").model.config.sliding_window is None


@pytest.mark.parametrize("attention", ["sdpa", "packed"])
def test_hidden_shift_reads_the_state_one_place_earlier(attention: str) -> None:
    loaded = load_backbone(FIXTURES / "llama", attention="sdpa")
    backbone = backbone_of(loaded, attention, hidden_shift=1)
    ids, mask = inputs("right_padding")
    assert mask is not None
    theirs = expected("llama", "right_padding", "sdpa")
    with torch.inference_mode():
        ours = backbone(batch_of(ids, mask))
    assert gap(ours[:, 1:], theirs[:, :-1], mask[:, 1:]) <= CLOSE
    assert gap(ours[:, :1], theirs[:, :1], None) <= CLOSE


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("stage", ["mntp", "simcse"])
def test_adapters_on_their_base(stage: str, merge: bool) -> None:
    adapters = [CHAIN / "simcse"] if stage == "simcse" else []
    loaded = load_backbone(CHAIN / "mntp", base=CHAIN / "base", adapters=adapters, merge=merge)
    theirs = stored(CHAIN / "states.safetensors")
    ids, mask = theirs["input_ids"], theirs["attention_mask"]
    ours = states(loaded.model, ids, mask)
    assert gap(ours, theirs[f"{stage}/states"], mask) <= CLOSE_WITH_ADAPTERS
    assert any("lora_" in name for name, _ in loaded.model.named_parameters()) is not merge
    if stage == "simcse":
        rows = zip(ours, theirs["embed_mask"].bool(), strict=True)
        pooled = torch.stack([row[seen].mean(0) for row, seen in rows])
        assert gap(pooled, theirs["simcse/embeddings"], None) <= CLOSE_WITH_ADAPTERS


@pytest.mark.parametrize("attention", ["sdpa", "packed"])
@pytest.mark.parametrize("merge", [True, False])
def test_adapters_in_our_batches(merge: bool, attention: str) -> None:
    adapters = [CHAIN / "simcse"]
    loaded = load_backbone(
        CHAIN / "mntp", attention="sdpa", base=CHAIN / "base", adapters=adapters, merge=merge
    )
    theirs = stored(CHAIN / "states.safetensors")
    left, right = theirs["attention_mask"].bool(), theirs["attention_mask"].flip(1).bool()
    ids = torch.zeros_like(theirs["input_ids"])
    ids[right] = theirs["input_ids"][left]
    backbone = backbone_of(loaded, attention)
    with torch.inference_mode():
        ours = backbone(batch_of(ids, right.long()))
    assert (ours[right] - theirs["simcse/states"][left]).abs().max() <= CLOSE_WITH_ADAPTERS


def test_a_model_around_them_keeps_their_states(tmp_path: Path) -> None:
    spec = NewModel(backbone=str(CHAIN / "mntp"), base=str(CHAIN / "base"), adapters=(str(CHAIN / "simcse"),))
    save_model(tmp_path, *new_model(spec, local_files_only=True))
    model = load_model(tmp_path)[1].backbone.model
    theirs = stored(CHAIN / "states.safetensors")
    ours = states(model, theirs["input_ids"], theirs["attention_mask"])
    assert gap(ours, theirs["simcse/states"], theirs["attention_mask"]) <= CLOSE_WITH_ADAPTERS


def test_texts_become_the_same_sub_words() -> None:
    tokenizer = load_backbone(CHAIN / "mntp", base=CHAIN / "base", adapters=[CHAIN / "simcse"]).tokenizer
    assert tokenizer is not None
    theirs = stored(CHAIN / "states.safetensors")
    words = WordTokenizer(tokenizer.backend_tokenizer, tokenizer.pad_token_id)
    texts = [" ".join(pair).strip() for pair in json.loads((CHAIN / "texts.json").read_text("utf-8"))]
    for text, ids, mask in zip(texts, theirs["input_ids"], theirs["attention_mask"], strict=True):
        encoded = [index for word in words.encode(text, max_word_tokens=8) for index in word.ids]
        assert [*words.prefix, *encoded] == ids[mask.bool()].tolist()


def test_a_base_beside_its_adapter(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(CHAIN, tmp_path / "chain"))
    path = folder / "mntp" / "adapter_config.json"
    adapter = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(adapter | {"base_model_name_or_path": "../base"}), encoding="utf-8")
    theirs = stored(CHAIN / "states.safetensors")
    ours = states(load_backbone(folder / "mntp").model, theirs["input_ids"], theirs["attention_mask"])
    assert gap(ours, theirs["mntp/states"], theirs["attention_mask"]) <= CLOSE_WITH_ADAPTERS


def test_an_adapter_without_its_base() -> None:
    with pytest.raises(CheckpointError, match=r"(?s)adapter of tiny/llama .*give its folder as base"):
        load_backbone(CHAIN / "mntp", local_files_only=True)


def test_an_adapter_that_names_no_base(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(CHAIN / "mntp", tmp_path / "mntp"))
    path = folder / "adapter_config.json"
    adapter = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(adapter | {"base_model_name_or_path": None}), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"names no base .*Give base"):
        load_backbone(folder)


def test_a_second_adapter_needs_the_first() -> None:
    """It names the base only, as published ones do; on the base alone its states would be wrong."""
    with pytest.raises(CheckpointError, match=r"may stand on another adapter .*in adapters"):
        load_backbone(CHAIN / "simcse")


def test_an_adapter_of_another_model() -> None:
    with pytest.raises(CheckpointError, match=r"mntp cannot be put on its base|do not fit"):
        load_backbone(CHAIN / "mntp", base=FIXTURES / "llama")


def test_an_adapter_among_whole_weights(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(CHAIN / "mntp", tmp_path / "mntp"))
    shutil.copy(CHAIN / "base" / "model.safetensors", folder)
    with pytest.raises(CheckpointError, match="both an adapter and whole weights"):
        load_backbone(folder)


def test_causal_is_for_decoders(tmp_path: Path) -> None:
    AutoConfig.for_model("bert", hidden_size=32, num_attention_heads=4).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="causal is true, but bert is an encoder"):
        load_backbone(tmp_path, causal=True)
