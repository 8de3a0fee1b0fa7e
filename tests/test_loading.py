"""Pretrained backbones from folders: encoders, decoders, encoders of two, LLM2Vec's chains of adapters."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tiny_backbones import tiny_backbone
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from gliner_mt.backbones.configs import backbone_config
from gliner_mt.backbones.loading import load_backbone
from gliner_mt.checkpoint.load import EMBEDDED
from gliner_mt.errors import CheckpointError, ConfigError
from gliner_mt.tokenization import WordTokenizer

IDS = torch.arange(1, 21).view(2, 10)
LAYERS = ["q_proj", "v_proj", "o_proj", "gate_proj"]


@torch.no_grad()
def states(model: PreTrainedModel) -> Tensor:
    hidden: Tensor = model(inputs_embeds=model.get_input_embeddings()(IDS)).last_hidden_state
    return hidden


def save_language_model(folder: Path, name: str = "llama", **changes: object) -> PreTrainedModel:
    """Save a causal language model, as decoders are published."""
    values = tiny_backbone(name, **changes)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(values.pop("model_type"), **values))
    model.save_pretrained(folder)
    return model.eval()


def save_adapter(
    model: PreTrainedModel, folder: Path, base: object, *, task: str | None = None
) -> PreTrainedModel:
    """Save a random adapter of `model`, and return the two as one."""
    adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=LAYERS, task_type=task))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0.0, 0.2)
    adapted.peft_config["default"].base_model_name_or_path = str(base)
    adapted.save_pretrained(folder, save_embedding_layers=False)
    return adapted.merge_and_unload()


class Chain:
    """LLM2Vec's way of publishing: a language model, an MNTP adapter of it, a SimCSE adapter on top."""

    def __init__(self, folder: Path) -> None:
        self.base, self.mntp, self.simcse = (folder / name for name in ("base", "mntp", "simcse"))
        save_language_model(self.base)
        model = load_backbone(self.base).model
        model = save_adapter(model, self.mntp, self.base)
        self.mntp_states = states(model)
        shutil.copy(self.base / "config.json", self.mntp)  # published with one, but without weights
        self.states = states(save_adapter(model, self.simcse, self.base))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return Chain(tmp_path_factory.mktemp("chain"))


@pytest.fixture
def chain(tmp_path: Path, saved: Chain) -> Chain:
    """Return a copy to break; its adapters still name the first base."""
    copy = Chain.__new__(Chain)
    shutil.copytree(saved.base.parent, tmp_path / "copy")
    copy.base, copy.mntp, copy.simcse = (tmp_path / "copy" / name for name in ("base", "mntp", "simcse"))
    copy.states, copy.mntp_states = saved.states, saved.mntp_states
    return copy


def change_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_language_model_loses_its_head_and_sees_both_sides(saved: Chain) -> None:
    loaded = load_backbone(saved.base)
    assert type(loaded.model).__name__ == "LlamaModel"
    assert not loaded.model.training
    assert loaded.config["is_causal"] is False
    assert loaded.tokenizer is None
    again = AutoModel.from_config(backbone_config(loaded.config)).eval()
    again.load_state_dict(loaded.model.state_dict())
    torch.testing.assert_close(states(again), states(loaded.model), atol=1e-5, rtol=0)


def test_a_causal_one_stays_as_it_is(saved: Chain) -> None:
    loaded = load_backbone(saved.base, causal=True)
    theirs = AutoModelForCausalLM.from_pretrained(saved.base).eval()
    with torch.no_grad():
        expected = theirs.model(IDS).last_hidden_state
    torch.testing.assert_close(states(loaded.model), expected, atol=1e-5, rtol=0)
    assert loaded.config["is_causal"] is True


def test_weights_are_single_precision(tmp_path: Path) -> None:
    save_language_model(tmp_path).to(torch.bfloat16).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    loaded = load_backbone(tmp_path)
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}
    assert "dtype" not in loaded.config


def test_the_encoder_of_two_comes_alone(tmp_path: Path) -> None:
    values = tiny_backbone("t5", decoder_start_token_id=0)
    torch.manual_seed(0)
    both = AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model(values.pop("model_type"), **values)).eval()
    both.save_pretrained(tmp_path)
    loaded = load_backbone(tmp_path)
    assert type(loaded.model).__name__ == "T5Stack"
    torch.testing.assert_close(states(loaded.model), states(both.encoder), atol=1e-5, rtol=0)


def test_pickled_weights_and_parts(tmp_path: Path) -> None:
    model = save_language_model(tmp_path)
    model.save_pretrained(tmp_path / "parts", max_shard_size="20KB")
    assert len(list((tmp_path / "parts").glob("model-*.safetensors"))) > 1
    expected = states(load_backbone(tmp_path).model)
    torch.testing.assert_close(states(load_backbone(tmp_path / "parts").model), expected)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    torch.testing.assert_close(states(load_backbone(tmp_path).model), expected)


def test_an_adapter_finds_its_base(saved: Chain) -> None:
    loaded = load_backbone(saved.mntp)
    assert type(loaded.model).__name__ == "LlamaModel"
    torch.testing.assert_close(states(loaded.model), saved.mntp_states, atol=1e-5, rtol=0)


@pytest.mark.parametrize("merge", [True, False])
def test_adapters_on_top(saved: Chain, merge: bool) -> None:
    loaded = load_backbone(saved.mntp, adapters=[saved.simcse], merge=merge)
    torch.testing.assert_close(states(loaded.model), saved.states, atol=1e-5, rtol=0)
    layers = [parameter for name, parameter in loaded.model.named_parameters() if "lora" in name]
    assert bool(layers) is not merge
    assert not any(parameter.requires_grad for parameter in layers)


def test_an_adapter_of_an_adapter(chain: Chain) -> None:
    change_json(chain.simcse / "adapter_config.json", base_model_name_or_path="../mntp")
    change_json(chain.mntp / "adapter_config.json", base_model_name_or_path="../base")
    torch.testing.assert_close(states(load_backbone(chain.simcse).model), chain.states, atol=1e-5, rtol=0)


def test_an_adapter_for_a_task_goes_on_the_bare_model(tmp_path: Path, saved: Chain) -> None:
    model = load_backbone(saved.base).model
    expected = states(save_adapter(model, tmp_path / "adapter", saved.base, task="FEATURE_EXTRACTION"))
    change_json(tmp_path / "adapter" / "adapter_config.json", task_type="CAUSAL_LM")
    loaded = load_backbone(tmp_path / "adapter")
    torch.testing.assert_close(states(loaded.model), expected, atol=1e-5, rtol=0)


def test_an_adapter_trained_with_the_head_on(tmp_path: Path, saved: Chain) -> None:
    model = AutoModelForCausalLM.from_pretrained(saved.base)
    model.config.is_causal = False
    expected = states(save_adapter(model, tmp_path, saved.base, task="CAUSAL_LM").model)
    torch.testing.assert_close(states(load_backbone(tmp_path).model), expected, atol=1e-5, rtol=0)


def test_an_adapter_without_its_base(chain: Chain) -> None:
    change_json(chain.mntp / "adapter_config.json", base_model_name_or_path="team/base")
    with pytest.raises(CheckpointError, match=r"an adapter of team/base and needs .* its folder as base"):
        load_backbone(chain.mntp, local_files_only=True)
    torch.testing.assert_close(
        states(load_backbone(chain.mntp, base=chain.base).model), chain.mntp_states, atol=1e-5, rtol=0
    )
    change_json(chain.mntp / "adapter_config.json", base_model_name_or_path=None)
    with pytest.raises(CheckpointError, match="names no base"):
        load_backbone(chain.mntp)


def test_an_adapter_of_itself(chain: Chain) -> None:
    change_json(chain.mntp / "adapter_config.json", base_model_name_or_path=".")
    with pytest.raises(CheckpointError, match="is an adapter of an adapter, and so on 4 times"):
        load_backbone(chain.mntp)


def test_an_adapter_beside_whole_weights(chain: Chain) -> None:
    shutil.copy(chain.base / "model.safetensors", chain.mntp)
    with pytest.raises(CheckpointError, match="holds both an adapter and whole weights"):
        load_backbone(chain.mntp)


def test_an_adapter_of_another_model(chain: Chain) -> None:
    weights = load_file(chain.mntp / "adapter_model.safetensors")
    name = next(iter(weights))
    weights["base_model.model.layers.9.x.lora_A.weight"] = weights.pop(name)
    save_file(weights, chain.mntp / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match=rf"missing: {name}.*unexpected: base_model.model.layers.9"):
        load_backbone(chain.mntp, base=chain.base)
    save_language_model(chain.base.parent / "gpt2", "gpt2", n_embd=32)
    with pytest.raises(CheckpointError, match=r"adapter in .*mntp cannot be put on its base: Target modules"):
        load_backbone(chain.mntp, base=chain.base.parent / "gpt2")


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
@pytest.mark.parametrize("content", [None, b"{"])
def test_a_broken_adapter(chain: Chain, name: str, content: bytes | None) -> None:
    if content is None:
        (chain.simcse / name).unlink()
    else:
        (chain.simcse / name).write_bytes(content)
    with pytest.raises(CheckpointError, match="simcse"):
        load_backbone(chain.base, adapters=[chain.simcse])


def test_settings_of_the_backbone_can_be_changed(saved: Chain) -> None:
    loaded = load_backbone(saved.base, changes={"attention_dropout": 0.25, "max_position_embeddings": 256})
    assert loaded.model.config.attention_dropout == loaded.config["attention_dropout"] == 0.25
    assert loaded.model.config.max_position_embeddings == 256
    with pytest.raises(ConfigError, match="no key 'atention_dropout'; did you mean 'attention_dropout'"):
        load_backbone(saved.base, changes={"atention_dropout": 0.0})


def test_weights_that_do_not_fit(chain: Chain) -> None:
    weights = load_file(chain.base / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, chain.base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lack 1 tensors of a llama model, such as layers\.1\.mlp"):
        load_backbone(chain.base)
    change_json(chain.base / "config.json", intermediate_size=40)
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        load_backbone(chain.base)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("content", [None, b"{"])
def test_broken_files(chain: Chain, name: str, content: bytes | None) -> None:
    if content is None:
        (chain.base / name).unlink()
    else:
        (chain.base / name).write_bytes(content)
    with pytest.raises(CheckpointError):
        load_backbone(chain.base)


class Trap:
    """A pickle that would make a folder when it is read by a careless reader."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_pickled_weights_run_nothing(chain: Chain, tmp_path: Path) -> None:
    (chain.base / "model.safetensors").unlink()
    torch.save({"model.norm.weight": Trap(tmp_path / "trapped")}, chain.base / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        load_backbone(chain.base)
    assert not (tmp_path / "trapped").exists()


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no folder"):
        load_backbone("team/nothing", local_files_only=True)
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        load_backbone(tmp_path)


def test_one_of_our_own_models_is_no_backbone() -> None:
    with pytest.raises(CheckpointError, match=r"has no model_type; .* load it with Extractor\.load"):
        load_backbone(EMBEDDED)


def save_tokenizer(tokenizer: WordTokenizer, folder: Path) -> None:
    PreTrainedTokenizerFast(tokenizer_object=tokenizer.tokenizer, pad_token="[PAD]").save_pretrained(folder)


def test_the_tokenizer_of_the_uppermost_adapter_counts(chain: Chain, tokenizer: WordTokenizer) -> None:
    save_tokenizer(tokenizer, chain.base)
    loaded = load_backbone(chain.mntp, base=chain.base)
    assert loaded.tokenizer is not None
    assert loaded.tokenizer.get_vocab() == tokenizer.tokenizer.get_vocab()
    save_tokenizer(tokenizer, chain.mntp)
    change_json(chain.mntp / "tokenizer_config.json", pad_token="[UNK]")
    loaded = load_backbone(chain.mntp, base=chain.base)
    assert loaded.tokenizer is not None
    assert loaded.tokenizer.pad_token == "[UNK]"


def test_a_broken_tokenizer(chain: Chain, tokenizer: WordTokenizer) -> None:
    save_tokenizer(tokenizer, chain.base)
    (chain.base / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"tokenizer in .*base cannot be read"):
        load_backbone(chain.base)


def test_a_tokenizer_of_more_sub_words_than_rows(tmp_path: Path, tokenizer: WordTokenizer) -> None:
    save_language_model(tmp_path, vocab_size=100)
    save_tokenizer(tokenizer, tmp_path)
    highest = max(tokenizer.tokenizer.get_vocab().values())
    with pytest.raises(CheckpointError, match=f"up to number {highest}, but its backbone embeds 100"):
        load_backbone(tmp_path)
