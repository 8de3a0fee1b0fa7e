"""From a description to parts: the only place where a `ModelConfig` meets modules."""

from typing import cast

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from gliner_mt.backbones import Backbone, family_of
from gliner_mt.backbones.attention import built_with
from gliner_mt.backbones.backbone import shape_embedding
from gliner_mt.backbones.configs import auto_class, backbone_config, without_wrapper
from gliner_mt.backbones.deberta import speed_up
from gliner_mt.backbones.families import (
    Family,
    Sliding,
    first_position,
    local_reach,
    position_limit,
    warn_if_assumed,
)
from gliner_mt.boundary import BoundaryHead
from gliner_mt.config import ModelConfig
from gliner_mt.errors import ConfigError
from gliner_mt.fusion import CrossFuser
from gliner_mt.heads import EXPANSION, LinearMarkerHead, MarkerHead, SpanHead, projection
from gliner_mt.labels import JointLabels, LabelEncoding, ParallelLabels, PromptLabels, SeparateLabels
from gliner_mt.links import LINKS
from gliner_mt.model import LabelEncoder, Pooling, SpanMatcher, WordLSTM
from gliner_mt.pairs import PairContext, PairHead
from gliner_mt.tokenization import WordTokenizer

_FIRST_LABEL_STD = 0.002


def build_model(config: ModelConfig, attention: str = "auto") -> SpanMatcher:
    """Return the model that `config` describes, with random weights.

    Raises:
        ConfigError: an unknown backbone, or parts that do not go together.
    """
    encoder = _untrained(backbone_config(config.backbone, causal=config.causal), attention)
    if config.label_backbone is None:
        return assemble(config, encoder)
    return assemble(config, encoder, _untrained(backbone_config(config.label_backbone), attention))


def _untrained(config: PretrainedConfig, attention: str) -> PreTrainedModel:
    family = family_of(config.model_type)
    warn_if_assumed(family)
    try:
        encoder: PreTrainedModel = auto_class(family, config).from_config(  # type: ignore[no-untyped-call]
            config, attn_implementation=built_with(attention, config)
        )
    except (ValueError, TypeError, KeyError, AssertionError) as error:  # values that do not go together
        raise ConfigError(f"the {family.name} backbone cannot be built: {error} Check its config.") from error
    return without_wrapper(encoder)


def assemble(
    config: ModelConfig, encoder: PreTrainedModel, label_encoder: PreTrainedModel | None = None
) -> SpanMatcher:
    """Return the model that `config` describes around given encoders, its other parts random.

    Raises:
        ConfigError: parts that do not go together, or windows longer than the encoder reaches.
    """
    family = family_of(encoder.config.model_type)
    _check_family(config, family, encoder.config)
    limit = position_limit(family, encoder.config)
    if limit is not None and config.max_tokens > limit:
        raise ConfigError(f"max_tokens is {config.max_tokens}; the backbone reads {limit} sub-words at most.")
    hidden, size = int(encoder.config.hidden_size), config.hidden_size
    embedding = cast(nn.Embedding, encoder.get_input_embeddings())
    # ELECTRA embeds sub-words in fewer dimensions than its states have.
    shapes = shape_embedding(embedding.embedding_dim) if config.word_shapes else None
    lstm = None
    if config.lstm_layers:
        lstm = WordLSTM(nn.LSTM(size, size // 2, config.lstm_layers, batch_first=True, bidirectional=True))
    label_projection = _label_projection(config)
    fused = config.labels == "fused"
    return SpanMatcher(
        _backbone(encoder, shapes, config.hidden_shift),
        _head(config),
        pooling=Pooling(config.pooling),
        projection=_resize(hidden, size),
        label_projection=nn.Identity() if fused else label_projection,
        lstm=lstm,
        label_encoder=None if label_encoder is None else _label_encoder(label_encoder, size),
        fuser=_fuser(config, encoder.config, label_projection) if fused else None,
        pairs=PairHead(projection(2 * size, size, config.dropout)) if config.pairs else None,
        pair_context=PairContext(size, EXPANSION * size) if config.pair_context else None,
        links=None if config.links is None else LINKS[config.links](size),
        ends=None if config.pair_ends is None else _marker_head(config),
    )


def _backbone(
    encoder: PreTrainedModel, shapes: nn.Embedding | None = None, hidden_shift: int = 0
) -> Backbone:
    if "pooler" in dict(encoder.named_children()):
        encoder.register_module("pooler", None)  # serves sentence classifiers only
    speed_up(encoder)
    family = family_of(encoder.config.model_type)
    return Backbone(
        encoder,
        shapes,
        first_position=first_position(family, encoder.config),
        sliding_window=local_reach(family, encoder.config),
        hidden_shift=hidden_shift,
    )


def _label_encoder(encoder: PreTrainedModel, size: int) -> LabelEncoder:
    return LabelEncoder(_backbone(encoder), _resize(int(encoder.config.hidden_size), size))


def _label_projection(config: ModelConfig) -> nn.Module:
    if not config.label_projection:
        return nn.Identity()
    layers = projection(config.hidden_size, config.hidden_size, config.dropout)
    # Scores are products of two untrained vectors: unscaled, the first steps would only undo their size.
    nn.init.normal_(cast(nn.Linear, layers[-1]).weight, std=_FIRST_LABEL_STD)
    return layers


def _fuser(config: ModelConfig, encoder_config: PretrainedConfig, label_projection: nn.Module) -> CrossFuser:
    size, n_heads = config.hidden_size, int(encoder_config.num_attention_heads)
    if size % n_heads:
        raise ConfigError(
            f"hidden_size is {size}; labels 'fused' need a multiple of the backbone's {n_heads} heads."
        )
    return CrossFuser(size, n_heads, config.fusion_layers, config.fusion, label_projection, config.dropout)


def _resize(from_size: int, to_size: int) -> nn.Module:
    return nn.Identity() if from_size == to_size else nn.Linear(from_size, to_size)


def _check_family(config: ModelConfig, family: Family, encoder_config: PretrainedConfig) -> None:
    if config.hidden_shift and not family.decoder:
        raise ConfigError(
            f"hidden_shift is {config.hidden_shift}, but {family.name} is an encoder, whose states stand for "
            "their own sub-words; expected 0. Only decoders' states foresee the next one."
        )
    if config.labels != "parallel":
        return
    every_layer = family.sliding is Sliding.EVERY_LAYER and encoder_config.sliding_window is not None
    for reason, holds in {
        f"{family.name} takes no mask between sub-words": family.padding_mask_only,
        "a causal decoder sees labels in their order": config.causal,
        "with hidden_shift a label's vector is the state of what stands before it": config.hidden_shift > 0,
        f"every layer of this {family.name} sees a window only (sliding_window)": every_layer,
    }.items():
        if holds:
            raise ConfigError(
                f"labels is 'parallel', but {reason}; use labels 'prompt', 'separate', or another backbone "
                "such as bert or llama."
            )


def build_labels(config: ModelConfig, tokenizer: WordTokenizer) -> LabelEncoding:
    """Return the label encoding that `config` names.

    Raises:
        ConfigError: labels stand apart, and there is no tokenizer for them.
    """
    if config.label_backbone is not None:
        if tokenizer.labels is None:
            raise ConfigError(
                f"labels {config.labels!r} need a tokenizer of their own; give one with the model."
            )
        encoder_config = backbone_config(config.label_backbone)
        longest = position_limit(family_of(encoder_config.model_type), encoder_config)
        return SeparateLabels(tokenizer, tokenizer.labels, longest)
    if config.marker_id is None or config.separator_id is None:
        raise TypeError("a config whose labels stand in a prompt has both tokens of it")
    if config.labels == "parallel":
        return ParallelLabels(tokenizer, config.marker_id, config.separator_id, config.text_position)
    if config.relation_marker_id is not None:
        markers = config.marker_id, config.relation_marker_id
        return JointLabels(tokenizer, *markers, config.separator_id, marker_is_label=config.marker_is_label)
    return PromptLabels(
        tokenizer, config.marker_id, config.separator_id, marker_is_label=config.marker_is_label
    )


def _head(config: ModelConfig) -> SpanHead:
    size, dropout = config.hidden_size, config.dropout
    if config.head == "boundary":
        joint = nn.Sequential(
            nn.Linear(3 * size, 4 * size), nn.Dropout(dropout), nn.ReLU(), nn.Linear(4 * size, 3)
        )
        return BoundaryHead(nn.Linear(size, 2 * size), nn.Linear(size, 2 * size), joint, config.max_width)
    if config.head == "marker_v0":
        start, end = (projection(size, size, dropout, expansion=2) for _ in range(2))
        return LinearMarkerHead(start, end, nn.Linear(2 * size, size), config.max_width)
    return _marker_head(config)


def _marker_head(config: ModelConfig) -> MarkerHead:
    size, dropout = config.hidden_size, config.dropout
    start, end = (projection(size, size, dropout) for _ in range(2))
    return MarkerHead(start, end, projection(2 * size, size, dropout), config.max_width)
