"""Tiny random models of the package `gliner`, saved by itself, and the same questions put to it and to us."""

import json
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertTokenizer,
    DebertaV2Config,
    DebertaV2Tokenizer,
    ModernBertConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
)

from gliner_mt.batch import Collator, Row
from gliner_mt.build import build_labels
from gliner_mt.checkpoint.published import load_published
from gliner_mt.decode import Candidate, resolve_overlaps

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from gliner import GLiNER

BACKBONES = ("deberta-v2", "bert", "modernbert")
SPAN_MODES = ("markerV0", "marker", "token_level")

Found = tuple[int, int, str]


@dataclass(frozen=True)
class Spec:
    """A published model: its backbone, what stands on it, how it is saved."""

    backbone: str = "bert"
    projection: bool = False
    lstm_layers: int = 0
    span_mode: str = "markerV0"
    legacy: bool = False
    settings: dict[str, Any] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        parts = [self.backbone, "projected" if self.projection else "plain", f"{self.lstm_layers}lstm"]
        return "-".join([*parts, self.span_mode, "legacy" if self.legacy else "modern"])


def all_specs() -> list[Spec]:
    """Return every combination, configs varying fastest."""
    return [Spec(*values) for values in product(BACKBONES, (False, True), (0, 1, 2), SPAN_MODES, (False, True))]


def write_backbone(folder: Path, kind: str, texts: Iterable[str], vocab_size: int = 200, hidden: int = 32) -> Path:
    """Write the config and tokenizer of a tiny encoder, its vocabulary learnt from `texts`; without weights."""
    tokenizer = {"bert": _word_piece, "deberta-v2": _unigram, "modernbert": _byte_level}[kind](texts, vocab_size)
    _encoder_config(kind, len(tokenizer), hidden).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _encoder_config(kind: str, vocab_size: int, hidden: int) -> PretrainedConfig:
    sizes = {
        "vocab_size": vocab_size,
        "hidden_size": hidden,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 2 * hidden,
        "pad_token_id": 0,
    }
    if kind == "bert":
        return BertConfig(**sizes)
    if kind == "modernbert":
        special = {"bos_token_id": 2, "cls_token_id": 2, "eos_token_id": 3, "sep_token_id": 3}
        return ModernBertConfig(**sizes, **special, global_attn_every_n_layers=2, local_attention=16)
    relative = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 16}
    norms = {"share_att_key": True, "norm_rel_ebd": "layer_norm", "max_relative_positions": -1}
    return DebertaV2Config(**sizes, **relative, **norms, position_biased_input=False, type_vocab_size=0)


_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def _word_piece(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=vocab_size, special_tokens=_SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return BertTokenizer(vocab=tokenizer.get_vocab())


def _unigram(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=vocab_size, special_tokens=_SPECIAL, unk_token="[UNK]", show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    pieces = json.loads(tokenizer.to_str())["model"]["vocab"]
    return DebertaV2Tokenizer(vocab=[(piece, score) for piece, score in pieces])


def _byte_level(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size + 256,
        special_tokens=_SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), _SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=8192, **names)


def make_reference(spec: Spec, backbone: Path, labels: Sequence[str], texts: Sequence[str]) -> GLiNER:
    """Return a random model of the package whose scores of `texts` are spread over the whole range."""
    hidden = json.loads((backbone / "config.json").read_text(encoding="utf-8"))["hidden_size"]
    settings = {
        "model_name": str(backbone),
        "span_mode": spec.span_mode,
        "hidden_size": hidden + 16 if spec.projection else hidden,
        "num_rnn_layers": spec.lstm_layers,
        "max_width": 6,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = GLiNER.from_config({**settings, **spec.settings}, backbone_from_pretrained=False)
    generator = torch.Generator().manual_seed(0)
    for parameter in reference.model.parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(0.0, 1.5 * parameter.shape[-1] ** -0.5, generator=generator)
    _spread(reference, spec.span_mode, texts, labels)
    return reference


@torch.no_grad()
def _spread(reference: GLiNER, span_mode: str, texts: Sequence[str], labels: Sequence[str]) -> None:
    """Scale and shift the last layer so that some scores are high, most are low and none is stuck at 0 or 1."""
    logits = torch.cat([row.flatten(0, -2 if span_mode == "token_level" else -1) for row in _logits(reference, texts, labels)])
    if span_mode == "token_level":
        last, wanted = reference.model.scorer.out_mlp[3], torch.tensor([-0.5, -0.5, 1.5])
        scale = 2.0 / logits.std(0)
        last.weight *= scale[:, None]
        last.bias.copy_((last.bias - logits.mean(0)) * scale + wanted)
    else:
        scale = 2.5 / logits.std()
        last = reference.model.prompt_rep_layer[3]
        last.weight *= scale
        last.bias *= scale


def save(reference: GLiNER, spec: Spec, folder: Path) -> Path:
    """Let the package save its model; a legacy one without what old releases did not write."""
    reference.save_pretrained(folder, safe_serialization=not spec.legacy)
    if not spec.legacy:
        return folder
    for path in folder.iterdir():
        if path.name not in ("gliner_config.json", "pytorch_model.bin"):
            path.unlink()
    path = folder / "gliner_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    kept = ("model_name", "span_mode", "max_width", "max_len", "dropout", "hidden_size", "subtoken_pooling")
    config = {key: config[key] for key in kept} | {"fine_tune": True, "has_rnn": True, "num_steps": 30_000}
    path.write_text(json.dumps(config), encoding="utf-8")
    return folder


def reference_probabilities(reference: GLiNER, texts: Sequence[str], labels: Sequence[str]) -> list[torch.Tensor]:
    """Return the probabilities of one batch of `texts`, a tensor each: (w, k, c), or (w, c, 3)."""
    return [row.sigmoid() for row in _logits(reference, texts, labels)]


@torch.no_grad()
def _logits(reference: GLiNER, texts: Sequence[str], labels: Sequence[str]) -> list[torch.Tensor]:
    prepared = reference.prepare_batch(list(texts), list(labels))
    batch = reference.collate_batch(prepared["input_x"], prepared["entity_types"])
    logits = reference.run_batch(batch)[0]
    return [row[: len(words)] for row, words in zip(logits, batch["tokens"], strict=True)]


def reference_spans(
    reference: GLiNER, texts: Sequence[str], labels: Sequence[str], threshold: float, *, nested: bool, multi_label: bool
) -> list[list[Found]]:
    """Return what the package decodes, in one batch, as sorted (start, end, label)."""
    answers = reference.inference(
        list(texts),
        list(labels),
        threshold=threshold,
        flat_ner=not nested,
        multi_label=multi_label,
        batch_size=len(texts),
    )
    return [sorted((span["start"], span["end"], span["label"]) for span in answer) for answer in answers]


class Ours:
    """A published checkpoint as this package reads it, asked without windows."""

    def __init__(self, folder: Path) -> None:
        self.config, self.model, self.tokenizer = load_published(folder, local_files_only=True)
        self._labels = build_labels(self.config, self.tokenizer)
        self._collate = Collator(self.tokenizer.pad_id, self.tokenizer.suffix)

    def rows(self, texts: Sequence[str], labels: Sequence[str]) -> list[Row]:
        prompt = self._labels.prompt(labels)
        return [Row(prompt, list(self.tokenizer.encode(text, 64))) for text in texts]

    @torch.inference_mode()
    def logits(self, rows: Sequence[Row]) -> torch.Tensor:
        return self.model(self._collate(rows))

    def probabilities(self, texts: Sequence[str], labels: Sequence[str]) -> list[torch.Tensor]:
        """Return the same as `reference_probabilities`."""
        rows = self.rows(texts, labels)
        return [logits[: len(row.words)].sigmoid() for row, logits in zip(rows, self.logits(rows), strict=True)]

    def spans(
        self, texts: Sequence[str], labels: Sequence[str], threshold: float, *, nested: bool, multi_label: bool
    ) -> list[list[Found]]:
        """Return the same as `reference_spans`."""
        rows = self.rows(texts, labels)
        n_words = torch.tensor([len(row.words) for row in rows])
        thresholds = torch.full((len(rows), len(labels)), threshold)
        found = self.model.head.find(self.logits(rows), n_words, thresholds)
        candidates: list[list[Candidate]] = [[] for _ in rows]
        for row, start, end, label, score in zip(*(column.tolist() for column in found), strict=True):
            candidates[row].append(Candidate(start, end, label, score))
        return [
            sorted(
                (row.words[kept.word_start].start, row.words[kept.word_end - 1].end, labels[kept.label])
                for kept in resolve_overlaps(of_row, nested=nested, multi_label=multi_label)
            )
            for row, of_row in zip(rows, candidates, strict=True)
        ]


def largest_difference(theirs: Sequence[torch.Tensor], ours: Sequence[torch.Tensor]) -> float:
    """Return the largest difference between probabilities of spans that lie within their text."""
    largest = 0.0
    for reference, own in zip(theirs, ours, strict=True):
        if reference.shape[-1] == 3:  # token level
            difference = (reference - own).abs()
        else:
            width = own.shape[1]
            n_words = len(own)
            inside = torch.arange(n_words)[:, None] + torch.arange(width) < n_words
            difference = (reference[:, :width] - own).abs()[inside]
        largest = max(largest, difference.max().item())
    return largest
