"""Adapters of small models, whose weights are drawn instead of trained."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from tiny_backbones import tiny_backbone
from tiny_models import LABELS, TEXTS, probabilities, tiny_config, tiny_model
from torch import Tensor

from gliner_mt.adapters import Tuning, prepare_tuning
from gliner_mt.config import ModelConfig, Thresholds
from gliner_mt.model import SpanMatcher
from gliner_mt.tokenization import WordTokenizer

_BASES: dict[str, SpanMatcher] = {}
SMALL: dict[str, Any] = {"rank": 4, "alpha": 8, "head_rank": 4, "dropout": 0.0}


def family_config(family: str, **changes: object) -> ModelConfig:
    """Return a small model around a backbone of a family."""
    return tiny_config(**{"backbone": tiny_backbone(family)} | changes)


def base_model(config: ModelConfig, tokenizer: WordTokenizer) -> SpanMatcher:
    """Return a copy of `tiny_model(config)`: made anew, it would differ in the last digits."""
    key = repr(config)
    if key not in _BASES:
        _BASES[key] = tiny_model(config, tokenizer)
    return deepcopy(_BASES[key])


def tuning(method: str = "lora", **changes: object) -> Tuning:
    """Return a tuning of a low rank."""
    return Tuning(**{"method": method} | SMALL | changes)


@torch.no_grad()
def disturb(model: SpanMatcher, seed: int, spread: float = 0.1) -> None:
    """Change whatever is trained of a model, as training would."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter += spread * torch.randn(parameter.shape, generator=generator)


def write_adapter(
    folder: Path,
    config: ModelConfig,
    tokenizer: WordTokenizer,
    how: Tuning,
    seed: int = 1,
    thresholds: Thresholds | None = None,
) -> list[Tensor]:
    """Write an adapter of `base_model(config)`; return what the model with it says of `TEXTS`."""
    model = base_model(config, tokenizer)
    tuned = prepare_tuning(model, config, how, "the base")
    assert tuned is not None
    disturb(model, seed)
    tuned.save(folder, thresholds)
    return said(model.eval(), config, tokenizer)


def said(model: SpanMatcher, config: ModelConfig, tokenizer: WordTokenizer) -> list[Tensor]:
    """Return the probabilities of all spans of `TEXTS`."""
    return [probabilities(model, config, tokenizer, text, LABELS) for text in TEXTS]


def assert_close(one: list[Tensor], other: list[Tensor], atol: float = 1e-5) -> None:
    for mine, yours in zip(one, other, strict=True):
        torch.testing.assert_close(mine, yours, rtol=0.0, atol=atol)


def distance(one: list[Tensor], other: list[Tensor]) -> float:
    return max(float((mine - yours).abs().max()) for mine, yours in zip(one, other, strict=True))
