"""Vectors of labels that stand apart from the text: each is computed once, and kept in memory and files."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from gliner_mt.batch import label_batch, token_budget_batches
from gliner_mt.checkpoint.native import write_whole
from gliner_mt.errors import CheckpointError
from gliner_mt.labels import SeparateLabels
from gliner_mt.model import SpanMatcher

_FORMAT = "gliner_mt label vectors"
_KEPT = 1_000_000


@final
class LabelVectors:
    """The vectors of a model's labels by what is read of a label: its name, and its description if any."""

    def __init__(self, model: SpanMatcher, labels: SeparateLabels, batch_tokens: int) -> None:
        self._model = model
        self._labels = labels
        self._batch_tokens = batch_tokens
        self._known: dict[str, Float[Tensor, " d"]] = {}

    def of(self, labels: Sequence[str]) -> Float[Tensor, "n d"]:
        """Return the vectors of `labels`, in their order; those not known yet are computed.

        Raises:
            InputError: a label is longer than the label encoder reads.
        """
        unknown = list(dict.fromkeys(label for label in labels if label not in self._known))
        if len(self._known) + len(unknown) > _KEPT:
            self._known, unknown = {}, list(dict.fromkeys(labels))
        self._known.update(self._computed(unknown))
        return torch.stack([self._known[label] for label in labels])

    def keep(self, labels: Sequence[str], path: Path) -> None:
        """Have the vectors of `labels` in the file `path`, beside those that it holds, and in memory.

        Raises:
            CheckpointError: the file is something else, or was made with another label encoder.
        """
        fingerprint = self._fingerprint()
        stored = self._read(path, fingerprint) if path.exists() else []
        names = list(dict.fromkeys([*stored, *labels]))
        vectors = self.of(names).cpu()
        if len(names) > len(stored):
            metadata = {"format": _FORMAT, "fingerprint": fingerprint, "labels": json.dumps(names)}
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, lambda part: save_file({"vectors": vectors}, part, metadata=metadata))

    @torch.inference_mode()
    def _computed(self, labels: Sequence[str]) -> Iterator[tuple[str, Float[Tensor, " d"]]]:
        device = next(self._model.parameters()).device
        sequences = self._labels.prompt(labels).apart
        for part in token_budget_batches([len(ids) for ids in sequences], self._batch_tokens):
            vectors = self._model.label_vectors(label_batch([sequences[i] for i in part]).to(device))
            yield from zip((labels[i] for i in part), vectors, strict=True)

    def _read(self, path: Path, fingerprint: str) -> list[str]:
        """Take the vectors of a file into memory and return their labels."""
        try:
            with safe_open(path, framework="pt") as file:
                metadata, vectors = file.metadata() or {}, file.get_tensor("vectors")
        except (SafetensorError, OSError) as error:
            raise CheckpointError(
                f"{path} is not a whole file of label vectors ({error}). Give another path, or delete it."
            ) from error
        if metadata.get("format") != _FORMAT:
            raise CheckpointError(
                f"{path} is not a file of label vectors; expected one that encode_labels wrote."
            )
        if metadata["fingerprint"] != fingerprint:
            raise CheckpointError(
                f"the label vectors in {path} were made by another label encoder, or by this one in another "
                "precision. Give each model a file of its own, or delete this one."
            )
        labels: list[str] = json.loads(metadata["labels"])
        self._known.update(zip(labels, vectors.to(next(self._model.parameters()).device), strict=True))
        return labels

    def _fingerprint(self) -> str:
        """Return what changes with anything that label vectors depend on."""
        digest = hashlib.sha256(self._labels.label_tokenizer.to_str().encode())
        for module in (self._model.label_encoder, self._model.label_projection):
            for name, tensor in ({} if module is None else module.state_dict()).items():
                digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()
