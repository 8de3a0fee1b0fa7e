"""Tiny random models of the package `gliner` whose labels stand apart, or whose backbones are decoders."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from parity_models import LABELS, TEXTS, Reference, Spec, write_backbone
from parity_tokenizers import make_tokenizer
from tokenizers import processors
from transformers import AutoConfig, PreTrainedTokenizerFast


def write_label_encoder(folder: Path) -> Path:
    """Write a tiny BERT for labels, wider than the text's; no weights."""
    return write_backbone(folder, "bert", [*LABELS, *TEXTS], vocab_size=150, hidden=48)


SCHEMAS = (("l2l-l2t-t2t", 1), ("l2l-l2t-t2t", 3), ("l2l-l2t", 2), ("l2t-t2l", 1), ("t2l", 1))


def apart(spec: Spec, labels_encoder: Path, schema: str = "", layers: int = 1) -> Spec:
    """Return the spec of a bi-encoder or, with a schema, of a poly-encoder."""
    settings = {
        "labels_encoder": str(labels_encoder),
        "post_fusion_schema": schema,
        "num_post_fusion_layers": layers,
    }
    return replace(spec, settings=spec.settings | settings)


def write_decoder(
    folder: Path,
    kind: str,
    texts: Sequence[str] = (*TEXTS, *LABELS),
    vocab_size: int = 320,
    hidden: int = 32,
) -> Path:
    """Write the config and tokenizer of a tiny decoder; no weights.

    The tokenizer of LLaMA knows a start and an end of text, that of Qwen an end only. Neither has padding.
    """
    if kind == "llama":
        made = make_tokenizer("xlm-roberta", texts, vocab_size)
        names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    else:
        made = make_tokenizer(kind, texts, vocab_size)
        made.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
        names = {"eos_token": "[SEP]", "unk_token": "[UNK]"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made.backend_tokenizer, **names)
    tokenizer.model_max_length = 512
    tokenizer.save_pretrained(folder)
    config = AutoConfig.for_model(
        kind,
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=2 * hidden,
        max_position_embeddings=512,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    config.save_pretrained(folder)
    return folder


class Bidirectional(Reference):
    """A model of the package whose decoder is made to see all sub-words, which the package does not do."""

    def __init__(self, spec: Spec, backbone: Path, texts: Sequence[str], labels: Sequence[str]) -> None:
        super().__init__(spec, backbone, texts, labels)
        self.gliner.model.token_rep_layer.bert_layer.model.config.is_causal = False
        self._spread(texts, labels)


def encoder_config(folder: Path) -> dict[str, Any]:
    """Return the backbone's config in a saved checkpoint."""
    config: dict[str, Any] = json.loads((folder / "gliner_config.json").read_text(encoding="utf-8"))
    values: dict[str, Any] = config["encoder_config"]
    return values
