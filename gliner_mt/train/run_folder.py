"""The folder of a run: its last checkpoint, its best weights, its log, and batches that broke it."""

import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, final

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from gliner_mt.errors import InputError

_STATE, _NEW_STATE, _OLD_STATE, _PROGRESS = "state", "state.new", "state.old", "progress.json"
_BEST, _LOG = "best.safetensors", "log.jsonl"


@final
class RunFolder:
    """Files of a run. Whenever the run is killed, one whole checkpoint is there, and the best weights are."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"there can be no run in {path}: {error}; choose another folder.") from error

    def latest(self) -> Path | None:
        """Return the folder of the last whole checkpoint."""
        places = (self.path / name for name in (_STATE, _OLD_STATE))
        return next((place for place in places if (place / _PROGRESS).is_file()), None)

    @property
    def new(self) -> Path:
        """Where the next checkpoint is written, beside the last one."""
        return self.path / _NEW_STATE

    def clear(self) -> None:
        """Remove what there is of a new checkpoint."""
        shutil.rmtree(self.new, ignore_errors=True)

    def commit(self) -> None:
        """Let the new checkpoint, which is whole, stand for the last one."""
        path, old = self.path / _STATE, self.path / _OLD_STATE
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
            path.rename(old)
        self.new.rename(path)
        shutil.rmtree(old, ignore_errors=True)

    def read_progress(self, checkpoint: Path) -> dict[str, Any]:
        """Return where the run stood at a checkpoint."""
        progress: dict[str, Any] = json.loads((checkpoint / _PROGRESS).read_text(encoding="utf-8"))
        return progress

    def write_progress(self, checkpoint: Path, progress: Mapping[str, object]) -> None:
        """Write where the run stands, as the last file of a checkpoint."""
        path = checkpoint / f".{_PROGRESS}.part"
        path.write_text(json.dumps(progress), encoding="utf-8")
        os.replace(path, checkpoint / _PROGRESS)

    def write_best(self, weights: Mapping[str, nn.Parameter]) -> None:
        """Keep weights as the best ones so far."""
        path = self.path / f".{_BEST}.part"
        save_file({name: weight.detach().contiguous() for name, weight in weights.items()}, path)
        os.replace(path, self.path / _BEST)

    def best(self) -> dict[str, Tensor]:
        """Return the best weights."""
        return load_file(self.path / _BEST)

    def log(self, **values: float) -> None:
        """Add a line to the log."""
        with (self.path / _LOG).open("a", encoding="utf-8") as log:
            log.write(json.dumps(values | {"time": round(time.time(), 1)}) + "\n")

    def keep_batches(self, batches: Sequence[object], process: int) -> Path:
        """Write batches as plain values and tensors, which `torch.load` reads; return the file."""
        path = self.path / f"bad_batches_{process}.pt"
        torch.save([plain(batch) for batch in batches], path)
        return path


def plain(value: object) -> object:
    """Return a batch of any kind as dictionaries, lists, tensors and numbers."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    match value:
        case Tensor():
            return value.cpu()
        case tuple(_fields=names):  # type: ignore[misc]  # a named one
            return {name: plain(part) for name, part in zip(names, value, strict=True)}
        case list() | tuple():
            return [plain(part) for part in value]
        case _:
            return value
