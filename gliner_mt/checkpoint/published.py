"""Published GLiNER checkpoints, as `gliner` saves them: uni-, bi- and poly-encoders, and relex models.

A checkpoint is a folder with gliner_config.json, model.safetensors or pytorch_model.bin, and often a
tokenizer. Which modules there are and how large they are is read from the weights; the config tells what
they cannot.
"""

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from gliner_mt.backbones.configs import backbone_config, backbone_values
from gliner_mt.backbones.families import family_of, position_limit
from gliner_mt.build import build_model
from gliner_mt.checkpoint.native import check_weights, read_json
from gliner_mt.checkpoint.published_files import (
    CONFIG_FILE,
    Encoder,
    read_backbone_config,
    read_published_tokenizer,
    read_published_weights,
)
from gliner_mt.checkpoint.published_keys import Parts, published_name, read_parts, used
from gliner_mt.config import LINKS, ModelConfig, from_mapping, nearest
from gliner_mt.errors import CheckpointError, ConfigError
from gliner_mt.model import SpanMatcher
from gliner_mt.tokenization import WordTokenizer

# Token-level models score spans of any width, but windows must overlap by the widest.
_WIDEST_TOKEN_LEVEL = 100
# A window holds the `max_len` words that a checkpoint reads at once, at two sub-words each, and labels.
_TOKENS_PER_WORD, _TOKENS_FOR_LABELS = 2, 256

_SPAN_MODES = ("marker", "markerV0", "token_level")
# A leftover of v0 that nothing reads; it holds a row of the embedding, before the two tokens of the prompt.
_FLERT = "[FLERT]"


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
    labels_encoder: str = ""
    labels_encoder_config: Mapping[str, Any] | None = None
    post_fusion_schema: str = ""
    relations_layer: str = ""
    triples_layer: str = ""
    embed_rel_token: bool = True
    rel_token: str = "<<REL>>"
    rel_token_index: int = -1

    @property
    def added(self) -> tuple[str, ...]:
        """The tokens that are added to a tokenizer without them."""
        if self.relations_layer:
            return self.ent_token, self.sep_token, self.rel_token
        return _FLERT, self.ent_token, self.sep_token

    @property
    def legacy(self) -> bool:
        """The prompt's tokens are not in the tokenizer: they are added to it, as was done before training."""
        return self.class_token_index == -1 or self.vocab_size == -1


def is_published(folder: Path) -> bool:
    """Return whether `folder` is a checkpoint in the format of the package `gliner`."""
    return (folder / CONFIG_FILE).is_file()


def load_published(
    folder: Path, *, attention: str = "auto", local_files_only: bool = False
) -> tuple[ModelConfig, SpanMatcher, WordTokenizer]:
    """Read a published checkpoint; weights as float32, the model in evaluation mode.

    A folder without a tokenizer or a backbone config needs those of its backbone (`model_name` or
    `labels_encoder`, a folder or a hub repository). A window has 2 sub-words for each of the `max_len` words
    of the checkpoint and 256 for labels in it, as far as the backbone reaches, so that what `gliner` reads
    whole is normally one window here. Token-level models find spans of up to 100 words, or `max_width` if
    that is more. Decoders see all sub-words, unless `encoder_config` has `is_causal` true.

    Raises:
        CheckpointError: a file is missing or broken, files do not fit together, or the model is another kind.
        ConfigError: the config names an unknown part.
    """
    settings = _read_settings(folder)
    weights = read_published_weights(folder)
    parts = read_parts(weights, folder)
    text, labels = _encoders(folder, settings, local_files_only)
    values = _text_values(settings, parts, text)
    if parts.label_encoder:
        tokenizer = _tokenizer_apart(text, labels, parts)
        values |= _values_apart(settings, parts, labels)
    else:
        fast = _prompt_tokenizer(text, settings, parts)
        tokenizer = WordTokenizer(fast.backend_tokenizer, _pad_id(fast))
        values |= _prompt_values(settings, fast, folder)
        values |= _pair_values(settings, parts, fast, folder)
    config = ModelConfig(**values)
    model = build_model(config, attention)
    own = model.state_dict()
    names = {key: published_name(key, parts.head) for key in own}
    check_weights({names[key]: tensor for key, tensor in own.items()}, used(weights, parts), folder)
    model.load_state_dict({key: weights[name] for key, name in names.items()})
    return config, model.eval(), tokenizer


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


def _encoders(folder: Path, settings: _Settings, local_files_only: bool) -> tuple[Encoder, Encoder]:
    """Return where the encoders of texts and of labels are; the latter is of no use to uni-encoders."""
    text = ("model_name", settings.model_name, folder, settings.encoder_config)
    own = folder / "labels_tokenizer"
    labels = ("labels_encoder", settings.labels_encoder, own, settings.labels_encoder_config)
    return Encoder(folder, *text, local_files_only), Encoder(folder, *labels, local_files_only)


def _text_values(settings: _Settings, parts: Parts, text: Encoder) -> dict[str, Any]:
    """Return the settings of a `ModelConfig` that do not depend on where labels stand."""
    saved = _backbone_values(text, parts.n_tokens)
    causal = family_of(saved["model_type"]).decoder and saved.get("is_causal") is True
    backbone = backbone_values(saved, causal=causal)
    encoder_config = backbone_config(backbone, causal=causal)
    limit = position_limit(family_of(encoder_config.model_type), encoder_config)
    max_tokens = _TOKENS_PER_WORD * settings.max_len + (0 if parts.label_encoder else _TOKENS_FOR_LABELS)
    max_width = settings.max_width
    if parts.head == "boundary":
        max_width = min(max(max_width, _WIDEST_TOKEN_LEVEL), settings.max_len)
    return {
        "backbone": backbone,
        "causal": causal,
        "head": parts.head,
        "hidden_size": parts.hidden_size,
        "max_width": max_width,
        "max_tokens": max_tokens if limit is None else min(max_tokens, limit),
        "label_projection": parts.label_projection,
        "lstm_layers": parts.lstm_layers,
        "pooling": settings.subtoken_pooling,
        "dropout": settings.dropout,
        "prompts": "multitask" if _is_multitask(text.checkpoint, parts) else "labels",
    }


def _is_multitask(folder: Path, parts: Parts) -> bool:
    """Say whether a checkpoint was trained on prompts of many tasks; nothing but its name tells.

    Files of the hub lie in `models--OWNER--NAME/snapshots/REVISION`.
    """
    names = [folder.name, *(part for part in folder.parts if part.startswith("models--"))]
    token_level = parts.head == "boundary" and not parts.label_encoder
    return token_level and any("multitask" in name for name in names)


def _backbone_values(encoder: Encoder, n_tokens: int | None) -> dict[str, Any]:
    values = read_backbone_config(encoder)
    return values if n_tokens is None else values | {"vocab_size": n_tokens}


def _prompt_values(settings: _Settings, tokenizer: PreTrainedTokenizerFast, folder: Path) -> dict[str, Any]:
    """Return the settings of labels in a prompt: the tokens before each label and before the text."""
    marker_id, separator_id = map(
        tokenizer.backend_tokenizer.token_to_id, (settings.ent_token, settings.sep_token)
    )
    first = len(tokenizer) - len(settings.added) + settings.added.index(settings.ent_token)
    expected = first if settings.legacy else settings.class_token_index
    if marker_id != expected or separator_id is None:
        raise CheckpointError(
            f"the tokenizer of {folder} has {settings.ent_token} at {marker_id} and {settings.sep_token} at "
            f"{separator_id}; its config expects the first at {expected}, and both to be there. "
            "Tokenizer and config must belong to the same model: fetch all of its files again."
        )
    return {
        "marker_id": marker_id,
        "separator_id": separator_id,
        "marker_is_label": settings.embed_ent_token,
    }


def _pair_values(
    settings: _Settings, parts: Parts, tokenizer: PreTrainedTokenizerFast, folder: Path
) -> dict[str, Any]:
    """Return the settings of relations between spans, if the model knows any (relex)."""
    layer = settings.relations_layer.lower()
    if not layer:
        return {}
    if settings.triples_layer:
        raise CheckpointError(
            f"{folder} scores triples by {settings.triples_layer!r} (triples_layer), which is not supported; "
            "expected a relation extraction model with a pair_rep_layer."
        )
    links = {"attn": "attention", "none": None}.get(layer, layer)
    if links is not None and links not in LINKS:
        raise ConfigError(f"relations_layer of {folder} is {layer!r}{nearest(layer, (*LINKS, 'none'))}.")
    if settings.embed_rel_token != settings.embed_ent_token:
        raise CheckpointError(
            f"embed_rel_token of {folder} is {settings.embed_rel_token}, embed_ent_token the contrary, which "
            "is not supported; expected vectors of types and of relations to be read at the same places."
        )
    marker_id = tokenizer.backend_tokenizer.token_to_id(settings.rel_token)
    expected = len(tokenizer) - 1 if settings.legacy else settings.rel_token_index
    if marker_id is None or marker_id != expected:
        raise CheckpointError(
            f"the tokenizer of {folder} has {settings.rel_token} at {marker_id}; its config expects it at "
            f"{expected}. Tokenizer and config must belong to the same model: fetch all of its files again."
        )
    return {
        "labels": "joint",
        "relation_marker_id": marker_id,
        "pairs": True,
        "pair_ends": "marker" if parts.head == "boundary" else None,
        "links": links,
    }


def _values_apart(settings: _Settings, parts: Parts, labels: Encoder) -> dict[str, Any]:
    """Return the settings of labels that have an encoder of their own."""
    values: dict[str, Any] = {
        "labels": "separate",
        "label_backbone": backbone_values(_backbone_values(labels, parts.n_label_tokens)),
    }
    if not settings.post_fusion_schema:
        return values
    schema = tuple(settings.post_fusion_schema.split("-"))
    return values | {"labels": "fused", "fusion": schema, "fusion_layers": max(1, parts.fusion_layers)}


def _prompt_tokenizer(text: Encoder, settings: _Settings, parts: Parts) -> PreTrainedTokenizerFast:
    """Return the tokenizer of texts and prompts."""
    tokenizer = _text_tokenizer(text)
    if settings.legacy:
        tokenizer.add_tokens(list(settings.added), special_tokens=True)
    rows, n_tokens = parts.n_tokens, len(tokenizer)
    # Rows beyond a saved tokenizer are padding; but tokens added here have the right ids only at the end.
    if rows is None or rows == n_tokens or (rows > n_tokens and not settings.legacy):
        return tokenizer
    raise _misfit(text, n_tokens, rows)


def _tokenizer_apart(text: Encoder, labels: Encoder, parts: Parts) -> WordTokenizer:
    """Return the tokenizer of texts, with that of labels."""
    of_texts, of_labels = _text_tokenizer(text), read_published_tokenizer(labels)
    return WordTokenizer(
        _embedded(of_texts, parts.n_tokens, text),
        _pad_id(of_texts),
        _embedded(of_labels, parts.n_label_tokens, labels),
    )


def _text_tokenizer(text: Encoder) -> PreTrainedTokenizerFast:
    tokenizer = read_published_tokenizer(text)
    # As `gliner` does: transformers 5 leaves these out of some SentencePiece tokenizers that models know with
    # them. Where there are none (ModernBERT), setting even False would strip [CLS] and [SEP].
    if tokenizer.bos_token_id is not None:
        tokenizer.add_bos_token = True  # type: ignore[misc]  # it has a setter
    if tokenizer.eos_token_id is not None:
        tokenizer.add_eos_token = True  # type: ignore[misc]
    return tokenizer


def _embedded(tokenizer: PreTrainedTokenizerFast, rows: int | None, encoder: Encoder) -> Tokenizer:
    """Return the tokenizer without tokens that have no row: `gliner` adds a prompt's even without prompts."""
    values = json.loads(tokenizer.backend_tokenizer.to_str())
    if rows is not None:
        values["added_tokens"] = [token for token in values["added_tokens"] if token["id"] < rows]
    kept = Tokenizer.from_str(json.dumps(values))
    n_tokens = kept.get_vocab_size()
    if rows is not None and n_tokens > rows:
        raise _misfit(encoder, n_tokens, rows)
    return kept


def _misfit(encoder: Encoder, n_tokens: int, rows: int) -> CheckpointError:
    return CheckpointError(
        f"the tokenizer of {encoder.checkpoint} has {n_tokens} tokens, but the weights embed {rows}. "
        "Tokenizer, config and weights must belong to the same model: fetch all of its files again."
    )


def _pad_id(tokenizer: PreTrainedTokenizerFast) -> int:
    pad_id = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    return pad_id or 0
