"""Checkpoints that cannot be read are told apart and named."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from parity_models import LABELS, TEXTS, Reference, Spec, edit_config, edit_weights, write_backbone
from safetensors.torch import save_file

from gliner_mt.checkpoint.published import load_published
from gliner_mt.errors import CheckpointError, ConfigError


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a modern BERT checkpoint with all parts."""
    backbone = write_backbone(tmp_path_factory.mktemp("bert"), "bert", [*TEXTS, *LABELS])
    reference = Reference(Spec("bert", True, 1), backbone, TEXTS, LABELS)
    return reference.save(tmp_path_factory.mktemp("saved"))


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def test_folder_without_config(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no gliner_config\.json"):
        load_published(tmp_path)


def test_broken_config(copy: Path) -> None:
    (copy / "gliner_config.json").write_text('{"span_mode": ', encoding="utf-8")
    with pytest.raises(CheckpointError, match="cannot be read as JSON"):
        load_published(copy)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"span_mode": "conv_max"},
            "span_mode of .* is 'conv_max'; expected one of marker, markerV0, token_level",
        ),
        ({"span_mode": "markerv0"}, "did you mean 'markerV0'"),
        ({"max_width": "12"}, "max_width is '12'; expected a value of type int"),
        ({"max_width": 0}, "max_width is 0; expected at least 1"),
        ({"subtoken_pooling": "middle"}, "pooling is 'middle'; expected one of"),
        (
            {"encoder_config": {"model_type": "no-such-model"}},
            "config of the no-such-model backbone cannot be used",
        ),
        (
            {"encoder_config": {"model_type": "bert", "hidden_size": "x"}},
            "bert backbone cannot be used.*hidden_size",
        ),
        (
            {"encoder_config": {"model_type": "bert", "hidden_act": "sine"}},
            "bert backbone cannot be built.*sine",
        ),
    ],
    ids=str,
)
def test_unusable_config(values: dict[str, Any], message: str, copy: Path) -> None:
    edit_config(copy, **values)
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        load_published(copy)


def test_words_split_in_another_way(copy: Path) -> None:
    edit_config(copy, words_splitter_type="jieba")
    with pytest.warns(UserWarning, match="as 'jieba' splits them"):
        load_published(copy)


def test_folder_without_weights(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"neither model\.safetensors nor pytorch_model\.bin"):
        load_published(copy)


def test_truncated_weights(copy: Path) -> None:
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load_published(copy)


@pytest.mark.parametrize("content", ["cut", "code", "no tensors", "empty"])
def test_unreadable_pickled_weights(content: str, copy: Path) -> None:
    path = copy / "pytorch_model.bin"
    torch.save({"code": {"config": {}, "key": Path()}, "no tensors": {"model": {}}}.get(content, {}), path)
    (copy / "model.safetensors").unlink()
    if content in ("cut", "empty"):
        path.write_bytes(path.read_bytes()[: 100 if content == "cut" else 0])
    with pytest.raises(
        CheckpointError, match=r"pytorch_model\.bin (cannot be read as weights|holds something else)"
    ):
        load_published(copy)


def test_keys_that_do_not_fit_are_listed(copy: Path) -> None:
    def change(weights: dict[str, torch.Tensor]) -> None:
        del weights["rnn.lstm.bias_hh_l0_reverse"]
        del weights["token_rep_layer.bert_layer.model.encoder.layer.1.output.dense.bias"]
        weights |= {"extra.weight": torch.zeros(1), "extra.bias": torch.zeros(1)}
        weights["prompt_rep_layer.3.bias"] = torch.zeros(3)

    edit_weights(copy, change)
    with pytest.raises(CheckpointError) as error:
        load_published(copy)
    assert "missing: rnn.lstm.bias_hh_l0_reverse, token_rep_layer.bert_layer.model.encoder" in str(
        error.value
    )
    assert "unexpected: extra.bias, extra.weight" in str(error.value)
    assert "prompt_rep_layer.3.bias is (3,), expected (48,)" in str(error.value)


def test_more_lstm_layers_in_the_config_than_in_the_weights(copy: Path) -> None:
    edit_config(copy, num_rnn_layers=2, has_rnn=False)
    assert load_published(copy)[0].lstm_layers == 1


@pytest.mark.parametrize(
    ("key", "architecture"),
    [
        ("token_rep_layer.bert_layer.layers_fuser.W1.weight", "fuses its encoder's layers"),
        ("decoder.decoder_layer.model.x", "generates labels"),
        ("token_rep_layer.decoder_layer.model.x", "streaming"),
        ("triples_score_layer.x", "scores triples"),
        ("span_rep_layer.context_encoder.x", "encoder before its head"),
        ("scorer.proj_token.weight", "represent_spans"),
        ("precomputed_prompts", "compressed prompts"),
    ],
)
def test_other_architectures_are_named(key: str, architecture: str, copy: Path) -> None:
    edit_weights(copy, lambda weights: weights.update({key: torch.zeros(4, 4)}))
    with pytest.raises(CheckpointError, match=f"{architecture}.*not supported; expected a uni-"):
        load_published(copy)


def test_weights_without_a_head(copy: Path) -> None:
    save_file({"classifier.weight": torch.zeros(2)}, copy / "model.safetensors")
    with pytest.raises(CheckpointError, match="have no head"):
        load_published(copy)


@pytest.mark.parametrize(
    ("lost", "what"), [("tokenizer", "tokenizer"), ("encoder_config", "backbone config")]
)
def test_backbone_that_is_not_at_hand(lost: str, what: str, copy: Path) -> None:
    edit_config(
        copy, model_name="nobody/no-such-backbone", encoder_config=... if lost == "encoder_config" else {}
    )
    if lost == "tokenizer":
        (copy / "tokenizer_config.json").unlink()
    with pytest.raises(
        CheckpointError, match=f"no {what} of its own and needs that of nobody/no-such-backbone"
    ):
        load_published(copy, local_files_only=True)


def test_broken_tokenizer(copy: Path) -> None:
    (copy / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"tokenizer in .* cannot be read"):
        load_published(copy)


@pytest.mark.parametrize(("legacy", "vocab_size"), [(True, 150), (True, 400), (False, 400)])
def test_vocabulary_of_another_model(legacy: bool, vocab_size: int, copy: Path, tmp_path: Path) -> None:
    texts = [*TEXTS, " ".join(map(chr, range(0x400, 0x500)))]
    other = write_backbone(tmp_path / "other", "bert", texts, vocab_size=vocab_size)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(other / name, copy)
    if legacy:
        edit_config(copy, class_token_index=...)
    with pytest.raises(CheckpointError, match=r"has \d+ tokens, but the weights embed 203"):
        load_published(copy)


@pytest.mark.parametrize(
    "values", [{"class_token_index": 7}, {"ent_token": "[E]"}, {"sep_token": "[S]"}], ids=str
)
def test_prompt_tokens_that_the_tokenizer_lacks(values: dict[str, Any], copy: Path) -> None:
    edit_config(copy, **values)
    with pytest.raises(CheckpointError, match="its config expects the first at"):
        load_published(copy)
