"""Where families differ and nobody looks: each of these once gave wrong answers or a wrong error."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_backbones import tiny_backbone
from tiny_models import LABELS, TEXTS, make_batch
from transformers import AutoModel

from gliner_mt.backbones.configs import backbone_config
from gliner_mt.backbones.families import family_of, longest_window, position_limit
from gliner_mt.backbones.loading import load_backbone
from gliner_mt.build import build_model
from gliner_mt.config import ModelConfig
from gliner_mt.errors import CheckpointError, ConfigError
from gliner_mt.tokenization import WordTokenizer

LONGROPE: dict[str, Any] = {
    "rope_type": "longrope",
    "short_factor": [1.0] * 4,
    "long_factor": [4.0] * 4,
    "original_max_position_embeddings": 16,
    "factor": 8.0,
    "rope_theta": 10_000.0,
}


def saved(name: str, folder: Path, **changes: object) -> Path:
    AutoModel.from_config(backbone_config(tiny_backbone(name, **changes))).save_pretrained(folder)
    return folder


@torch.no_grad()
def test_word_shapes_are_as_wide_as_the_embedding(tokenizer: WordTokenizer) -> None:
    values = tiny_backbone("electra", embedding_size=16)
    config = ModelConfig(
        backbone=values, hidden_size=32, max_tokens=100, marker_id=4, separator_id=3, word_shapes=True
    )
    assert build_model(config)(make_batch(config, tokenizer, TEXTS, LABELS)).spans.isfinite().all()


def test_no_attention_leaves_out_a_softcap(tmp_path: Path) -> None:
    folder = saved("gemma2", tmp_path, attn_logit_softcapping=2.0)
    assert load_backbone(folder).model.config._attn_implementation == "eager"
    with pytest.raises(ConfigError, match="leaves out the softcap that gemma2"):
        load_backbone(folder, attention="sdpa")


def test_windows_end_where_longrope_would_turn_the_whole_batch() -> None:
    """Phi-3 with 128k positions: one row past the first 4k changes the factors of every row."""
    changes = {"rope_parameters": LONGROPE, "original_max_position_embeddings": 16, "sliding_window": None}
    family, config = family_of("phi3"), backbone_config(tiny_backbone("phi3", **changes))
    assert position_limit(family, config) == longest_window(family, config) == 16
    model = AutoModel.from_config(config).eval()
    states = []
    for length in (16, 17):
        ids = torch.arange(2 * length).view(2, length) % 7
        mask = torch.ones_like(ids)
        mask[0, 8:] = 0
        with torch.inference_mode():
            states.append(model(input_ids=ids, attention_mask=mask).last_hidden_state[0, :8])
    assert (states[0] - states[1]).abs().max() > 1e-3


def test_a_vocabulary_without_a_tokenizer_file(tmp_path: Path) -> None:
    folder = saved("bert", tmp_path)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "ada", "met"]
    (folder / "vocab.txt").write_text("\n".join(pieces), encoding="utf-8")
    tokenizer = load_backbone(folder).tokenizer
    assert tokenizer is not None
    assert tokenizer("Ada met")["input_ids"] == [2, 5, 6, 3]


def test_an_adapter_with_an_empty_name_of_its_base(tmp_path: Path) -> None:
    adapter = {"peft_type": "LORA", "base_model_name_or_path": ""}
    (tmp_path / "adapter_config.json").write_text(json.dumps(adapter), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"names no base \(base_model_name_or_path is ''\)"):
        load_backbone(tmp_path)
