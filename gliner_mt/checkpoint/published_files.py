"""Files of published GLiNER checkpoints: weights, and the tokenizer and config of each of its encoders."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from gliner_mt.backbones.vocabulary import read_pretrained_tokenizer
from gliner_mt.checkpoint.hub import PICKLED, SAFETENSORS, resolve_backbone
from gliner_mt.checkpoint.native import read_json, read_weights
from gliner_mt.errors import CheckpointError, ConfigError

CONFIG_FILE = "gliner_config.json"


@dataclass(frozen=True, slots=True)
class Encoder:
    """Where a checkpoint has the tokenizer and the config of one of its encoders.

    `setting` is the key of gliner_config.json that holds the `name` of its backbone, a folder or a hub
    repository, which stands in for what the checkpoint lacks: a tokenizer in `tokenizer`, and a `config`.
    """

    checkpoint: Path
    setting: str
    name: str
    tokenizer: Path
    config: Mapping[str, Any] | None
    local_files_only: bool


def read_published_weights(folder: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint, those that are stored once for several keys under each of them."""
    if (folder / SAFETENSORS).is_file():
        weights = read_weights(folder / SAFETENSORS)
        # Tensors shared by several keys are stored once: the metadata maps an omitted key to the stored one.
        with safe_open(folder / SAFETENSORS, framework="pt") as file:
            shared = file.metadata() or {}
        return weights | {key: weights[stored] for key, stored in shared.items() if stored in weights}
    path = folder / PICKLED
    if not path.is_file():
        raise CheckpointError(
            f"{folder} has neither {SAFETENSORS} nor {PICKLED}; expected a folder with one."
        )
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # trouble with zip, pickle and files has no common type
        raise CheckpointError(
            f"{path} cannot be read as weights: {error}. It may be cut off, or hold more than tensors: "
            "fetch it again, or save it as safetensors."
        ) from error
    if not isinstance(weights, dict) or not all(isinstance(tensor, Tensor) for tensor in weights.values()):
        raise CheckpointError(f"{path} holds something else than named tensors; expected a state dict.")
    return weights


def read_published_tokenizer(encoder: Encoder) -> PreTrainedTokenizerFast:
    """Return the tokenizer of an encoder."""
    source = encoder.tokenizer
    if not (source / "tokenizer_config.json").is_file():
        source = _backbone_folder(encoder, "tokenizer")
    return read_pretrained_tokenizer(source)


def read_backbone_config(encoder: Encoder) -> dict[str, Any]:
    """Return the values of an encoder's Hugging Face config, `model_type` included."""
    if encoder.config is not None:
        return {"model_type": "deberta-v2"} | dict(encoder.config)
    source = _backbone_folder(encoder, "backbone config")
    values = read_json(source / "config.json")
    if "model_type" not in values:
        raise ConfigError(f"{source / 'config.json'} has no model_type; expected one, as 'deberta-v2'.")
    return values


def _backbone_folder(encoder: Encoder, what: str) -> Path:
    try:
        return resolve_backbone(encoder.name, local_files_only=encoder.local_files_only)
    except CheckpointError as error:
        raise CheckpointError(
            f"{encoder.checkpoint} has no {what} of its own and needs that of {encoder.name}, but {error} "
            f"Or set {encoder.setting} in its {CONFIG_FILE} to a folder with that backbone's config and "
            "tokenizer."
        ) from error
