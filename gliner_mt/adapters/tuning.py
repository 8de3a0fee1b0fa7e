"""What of a model is trained, as data; a model prepared for it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from peft import LoraConfig, PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from transformers import PreTrainedModel

from gliner_mt.adapters.base import Base, base_of
from gliner_mt.adapters.folder import on_backbone, write_adapter
from gliner_mt.adapters.low_rank import add_low_rank, outside_encoders, remove_low_rank, trained
from gliner_mt.adapters.quantize import quantize
from gliner_mt.backbones.families import family_of
from gliner_mt.config import ModelConfig, nearest
from gliner_mt.errors import ConfigError
from gliner_mt.model import SpanMatcher

METHODS = ("full", "frozen_backbone", "heads", "lora", "dora", "qlora")
_LOW_RANK = ("lora", "dora", "qlora")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What of a model is trained.

    Attributes:
        method: `full`: every weight. `frozen_backbone`: all but the pretrained encoders. `heads`: the span
            head, the pair head and the label projection. `lora` (arXiv 2106.09685), `dora` (2402.09353) and
            `qlora` (2305.14314, a backbone in 4 bits): adapters in the backbone, the embedding's rows of the
            prompt's tokens, and all outside the encoders. An encoder of labels stays as it is.
        rank: of the adapters in the backbone.
        alpha: an adapter counts `alpha / rank` times.
        dropout: of its input, in training.
        targets: names of the linear layers that adapters are put on; none takes the family's.
        head_rank: rank of the change of each matrix outside the encoders; None: they are trained whole, as a
            model needs whose heads are new.
    """

    method: str = "lora"
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.05
    targets: tuple[str, ...] = ()
    head_rank: int | None = 16

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"method is {self.method!r}{nearest(str(self.method), METHODS)}.")
        for name, value in (("rank", self.rank), ("alpha", self.alpha), ("head_rank", self.head_rank)):
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}; expected 1 or more.")
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"dropout is {self.dropout}; expected 0 or more, less than 1.")


@final
class Tuned:
    """A model prepared by `prepare_tuning`: saves what is trained of it, and gives the base back."""

    def __init__(
        self, model: SpanMatcher, base: Base, peft: PeftModel | None, before: Mapping[str, Tensor]
    ) -> None:
        self._model = model
        self._base = base
        self._peft = peft
        self._before = before

    def save(self, folder: str | Path) -> None:
        """Write an adapter folder with what was trained."""
        write_adapter(Path(folder), self._base, trained(self._model), self._peft)

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
    if tuning.method in _LOW_RANK:
        peft = _adapters(encoder, config, tuning)
        if tuning.head_rank is not None:
            add_low_rank(model, tuning.head_rank, tuning.alpha / tuning.rank)
    return Tuned(model, whose, peft, before)


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
