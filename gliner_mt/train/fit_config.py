"""How a model is fine-tuned, as data, and what suits it where nothing is said."""

from dataclasses import dataclass, field, fields

import torch

from gliner_mt.adapters import Tuning
from gliner_mt.adapters.folder import AdapterFolder
from gliner_mt.errors import CheckpointError, ConfigError
from gliner_mt.train.loop_config import LoopConfig
from gliner_mt.train.loss import LossConfig
from gliner_mt.train.sampling import SamplingConfig

_PASSES, _TEXTS_A_STEP = 8, 12
_FEWEST_STEPS, _MOST_STEPS = 60, 2_000
_CHECKPOINTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class FitConfig:
    """How a model is fine-tuned.

    Attributes:
        tuning: what of the model is trained; None: a LoRA adapter, or what the adapter that training goes
            on from changes.
        loop: how the weights are moved; None: `default_loop`, by the method and the number of examples.
        sampling: how rows are drawn from the examples.
        loss: how wrong decisions are counted.
        replay: share of the rows in which the model is to answer as before, against forgetting
            (`train/replay.py`); 0 for a model that knows nothing yet.
        names: a JSON file of what else labels may be called: label → {aliases: [name], description: text}.
        dev_limit: examples of each task that a checkpoint is scored on, drawn at random; None is all.
    """

    tuning: Tuning | None = None
    loop: LoopConfig | None = None
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    replay: float = 0.3
    names: str | None = None
    dev_limit: int | None = 500

    def __post_init__(self) -> None:
        if not 0.0 <= self.replay < 1.0:
            raise ConfigError(f"replay is {self.replay}; expected a share from 0 to less than 1.")
        if self.dev_limit is not None and self.dev_limit < 1:
            raise ConfigError(f"dev_limit is {self.dev_limit}; expected at least 1, or nothing for all.")


def chosen_tuning(wanted: Tuning | None, start: AdapterFolder | None) -> Tuning:
    """Return what is trained: what is wanted, or what the adapter changes that training goes on from.

    Raises:
        ConfigError: the two differ, in more than dropout.
        CheckpointError: the adapter does not say what it changes.
    """
    if start is None:
        return wanted or Tuning()
    own = start.header.tuning
    if own is None:
        raise CheckpointError(
            f"the adapter in {start.path} does not say how it was trained, so training cannot go on from it "
            "(folders of version 1 do not). Train a new one on the base."
        )
    for name in (one.name for one in fields(own) if one.name != "dropout"):
        asked, has = getattr(wanted or own, name), getattr(own, name)
        if asked != has:
            raise ConfigError(
                f"tuning.{name} is {asked!r}, but the adapter in {start.path}, which training goes on from, "
                f"has {has!r}. Give it that value, or leave tuning out."
            )
    return wanted or own


def default_loop(tuning: Tuning, n_examples: int) -> LoopConfig:
    """Return a loop that suits the method: some eight passes over the examples, 60 to 2,000 steps.

    Rates are low enough for a model that knows something already: 2e-5 where its encoder is trained whole.
    """
    whole = tuning.method == "full"
    steps = min(max(_PASSES * n_examples // _TEXTS_A_STEP, _FEWEST_STEPS), _MOST_STEPS)
    return LoopConfig(
        steps=steps,
        batch_tokens=2048,
        lr_backbone=2e-5 if whole else 3e-4,
        lr_heads=1e-4 if whole else 3e-4,
        warmup=0.1,
        precision="bf16" if _has_bf16() else "no",
        patience=4,
        save_every=max(steps // _CHECKPOINTS, 10),
    )


def _has_bf16() -> bool:
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
