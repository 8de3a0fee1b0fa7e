"""Small models whose labels stand apart from the text."""

from typing import Any

from tiny_models import PAD, tiny_config, tiny_model, tiny_tokenizer

from gliner_mt.config import ModelConfig
from gliner_mt.extractor import Extractor
from gliner_mt.tokenization import WordTokenizer

SCHEMA = ("l2l", "l2t", "t2t")


def apart_tokenizer() -> WordTokenizer:
    """Return the tokenizer of `tiny_models` for texts, and another one like it for labels."""
    return WordTokenizer(tiny_tokenizer().tokenizer, PAD, tiny_tokenizer().tokenizer)


def apart_config(labels: str = "separate", **changes: object) -> ModelConfig:
    """Return a small BERT with another, narrower one for labels; with blocks of fusion if `fused`."""
    label_backbone = dict(tiny_config(layers=1, positions=64).backbone) | {"hidden_size": 24}
    defaults: dict[str, Any] = {
        "marker_id": None,
        "separator_id": None,
        "label_backbone": label_backbone,
        "fusion": SCHEMA if labels == "fused" else (),
    }
    return tiny_config(labels=labels, **(defaults | changes))


def apart_extractor(labels: str = "separate", seed: int = 0, **changes: object) -> Extractor:
    """Return an extractor around a random model with spread scores."""
    config, tokenizer = apart_config(labels, **changes), apart_tokenizer()
    return Extractor(config, tiny_model(config, tokenizer, seed), tokenizer)
