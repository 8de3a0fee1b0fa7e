"""A decoder that is causal after all, or that padding changes, never loads."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_backbones import tiny, tiny_backbone
from tiny_models import tiny_config, tiny_model

from gliner_mt import CheckpointError, Extractor
from gliner_mt.backbones import configs
from gliner_mt.backbones.loading import load_backbone
from gliner_mt.backbones.selftest import check_bidirectional
from gliner_mt.checkpoint.native import save_model
from gliner_mt.tokenization import WordTokenizer

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ["llama", "gemma3_text"])
def test_it_holds_in_every_precision(name: str, dtype: torch.dtype) -> None:
    model = tiny(name).to(dtype).train()
    check_bidirectional(model, "model")
    assert model.training
    causal = tiny(name, causal=True).to(dtype)
    del causal.config.is_causal
    with pytest.raises(CheckpointError, match="model is causal"):
        check_bidirectional(causal, "model")


def test_a_model_that_is_hardly_trained_yet(tmp_path: Path) -> None:
    values = tiny_backbone("llama")
    torch.manual_seed(0)
    config = configs.backbone_config(values | {"initializer_range": 0.02})
    configs.auto_class(configs.family_of("llama"), config).from_config(config).save_pretrained(tmp_path)
    check_bidirectional(load_backbone(tmp_path).model.to(torch.bfloat16), "model")


def test_causal_on_padded_batches_only(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("llama")
    forward = model.forward

    def changed(*, attention_mask: torch.Tensor, **others: object) -> object:
        return forward(attention_mask=attention_mask, is_causal=bool((attention_mask == 0).any()), **others)

    monkeypatch.setattr(model, "forward", changed)
    with pytest.raises(CheckpointError, match="model is causal: on padded batches"):
        check_bidirectional(model, "model")


def test_padding_that_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("llama")
    forward = model.forward
    monkeypatch.setattr(model, "forward", lambda *, attention_mask, **others: forward(**others))
    with pytest.raises(CheckpointError, match="padding changes the states of model"):
        check_bidirectional(model, "model")


def as_published(values: Mapping[str, Any], *, causal: bool = False) -> dict[str, Any]:
    """Return the config as a release of transformers would read it that does not know the flag."""
    return {key: value for key, value in values.items() if key != "is_causal" or causal}


def test_every_way_to_load_is_watched(
    tmp_path: Path, tokenizer: WordTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(backbone=tiny_backbone("llama"))
    model = tiny_model(config, tokenizer)
    save_model(tmp_path / "native", config, model, tokenizer)
    model.backbone.model.save_pretrained(tmp_path / "bare")
    monkeypatch.setattr(configs, "backbone_values", as_published)
    with pytest.raises(CheckpointError, match="native is causal: on unpadded batches"):
        Extractor.load(tmp_path / "native")
    with pytest.raises(CheckpointError, match="bare is causal: on unpadded batches"):
        load_backbone(tmp_path / "bare")
