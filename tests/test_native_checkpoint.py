import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import tiny_config, tiny_model

from gliner_mt import CheckpointError, ConfigError, Extractor
from gliner_mt.checkpoint.native import load_model, save_model
from gliner_mt.tokenization import WordTokenizer

FILES = {"config.json", "model.safetensors", "tokenizer.json"}
Config = dict[str, Any]


@pytest.fixture(scope="module")
def saved(tokenizer: WordTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "model"
    config = tiny_config(labels="parallel", lstm_layers=1, word_shapes=True, layers=1)
    save_model(folder, config, tiny_model(config, tokenizer), tokenizer)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """Return a copy of the saved model, to break."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


def change_config(folder: Path, change: Callable[[Config], object]) -> None:
    path = folder / "config.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    change(values)
    path.write_text(json.dumps(values), encoding="utf-8")


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


def test_a_round_trip(folder: Path, tmp_path: Path) -> None:
    config, model, tokenizer = load_model(folder)
    assert not model.training
    assert {path.name for path in folder.iterdir()} == FILES
    save_model(tmp_path / "again", config, model, tokenizer)
    assert load_model(tmp_path / "again")[0] == config
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_a_model_is_saved_over_the_one_it_came_from(folder: Path) -> None:
    extractor = Extractor.load(folder)
    extractor.save(folder)
    again = Extractor.load(folder)
    assert again.info() == extractor.info()
    assert {path.name for path in folder.iterdir()} == FILES


def test_half_precision_on_disk_is_single_in_memory(folder: Path, tmp_path: Path) -> None:
    config, model, tokenizer = load_model(folder)
    save_model(tmp_path / "half", config, model, tokenizer, torch.float16)
    stored = load_file(tmp_path / "half" / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    loaded = load_model(tmp_path / "half")[1].state_dict()
    assert {tensor.dtype for tensor in loaded.values()} == {torch.float32}
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(loaded[name], tensor, atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_missing_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"has no {name}; expected a "):
        Extractor.load(folder)


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("keep", [0, 10, 0.5])
def test_a_file_cut_off(folder: Path, name: str, keep: float) -> None:
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: int(keep if keep >= 1 else keep * len(whole))])
    with pytest.raises(CheckpointError, match=name):
        Extractor.load(folder)


def test_a_config_that_is_no_text(folder: Path) -> None:
    (folder / "config.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(CheckpointError, match="cannot be read as JSON"):
        Extractor.load(folder)


@pytest.mark.parametrize("text", ["[]", "3", "null"])
def test_a_config_that_is_no_object(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match="expected a JSON object"):
        Extractor.load(folder)


def test_a_config_of_something_else(folder: Path) -> None:
    values = {"model_type": "bert", "hidden_size": 32, "architectures": ["BertModel"]}
    (folder / "config.json").write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(CheckpointError, match="is not the config of a gliner_mt model"):
        Extractor.load(folder)


def test_a_newer_version(folder: Path) -> None:
    change_config(folder, lambda values: values.update(version=99, beyond="today"))
    with pytest.raises(CheckpointError, match=r"version 99, newer than .* \(1\); upgrade gliner_mt"):
        Extractor.load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.pop("version"), "lacks version"),
        (lambda v: v.update(version="1"), "version is '1'; expected a value of type int"),
        (lambda v: v.pop("pad_id"), "lacks pad_id"),
        (lambda v: v.pop("model"), "lacks model"),
        (lambda v: v.update(model=[]), "model is"),
        (lambda v: v.update(modle=1), "unknown key 'modle'; did you mean 'model'"),
        (lambda v: v["model"].update(head="markr"), "head is 'markr'; did you mean 'marker'"),
        (
            lambda v: v["model"].update(head="crf"),
            "head is 'crf'; expected one of boundary, marker, marker_v0",
        ),
        (lambda v: v["model"].update(labels="paralel"), "labels is 'paralel'; did you mean 'parallel'"),
        (lambda v: v["model"].update(pooling="median"), "pooling is 'median'"),
        (lambda v: v["model"].update(lstm_layer=1), "unknown key 'lstm_layer'; did you mean 'lstm_layers'"),
        (lambda v: v["model"].update(hidden_size="32"), "hidden_size is '32'; expected a value of type int"),
        (lambda v: v["model"].update(hidden_size=31), "hidden_size is 31; a two-way LSTM needs an even one"),
        (lambda v: v["model"].update(max_width=0), "max_width is 0; expected at least 1"),
        (lambda v: v["model"].update(lstm_layers=-1), "lstm_layers is -1"),
        (lambda v: v["model"].update(dropout=1.5), "dropout is 1.5; expected a number from 0 to 1"),
        (lambda v: v["model"].update(threshold=float("nan")), "threshold is nan"),
        (lambda v: v["model"].update(text_position=1), "text_position is 1; expected 2 to 64"),
        (lambda v: v["model"].update(text_position=65), "text_position is 65"),
        (lambda v: v["model"].update(max_tokens=257), "max_tokens is 257; the backbone reads 256"),
        (lambda v: v["model"]["backbone"].pop("model_type"), "backbone has no model_type"),
        (lambda v: v["model"]["backbone"].update(model_type="gpt9"), "Unrecognized model identifier: gpt9"),
        (lambda v: v["model"]["backbone"].update(model_type="t5"), "use labels 'prompt'"),
        (lambda v: v["model"]["backbone"].update(num_attention_heads=5), "bert backbone cannot be built"),
        (lambda v: v["model"]["backbone"].update(hidden_size="wide"), "bert"),
    ],
)
def test_a_config_that_cannot_be_built(
    folder: Path, change: Callable[[Config], object], message: str
) -> None:
    change_config(folder, change)
    with pytest.raises(ConfigError, match=message):
        Extractor.load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v["model"].update(marker_id=160), r"marker_id of .* is 160, but .* expected 0 to 159"),
        (lambda v: v["model"].update(separator_id=-1), "separator_id of .* is -1"),
        (lambda v: v.update(pad_id=999), "pad_id of .* is 999"),
        (lambda v: v["model"]["backbone"].update(vocab_size=90), "sub-words up to number .* embeds 90"),
    ],
)
def test_ids_without_a_row(folder: Path, change: Callable[[Config], object], message: str) -> None:
    change_config(folder, change)
    with pytest.raises(CheckpointError, match=message):
        Extractor.load(folder)


def test_every_key_that_does_not_fit_is_listed(folder: Path) -> None:
    def change(weights: dict[str, torch.Tensor]) -> None:
        for name in ("head.joint.0.bias", "lstm.lstm.weight_hh_l0"):
            del weights[name]
        weights["head.joint.9.bias"] = torch.zeros(2)
        weights["pooler.weight"] = torch.zeros(2)
        weights["head.joint.3.bias"] = torch.zeros(7)

    change_weights(folder, change)
    with pytest.raises(CheckpointError) as caught:
        Extractor.load(folder)
    message = str(caught.value)
    assert "missing: head.joint.0.bias, lstm.lstm.weight_hh_l0" in message
    assert "unexpected: head.joint.9.bias, pooler.weight" in message
    assert "of another shape: head.joint.3.bias is (7,), expected (32,)" in message
    assert str(folder) in message


def test_weights_of_another_config(folder: Path) -> None:
    change_config(folder, lambda values: values["model"].update(lstm_layers=2))
    with pytest.raises(CheckpointError, match=r"missing: lstm\.lstm\.bias_hh_l1"):
        Extractor.load(folder)


def test_no_folder_at_all(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        Extractor.load(tmp_path / "empty")
    with pytest.raises(CheckpointError):
        Extractor.load(tmp_path / "nowhere", local_files_only=True)
