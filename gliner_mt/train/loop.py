"""The training loop, on Accelerate: any precision, any number of processes, checkpoints, exact resume."""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Generic, Protocol, TypeVar, cast, final

import torch
from accelerate import DistributedType
from accelerate.utils import broadcast_object_list, set_seed
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim.lr_scheduler import LambdaLR

from gliner_mt.errors import CheckpointError, ConfigError, TrainingError
from gliner_mt.train.averaging import WeightAverage, put_weights, trained_weights
from gliner_mt.train.gradients import Gradients
from gliner_mt.train.loop_config import LoopConfig
from gliner_mt.train.optimizer import make_optimizer, rate_at
from gliner_mt.train.progress import training_bar
from gliner_mt.train.run_folder import RunFolder
from gliner_mt.train.setup import make_accelerator, prepare_backbone, prepare_parts
from gliner_mt.train.stopping import StopRequest

_LOG_EVERY = 10
_AVERAGE = "average.safetensors"
_IN_PARTS = (DistributedType.FSDP, DistributedType.DEEPSPEED)

ModelT = TypeVar("ModelT", bound=nn.Module)
BatchT = TypeVar("BatchT")


class BatchSource(Protocol[BatchT]):
    """Where batches come from: pool n is always the same."""

    def pool(self, index: int, batch_tokens: int) -> list[BatchT]:
        """Return the batches of pool `index`."""
        ...


@dataclass(slots=True)
class _Progress:
    """Where a run stands: the next step, the next batch as (pool, index in it), the best score so far.

    `waited`: checkpoints since the best one.
    """

    step: int = 0
    pool: int = 0
    batch: int = 0
    best: float | None = None
    waited: int = 0

    def judge(self, score: float) -> bool:
        """Take up a score; return whether it is the best so far."""
        better = score > (-math.inf if self.best is None else self.best)
        self.best = score if better else self.best
        self.waited = 0 if better else self.waited + 1
        return better


@final
class Run(Generic[ModelT, BatchT]):
    """A training run; its state lives in `folder`, where an interrupted one takes up its last checkpoint.

    `loss` runs the model over a batch and returns one number. `backbone` is the part of the model that moves
    at the backbone's rate. A batch's dropout is drawn from the seed and the batch's place in the run: so a
    run that is taken up, or that several processes share, goes as the whole one does.

    With FSDP and DeepSpeed a copy is trained, and `model` gets its weights when it is scored, and by `best`.
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
        set_seed(config.seed, deterministic=config.deterministic)
        self._config = config
        self._source = source
        self._folder = RunFolder(folder)
        self._state = _Progress()
        self._accelerator = make_accelerator(config.precision, config.log_with, folder)
        self._check_processes()
        self._whole = model if self._in_parts else None
        if self._in_parts:
            model, backbone = copy.deepcopy((model, backbone))
            batches = config.accumulate // self._accelerator.num_processes
            prepare_parts(self._accelerator, backbone, batches=batches, max_grad_norm=config.max_grad_norm)
        prepare_backbone(backbone, checkpoint_layers=config.checkpoint_layers, backend=config.compile)
        optimizer = make_optimizer(
            model,
            backbone,
            lr_backbone=config.lr_backbone,
            lr_heads=config.lr_heads,
            weight_decay=config.weight_decay,
        )
        schedule = LambdaLR(optimizer, lambda step: rate_at(step, steps=config.steps, warmup=config.warmup))
        self._model, self._optimizer, self._schedule = self._accelerator.prepare(model, optimizer, schedule)
        self._gradients = Gradients(self._accelerator, self._model, loss, config.seed)
        self._average = None if config.ema is None else WeightAverage(self._unwrapped(), config.ema)

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return self._state.step

    def resume(self) -> bool:
        """Take up the last checkpoint of the folder, if there is one.

        Raises:
            CheckpointError: a checkpoint that cannot be read, or of another model.
        """
        path = self._folder.latest()
        if path is None:
            return False
        try:
            self._accelerator.load_state(str(path))
            self._state = _Progress(**self._folder.read_progress(path))
            if self._average is not None and (path / _AVERAGE).is_file():
                self._average.load(load_file(path / _AVERAGE))
        except (OSError, RuntimeError, ValueError, TypeError, SafetensorError) as error:
            raise CheckpointError(
                f"the checkpoint {path} cannot be taken up: {error} It may be of another model or recipe: "
                "choose another folder for this run, or remove that one to begin anew."
            ) from error
        return True

    def train(self, after_save: Callable[[int, ModelT], float | None]) -> list[float]:
        """Train to the last step and return the loss of each.

        `after_save` is called at every checkpoint, by one process alone. It may return a score, the higher
        the better: then the best weights are kept (`best`), and the run ends early if `patience` is set.

        Raises:
            TrainingError: a loss or gradient that is no number, or a row that does not fit into memory.
            CheckpointError: a checkpoint cannot be written; the one before it is whole.
            KeyboardInterrupt: after Ctrl-C, when the step is done and its checkpoint written.
        """
        config, losses, steps = self._config, [], self._steps()
        settings = {key: x for key, x in asdict(config).items() if isinstance(x, (int, float, str, bool))}
        self._accelerator.init_trackers("gliner_mt", config=settings)
        self._model.train()
        shown = self._accelerator.is_main_process
        with (
            StopRequest(patient=self._accelerator.num_processes > 1) as stop,
            training_bar(config.steps, self.step, shown=shown) as tell,
        ):
            while self.step < config.steps and not self._out_of_patience():
                loss, stopped = self._optimize(next(steps), stop)
                losses.append(loss)
                tell(self.step, recent := fmean(losses[-_LOG_EVERY:]), self._state.best)
                if self.step % _LOG_EVERY == 0:
                    self._log(loss=round(recent, 4), lr_backbone=self._schedule.get_last_lr()[0])
                if self.step == config.steps or self.step % config.save_every == 0:
                    self._save()
                    self._score(after_save)
                elif stopped:
                    self._save()
                if stopped and self.step < config.steps:
                    raise KeyboardInterrupt(
                        f"after step {self.step} of {config.steps}; {self._folder.path} holds the "
                        "checkpoint, from which the same run goes on."
                    )
        for tracker in self._accelerator.trackers:
            tracker.finish()
        return losses

    def best(self) -> ModelT:
        """Return the model with the best weights: those of the best score, or the last if nothing was scored.

        Call it when training is over.
        """
        model, scored = self._plain(), self._state.best is not None
        if self._in_parts and not scored:  # only the first process has them whole
            if self._accelerator.is_main_process:
                self._folder.write_best(trained_weights(model))
            self._accelerator.wait_for_everyone()
        if self._in_parts or scored:
            put_weights(model, self._folder.best())
        elif self._average is not None:
            put_weights(model, self._average.weights)
        return model

    @property
    def _in_parts(self) -> bool:
        """Whether each process holds a part of the weights only."""
        return self._accelerator.distributed_type in _IN_PARTS

    def _check_processes(self) -> None:
        accumulate, processes = self._config.accumulate, self._accelerator.num_processes
        if accumulate % processes:
            raise ConfigError(
                f"accumulate is {accumulate}, and there are {processes} processes, which share the "
                f"batches of a step; expected a multiple of {processes}."
            )
        if self._config.ema is not None and self._in_parts:
            raise ConfigError("ema averages whole weights, and here each process has a part; leave it out.")

    def _out_of_patience(self) -> bool:
        patience = self._config.patience
        return patience is not None and self._state.waited >= patience

    def _optimize(self, batches: Sequence[BatchT], stop: StopRequest) -> tuple[float, bool]:
        """Move the weights once; return the batches' mean loss, and whether a process is asked to stop."""
        accelerator, accumulate = self._accelerator, self._config.accumulate
        first, end = self.step * accumulate, (self.step + 1) * accumulate
        places = range(first + accelerator.process_index, end, accelerator.num_processes)
        loss = self._gradients(batches, places)
        asked = torch.full_like(loss, stop.asked)
        told = accelerator.reduce(torch.stack([loss, self._clip().to(loss), asked]), "mean").tolist()
        if not (math.isfinite(told[0]) and math.isfinite(told[1])):
            self._give_up(batches, loss=told[0], norm=told[1])
        self._optimizer.step()
        self._schedule.step()
        self._model.zero_grad()
        self._state.step += 1
        if self._average is not None:
            self._average.update(self._unwrapped(), self.step)
        return told[0], told[2] > 0

    def _clip(self) -> Tensor:
        """Clip the gradient; return its norm, or 0 if steps without one are left out anyway."""
        norm = self._accelerator.clip_grad_norm_(self._model.parameters(), self._config.max_grad_norm)
        if norm is None or self._accelerator.scaler is not None:
            return torch.zeros(())
        return norm.full_tensor() if isinstance(norm, DTensor) else torch.as_tensor(norm)

    def _give_up(self, batches: Sequence[BatchT], *, loss: float, norm: float) -> None:
        path = self._folder.keep_batches(batches, self._accelerator.process_index)
        what = f"loss is {loss}" if not math.isfinite(loss) else f"gradient's norm is {norm}"
        raise TrainingError(
            f"at step {self.step + 1} the {what}; expected a number. The weights are those of step "
            f"{self.step}; the step's batches are in {path}. Lower the learning rates, take precision 'bf16' "
            "or 'no', or look for what is odd in the batches; then go on from the last checkpoint."
        )

    def _steps(self) -> Iterator[list[BatchT]]:
        """Yield the batches of each step that are this process's."""
        processes, process = self._accelerator.num_processes, self._accelerator.process_index
        batches = self._batches()
        while True:
            yield [next(batches) for _ in range(self._config.accumulate)][process::processes]

    def _batches(self) -> Iterator[BatchT]:
        state = self._state
        while True:
            pool = self._source.pool(state.pool, self._config.batch_tokens)
            while state.batch < len(pool):
                state.batch += 1
                yield pool[state.batch - 1]
            state.pool, state.batch = state.pool + 1, 0

    def _save(self) -> None:
        # Written beside the last checkpoint: whenever the run is killed, one of the two is whole.
        accelerator, folder = self._accelerator, self._folder
        if accelerator.is_main_process:
            folder.clear()
        accelerator.wait_for_everyone()
        with self._writing():
            accelerator.save_state(str(folder.new))
            if accelerator.is_main_process:
                if self._average is not None:
                    save_file(self._average.weights, folder.new / _AVERAGE)
                folder.write_progress(folder.new, asdict(self._state))
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            folder.commit()
        accelerator.wait_for_everyone()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Say what remains if a file of the run cannot be written."""
        try:
            yield
        except (OSError, RuntimeError, SafetensorError) as error:
            folder = self._folder
            folder.clear()
            left = (
                "There is none before it; free some space, and begin anew"
                if folder.latest() is None
                else "The last one there is whole; free some space, and the same run goes on from it"
            )
            raise CheckpointError(
                f"the checkpoint of step {self.step} cannot be written to {folder.path}: {error}. {left}."
            ) from error

    def _score(self, after_save: Callable[[int, ModelT], float | None]) -> None:
        """Have the checkpoint scored, and keep its weights if they are the best so far."""
        accelerator, folder = self._accelerator, self._folder
        score: list[float | None] = [None]
        better = False
        with self._shown() as model:
            if accelerator.is_main_process:
                score[0] = after_save(self.step, model)
                better = score[0] is not None and self._state.judge(score[0])
                if better:
                    with self._writing():
                        folder.write_best(trained_weights(model))
        self._model.train()
        if accelerator.num_processes > 1:
            broadcast_object_list(score)
        if score[0] is None:
            return
        if not accelerator.is_main_process:
            self._state.judge(score[0])
        elif (checkpoint := folder.latest()) is not None:
            folder.write_progress(checkpoint, asdict(self._state))
        self._log(score=score[0])

    def _log(self, **values: float) -> None:
        if self._accelerator.is_main_process:
            self._folder.log(step=self.step, **values)
        self._accelerator.log(values, step=self.step)

    @contextmanager
    def _shown(self) -> Iterator[ModelT]:
        """Show the model as it is to be scored and saved: whole, its weights averaged if they are."""
        model = self._plain()
        with nullcontext() if self._average is None else self._average.applied(model):
            yield model

    def _plain(self) -> ModelT:
        if self._whole is None:
            return self._unwrapped()
        weights = self._accelerator.get_state_dict(self._model)
        if self._accelerator.is_main_process:
            put_weights(self._whole, weights)
        return self._whole

    def _unwrapped(self) -> ModelT:
        # Unwrapping mixed precision too would leave the rest of the run without it.
        return cast(ModelT, self._accelerator.unwrap_model(self._model, keep_fp32_wrapper=True))
