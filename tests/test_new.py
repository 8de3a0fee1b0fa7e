"""Models built new around pretrained backbones, and the tokens that they need."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_backbones import tiny, tiny_backbone
from tiny_models import LABELS, TEXTS, tiny_tokenizer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from gliner_mt import NER, CheckpointError, ConfigError, Extractor
from gliner_mt.backbones.vocabulary import add_tokens, check_vocabulary, read_words_as_in_text
from gliner_mt.checkpoint.native import save_model
from gliner_mt.new import NewModel, new_model

ENCODINGS = ("prompt", "parallel", "separate", "fused")
ROWS = 200


def byte_level(*, prefix_space: bool = False, split: bool = False) -> Tokenizer:
    """Return a byte-level tokenizer without special tokens, as decoders have them."""
    tokenizer = Tokenizer(models.BPE())
    steps: list[Any] = [pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)]
    if split:
        steps.insert(0, pre_tokenizers.Digits())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps) if split else steps[0]
    alphabet = sorted({c for text in (*TEXTS, *LABELS) for c in text.replace(" ", "Ġ")})
    trainer = trainers.BpeTrainer(
        vocab_size=ROWS - 50, initial_alphabet=alphabet, show_progress=False, special_tokens=["<eos>"]
    )
    tokenizer.train_from_iterator([f" {text}" for text in TEXTS * 3], trainer)
    return tokenizer


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Save a backbone of some families, each with a tokenizer of its kind."""
    root = tmp_path_factory.mktemp("backbones")
    for name in ("bert", "deberta-v2", "t5", "llama"):
        tiny(name).save_pretrained(root / name)
        if name == "llama":
            wrapped = PreTrainedTokenizerFast(tokenizer_object=byte_level(), eos_token="<eos>")
        else:
            wrapped = PreTrainedTokenizerFast(tokenizer_object=tiny_tokenizer().tokenizer, pad_token="[PAD]")
        wrapped.save_pretrained(root / name)
    return {path.name: str(path) for path in root.iterdir()}


pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # by importing DeBERTa


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    ("backbone", "head"),
    [("bert", "marker"), ("deberta-v2", "boundary"), ("t5", "marker_v0"), ("llama", "marker")],
)
def test_any_family_with_any_labels_and_any_head(
    folders: dict[str, str], backbone: str, head: str, encoding: str, tmp_path: Path
) -> None:
    apart = encoding in ("separate", "fused")
    spec = NewModel(
        backbone=folders[backbone],
        labels=encoding,
        label_backbone=folders["bert"] if apart else None,
        fusion=("l2t", "t2t") if encoding == "fused" else (),
        head=head,
        max_tokens=96,
    )
    if encoding == "parallel" and backbone in ("t5", "deberta-v2"):
        with pytest.raises(ConfigError, match="takes no mask between sub-words; use labels 'prompt'"):
            new_model(spec)
        return
    config, model, tokenizer = new_model(spec)
    assert (config.labels, config.head, config.hidden_size) == (encoding, head, 32)
    save_model(tmp_path, config, model, tokenizer)
    loaded = Extractor.load(tmp_path)
    task = NER(LABELS, threshold=0.01)
    made = Extractor(config, model, tokenizer)
    for text in TEXTS:
        expected = made.extract(text, task)
        assert expected
        assert [(x.start, x.end, x.label) for x in loaded.extract(text, task)] == [
            (x.start, x.end, x.label) for x in expected
        ]


def test_new_tokens_get_rows_like_the_others(folders: dict[str, str]) -> None:
    before = tiny("llama").get_input_embeddings().weight
    config, model, tokenizer = new_model(NewModel(backbone=folders["llama"]))
    weight = model.backbone.model.get_input_embeddings().weight
    n_tokens = tokenizer.tokenizer.get_vocab_size()
    assert (config.marker_id, config.separator_id) == (n_tokens - 2, n_tokens - 1)
    assert len(weight) == config.backbone["vocab_size"] == ROWS  # there were rows to spare
    changed = (weight != before).any(1).nonzero()[:, 0].tolist()
    assert changed == [n_tokens - 2, n_tokens - 1]
    assert tokenizer.tokenizer.encode("ada <<ENT>> met").tokens.count("<<ENT>>") == 1


def test_the_embedding_grows_only_if_it_must(folders: dict[str, str]) -> None:
    _, model, tokenizer = new_model(NewModel(backbone=folders["bert"], marker="[unused0]", separator="[SEP]"))
    assert tokenizer.tokenizer.token_to_id("<<ENT>>") is None
    assert model.backbone.model.config.vocab_size == ROWS
    encoder, full = tiny("bert"), tiny_tokenizer().tokenizer
    full.add_tokens([f"token{n}" for n in range(ROWS - full.get_vocab_size())])
    assert add_tokens(encoder, full, ["[SEP]", "<<A>>", "<<B>>", "<<A>>"]) == [3, ROWS, ROWS + 1, ROWS]
    weight = encoder.get_input_embeddings().weight.detach()
    assert weight.shape == (ROWS + 2, 32)
    assert encoder.config.vocab_size == ROWS + 2
    assert torch.equal(weight[:ROWS], tiny("bert").get_input_embeddings().weight)
    norms = weight[1:].norm(dim=1)
    assert norms[-2:].mean() == pytest.approx(norms[:-2].mean(), rel=0.5)
    assert not torch.equal(weight[-1], weight[-2])


def test_a_decoder_without_a_token_for_padding(folders: dict[str, str]) -> None:
    _, model, tokenizer = new_model(NewModel(backbone=folders["llama"]))
    assert tokenizer.pad_id == tokenizer.tokenizer.token_to_id("<eos>")
    assert (tokenizer.prefix, tokenizer.suffix) == ((), ())
    assert model.backbone.model.config.is_causal is False


def test_windows_are_as_long_as_the_backbone_was_made_for(folders: dict[str, str]) -> None:
    assert new_model(NewModel(backbone=folders["llama"]))[0].max_tokens == 128
    assert new_model(NewModel(backbone=folders["t5"]))[0].max_tokens == 512
    longer = NewModel(backbone=folders["llama"], backbone_config={"max_position_embeddings": 4096})
    assert new_model(longer)[0].max_tokens == 4096


def test_settings_reach_their_parts(folders: dict[str, str]) -> None:
    spec = NewModel(
        backbone=folders["llama"],
        backbone_config={"attention_dropout": 0.3},
        hidden_size=24,
        word_shapes=True,
        lstm_layers=1,
        hidden_shift=1,
        causal=True,
        dropout=0.2,
    )
    config, model, _ = new_model(spec, attention="eager")
    encoder = model.backbone.model
    assert (encoder.config.attention_dropout, encoder.config._attn_implementation) == (0.3, "eager")
    assert encoder.config.is_causal is True
    assert (config.hidden_size, config.hidden_shift, config.dropout) == (24, 1, 0.2)
    assert model.lstm is not None
    assert model.backbone.shapes is not None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": "bert", "hidden_shift": 1}, "hidden_shift is 1, but bert is an encoder"),
        ({"backbone": "bert", "causal": True}, "causal is true, but bert is an encoder"),
        ({"backbone": "llama", "max_tokens": 200}, "max_tokens is 200; the backbone reads 128"),
        ({"backbone": "llama", "labels": "paralel"}, "labels is 'paralel'; did you mean 'parallel'"),
        ({"backbone": "llama", "labels": "separate"}, "label_backbone"),
        ({"backbone": "llama", "backbone_config": {"dropout": 0.1}}, "config has no key 'dropout'"),
    ],
)
def test_what_does_not_go_together(folders: dict[str, str], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        new_model(NewModel(**(changes | {"backbone": folders[changes["backbone"]]})))


def test_a_backbone_without_a_tokenizer(tmp_path: Path) -> None:
    tiny("bert").save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"has no tokenizer; expected a tokenizer\.json"):
        new_model(NewModel(backbone=str(tmp_path)))


def with_spaces_as_marks() -> Tokenizer:
    """Return a tokenizer like Gemma's, in whose sub-words spaces are visible."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    trainer = trainers.BpeTrainer(vocab_size=60, initial_alphabet=["a"], show_progress=False)
    tokenizer.train_from_iterator([f" {word}" for text in TEXTS * 3 for word in text.split()], trainer)
    return tokenizer


@pytest.mark.parametrize("make", [byte_level, partial(byte_level, split=True), with_spaces_as_marks])
def test_words_are_read_as_in_running_text(make: Callable[[], Tokenizer]) -> None:
    tokenizer = make()
    plain = tokens(tokenizer, ["Ada", "met", "Bob"])
    read_words_as_in_text(tokenizer)
    spaced = tokens(tokenizer, ["Ada", "met", "Bob"])
    assert spaced == make().encode(" Ada met Bob").tokens != plain
    once = tokenizer.to_str()
    read_words_as_in_text(tokenizer)
    assert tokenizer.to_str() == once


@pytest.mark.parametrize("other", [byte_level(prefix_space=True), tiny_tokenizer().tokenizer])
def test_tokenizers_that_need_no_space_are_left_alone(other: Tokenizer) -> None:
    before = other.to_str()
    read_words_as_in_text(other)
    assert other.to_str() == before


def tokens(tokenizer: Tokenizer, words: Sequence[str]) -> list[str]:
    return list(tokenizer.encode(list(words), is_pretokenized=True).tokens)


def test_ids_beyond_the_rows() -> None:
    tokenizer = tiny_tokenizer().tokenizer
    n_tokens = tokenizer.get_vocab_size()
    check_vocabulary(tokenizer, {"marker_id": None, "pad_id": n_tokens - 1}, n_tokens, "model")
    with pytest.raises(CheckpointError, match=f"up to number {n_tokens - 1}, but its backbone embeds 9"):
        check_vocabulary(tokenizer, {}, 9, "model")
    with pytest.raises(CheckpointError, match=f"marker_id of model is {n_tokens}, but"):
        check_vocabulary(tokenizer, {"marker_id": n_tokens}, n_tokens, "model")


def test_a_config_keeps_what_was_measured_on_the_model(folders: dict[str, str]) -> None:
    config, *_ = new_model(NewModel(backbone=folders["llama"]))
    values = tiny_backbone("llama") | {"is_causal": False, "use_cache": False, "vocab_size": ROWS}
    assert config.backbone.items() >= values.items()
