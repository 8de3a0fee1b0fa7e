"""Adapter folders: a PEFT adapter of the backbone, and beside it what is trained of the rest.

| file | what is in it |
|---|---|
| adapter_config.json, adapter_model.safetensors | the backbone's part, as PEFT writes and reads it |
| heads.safetensors | tensors outside the backbone, or low-rank changes of them |
| gliner_mt.json | format and version, the base that all this belongs to, its training, its thresholds |
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from peft import LoraConfig, PeftConfig, PeftModel
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel

from gliner_mt.adapters.base import Base
from gliner_mt.adapters.low_rank import shapes
from gliner_mt.adapters.tuning import Tuning
from gliner_mt.checkpoint.native import check_weights, read_json, read_weights, write_whole
from gliner_mt.config import Thresholds, from_mapping
from gliner_mt.errors import CheckpointError, ConfigError

HEADER_FILE, HEADS_FILE = "gliner_mt.json", "heads.safetensors"
PEFT_CONFIG, PEFT_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
FILES = (HEADER_FILE, HEADS_FILE, PEFT_CONFIG, PEFT_WEIGHTS)
FORMAT, VERSION = "gliner_mt adapter", 2

ADAPTER = "adapter"
"""The folder of an adapter in the folder of the run that trained it."""

# What changes the sums of a LoRA; others of PEFT's settings import code by name or rebuild the model.
_LORA = (
    "r",
    "lora_alpha",
    "lora_dropout",
    "use_dora",
    "use_rslora",
    "rank_pattern",
    "alpha_pattern",
    "trainable_token_indices",
)


@dataclass(frozen=True, slots=True)
class BackbonePart:
    """What an adapter changes in the backbone: PEFT's config and weights."""

    config: LoraConfig
    weights: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Header:
    """What an adapter says of itself.

    Attributes:
        base: what it belongs to.
        backbone: it changes the backbone.
        tuning: how it was trained; None in folders of version 1.
        thresholds: its temperature and thresholds; None takes the base's, as in folders of version 1.
    """

    base: Base
    backbone: bool
    tuning: Tuning | None = None
    thresholds: Thresholds | None = None
    format: str = FORMAT
    version: int = VERSION


@dataclass(frozen=True, slots=True)
class AdapterFolder:
    """An adapter as it is read: its header, the tensors outside the backbone, the backbone's part if any."""

    path: Path
    header: Header
    heads: Mapping[str, Tensor]
    backbone: BackbonePart | None


def write_adapter(folder: Path, header: Header, heads: Mapping[str, Tensor], peft: PeftModel | None) -> None:
    """Write an adapter folder. What it held before is replaced when all files are whole, not earlier."""
    with _replaced_files(folder) as new:
        if peft is not None:
            _write_weights(new / PEFT_WEIGHTS, peft_weights(peft, peft.active_adapter))
            config = peft.peft_config[peft.active_adapter]
            _write_json(new / PEFT_CONFIG, _config_values(config, header.base.name))
        _write_weights(new / HEADS_FILE, heads)
        _write_json(new / HEADER_FILE, asdict(header))


def copy_adapter(source: Path, folder: Path, thresholds: Thresholds) -> None:
    """Write the adapter in `source` to `folder`, perhaps the same one, with these thresholds.

    Raises:
        CheckpointError: `source` is no adapter folder any more.
    """
    header = replace(_read_header(source), thresholds=thresholds, version=VERSION)
    with _replaced_files(folder) as new:
        for name in (HEADS_FILE, *((PEFT_CONFIG, PEFT_WEIGHTS) if header.backbone else ())):
            shutil.copyfile(source / name, new / name)
        _write_json(new / HEADER_FILE, asdict(header))


@contextmanager
def _replaced_files(folder: Path) -> Iterator[Path]:
    """Give a folder for new files, which then take the place of those in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".new-", dir=folder) as name:
        yield Path(name)
        for path in sorted(Path(name).iterdir()):
            path.replace(folder / path.name)


def read_adapter(folder: Path) -> AdapterFolder:
    """Read an adapter folder.

    Raises:
        CheckpointError: a file is missing or broken, or the folder is something else.
    """
    header = _read_header(folder)
    backbone = None
    if header.backbone:
        config = _lora_config(folder / PEFT_CONFIG)
        backbone = BackbonePart(config, read_weights(folder / PEFT_WEIGHTS))
    return AdapterFolder(folder, header, read_weights(folder / HEADS_FILE), backbone)


def on_backbone(encoder: PreTrainedModel, config: LoraConfig, name: str = "default") -> PeftModel:
    """Put a new adapter on an encoder without any; the encoder stays what it is, its layers are replaced."""
    vars(encoder).pop("peft_config", None)  # what PEFT 0.18 leaves of an adapter that was merged or taken off
    return PeftModel(encoder, config, adapter_name=name)


def peft_weights(peft: PeftModel, name: str) -> dict[str, Tensor]:
    """Return the weights of one of the adapters, named as in its file."""
    # Left to itself, PEFT asks the hub whether the base's vocabulary has grown.
    weights = get_peft_model_state_dict(peft, adapter_name=name, save_embedding_layers=False)
    return dict(weights)


def put_weights(peft: PeftModel, name: str, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Give one of the adapters the weights of its part in `folder`.

    Raises:
        CheckpointError: they are not those of such an adapter.
    """
    check_weights(peft_weights(peft, name), weights, folder)
    set_peft_model_state_dict(peft, dict(weights), adapter_name=name)


def name_of(adapter: str | Path) -> str:
    """Return what an adapter, a folder or hub id, goes by: its own name, or that of its run."""
    path = Path(adapter).expanduser().resolve()
    return path.parent.name if path.name == ADAPTER and path.parent.name else path.name


def check_base(adapter: AdapterFolder, base: Base) -> None:
    """Raise a `CheckpointError` unless the adapter is one of this base."""
    its_own = adapter.header.base
    theirs, ours = its_own.digest(base), base.digest(its_own)
    if theirs != ours:
        raise CheckpointError(
            f"{adapter.path} is an adapter of {its_own.name} (weights {theirs}), but the model is "
            f"{base.name} (weights {ours}). Load the base that it was trained on, or train one for this base."
        )


def check_heads(adapter: AdapterFolder, own: Mapping[str, Tensor]) -> None:
    """Raise a `CheckpointError` unless the adapter changes tensors that the model has: `own`."""
    for name, shape in shapes(adapter.heads).items():
        if name not in own or tuple(own[name].shape) != shape:
            raise CheckpointError(
                f"{adapter.path / HEADS_FILE} changes {name} {shape}, which the model does not have so. "
                "Its files are not of one adapter: fetch or save it again."
            )


def _write_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    write_whole(path, lambda part: save_file(tensors, part, metadata={"format": "pt"}))


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    text = json.dumps(values, indent=2, sort_keys=True) + "\n"
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))


def _config_values(config: PeftConfig, base: str) -> dict[str, Any]:
    own: dict[str, Any] = config.to_dict()
    values = own | {"base_model_name_or_path": base, "inference_mode": True}
    return {key: sorted(value) if isinstance(value, set) else value for key, value in values.items()}


def _read_header(folder: Path) -> Header:
    path = folder / HEADER_FILE
    if not path.is_file():
        plain = (folder / PEFT_CONFIG).is_file()
        mend = (
            "it is a PEFT adapter of a backbone alone, for NewModel.adapters"
            if plain
            else "expected an adapter folder, as training writes it"
        )
        raise CheckpointError(f"{folder} has no {HEADER_FILE}: {mend}.")
    values = read_json(path)
    if values.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is not the header of an adapter: its format is {values.get('format')!r}; "
            f"expected {FORMAT!r}."
        )
    version = values.get("version")
    if isinstance(version, int) and version > VERSION:
        raise CheckpointError(
            f"{folder} has adapter version {version}, newer than this package knows ({VERSION}); "
            "upgrade gliner_mt."
        )
    try:
        return from_mapping(Header, values, "the header")
    except ConfigError as error:
        raise CheckpointError(
            f"{path} cannot be used: {error} Mend it, or save the adapter again."
        ) from error


def _lora_config(path: Path) -> LoraConfig:
    values = read_json(path)
    if values.get("peft_type") != "LORA" or not values.get("target_modules"):
        raise CheckpointError(
            f"{path} describes a {values.get('peft_type')} adapter of {values.get('target_modules')}; "
            "expected LORA, and the layers that it changes."
        )
    try:
        return LoraConfig(
            target_modules=values["target_modules"],
            **{key: values[key] for key in _LORA if values.get(key) is not None},
        )
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
