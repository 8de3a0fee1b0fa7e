"""From a description to parts: the only place where a `ModelConfig` meets modules."""

from collections.abc import Mapping
from typing import Any, cast

from torch import nn
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel

from gliner_mt.backbones import Backbone, family_of
from gliner_mt.backbones.backbone import shape_embedding
from gliner_mt.backbones.deberta import speed_up
from gliner_mt.backbones.families import position_limit
from gliner_mt.boundary import BoundaryHead
from gliner_mt.config import ModelConfig
from gliner_mt.errors import ConfigError
from gliner_mt.heads import LinearMarkerHead, MarkerHead, SpanHead, projection
from gliner_mt.labels import LabelEncoding, ParallelLabels, PromptLabels
from gliner_mt.model import Pooling, SpanMatcher, WordLSTM
from gliner_mt.tokenization import WordTokenizer

_FIRST_LABEL_STD = 0.002


def build_model(config: ModelConfig, attention: str | None = None) -> SpanMatcher:
    """Return the model that `config` describes, with random weights.

    Raises:
        ConfigError: an unknown backbone, or parts that do not go together.
    """
    encoder_config = backbone_config(config.backbone)
    family = family_of(encoder_config.model_type)
    if config.labels == "parallel" and family.mask_2d_only:
        raise ConfigError(
            f"labels is 'parallel' but {family.name} takes no mask between sub-words; "
            "use labels 'prompt', or a backbone such as bert."
        )
    try:
        encoder: PreTrainedModel = AutoModel.from_config(  # type: ignore[no-untyped-call]
            encoder_config, attn_implementation=attention
        )
    except (ValueError, TypeError, KeyError) as error:  # sizes and names that do not go together
        raise ConfigError(f"the {family.name} backbone cannot be built: {error} Check its config.") from error
    return assemble(config, encoder)


def assemble(config: ModelConfig, encoder: PreTrainedModel) -> SpanMatcher:
    """Return the model that `config` describes around a given encoder, its other parts random.

    Raises:
        ConfigError: windows are longer than the encoder reaches.
    """
    family = family_of(encoder.config.model_type)
    limit = position_limit(family, encoder.config)
    if limit is not None and config.max_tokens > limit:
        raise ConfigError(f"max_tokens is {config.max_tokens}; the backbone reads {limit} sub-words at most.")
    if "pooler" in dict(encoder.named_children()):
        encoder.register_module("pooler", None)  # serves sentence classifiers only
    speed_up(encoder)
    hidden, size = int(encoder.config.hidden_size), config.hidden_size
    shapes = shape_embedding(hidden) if config.word_shapes else None
    lstm = None
    if config.lstm_layers:
        lstm = WordLSTM(nn.LSTM(size, size // 2, config.lstm_layers, batch_first=True, bidirectional=True))
    model = SpanMatcher(
        Backbone(
            encoder,
            shapes,
            first_position=family.reserved_positions,
            sliding_window=encoder.config.sliding_window if family.sliding else None,
        ),
        _head(config),
        pooling=Pooling(config.pooling),
        projection=nn.Identity() if hidden == size else nn.Linear(hidden, size),
        label_projection=projection(size, size, config.dropout) if config.label_projection else nn.Identity(),
        lstm=lstm,
    )
    if isinstance(model.label_projection, nn.Sequential):
        # Scores are products of two untrained vectors: unscaled, the first steps would only undo their size.
        nn.init.normal_(cast(nn.Linear, model.label_projection[-1]).weight, std=_FIRST_LABEL_STD)
    return model


def backbone_config(values: Mapping[str, Any]) -> PretrainedConfig:
    """Return the Hugging Face config that `values` describe.

    Raises:
        ConfigError: an unknown family, or a value that its config does not take.
    """
    plain = dict(values)
    family = family_of(plain.pop("model_type"))
    try:
        return AutoConfig.for_model(family.name, **plain)
    except Exception as error:  # configs check their values, each in its own way
        raise ConfigError(f"the config of the {family.name} backbone cannot be used: {error}.") from error


def build_labels(config: ModelConfig, tokenizer: WordTokenizer) -> LabelEncoding:
    """Return the label encoding that `config` names."""
    if config.labels == "parallel":
        return ParallelLabels(tokenizer, config.marker_id, config.separator_id, config.text_position)
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
    start, end = (projection(size, size, dropout) for _ in range(2))
    return MarkerHead(start, end, projection(2 * size, size, dropout), config.max_width)
