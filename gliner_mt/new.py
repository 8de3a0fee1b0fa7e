"""Models built new around a pretrained backbone: any family, any label encoding, any head."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from transformers import PreTrainedTokenizerFast

from gliner_mt.backbones.families import family_of, longest_window
from gliner_mt.backbones.loading import LoadedBackbone, load_backbone
from gliner_mt.backbones.vocabulary import add_tokens, read_words_as_in_text
from gliner_mt.build import assemble
from gliner_mt.config import APART, ModelConfig
from gliner_mt.errors import CheckpointError
from gliner_mt.model import SpanMatcher
from gliner_mt.tokenization import WordTokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class NewModel:
    """A model to be trained: its pretrained backbone and what is put around it.

    Attributes:
        backbone: a folder or hub id: an encoder, a decoder, or an LLM2Vec checkpoint.
        adapters: adapters that are merged into the backbone, in this order.
        base: a local copy of the base, if the backbone is an adapter of it.
        backbone_config: values of the backbone's config to change, such as its dropout or RoPE scaling.
        marker: token before each label; it is added to the vocabulary if it is not there.
        separator: token between labels and text, likewise.
        hidden_size: width of word and label vectors in the head; None takes the backbone's.
        max_tokens: sub-words of a window; None takes the longest input that the backbone was made for.
        label_backbone: for labels that stand apart (`separate`, `fused`), the backbone that reads them; such
            labels have neither marker nor separator.
        labels, fusion, fusion_layers, head, max_width, pairs, pair_context, text_position, label_projection,
            lstm_layers, word_shapes, pooling, causal, hidden_shift, dropout: as in `ModelConfig`.
    """

    backbone: str
    adapters: tuple[str, ...] = ()
    base: str | None = None
    backbone_config: Mapping[str, Any] = field(default_factory=dict)
    marker: str = "<<ENT>>"
    separator: str = "<<SEP>>"
    labels: str = "prompt"
    label_backbone: str | None = None
    fusion: tuple[str, ...] = ()
    fusion_layers: int = 1
    head: str = "marker"
    hidden_size: int | None = None
    max_width: int = 12
    pairs: bool = False
    pair_context: bool = False
    max_tokens: int | None = None
    text_position: int = 32
    label_projection: bool = True
    lstm_layers: int = 0
    word_shapes: bool = False
    pooling: str = "first"
    causal: bool = False
    hidden_shift: int = 0
    dropout: float = 0.1


def new_model(
    spec: NewModel, *, attention: str | None = None, local_files_only: bool = False
) -> tuple[ModelConfig, SpanMatcher, WordTokenizer]:
    """Return the model that `spec` describes, its backbone pretrained and the rest random.

    Rows of the embedding for new tokens are drawn with the mean and the spread of the trained ones.

    Raises:
        ConfigError: parts that do not go together.
        CheckpointError: the backbone cannot be loaded, or has no tokenizer.
    """
    loaded = load_backbone(
        spec.backbone,
        attention=attention,
        causal=spec.causal,
        adapters=spec.adapters,
        base=spec.base,
        changes=spec.backbone_config,
        local_files_only=local_files_only,
    )
    tokenizer = _tokenizer(loaded, spec.backbone)
    words = WordTokenizer(tokenizer.backend_tokenizer, _pad_id(tokenizer))
    read_words_as_in_text(words.tokenizer)
    marker_id = separator_id = apart = None
    if spec.labels not in APART:
        marker_id, separator_id = add_tokens(loaded.model, words.tokenizer, (spec.marker, spec.separator))
    if spec.label_backbone is not None:
        apart = load_backbone(spec.label_backbone, attention=attention, local_files_only=local_files_only)
        words.labels = _tokenizer(apart, spec.label_backbone).backend_tokenizer
    config = _config(spec, loaded, apart, marker_id, separator_id)
    return config, assemble(config, loaded.model, None if apart is None else apart.model), words


def _config(
    spec: NewModel,
    loaded: LoadedBackbone,
    apart: LoadedBackbone | None,
    marker_id: int | None,
    separator_id: int | None,
) -> ModelConfig:
    encoder = loaded.model.config
    return ModelConfig(
        backbone=loaded.config | {"vocab_size": encoder.vocab_size},
        labels=spec.labels,
        label_backbone=None if apart is None else apart.config,
        fusion=spec.fusion,
        fusion_layers=spec.fusion_layers,
        head=spec.head,
        hidden_size=spec.hidden_size or int(encoder.hidden_size),
        max_width=spec.max_width,
        pairs=spec.pairs,
        pair_context=spec.pair_context,
        max_tokens=spec.max_tokens or longest_window(family_of(encoder.model_type), encoder),
        marker_id=marker_id,
        separator_id=separator_id,
        text_position=spec.text_position,
        label_projection=spec.label_projection,
        lstm_layers=spec.lstm_layers,
        word_shapes=spec.word_shapes,
        pooling=spec.pooling,
        causal=spec.causal,
        hidden_shift=spec.hidden_shift,
        dropout=spec.dropout,
    )


def _tokenizer(loaded: LoadedBackbone, source: str) -> PreTrainedTokenizerFast:
    if loaded.tokenizer is None:
        raise CheckpointError(
            f"{source} has no tokenizer; expected a tokenizer.json beside its weights. "
            "Copy that of the model that it was made from into its folder."
        )
    return loaded.tokenizer


def _pad_id(tokenizer: PreTrainedTokenizerFast) -> int:
    # Many decoders have no token for padding. Padding is out of sight of everything: any token will do.
    for token in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    return 0
