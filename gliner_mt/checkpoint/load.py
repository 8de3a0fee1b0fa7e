"""One loader for every model: the embedded one, folders of ours, published GLiNERs, the hub."""

from pathlib import Path

import torch

from gliner_mt.backbones import Backbone
from gliner_mt.backbones.attention import ATTENTIONS, use_attention
from gliner_mt.backbones.selftest import check_bidirectional, check_packed
from gliner_mt.checkpoint.hub import resolve
from gliner_mt.checkpoint.native import load_model
from gliner_mt.checkpoint.published import is_published, load_published
from gliner_mt.config import ModelConfig, nearest
from gliner_mt.device import device_of, dtype_of
from gliner_mt.errors import ConfigError
from gliner_mt.model import SpanMatcher
from gliner_mt.tokenization import WordTokenizer

EMBEDDED = Path(__file__).parents[1] / "default"
"""The folder of the model in the package."""


def load_checkpoint(
    model: str | Path | None,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    attention: str = "auto",
    local_files_only: bool = False,
) -> tuple[ModelConfig, SpanMatcher, WordTokenizer]:
    """Load a model to where it computes, its attention chosen and tried; arguments as in `Extractor.load`.

    Raises:
        CheckpointError: no such model, or one that is broken.
        ConfigError: a device, dtype or attention that is not to be had, or a model of unknown make.
    """
    if attention not in ATTENTIONS:
        raise ConfigError(f"attention is {attention!r}{nearest(str(attention), ATTENTIONS)}.")
    place, kind = device_of(device), dtype_of(dtype)
    folder = EMBEDDED if model is None else resolve(model, local_files_only=local_files_only)
    if is_published(folder):
        parts = load_published(folder, attention=attention, local_files_only=local_files_only)
    else:
        parts = load_model(folder, attention)
    config, matcher, tokenizer = parts
    matcher = matcher.to(device=place, dtype=kind)
    name = "embedded model" if model is None else str(model)
    for part in matcher.modules():
        if isinstance(part, Backbone):
            check_bidirectional(part.model, name)
            use_attention(part.model, attention, masked=config.labels == "parallel")
            check_packed(part.model, name)
    return config, matcher, tokenizer
