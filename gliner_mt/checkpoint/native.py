"""Our format: a folder with config.json, model.safetensors, tokenizer.json, perhaps label_tokenizer.json."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import nn

from gliner_mt.backbones.configs import backbone_config
from gliner_mt.backbones.vocabulary import check_vocabulary
from gliner_mt.build import build_model
from gliner_mt.config import ModelConfig, from_mapping
from gliner_mt.errors import CheckpointError
from gliner_mt.model import SpanMatcher
from gliner_mt.tokenization import WordTokenizer

FORMAT = "gliner_mt"
VERSION = 1
CONFIG_FILE, WEIGHTS_FILE, TOKENIZER_FILE = "config.json", "model.safetensors", "tokenizer.json"
LABEL_TOKENIZER_FILE = "label_tokenizer.json"


def save_model(
    folder: Path,
    config: ModelConfig,
    model: nn.Module,
    tokenizer: WordTokenizer,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a model folder; weights in `dtype` (None: as they are). Each file appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    values = {"format": FORMAT, "version": VERSION, "pad_id": tokenizer.pad_id, "model": config.to_dict()}
    weights = {
        name: tensor.to(dtype or tensor.dtype).contiguous() for name, tensor in model.state_dict().items()
    }
    labels = tokenizer.labels
    if labels is not None:
        write_whole(folder / LABEL_TOKENIZER_FILE, lambda path: labels.save(str(path)))
    write_whole(folder / TOKENIZER_FILE, lambda path: tokenizer.tokenizer.save(str(path)))
    write_whole(folder / WEIGHTS_FILE, lambda path: save_file(weights, path, metadata={"format": "pt"}))
    text = json.dumps(values, indent=2) + "\n"
    write_whole(folder / CONFIG_FILE, lambda path: path.write_text(text, encoding="utf-8"))


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file beside `path`, then put it in its place: it appears whole or not at all."""
    temporary = path.with_name(f".{path.name}.part")
    temporary.touch()
    permissions = temporary.stat().st_mode
    write(temporary)
    temporary.chmod(permissions)  # safetensors makes its files private
    os.replace(temporary, path)


def load_model(folder: Path, attention: str = "auto") -> tuple[ModelConfig, SpanMatcher, WordTokenizer]:
    """Read a model folder in our format; weights as float32.

    Raises:
        CheckpointError: a file is missing or broken, or the weights do not fit the config.
        ConfigError: the config cannot be built.
    """
    header = _read_header(folder / CONFIG_FILE)
    config = from_mapping(ModelConfig, header.model, f"{folder / CONFIG_FILE}: model")
    labels = None if config.label_backbone is None else read_tokenizer(folder / LABEL_TOKENIZER_FILE)
    tokenizer = WordTokenizer(read_tokenizer(folder / TOKENIZER_FILE), header.pad_id, labels)
    model = build_model(config, attention)
    _check_vocabularies(config, tokenizer, folder)
    load_weights(model, read_weights(folder / WEIGHTS_FILE), folder)
    return config, model.eval(), tokenizer


def _check_vocabularies(config: ModelConfig, tokenizer: WordTokenizer, folder: Path) -> None:
    tokens = {"marker_id": config.marker_id, "separator_id": config.separator_id, "pad_id": tokenizer.pad_id}
    n_rows = backbone_config(config.backbone, causal=config.causal).vocab_size
    check_vocabulary(tokenizer.tokenizer, tokens, n_rows, folder)
    if config.label_backbone is not None and tokenizer.labels is not None:
        check_vocabulary(tokenizer.labels, {}, backbone_config(config.label_backbone).vocab_size, folder)


@dataclass(frozen=True, slots=True)
class _Header:
    format: str
    version: int
    pad_id: int
    model: Mapping[str, Any]


def _read_header(path: Path) -> _Header:
    values = read_json(path)
    if values.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is not the config of a {FORMAT} model: its format is {values.get('format')!r}. "
            "Expected a folder that Extractor.save wrote, or a published GLiNER with its gliner_config.json."
        )
    version = values.get("version")
    if isinstance(version, int) and version > VERSION:
        raise CheckpointError(
            f"{path.parent} has format version {version}, newer than this package knows ({VERSION}); "
            "upgrade gliner_mt."
        )
    return from_mapping(_Header, values, str(path))


def load_weights(model: nn.Module, weights: dict[str, torch.Tensor], source: object) -> None:
    """Put `weights` into `model`; every missing, unexpected or misshapen key is an error that lists them."""
    check_weights(model.state_dict(), weights, source)
    model.load_state_dict(weights)


def check_weights(
    own: Mapping[str, torch.Tensor], weights: Mapping[str, torch.Tensor], source: object
) -> None:
    """Raise a `CheckpointError` that lists the keys in which `weights` differ from a model's `own`."""
    missing, unexpected = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    shapes = [
        f"{key} is {tuple(weights[key].shape)}, expected {tuple(own[key].shape)}"
        for key in sorted(own.keys() & weights.keys())
        if own[key].shape != weights[key].shape
    ]
    problems = [f"missing: {', '.join(missing)}"] if missing else []
    problems += [f"unexpected: {', '.join(unexpected)}"] if unexpected else []
    problems += [f"of another shape: {'; '.join(shapes)}"] if shapes else []
    if problems:
        raise CheckpointError(
            f"the weights of {source} do not fit its config. {'. '.join(problems)}. "
            "Check that config and weights belong to the same model."
        )


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in `path`."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path.parent} has no {path.name}; expected a model folder with one."
        ) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(
            f"{path} cannot be read as JSON: {error}. Fetch or save the model again."
        ) from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} holds a {type(values).__name__}; expected a JSON object.")
    return values


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a safetensors file."""
    if not path.is_file():
        raise CheckpointError(
            f"{path.parent} has no {path.name}; expected a folder with the weights of a model or adapter."
        )
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is not a whole safetensors file ({error}). It may be cut off: fetch or save it again."
        ) from error


def read_tokenizer(path: Path) -> Tokenizer:
    """Return the tokenizer of a tokenizer.json."""
    if not path.is_file():
        raise CheckpointError(
            f"{path.parent} has no {path.name}; expected a model folder with its tokenizer."
        )
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the Rust library raises plain Exception
        raise CheckpointError(f"{path} cannot be read as a tokenizer: {error}.") from error
