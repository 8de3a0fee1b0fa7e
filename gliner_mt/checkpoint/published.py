"""Published GLiNER checkpoints: uni-encoders with a marker or token-level head, as `gliner` saves them.

A checkpoint is a folder with gliner_config.json, model.safetensors or pytorch_model.bin, and often a
tokenizer. Which modules there are and how large they are is read from the weights; the config tells what
they cannot.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from gliner_mt.backbones.families import family_of, position_limit
from gliner_mt.build import backbone_config, build_model
from gliner_mt.checkpoint.hub import PICKLED, SAFETENSORS, resolve_backbone
from gliner_mt.checkpoint.native import check_weights, read_json, read_weights
from gliner_mt.checkpoint.published_keys import Parts, published_name, read_parts, used
from gliner_mt.config import ModelConfig, from_mapping, nearest
from gliner_mt.errors import CheckpointError, ConfigError
from gliner_mt.model import SpanMatcher
from gliner_mt.tokenization import WordTokenizer

CONFIG_FILE = "gliner_config.json"

# Token-level models score spans of any width, but windows must overlap by the widest.
_WIDEST_TOKEN_LEVEL = 100
# A window holds the `max_len` words that a checkpoint reads at once, at two sub-words each, and labels.
_TOKENS_PER_WORD, _TOKENS_FOR_LABELS = 2, 256

_SPAN_MODES = ("marker", "markerV0", "token_level")
# A leftover of v0 that nothing reads; it holds a row of the embedding, before the two tokens of the prompt.
_FLERT = "[FLERT]"
# Of a saved backbone config, what says how it was run or stored rather than what it is.
_NOT_ARCHITECTURE = (
    "dtype",
    "torch_dtype",
    "_attn_implementation",
    "attn_implementation",
    "quantization_config",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    """The settings of gliner_config.json that matter here, with the names and defaults of the package."""

    model_name: str = "microsoft/deberta-v3-small"
    span_mode: str = "markerV0"
    max_width: int = 12
    max_len: int = 384
    dropout: float = 0.4
    subtoken_pooling: str = "first"
    words_splitter_type: str = "whitespace"
    embed_ent_token: bool = True
    ent_token: str = "<<ENT>>"
    sep_token: str = "<<SEP>>"
    class_token_index: int = -1
    vocab_size: int = -1
    encoder_config: Mapping[str, Any] | None = None

    @property
    def legacy(self) -> bool:
        """The prompt's tokens are not in the tokenizer: they are added to it, as was done before training."""
        return self.class_token_index == -1 or self.vocab_size == -1


def is_published(folder: Path) -> bool:
    """Return whether `folder` is a checkpoint in the format of the package `gliner`."""
    return (folder / CONFIG_FILE).is_file()


def load_published(
    folder: Path, *, attention: str | None = None, local_files_only: bool = False
) -> tuple[ModelConfig, SpanMatcher, WordTokenizer]:
    """Read a published checkpoint; weights as float32, the model in evaluation mode.

    A folder without a tokenizer or a backbone config needs those of its backbone (`model_name`, a folder or a
    hub repository). A window has 2 sub-words for each of the `max_len` words of the checkpoint and 256 for
    labels, as far as the backbone reaches, so that what `gliner` reads whole is normally one window here.
    Token-level models find spans of up to 100 words, or `max_width` if that is more.

    Raises:
        CheckpointError: a file is missing or broken, files do not fit together, or the model is another kind.
        ConfigError: the config names an unknown part.
    """
    settings = _read_settings(folder)
    weights = _read_weights(folder)
    parts = read_parts(weights, folder)
    tokenizer = _read_tokenizer(folder, settings, local_files_only)
    _check_vocabulary(folder, settings, parts, len(tokenizer))
    backbone = _read_backbone(folder, settings, parts, local_files_only)
    config = _model_config(settings, parts, backbone, _prompt_tokens(folder, settings, tokenizer))
    model = build_model(config, attention)
    own = model.state_dict()
    names = {key: published_name(key, parts.head) for key in own}
    check_weights({names[key]: tensor for key, tensor in own.items()}, used(weights), folder)
    model.load_state_dict({key: weights[name] for key, name in names.items()})
    pad_id = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    return config, model.eval(), WordTokenizer(tokenizer.backend_tokenizer, pad_id or 0)


def _read_settings(folder: Path) -> _Settings:
    values = read_json(folder / CONFIG_FILE)
    known = {field.name for field in fields(_Settings)}
    given = {key: value for key, value in values.items() if key in known and value is not None}
    settings = from_mapping(_Settings, given, str(folder / CONFIG_FILE))
    if settings.span_mode not in _SPAN_MODES:
        raise ConfigError(
            f"span_mode of {folder} is {settings.span_mode!r}{nearest(settings.span_mode, _SPAN_MODES)}."
        )
    if settings.words_splitter_type != "whitespace":
        warnings.warn(
            f"{folder} was trained on words as {settings.words_splitter_type!r} splits them; here they are "
            "runs of letters and digits. Where these differ, as in languages without spaces, answers do too.",
            stacklevel=3,
        )
    return settings


def _read_weights(folder: Path) -> dict[str, Tensor]:
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


def _read_tokenizer(folder: Path, settings: _Settings, local_files_only: bool) -> PreTrainedTokenizerFast:
    source = folder
    if not (folder / "tokenizer_config.json").is_file():
        source = _backbone_folder(folder, settings, "tokenizer", local_files_only)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # each kind of tokenizer fails in its own way
        raise CheckpointError(
            f"the tokenizer in {source} cannot be read: {error}. Check that its files are complete; "
            "one that is a SentencePiece model needs `pip install sentencepiece protobuf`."
        ) from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        kind = type(tokenizer).__name__
        raise CheckpointError(f"the tokenizer in {source} is a {kind}; expected one with a tokenizer.json.")
    # As `gliner` does: transformers 5 leaves these out of some SentencePiece tokenizers that models know with
    # them. Where there are none (ModernBERT), setting even False would strip [CLS] and [SEP].
    if tokenizer.bos_token_id is not None:
        tokenizer.add_bos_token = True  # type: ignore[misc]  # it has a setter
    if tokenizer.eos_token_id is not None:
        tokenizer.add_eos_token = True  # type: ignore[misc]
    if settings.legacy:
        tokenizer.add_tokens([_FLERT, settings.ent_token, settings.sep_token], special_tokens=True)
    return tokenizer


def _backbone_folder(folder: Path, settings: _Settings, what: str, local_files_only: bool) -> Path:
    try:
        return resolve_backbone(settings.model_name, local_files_only=local_files_only)
    except CheckpointError as error:
        raise CheckpointError(
            f"{folder} has no {what} of its own and needs that of {settings.model_name}, but {error} "
            f"Or set model_name in its {CONFIG_FILE} to a folder with that backbone's config and tokenizer."
        ) from error


def _check_vocabulary(folder: Path, settings: _Settings, parts: Parts, n_tokens: int) -> None:
    rows = n_tokens if parts.n_tokens is None else parts.n_tokens
    # Rows beyond a saved tokenizer are padding; but tokens added here have the right ids only at the end.
    if rows == n_tokens or (rows > n_tokens and not settings.legacy):
        return
    raise CheckpointError(
        f"the tokenizer of {folder} has {n_tokens} tokens, but the weights embed {rows}. "
        "Tokenizer, config and weights must belong to the same model: fetch all of its files again."
    )


def _prompt_tokens(folder: Path, settings: _Settings, tokenizer: PreTrainedTokenizerFast) -> tuple[int, int]:
    """Return the ids of the token before each label and of the one between labels and text."""
    marker_id, separator_id = map(
        tokenizer.backend_tokenizer.token_to_id, (settings.ent_token, settings.sep_token)
    )
    expected = len(tokenizer) - 2 if settings.legacy else settings.class_token_index
    if marker_id != expected or separator_id is None:
        raise CheckpointError(
            f"the tokenizer of {folder} has {settings.ent_token} at {marker_id} and {settings.sep_token} at "
            f"{separator_id}; its config expects the first at {expected}, and both to be there. "
            "Tokenizer and config must belong to the same model: fetch all of its files again."
        )
    return marker_id, separator_id


def _read_backbone(folder: Path, settings: _Settings, parts: Parts, local_files_only: bool) -> dict[str, Any]:
    if settings.encoder_config is not None:
        values = {"model_type": "deberta-v2"} | dict(settings.encoder_config)
    else:
        source = _backbone_folder(folder, settings, "backbone config", local_files_only)
        values = read_json(source / "config.json")
        if "model_type" not in values:
            raise ConfigError(f"{source / 'config.json'} has no model_type; expected one, as 'deberta-v2'.")
    values = {key: value for key, value in values.items() if key not in _NOT_ARCHITECTURE}
    return values if parts.n_tokens is None else values | {"vocab_size": parts.n_tokens}


def _model_config(
    settings: _Settings, parts: Parts, backbone: Mapping[str, Any], prompt_tokens: tuple[int, int]
) -> ModelConfig:
    encoder_config = backbone_config(backbone)
    limit = position_limit(family_of(encoder_config.model_type), encoder_config)
    max_tokens = _TOKENS_PER_WORD * settings.max_len + _TOKENS_FOR_LABELS
    max_width = settings.max_width
    if parts.head == "boundary":
        max_width = min(max(max_width, _WIDEST_TOKEN_LEVEL), settings.max_len)
    return ModelConfig(
        backbone=backbone,
        head=parts.head,
        hidden_size=parts.hidden_size,
        max_width=max_width,
        max_tokens=max_tokens if limit is None else min(max_tokens, limit),
        marker_id=prompt_tokens[0],
        separator_id=prompt_tokens[1],
        marker_is_label=settings.embed_ent_token,
        label_projection=parts.label_projection,
        lstm_layers=parts.lstm_layers,
        pooling=settings.subtoken_pooling,
        dropout=settings.dropout,
    )
