"""Every row of the table of families, on a small random model of it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_backbones import backbone_of, tiny, tiny_backbone
from tiny_models import LABELS, TEXTS, make_batch, probabilities, tiny_config, tiny_model
from transformers import AutoModel, PreTrainedModel

from gliner_mt import NER, CheckpointError, ConfigError, Extractor
from gliner_mt.backbones.attention import PACKED
from gliner_mt.backbones.configs import auto_class, backbone_config, backbone_values, without_wrapper
from gliner_mt.backbones.families import (
    families,
    family_of,
    local_reach,
    longest_window,
    position_limit,
)
from gliner_mt.backbones.selftest import check_bidirectional
from gliner_mt.batch import Collator, Row
from gliner_mt.build import build_labels, build_model
from gliner_mt.checkpoint.native import save_model
from gliner_mt.config import ModelConfig
from gliner_mt.tokenization import WordTokenizer

FAMILIES = [family.name for family in families()]
DECODERS = [family.name for family in families() if family.decoder]
ORDERED = [family.name for family in families() if family.padding_mask_only]
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # by importing DeBERTa
TASK = NER(LABELS, threshold=0.3)


def config_of(name: str, **changes: object) -> ModelConfig:
    return tiny_config(**({"backbone": tiny_backbone(name), "max_tokens": 96} | changes))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_of_every_family(name: str, tokenizer: WordTokenizer, tmp_path: Path) -> None:
    config = config_of(name)
    model = tiny_model(config, tokenizer)
    made = Extractor(config, model, tokenizer)
    save_model(tmp_path, config, model, tokenizer)
    with torch.inference_mode():
        scores = probabilities(model, config, tokenizer, TEXTS[0], LABELS)
    loaded = Extractor.load(tmp_path)
    again = loaded._engine.model
    with torch.inference_mode():
        same = probabilities(again, config, tokenizer, TEXTS[0], LABELS)
        together = again(make_batch(config, tokenizer, TEXTS, LABELS)).spans[0].sigmoid()
    torch.testing.assert_close(same, scores, atol=1e-4, rtol=0)
    valid = again.head.valid(scores[None], torch.tensor([len(scores)]), torch.tensor([len(LABELS)]))[0]
    torch.testing.assert_close(together[: len(scores)][valid], scores[valid], atol=1e-4, rtol=0)
    answers = list(loaded.extract_many(TEXTS, TASK))
    assert any(answers)
    assert [found(spans) for spans in answers] == [found(made.extract(text, TASK)) for text in TEXTS]


def found(spans: list[Any]) -> list[tuple[int, int, str]]:
    return [(span.start, span.end, span.label) for span in spans]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_facts_of_a_row(name: str) -> None:
    family = family_of(name)
    model = without_wrapper(tiny(name))
    assert model.get_submodule(family.embedding) is model.get_input_embeddings()
    linear = {
        path.rsplit(".", 1)[-1] for path, part in model.named_modules() if isinstance(part, torch.nn.Linear)
    }
    assert linear & set(family.lora)
    # What adapters leave alone is neither in attention nor in what follows it.
    assert linear - set(family.lora) <= {"pos_proj", "pos_q_proj", "embeddings_project", "head_weights_proj"}
    assert not family.assumed


@pytest.mark.parametrize("name", ["bert", "electra", "roberta", "xlm-roberta", "camembert"])
def test_the_longest_input_is_the_longest(name: str) -> None:
    model = tiny(name)
    limit = position_limit(family_of(name), model.config)
    assert limit == 128
    assert limit == longest_window(family_of(name), model.config)
    ids = torch.full((1, limit), 5)
    assert model(inputs_embeds=model.get_input_embeddings()(ids)).last_hidden_state.isfinite().all()
    with pytest.raises((IndexError, RuntimeError)):
        model(inputs_embeds=model.get_input_embeddings()(torch.full((1, limit + 1), 5)))


@pytest.mark.parametrize("name", ["deberta-v2", "t5"])
def test_some_have_no_longest_input(name: str) -> None:
    config = backbone_config(tiny_backbone(name))
    assert position_limit(family_of(name), config) is None
    assert longest_window(family_of(name), config) == 512


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("name", DECODERS)
def test_decoders_see_both_sides_unless_told_otherwise(name: str, attention: str) -> None:
    model, causal = tiny(name), tiny(name, causal=True)
    for either in (model, causal):
        either.set_attn_implementation(attention)
    check_bidirectional(model, "model")
    check_bidirectional(causal, "model")  # as its config says
    del causal.config.is_causal
    with pytest.raises(CheckpointError, match="model is causal: on unpadded batches"):
        check_bidirectional(causal, "model")


@pytest.mark.parametrize("name", FAMILIES)
def test_parallel_labels_have_no_order_or_are_refused(name: str, tokenizer: WordTokenizer) -> None:
    whole: dict[str, Any] = {"sliding_window": None} if name == "phi3" else {}
    config = config_of(name, labels="parallel", backbone=tiny_backbone(name, **whole))
    if name in ORDERED:
        with pytest.raises(ConfigError, match=f"{name} takes no mask between sub-words; use labels 'prompt'"):
            build_model(config)
        return
    backbone = backbone_of(tiny(name, **whole))
    encoding = build_labels(config, tokenizer)
    words = list(tokenizer.encode(TEXTS[1], max_word_tokens=64))
    for attention in (PACKED, "eager", "sdpa"):
        backbone.model.set_attn_implementation(attention)
        vectors = []
        for labels in (LABELS, LABELS[::-1]):
            batch = Collator(tokenizer.pad_id, tokenizer.suffix)([Row(encoding.prompt(labels), words)])
            with torch.inference_mode():
                hidden = backbone(batch)[0]
            at = dict(zip(labels, batch.label_last[0].tolist(), strict=True))
            vectors.append(hidden[[*batch.word_first[0].tolist(), *(at[label] for label in LABELS)]])
        torch.testing.assert_close(*vectors, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": "parallel", "backbone": tiny_backbone("phi3")}, "every layer of this phi3 sees a window"),
        ({"labels": "parallel", "causal": True}, "a causal decoder sees labels in their order; use"),
        ({"labels": "parallel", "hidden_shift": 1}, "is the state of what stands before it; use labels"),
        ({"hidden_shift": 2}, "hidden_shift is 2; expected 0, or 1"),
        ({"hidden_shift": 1, "backbone": tiny_backbone("bert")}, "hidden_shift is 1, but bert is an encoder"),
        ({"causal": True, "backbone": tiny_backbone("bert")}, "causal is true, but bert is an encoder"),
        ({"max_tokens": 129}, "max_tokens is 129; the backbone reads 128 sub-words"),
    ],
)
def test_what_makes_no_sense(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_model(config_of("llama", **changes))


def test_a_causal_model_says_so_and_sees_nothing_ahead(tokenizer: WordTokenizer, tmp_path: Path) -> None:
    config = config_of("llama", causal=True)
    model = tiny_model(config, tokenizer)
    save_model(tmp_path, config, model, tokenizer)
    loaded = Extractor.load(tmp_path)
    assert "causal" in loaded.info()["backbone"]
    states = [
        loaded._engine.model.backbone(make_batch(config, tokenizer, [text], ["person"]))[0, :6]
        for text in ("ada met bob", "ada met london")
    ]
    torch.testing.assert_close(*states)


def test_a_hidden_shift_reads_the_state_before(tokenizer: WordTokenizer) -> None:
    plain, shifted = (tiny_model(config_of("llama", hidden_shift=n), tokenizer) for n in (0, 1))
    shifted.load_state_dict(plain.state_dict())
    batch = make_batch(config_of("llama"), tokenizer, TEXTS, LABELS)
    with torch.inference_mode():
        before, after = plain.backbone(batch), shifted.backbone(batch)
    assert torch.equal(after[:, 1:], before[:, :-1])
    assert torch.equal(after[:, 0], before[:, 0])


@settings(deadline=None, max_examples=10)
@given(window=st.integers(2, 12))
def test_gemmas_own_switch_is_the_same_attention(window: int) -> None:
    values = tiny_backbone("gemma3_text", use_bidirectional_attention=True, sliding_window=window)
    ours = tiny("gemma3_text", use_bidirectional_attention=True, sliding_window=window)
    config = type(ours.config)(**{key: value for key, value in values.items() if key != "model_type"})
    theirs: PreTrainedModel = AutoModel.from_config(config, attn_implementation="eager").eval()
    theirs.load_state_dict(ours.state_dict())
    ids = torch.arange(1, 31)[None]
    first, second = (model(input_ids=ids).last_hidden_state for model in (ours, theirs))
    torch.testing.assert_close(first, second, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("name", "reach"),
    [("llama", None), ("mistral", None), ("phi3", 5), ("qwen2", 5), ("gemma3_text", 5), ("modernbert", 5)],
)
def test_windows_reach_to_both_sides(name: str, reach: int | None) -> None:
    changes: dict[str, Any] = {"num_hidden_layers": 1}
    if "layer_types" in tiny_backbone(name):
        changes["layer_types"] = ["sliding_attention"]
    elif name == "modernbert":
        changes["num_hidden_layers"] = 2  # layer 0 sees everything
    model = tiny(name, **changes)
    assert local_reach(family_of(name), model.config) == reach
    if name == "modernbert":
        model.layers = model.layers[1:]
    ids = torch.arange(1, 61)[None]
    moved = []
    with torch.no_grad():
        states = model(input_ids=ids).last_hidden_state[0]
        changed = model(input_ids=ids.index_fill(1, torch.tensor(30), 100)).last_hidden_state[0]
    moved = (states != changed).any(1).nonzero()[:, 0].tolist()
    expected = range(60) if reach is None else range(30 - reach, 30 + reach + 1)
    assert moved == list(expected)


@pytest.mark.parametrize(("name", "kind"), [("gpt2", "a decoder"), ("albert", "an encoder")])
def test_a_family_that_the_table_lacks(
    name: str, kind: str, tokenizer: WordTokenizer, tmp_path: Path
) -> None:
    config = config_of(name)
    with pytest.warns(UserWarning, match=rf"'{name}' is not in the table .* Assumed: that it is {kind}"):
        model = tiny_model(config, tokenizer)
    save_model(tmp_path, config, model, tokenizer)
    with pytest.warns(UserWarning, match="Compare its answers"):
        loaded = Extractor.load(tmp_path)
    assert any(loaded.extract_many(TEXTS, TASK))
    with pytest.warns(UserWarning), pytest.raises(ConfigError, match="takes no mask between sub-words"):
        build_model(config_of(name, labels="parallel"))


@pytest.mark.parametrize(
    ("name", "message"),
    [("mamba", "model is causal: on unpadded batches"), ("longformer", "longformer model, does not run")],
)
def test_what_cannot_be_assumed_is_found_out(name: str, message: str) -> None:
    changes = {"attention_window": 4} if name == "longformer" else {}
    model = tiny(name, max_position_embeddings=4, **changes)
    with pytest.raises(CheckpointError, match=message):
        check_bidirectional(model, "model")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model_type": "no-such"}, r"config of the no-such backbone cannot be used: Unrecognized model"),
        ({"model_type": "bart"}, "bart is an encoder-decoder model; expected an encoder, a decoder"),
        ({"model_type": "gemma3"}, "a gemma3 model cannot be a backbone: its config has no hidden_size"),
        ({"model_type": 3}, "has no model_type"),
        ({"hidden_size": 32}, "has no model_type"),
        (tiny_backbone("llama", num_attention_heads="many"), "config of the llama backbone cannot be used"),
    ],
)
def test_no_backbone(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config = backbone_config(values)
        auto_class(family_of(config.model_type), config)


def test_how_a_model_was_run_is_not_kept() -> None:
    how = {"torch_dtype": "bfloat16", "_name_or_path": "x", "auto_map": {"AutoModel": "y"}}
    kept = tiny_backbone("llama") | {"is_causal": False, "use_cache": False}
    assert backbone_values(tiny_backbone("llama", **how)) == kept
    assert backbone_values(tiny_backbone("bert")) == tiny_backbone("bert")
    assert backbone_values(tiny_backbone("mistral"))["sliding_window"] is None
    assert backbone_values(tiny_backbone("mistral"), causal=True)["sliding_window"] == 5


def test_the_page_lists_every_family() -> None:
    page = Path(__file__).parent.parent.joinpath("docs", "backbones.md").read_text(encoding="utf-8")
    table = page[: page.index("\n\n", page.index("| family"))]
    assert [name for name in FAMILIES if f"`{name}`" not in table] == []


def test_info_says_what_a_decoder_sees(tokenizer: WordTokenizer) -> None:
    config = config_of("llama", hidden_shift=1)
    info = Extractor(config, build_model(config), tokenizer).info()
    assert info["backbone"] == "llama, a decoder made bidirectional, 32 wide"
    assert info["longest input"] == "128 sub-words"
    assert info["hidden shift"].startswith("1: vectors are read one sub-word earlier")
    config = config_of("t5")
    info = Extractor(config, build_model(config), tokenizer).info()
    assert (info["backbone"], info["longest input"]) == ("t5, 32 wide", "any length")
