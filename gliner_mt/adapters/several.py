"""Several adapters on one model, by name; one of them acts at a time, or none."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import cast, final

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer, LoraModel
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor

from gliner_mt.adapters.base import Base, base_of
from gliner_mt.adapters.folder import (
    BackbonePart,
    check_base,
    check_heads,
    on_backbone,
    put_weights,
    read_adapter,
)
from gliner_mt.adapters.low_rank import outside_encoders, whole
from gliner_mt.config import Thresholds, nearest
from gliner_mt.errors import CheckpointError, InputError
from gliner_mt.model import SpanMatcher


@dataclass(frozen=True, slots=True)
class _Loaded:
    """An adapter in memory: where it came from, PEFT's name of its backbone part, tensors of the rest."""

    folder: Path
    key: str | None
    heads: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class _Merged:
    """The adapter that is part of the weights, and those weights as they were."""

    name: str
    before: Mapping[str, Tensor]


@final
class Adapters:
    """The adapters of a model. `name` is the model's, for messages.

    In the backbone an adapter's layers stand beside the weights, where PEFT switches them. Outside it the
    weights are replaced: they are few.
    """

    def __init__(self, model: SpanMatcher, name: str) -> None:
        self._model = model
        self._name = name
        self._base: Base | None = None
        self._peft: PeftModel | None = None
        self._loaded: dict[str, _Loaded] = {}
        self._heads: dict[str, Tensor] = {}  # the base's, of what any adapter changes
        self._acting: str | None = None
        self._merged: _Merged | None = None
        self._keys = (f"adapter_{n}" for n in count())  # PEFT takes no dots in names

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the adapters, in the order in which they were added."""
        return tuple(self._loaded)

    def folder(self, name: str) -> Path:
        """Return where an adapter was read from."""
        self.check(name)
        return self._loaded[name].folder

    def check(self, name: str | None) -> None:
        """Raise an `InputError` unless there is an adapter of that name, or `name` is None: the base."""
        if name is not None and name not in self.names:
            known = nearest(str(name), self.names) if self._loaded else "; the model has none yet"
            raise InputError(f"there is no adapter {name!r}{known}. Add it with add_adapter.")
        if self._merged is not None and name != self._merged.name:
            raise InputError(
                f"adapter {self._merged.name!r} is merged into the weights, so {name or 'the base'!r} cannot "
                "be used. Call unmerge first."
            )

    def add(self, folder: Path, name: str) -> Thresholds | None:
        """Read an adapter folder; the adapter does not act yet. Return its own thresholds, if it has any.

        Raises:
            CheckpointError: the folder is broken, or an adapter of another base.
            InputError: the name is taken, or an adapter is merged.
        """
        if not name or name in self._loaded:
            raise InputError(f"an adapter {name!r} is there already; give this one another name.")
        self.activate(None)
        adapter, own = read_adapter(folder), outside_encoders(self._model)
        if self._base is None or not self._loaded:  # a base without adapters may have been trained meanwhile
            self._base, self._heads = base_of(self._model, self._name), {}
        check_base(adapter, self._base)
        check_heads(adapter, own)
        key = None if adapter.backbone is None else self._add_to_backbone(adapter.backbone, folder)
        with torch.no_grad():
            heads = whole(adapter.heads, own)
            self._heads |= {changed: own[changed].clone() for changed in heads.keys() - self._heads.keys()}
        self._loaded[name] = _Loaded(folder, key, heads)
        return adapter.header.thresholds

    def remove(self, name: str) -> None:
        """Forget an adapter.

        Raises:
            InputError: there is none of that name, or it is merged.
        """
        self.check(name)
        self.activate(None)
        key = self._loaded.pop(name).key
        if key is not None:
            self._take_off_backbone(key)

    def activate(self, name: str | None) -> None:
        """Let an adapter act, or the base alone.

        Raises:
            InputError: as in `check`.
        """
        self.check(name)
        if name == self._acting:
            return
        self._switch_backbone(None if name is None else self._loaded[name].key)
        own = outside_encoders(self._model)
        tensors = self._heads if name is None else {**self._heads, **self._loaded[name].heads}
        with torch.no_grad():
            for changed, tensor in tensors.items():
                own[changed].copy_(tensor)
        self._acting = name

    def merge(self, name: str) -> None:
        """Make an adapter part of the weights: as fast as the base, but no other can be used meanwhile.

        The weights are copied to the CPU's memory first, so that `unmerge` gives back the very same.
        """
        self.activate(name)
        if self._merged is not None:
            return
        key, before = self._loaded[name].key, {}
        if self._peft is not None and key is not None:
            before = {layer: weight.to("cpu", copy=True) for layer, weight in _weights(self._peft).items()}
            self._peft.merge_adapter([key])
        self._merged = _Merged(name, before)

    def unmerge(self) -> None:
        """Undo `merge`; the adapter still acts.

        Raises:
            InputError: no adapter is merged.
        """
        if self._merged is None:
            raise InputError("no adapter is merged; call merge first.")
        if self._peft is not None and self._merged.before:
            _unmerge(self._peft)
            weights = _weights(self._peft)
            for layer, before in self._merged.before.items():
                weights[layer].copy_(before)
        self._merged = None

    def merged_copy(self, name: str | None) -> SpanMatcher:
        """Return the model with an adapter in its weights and none beside them; the base itself if it can be.

        Raises:
            InputError: as in `check`.
        """
        self.activate(name)
        if self._peft is None:
            return self._model
        shared: dict[int, object] = {}
        model, peft = deepcopy(self._model, shared), deepcopy(self._peft, shared)
        if self._merged is not None and self._merged.before:
            _unmerge(peft)
        key = None if name is None else self._loaded[name].key
        model.backbone.model = peft.unload() if key is None else peft.merge_and_unload(adapter_names=[key])
        return model

    def _add_to_backbone(self, part: BackbonePart, folder: Path) -> str:
        key = next(self._keys)
        encoder = self._model.backbone.model
        dtype = next(encoder.parameters()).dtype
        try:
            if self._peft is None:
                self._peft = on_backbone(encoder, part.config, key)
            else:
                self._peft.add_adapter(key, part.config)
        except (ValueError, TypeError, KeyError, RuntimeError) as error:
            raise CheckpointError(f"the adapter in {folder} cannot be put on its base: {error}") from error
        try:
            put_weights(self._peft, key, part.weights, folder)
        except CheckpointError:
            self._take_off_backbone(key)
            raise
        # PEFT holds new adapters in single precision, as training wants them.
        encoder.train(False).to(dtype=dtype)
        self._switch_backbone(None)
        return key

    def _take_off_backbone(self, key: str) -> None:
        if self._peft is None:
            return
        others = [one.key for one in self._loaded.values() if one.key is not None]
        if others:
            self._peft.set_adapter(others[0])  # PEFT warns if the deleted one acts
            self._peft.delete_adapter(key)
            self._switch_backbone(None)
        else:
            self._peft.unload()
            self._peft = None

    def _switch_backbone(self, key: str | None) -> None:
        if self._peft is None:
            return
        if key is None:
            cast(LoraModel, self._peft.base_model).disable_adapter_layers()
        else:
            cast(LoraModel, self._peft.base_model).enable_adapter_layers()
            self._peft.set_adapter(key)


def paired(
    texts: Iterable[str], adapters: Iterable[str | None], check: Callable[[str | None], None]
) -> Iterator[tuple[str, str | None]]:
    """Yield each text with its adapter, as lazily as they come.

    Raises:
        InputError: there are not as many, or an adapter does not pass `check`.
    """
    if isinstance(adapters, str) or not isinstance(adapters, Iterable):
        raise InputError(f"adapters is {adapters!r}; expected the names of adapters, one for each text.")
    names = iter(adapters)
    for index, text in enumerate(texts):
        adapter = list(islice(names, 1))
        if not adapter:
            raise InputError(f"there are only {index} adapters for more texts; expected one for each text.")
        check(adapter[0])
        yield text, adapter[0]
    if list(islice(names, 1)):
        raise InputError("there are more adapters than texts; expected one for each text.")


def _unmerge(peft: PeftModel) -> None:
    for module in peft.modules():
        if isinstance(module, BaseTunerLayer) and module.merged:
            module.unmerge()


def _weights(peft: PeftModel) -> dict[str, Tensor]:
    """Return the weights that adapters stand beside, by the name of their layer."""
    return {
        name: cast(Tensor, module.get_base_layer().weight.data)
        for name, module in peft.named_modules()
        if isinstance(module, LoraLayer)
    }
