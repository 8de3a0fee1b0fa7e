"""A model prepared to train what a `Tuning` says."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import final

import torch
from peft import LoraConfig, PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from transformers import PreTrainedModel

from gliner_mt.adapters.base import Base, base_of
from gliner_mt.adapters.folder import (
    HEADS_FILE,
    AdapterFolder,
    Header,
    check_base,
    on_backbone,
    put_weights,
    write_adapter,
)
from gliner_mt.adapters.low_rank import add_low_rank, outside_encoders, remove_low_rank, take_up, trained
from gliner_mt.adapters.quantize import quantize
from gliner_mt.adapters.tuning import LOW_RANK, Tuning
from gliner_mt.backbones.families import family_of
from gliner_mt.checkpoint.native import check_weights
from gliner_mt.config import ModelConfig, Thresholds, nearest
from gliner_mt.errors import ConfigError
from gliner_mt.model import SpanMatcher


@final
class Tuned:
    """A model prepared by `prepare_tuning`: saves what is trained of it, and gives the base back."""

    def __init__(
        self,
        model: SpanMatcher,
        tuning: Tuning,
        base: Base,
        peft: PeftModel | None,
        before: Mapping[str, Tensor],
    ) -> None:
        self._model = model
        self._tuning = tuning
        self._base = base
        self._peft = peft
        self._before = before

    def start_from(self, adapter: AdapterFolder) -> None:
        """Take up the weights of an adapter of this base that was trained with the same `Tuning`.

        Raises:
            CheckpointError: it is of another base, or its weights are not those of such an adapter.
        """
        check_base(adapter, self._base)
        check_weights(trained(self._model), adapter.heads, adapter.path / HEADS_FILE)
        if self._peft is not None and adapter.backbone is not None:
            put_weights(self._peft, self._peft.active_adapter, adapter.backbone.weights, adapter.path)
        take_up(self._model, adapter.heads)

    def save(self, folder: str | Path, thresholds: Thresholds | None = None) -> None:
        """Write an adapter folder with what was trained, and its thresholds; None: those of the base."""
        header = Header(self._base, self._peft is not None, self._tuning, thresholds)
        write_adapter(Path(folder), header, trained(self._model), self._peft)

    def unload(self) -> None:
        """Take the adapter off: the model is the base again (in 4 bits after `qlora`), nothing frozen."""
        if self._peft is not None:
            self._peft.unload()
        remove_low_rank(self._model)
        own = outside_encoders(self._model)
        with torch.no_grad():
            for name, tensor in self._before.items():
                own[name].copy_(tensor)
        for parameter in self._model.parameters():
            parameter.requires_grad_(parameter.is_floating_point())


def prepare_tuning(
    model: SpanMatcher, config: ModelConfig, tuning: Tuning, base: str = "model"
) -> Tuned | None:
    """Make `model` train what `tuning` says and nothing else; None if that is every weight.

    `base` is the model's name, a folder or hub id, which adapters are to say that they belong to.

    Raises:
        ConfigError: targets that the backbone does not have, a model with adapters, or what `qlora` lacks.
    """
    encoder = model.backbone.model
    if any(isinstance(module, BaseTunerLayer) for module in encoder.modules()):
        raise ConfigError(f"{base} has adapters already; load the base alone to train another.")
    model.requires_grad_(tuning.method == "full")
    if tuning.method == "full":
        return None
    whose, peft = base_of(model, base), None
    for parameter in outside_encoders(model).values():
        parameter.requires_grad_(tuning.method != "heads")
    for head in (model.head, model.pairs, model.label_projection):
        if head is not None:
            head.requires_grad_(True)
    before = {
        name: one.detach().clone() for name, one in outside_encoders(model).items() if one.requires_grad
    }
    if tuning.method in LOW_RANK:
        peft = _adapters(encoder, config, tuning)
        if tuning.head_rank is not None:
            add_low_rank(model, tuning.head_rank, tuning.alpha / tuning.rank)
    return Tuned(model, tuning, whose, peft, before)


def _adapters(encoder: PreTrainedModel, config: ModelConfig, tuning: Tuning) -> PeftModel:
    """Put adapters into the encoder, which stays frozen but for the rows of the prompt's tokens."""
    targets = lora_targets(encoder, tuning.targets)
    tokens = [token for token in (config.marker_id, config.separator_id) if token is not None]
    lora = LoraConfig(
        r=tuning.rank,
        lora_alpha=tuning.alpha,
        lora_dropout=tuning.dropout,
        use_dora=tuning.method == "dora",
        target_modules=sorted(targets),
        trainable_token_indices={_embedding(encoder): tokens} if tokens else None,
    )
    if tuning.method == "qlora":
        quantize(encoder, targets)
    return on_backbone(encoder, lora)


def lora_targets(encoder: PreTrainedModel, wanted: Iterable[str] = ()) -> set[str]:
    """Return the names of the encoder's linear layers that adapters are put on.

    Raises:
        ConfigError: one that is `wanted` is the name of no linear layer.
    """
    linear = {
        name.rpartition(".")[2] for name, module in encoder.named_modules() if isinstance(module, nn.Linear)
    }
    for name in wanted:
        if name not in linear:
            raise ConfigError(f"targets names {name!r}{nearest(name, tuple(linear))}.")
    family = family_of(encoder.config.model_type)
    return set(wanted) or (linear if family.assumed else linear & set(family.lora))


def _embedding(encoder: PreTrainedModel) -> str:
    """Return the name of the module that embeds sub-words; PEFT takes its last part."""
    embedding = encoder.get_input_embeddings()
    return str(next(name for name, module in encoder.named_modules() if module is embedding))
