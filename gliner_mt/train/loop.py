"""The training loop, on Accelerate: mixed precision, accumulation, schedule, checkpoints, exact resume."""

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Generic, Protocol, TypeVar, final

from accelerate import Accelerator
from accelerate.utils import send_to_device, set_seed
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from gliner_mt.errors import ConfigError

_LOG_EVERY = 50
_STATE, _NEW_STATE, _OLD_STATE, _PROGRESS = "state", "state.new", "state.old", "progress.json"

ModelT = TypeVar("ModelT", bound=nn.Module)
BatchT = TypeVar("BatchT")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopConfig:
    """How the weights are moved.

    Attributes:
        steps: optimizer steps in all.
        batch_tokens: sub-words of a batch at most, padding counted.
        accumulate: batches to a step.
        lr_backbone: peak learning rate of the backbone.
        lr_heads: peak learning rate of everything else; a language model is all backbone.
        warmup: share of the steps in which rates rise from 0; they then fall linearly to 0.
        weight_decay: of matrices; vectors (biases, norms) have none.
        max_grad_norm: gradients are clipped to this norm.
        precision: `no`, `bf16` or `fp16`.
        save_every: steps between checkpoints.
        seed: of weights, sampling and dropout.
    """

    steps: int
    batch_tokens: int = 4096
    accumulate: int = 1
    lr_backbone: float = 1e-4
    lr_heads: float = 5e-4
    warmup: float = 0.05
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    precision: str = "bf16"
    save_every: int = 250
    seed: int = 0

    def __post_init__(self) -> None:
        if self.precision not in ("no", "bf16", "fp16"):
            raise ConfigError(f"precision is {self.precision!r}; expected 'no', 'bf16' or 'fp16'.")
        for name in ("steps", "batch_tokens", "accumulate", "save_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected at least 1.")


class BatchSource(Protocol[BatchT]):
    """Where batches come from: pool n is always the same."""

    def pool(self, index: int, batch_tokens: int) -> list[BatchT]:
        """Return the batches of pool `index`."""
        ...


@dataclass(slots=True)
class _Progress:
    """Where a run stands: the next step, and the next batch as (pool, index in it)."""

    step: int = 0
    pool: int = 0
    batch: int = 0


@final
class Run(Generic[ModelT, BatchT]):
    """A training run; its state lives in `folder`, where an interrupted one takes up its last checkpoint.

    `loss` runs the model over a batch and returns one number. `backbone` is the part of the model that moves
    at the backbone's rate.
    """

    def __init__(
        self,
        model: ModelT,
        backbone: nn.Module,
        source: BatchSource[BatchT],
        loss: Callable[[ModelT, BatchT], Tensor],
        config: LoopConfig,
        folder: Path,
    ) -> None:
        set_seed(config.seed)
        self._config = config
        self._source = source
        self._loss = loss
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._state = _Progress()
        self._accelerator = Accelerator(mixed_precision=config.precision, step_scheduler_with_optimizer=False)
        optimizer = _optimizer(model, backbone, config)
        schedule = LambdaLR(optimizer, lambda step: _rate(step, config))
        self._model, self._optimizer, self._schedule = self._accelerator.prepare(model, optimizer, schedule)

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return self._state.step

    def resume(self) -> bool:
        """Take up the last checkpoint of the folder, if there is one."""
        for path in (self._folder / _STATE, self._folder / _OLD_STATE):
            if (path / _PROGRESS).is_file():
                self._accelerator.load_state(str(path))
                self._state = _Progress(**json.loads((path / _PROGRESS).read_text(encoding="utf-8")))
                return True
        return False

    def train(self, after_save: Callable[[int, ModelT], None]) -> list[float]:
        """Train to the last step and return the loss of each; `after_save` is called at every checkpoint."""
        config, losses = self._config, []
        batches = self._batches()
        self._model.train()
        with _progress_bar() as bar:
            task = bar.add_task("training", total=config.steps, completed=self.step, loss=math.nan)
            while self.step < config.steps:
                losses.append(self._optimize([next(batches) for _ in range(config.accumulate)]))
                recent = fmean(losses[-_LOG_EVERY:])
                bar.update(task, completed=self.step, loss=recent)
                if self.step % _LOG_EVERY == 0:
                    self._log(recent)
                if self.step % config.save_every == 0 or self.step == config.steps:
                    self._save()
                    # Unwrapping mixed precision too would leave the rest of the run without it.
                    after_save(self.step, self._accelerator.unwrap_model(self._model, keep_fp32_wrapper=True))
                    self._model.train()
        return losses

    def _optimize(self, batches: list[BatchT]) -> float:
        total = 0.0
        for batch in batches:
            batch = send_to_device(batch, self._accelerator.device)
            loss = self._loss(self._model, batch) / len(batches)
            self._accelerator.backward(loss)
            total += loss.item()
        self._accelerator.clip_grad_norm_(self._model.parameters(), self._config.max_grad_norm)
        self._optimizer.step()
        self._schedule.step()
        self._optimizer.zero_grad()
        self._state.step += 1
        return total

    def _batches(self) -> Iterator[BatchT]:
        state = self._state
        while True:
            pool = self._source.pool(state.pool, self._config.batch_tokens)
            while state.batch < len(pool):
                state.batch += 1
                yield pool[state.batch - 1]
            state.pool, state.batch = state.pool + 1, 0

    def _log(self, loss: float) -> None:
        rate = self._schedule.get_last_lr()[0]
        line = {"step": self.step, "loss": round(loss, 4), "lr_backbone": rate, "time": round(time.time(), 1)}
        with (self._folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")

    def _save(self) -> None:
        # Written beside the last checkpoint: whenever the run is killed, one of the two is whole.
        new, path, old = (self._folder / name for name in (_NEW_STATE, _STATE, _OLD_STATE))
        shutil.rmtree(new, ignore_errors=True)
        self._accelerator.save_state(str(new))
        (new / _PROGRESS).write_text(json.dumps(asdict(self._state)), encoding="utf-8")
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
            path.rename(old)
        new.rename(path)
        shutil.rmtree(old, ignore_errors=True)


def _optimizer(model: nn.Module, backbone: nn.Module, config: LoopConfig) -> Optimizer:
    of_the_backbone = {id(parameter) for parameter in backbone.parameters()}
    groups = []
    for of_backbone, rate in ((True, config.lr_backbone), (False, config.lr_heads)):
        for is_matrix, decay in ((True, config.weight_decay), (False, 0.0)):
            parameters = [
                p
                for p in model.parameters()
                if (id(p) in of_the_backbone) is of_backbone
                and (p.dim() > 1) is is_matrix
                and p.requires_grad
            ]
            if parameters:
                groups.append({"params": parameters, "lr": rate, "weight_decay": decay})
    return AdamW(groups, betas=(0.9, 0.98), fused=True)


def _rate(step: int, config: LoopConfig) -> float:
    warmup = max(1, round(config.warmup * config.steps))
    if step < warmup:
        return (step + 1) / warmup
    return max(0.0, (config.steps - step) / max(1, config.steps - warmup))


def _progress_bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeRemainingColumn(),
        refresh_per_second=0.5,
    )
