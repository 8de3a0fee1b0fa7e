"""Tiny random models that the package `gliner` builds and saves; questions put to it and to us alike."""

import json
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import torch
from parity_tokenizers import make_tokenizer
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, PretrainedConfig

from gliner_mt.batch import Collator, Row
from gliner_mt.build import build_labels
from gliner_mt.checkpoint.published import load_published
from gliner_mt.extractor import Extractor
from gliner_mt.tasks import NER

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from gliner import GLiNER

BACKBONES = ("deberta-v2", "bert", "modernbert")
SPAN_MODES = ("markerV0", "marker", "token_level")
OVERLAPS = tuple(product((False, True), (False, True)))  # nested, multi_label
THRESHOLD = 0.5

TEXTS = [
    "Elton John performed in New York in 2022.",
    "Yes",
    "The state-of-the-art model of ACME Corp. costs $1,234.56 in São Paulo, says Dr. Müller-Lüdenscheidt.",
    "İstanbul'da 東京タワー was seen 🙂 by Anna O'Neil\r\n\tand Bob (aged 7½).",
    "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen.",
    "Is it? No!",
]
LABELS = ["person", "City or town", "product: what was sold", "日付"]


@dataclass(frozen=True)
class Spec:
    """A published model: its backbone, what stands on it, and how it is saved."""

    backbone: str = "bert"
    projection: bool = False
    lstm_layers: int = 0
    span_mode: str = "markerV0"
    legacy: bool = False
    settings: dict[str, Any] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        parts = [self.backbone, "projection" if self.projection else "as-is", f"{self.lstm_layers}-lstm"]
        return " ".join([*parts, self.span_mode, "legacy" if self.legacy else "modern"])


def all_specs() -> list[Spec]:
    """Return every combination, legacy and modern configs of a model one after the other."""
    return [
        Spec(*values) for values in product(BACKBONES, (False, True), (0, 1, 2), SPAN_MODES, (False, True))
    ]


class Answers(NamedTuple):
    """What a model says of texts.

    `probabilities`: for each text, those of its words: (w, k, c) of a marker head, (w, c, 3) at token level.
    `spans`: for each rule of `OVERLAPS` and each text, spans above `THRESHOLD` as sorted (start, end, label).
    """

    probabilities: list[torch.Tensor]
    spans: list[list[list[tuple[int, int, str]]]]


def difference(theirs: Sequence[torch.Tensor], ours: Sequence[torch.Tensor]) -> float:
    """Return the largest difference between probabilities of spans that lie within their text."""
    largest = 0.0
    for reference, own in zip(theirs, ours, strict=True):
        apart = (reference[:, : own.shape[1]] - own).abs()
        if reference.shape[-1] != 3:
            width, n_words = own.shape[1], len(own)
            apart = apart[torch.arange(n_words)[:, None] + torch.arange(width) < n_words]
        largest = max(largest, apart.max().item())
    return largest


def write_backbone(
    folder: Path, kind: str, texts: Iterable[str], vocab_size: int = 200, hidden: int = 32, longest: int = 512
) -> Path:
    """Write the config and tokenizer of a tiny encoder, its vocabulary taken from `texts`; no weights."""
    tokenizer = make_tokenizer(kind, texts, vocab_size)
    tokenizer.model_max_length = longest
    tokenizer.save_pretrained(folder)
    _encoder_config(kind, len(tokenizer), hidden, longest).save_pretrained(folder)
    return folder


_DISENTANGLED: dict[str, Any] = {
    "position_biased_input": False,
    "relative_attention": True,
    "pos_att_type": ["p2c", "c2p"],
    "max_relative_positions": -1,
    "type_vocab_size": 0,
}
_FAMILIES: dict[str, dict[str, Any]] = {
    "bert": {},
    "electra": {"embedding_size": 16},
    "roberta": {},
    "xlm-roberta": {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2},
    "deberta": _DISENTANGLED,
    "deberta-v2": _DISENTANGLED
    | {"position_buckets": 16, "share_att_key": True, "norm_rel_ebd": "layer_norm"},
    "modernbert": {
        "bos_token_id": 2,
        "cls_token_id": 2,
        "eos_token_id": 3,
        "sep_token_id": 3,
        "global_attn_every_n_layers": 2,
        "local_attention": 16,
    },
}


def _encoder_config(kind: str, vocab_size: int, hidden: int, longest: int) -> PretrainedConfig:
    values = {
        "vocab_size": vocab_size,
        "hidden_size": hidden,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 2 * hidden,
        "max_position_embeddings": longest,
        "pad_token_id": 0,
    }
    return AutoConfig.for_model(kind, **values | _FAMILIES[kind])


class Reference:
    """A random model of the package, its last layer such that scores of the given texts are spread."""

    def __init__(self, spec: Spec, backbone: Path, texts: Sequence[str], labels: Sequence[str]) -> None:
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
            torch.manual_seed(0)
            self.gliner = GLiNER.from_config(settings | spec.settings, backbone_from_pretrained=False)
        generator = torch.Generator().manual_seed(0)
        for parameter in self.gliner.model.parameters():
            if parameter.dim() > 1:
                parameter.data.normal_(0.0, 1.5 * parameter.shape[-1] ** -0.5, generator=generator)
        self._token_level = spec.span_mode == "token_level"
        self._spread(texts, labels)

    def answers(self, texts: Sequence[str], labels: Sequence[str]) -> Answers:
        """Ask all texts in one batch."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            prepared, batch, output = self._run(texts, labels)
            spans = [self._decoded(prepared, batch, output, *overlaps) for overlaps in OVERLAPS]
        lengths = [len(words) for words in batch["tokens"]]
        return Answers([row[:n].sigmoid() for row, n in zip(output[0], lengths, strict=True)], spans)

    def save(self, folder: Path, *, legacy: bool = False) -> Path:
        """Let the package save its model; if legacy, without what old releases did not write."""
        self.gliner.save_pretrained(folder, safe_serialization=not legacy)
        if legacy:
            path = folder / "gliner_config.json"
            config = json.loads(path.read_text(encoding="utf-8"))
            for other in folder.iterdir():
                if other.name != "pytorch_model.bin":
                    other.unlink()
            kept = ("model_name", "span_mode", "max_width", "max_len", "dropout", "hidden_size")
            config = {key: config[key] for key in kept} | {"fine_tune": True, "num_steps": 30_000}
            path.write_text(json.dumps(config), encoding="utf-8")
        return folder

    def reload(self, folder: Path) -> None:
        """Let the package read `folder` instead of keeping the model it made."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.gliner = GLiNER.from_pretrained(str(folder), local_files_only=True)

    def _run(self, texts: Sequence[str], labels: Sequence[str]) -> list[dict[str, Any]]:
        prepared = self.gliner.prepare_batch(list(texts), list(labels))
        batch = self.gliner.collate_batch(prepared["input_x"], prepared["entity_types"])
        return [prepared, batch, self.gliner.run_batch(batch)]

    def _decoded(
        self,
        prepared: dict[str, Any],
        batch: dict[str, Any],
        output: dict[str, Any],
        nested: bool,
        multi_label: bool,
    ) -> list[list[tuple[int, int, str]]]:
        decoded = self.gliner.decode_batch(
            output, batch, threshold=THRESHOLD, flat_ner=not nested, multi_label=multi_label
        )
        names = ("valid_texts", "valid_to_orig_idx", "start_token_map", "end_token_map", "num_original")
        found = self.gliner.map_entities_to_text(decoded, *(prepared[name] for name in names))
        return [sorted((span["start"], span["end"], span["label"]) for span in of_text) for of_text in found]

    @torch.no_grad()
    def _spread(self, texts: Sequence[str], labels: Sequence[str]) -> None:
        """Scale and shift the last layer: some scores are high, most low, few stuck at 0 or 1."""
        model = self.gliner.model
        output = self._run(texts, labels)[2]
        logits = output[0]
        if self._token_level:
            last, scale = model.scorer.out_mlp[3], 2.0 / logits.std((0, 1, 2))
            wanted = torch.tensor([1.0, 1.0, 2.5])
            last.weight *= scale[:, None]
            last.bias.copy_((last.bias - logits.mean((0, 1, 2))) * scale + wanted)
            return
        scale, last = 2.5 / logits.std(), model.prompt_rep_layer[3]
        last.weight *= scale
        last.bias *= scale
        label = scale * output.prompts_embedding.mean((0, 1))
        *_, last = model.span_rep_layer.span_rep_layer.out_project.modules()
        last.bias += (-3.0 - scale * logits.mean()) * label / label.square().sum()


class Ours:
    """A published checkpoint as this package reads it."""

    def __init__(self, folder: Path) -> None:
        self.config, self.model, self.tokenizer = load_published(folder, local_files_only=True)
        self._extractor = Extractor(self.config, self.model, self.tokenizer)
        self._prompts = build_labels(self.config, self.tokenizer)
        self._collate = Collator(self.tokenizer.pad_id, self.tokenizer.suffix)

    def rows(self, texts: Sequence[str], labels: Sequence[str]) -> list[Row]:
        """Return a row for each text, whole."""
        prompt = self._prompts.prompt(labels)
        return [Row(prompt, list(self.tokenizer.encode(text, self.config.max_tokens))) for text in texts]

    @torch.inference_mode()
    def probabilities(self, rows: Sequence[Row]) -> list[torch.Tensor]:
        """Ask rows in one batch."""
        logits = self.model(self._collate(rows)).spans
        return [of_row[: len(row.words)].sigmoid() for of_row, row in zip(logits, rows, strict=True)]

    def answers(self, texts: Sequence[str], labels: Sequence[str]) -> Answers:
        """Ask all texts: the model for probabilities, in one batch; an extractor for spans, as users do."""
        spans = []
        for nested, multi_label in OVERLAPS:
            task = NER(labels, threshold=THRESHOLD, nested=nested, multi_label=multi_label)
            answers = self._extractor.extract_many(texts, task)
            spans.append([sorted((one.start, one.end, one.label) for one in found) for found in answers])
        return Answers(self.probabilities(self.rows(texts, labels)), spans)


def edit_config(folder: Path, **values: object) -> None:
    """Set values of a saved config; `...` takes one out."""
    path = folder / "gliner_config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | values
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not ...}), "utf-8")


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change saved weights in place."""
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")
