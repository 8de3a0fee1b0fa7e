import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from tiny_models import TEXTS
from torch import Generator, Tensor
from transformers import (
    AutoModel,
    BertConfig,
    BertModel,
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from typer.testing import CliRunner

from gliner_mt.backbones.loading import load_backbone
from gliner_mt.cli import app
from gliner_mt.config import from_mapping
from gliner_mt.errors import CheckpointError, ConfigError, InputError
from gliner_mt.train.adapt import AdaptConfig, LoraSettings, adapt
from gliner_mt.train.data import read_texts
from gliner_mt.train.loop import Run
from gliner_mt.train.loop_config import LoopConfig
from gliner_mt.train.mntp import MaskedBatch, Masker, MaskingConfig, NextTokenModel, mntp_loss
from gliner_mt.train.texts import PackedTexts, TextFiles
from tasks.causal_lm import ids_only, train_tokenizer

SHAPE: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": None,
    "initializer_range": 0.1,  # a head of small random numbers cannot be learnt by adapters alone
}
MASK, BOS, PAD = 299, 1, 0
LORA = LoraSettings(rank=4, alpha=8, dropout=0.1)
LOOP = LoopConfig(steps=30, batch_tokens=256, lr_backbone=2e-2, precision="no", save_every=100)


@pytest.fixture(autouse=True)
def fresh_accelerator() -> Iterator[None]:
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(TEXTS, 300)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerFast) -> Path:
    folder = tmp_path_factory.mktemp("decoder")
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**SHAPE, tie_word_embeddings=True)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "some.jsonl"
    path.write_text("".join(json.dumps({"text": text * 3}) + "\n" for text in TEXTS), encoding="utf-8")
    return path


def make_config(decoder: Path, texts: Path, **changes: object) -> AdaptConfig:
    values: dict[str, Any] = {"length": 32, "lora": LORA, "loop": LOOP}
    return AdaptConfig(model=str(decoder), texts=(str(texts),), **(values | changes))


def some_batch(rows: int = 3, length: int = 16, **changes: float) -> tuple[Tensor, MaskedBatch]:
    random = torch.Generator().manual_seed(0)
    ids = torch.randint(2, 290, (rows, length), generator=random)
    return ids, Masker(MaskingConfig(**changes), mask_id=MASK, vocabulary=300, kept=[PAD, BOS])(ids, random)


def masked_places(batch: MaskedBatch) -> Tensor:
    return torch.nn.functional.pad(batch.before[:, :-1], (1, 0))


def test_masks_are_drawn_as_configured() -> None:
    ids, batch = some_batch(200, 256, share=0.2)
    places = masked_places(batch)
    assert not batch.before[:, -1].any()
    assert not places[:, 0].any()
    assert places[:, 1:].float().mean() == pytest.approx(0.2, abs=0.005)
    assert torch.equal(batch.targets, ids[places])
    assert torch.equal(batch.ids[~places], ids[~places])
    written = batch.ids[places]
    assert (written == MASK).float().mean() == pytest.approx(0.8, abs=0.01)
    assert (written == batch.targets).float().mean() == pytest.approx(0.1, abs=0.01)
    others = written[(written != MASK) & (written != batch.targets)]
    assert others.unique().numel() > 250


def test_all_may_be_masks_and_special_tokens_are_kept() -> None:
    ids = torch.full((8, 64), BOS)
    ids[:, ::2] = torch.arange(2, 34)
    masker = Masker(
        MaskingConfig(share=0.5, as_mask=1.0, as_random=0.0), mask_id=MASK, vocabulary=300, kept=[BOS]
    )
    batch = masker(ids, torch.Generator().manual_seed(0))
    assert (batch.ids[ids == BOS] == BOS).all()
    assert (batch.ids[masked_places(batch)] == MASK).all()
    assert (batch.targets != BOS).all()
    assert len(batch.targets) > 50


@pytest.mark.parametrize(
    "change", [{"share": 0.0}, {"share": 1.0}, {"as_mask": 0.95}, {"as_random": -0.1}], ids=str
)
def test_masking_that_makes_no_sense(change: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(change))} .*expected"):
        MaskingConfig(**change)


def language_models() -> list[PreTrainedModel]:
    torch.manual_seed(0)
    capped = Gemma2Config(
        **SHAPE, final_logit_softcapping=0.5, sliding_window=8, query_pre_attn_scalar=8, is_causal=False
    )
    llama = LlamaConfig(**SHAPE, is_causal=False)
    return [LlamaForCausalLM(llama).eval(), Gemma2ForCausalLM(capped).eval()]


@pytest.mark.parametrize("model", language_models(), ids=["llama", "gemma2"])
def test_each_masked_token_is_scored_one_place_before(model: PreTrainedModel) -> None:
    ids, batch = some_batch()
    loss = mntp_loss(NextTokenModel(model), batch)
    places = masked_places(batch)
    # By hand, place by place.
    logits = model(input_ids=batch.ids).logits
    losses = [-logits[b, i - 1].log_softmax(-1)[ids[b, i]] for b, i in places.nonzero().tolist()]
    assert len(losses) == len(batch.targets) > 5
    torch.testing.assert_close(loss, torch.stack(losses).mean())
    # By transformers' own shift, as LLM2Vec computes it.
    labels = ids.masked_fill(~places, -100)
    torch.testing.assert_close(loss, model(input_ids=batch.ids, labels=labels).loss)


def test_a_batch_without_masks_costs_nothing() -> None:
    ids, batch = some_batch()
    none = MaskedBatch(ids, torch.zeros_like(batch.before), batch.targets[:0])
    assert mntp_loss(NextTokenModel(language_models()[0]), none) == 0


@torch.no_grad()
def sees_the_end(model: PreTrainedModel) -> bool:
    ids = torch.arange(2, 12)[None]
    other = ids.clone()
    other[0, -1] = 40
    return not torch.allclose(model(ids).last_hidden_state[0, 0], model(other).last_hidden_state[0, 0])


def test_adapters_learn_and_the_encoder_loads_back(decoder: Path, texts: Path, tmp_path: Path) -> None:
    losses = adapt(make_config(decoder, texts), tmp_path)
    assert len(losses) == LOOP.steps
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])
    loaded = load_backbone(tmp_path)
    assert loaded.config["is_causal"] is False
    assert loaded.tokenizer is not None
    assert loaded.tokenizer.tokenize("Ada met") == train_tokenizer(TEXTS, 300).tokenize("Ada met")
    plain = AutoModel.from_pretrained(tmp_path)
    assert sees_the_end(plain)
    ids = torch.arange(2, 20)[None]
    expected = loaded.model(ids).last_hidden_state
    torch.testing.assert_close(plain(ids).last_hidden_state, expected)
    # The adapters alone, on the decoder that they were trained on, are the same model.
    chained = load_backbone(decoder, adapters=[tmp_path / "adapter"])
    torch.testing.assert_close(chained.model(ids).last_hidden_state, expected, rtol=1e-4, atol=1e-5)
    named = load_backbone(tmp_path / "adapter")
    torch.testing.assert_close(named.model(ids).last_hidden_state, expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(load_backbone(decoder).model(ids).last_hidden_state, expected, atol=1e-2)


def test_all_seven_projections_are_adapted_and_nothing_else(
    decoder: Path, texts: Path, tmp_path: Path
) -> None:
    adapt(make_config(decoder, texts, loop=replace(LOOP, steps=2)), tmp_path)
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    assert (config["r"], config["lora_alpha"], config["base_model_name_or_path"]) == (4, 8, str(decoder))
    before, after = (load_backbone(folder).model.state_dict() for folder in (decoder, tmp_path))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert len(changed) == 7 * SHAPE["num_hidden_layers"]
    assert all(name.endswith("_proj.weight") for name in changed)


def test_all_weights_can_be_trained(decoder: Path, texts: Path, tmp_path: Path) -> None:
    loop = replace(LOOP, lr_backbone=5e-3)
    losses = adapt(make_config(decoder, texts, lora=None, loop=loop), tmp_path)
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    assert not (tmp_path / "adapter").exists()
    before, after = (load_backbone(folder).model.state_dict() for folder in (decoder, tmp_path))
    assert not [name for name in before if torch.equal(before[name], after[name])]


@pytest.mark.parametrize("lora", [None, LORA], ids=["all weights", "lora"])
def test_an_interrupted_run_goes_on_as_if_it_had_not_been(
    decoder: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lora: LoraSettings | None
) -> None:
    config = make_config(decoder, texts, lora=lora, loop=replace(LOOP, steps=5, save_every=3))
    expected = adapt(config, tmp_path / "whole")
    train = Run.train

    def interrupted(run: Run[NextTokenModel, MaskedBatch], after_save: object) -> list[float]:
        def stop(step: int, model: NextTokenModel) -> None:
            raise KeyboardInterrupt

        return train(run, stop)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Run, "train", interrupted)
        adapt(config, tmp_path / "parts")
    assert adapt(config, tmp_path / "parts") == expected[3:]
    ids = torch.arange(2, 20)[None]
    whole, parts = (load_backbone(tmp_path / name).model(ids) for name in ("whole", "parts"))
    assert torch.equal(whole.last_hidden_state, parts.last_hidden_state)
    assert adapt(config, tmp_path / "parts") == []


def test_layers_computed_anew_give_the_same_losses(decoder: Path, texts: Path, tmp_path: Path) -> None:
    config = make_config(decoder, texts, loop=replace(LOOP, steps=3))
    expected = adapt(config, tmp_path / "kept")
    anew = replace(config, loop=replace(config.loop, checkpoint_layers=True))
    assert adapt(anew, tmp_path / "anew") == pytest.approx(expected)


def test_sequences_hold_every_token_once_and_pools_repeat(tokenizer: PreTrainedTokenizerFast) -> None:
    def source(seed: int = 0) -> PackedTexts[Tensor]:
        return PackedTexts(TEXTS, tokenizer, ids_only, length=8, seed=seed)

    tokens = [token for ids in tokenizer(list(TEXTS))["input_ids"] for token in ids]
    whole = len(tokens) // 8
    first = source()
    pools = [torch.cat(first.pool(index, 24)) for index in range(2)]
    assert {len(batch) for batch in first.pool(0, 24)[:-1]} == {3}
    rows = [tokens[i * 8 : i * 8 + 8] for i in range(whole)]
    assert sorted(pools[0].tolist()) == sorted(pools[1].tolist()) == sorted(rows)
    assert pools[0].tolist() != pools[1].tolist() != rows
    assert torch.equal(torch.cat(source().pool(1, 24)), pools[1])
    assert torch.equal(torch.cat(first.pool(0, 24)), pools[0])
    assert not torch.equal(torch.cat(source(seed=1).pool(0, 24)), pools[0])


def test_random_numbers_belong_to_the_pool(tokenizer: PreTrainedTokenizerFast) -> None:
    def draw(ids: Tensor, random: Generator) -> float:
        return float(torch.rand((), generator=random))

    source = PackedTexts(TEXTS, tokenizer, draw, length=8, seed=0)
    assert source.pool(0, 8) == source.pool(0, 8) != source.pool(1, 8)


def test_texts_are_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n\ntwo\n", encoding="utf-8")
    (tmp_path / "b.jsonl").write_text('{"body": "three"}\n\n{"body": "four"}\n', encoding="utf-8")
    with gzip.open(tmp_path / "c.md.gz", "wt", encoding="utf-8") as file:
        file.write("five")
    files = TextFiles([tmp_path / name for name in ("a.txt", "b.jsonl", "c.md.gz")], "body")
    assert list(files) == list(files) == ["one\n\ntwo\n", "three", "four", "five"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"x", r"a\.csv is no \.txt, \.md or \.jsonl"),
        ("a.jsonl", b'{"text": "x"}\n{"body": "x"}', r"a\.jsonl, line 2: KeyError\('text'\)"),
        ("a.jsonl", b"[", r"a\.jsonl, line 1: JSONDecodeError"),
        ("a.jsonl", b'"x"', r"a\.jsonl, line 1: TypeError"),
        ("a.jsonl", b'{"text": 3}', r"a\.jsonl, line 1: 'text' holds 3"),
        ("a.txt", b"x\ncaf\xe9", r"a\.txt, line 2: byte 0xe9 at 3 is no UTF-8"),
        ("a.txt.gz", b"x", r"a\.txt\.gz, after line 0: .*whole if gzipped"),
        ("none/a.txt", None, r"no file .*none"),
    ],
)
def test_texts_that_cannot_be_read(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        list(read_texts(tmp_path / name))


def test_there_must_be_text(decoder: Path, texts: Path, tmp_path: Path) -> None:
    config = make_config(decoder, texts)
    with pytest.raises(InputError, match="no text to learn from"):
        adapt(replace(config, texts=()), tmp_path)
    short = tmp_path / "short.txt"
    short.write_text("Ada", encoding="utf-8")
    with pytest.raises(InputError, match="have 3 tokens in all and fill no sequence of 32"):
        adapt(replace(config, texts=(str(short),)), tmp_path)


def test_what_cannot_be_adapted(
    decoder: Path, texts: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    config = make_config(decoder, texts)
    with pytest.raises(ConfigError, match="'<mask>', which is not in the vocabulary"):
        adapt(replace(config, masking=MaskingConfig(token="<mask>")), tmp_path)
    with pytest.raises(ConfigError, match=r"length is 65; .* reads 64 tokens"):
        adapt(replace(config, length=65), tmp_path)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    BertModel(BertConfig(vocab_size=300, **sizes)).save_pretrained(tmp_path / "encoder")
    with pytest.raises(ConfigError, match=r"is an encoder \(bert\)"):
        adapt(replace(config, model=str(tmp_path / "encoder")), tmp_path)
    headless = LlamaForCausalLM(LlamaConfig(**SHAPE)).model
    headless.save_pretrained(tmp_path / "headless")
    tokenizer.save_pretrained(tmp_path / "headless")
    with pytest.raises(CheckpointError, match=r"lack .* such as lm_head\.weight"):
        adapt(replace(config, model=str(tmp_path / "headless")), tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lora": {"rank": 0}}, r"lora\.rank is 0; .*lora: null"),
        ({"lora": {"rnak": 8}}, "unknown key 'rnak'; did you mean 'rank'"),
        ({"lora": 8}, "lora is 8; expected a mapping"),
        ({"lora": {"dropout": 1.0}}, r"lora\.dropout is 1\.0"),
        ({"length": 1}, "length is 1; expected at least 2"),
        ({"masking": {"share": 2.0}}, r"masking\.share is 2\.0"),
        ({"modle": "x"}, "unknown key 'modle'; did you mean 'model'"),
    ],
)
def test_a_config_that_makes_no_sense(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_mapping(AdaptConfig, {"model": "x", "loop": {"steps": 1}} | change, "run.yaml")


def test_all_weights_are_asked_for_with_null() -> None:
    values = {"model": "x", "loop": {"steps": 1}}
    assert from_mapping(AdaptConfig, values | {"lora": None}, "run.yaml").lora is None
    assert from_mapping(AdaptConfig, values, "run.yaml").lora == LoraSettings()


def test_the_command(decoder: Path, texts: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    loop = "loop: {steps: 2, batch_tokens: 64, precision: 'no'}"
    recipe.write_text(f"model: nowhere\nlength: 16\nlora: {{rank: 2}}\n{loop}\n", encoding="utf-8")
    out = tmp_path / "encoder"
    arguments = ["adapt", "--config", str(recipe), "--out", str(out), "--model", str(decoder)]
    result = CliRunner().invoke(app, [*arguments, str(texts)])
    assert result.exit_code == 0, result.output
    assert sees_the_end(load_backbone(out).model)
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, "no text to learn from" in result.stderr) == (2, True)
    result = CliRunner().invoke(app, ["adapt", "-c", str(tmp_path / "none.yaml"), "-o", str(out)])
    assert (result.exit_code, "cannot read the config" in result.stderr) == (2, True)
