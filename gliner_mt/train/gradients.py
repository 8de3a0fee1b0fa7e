"""The gradient of a step: its batches one after the other, in parts where memory runs out."""

import warnings
from collections.abc import Callable, Sequence
from random import Random
from typing import Generic, TypeVar, final

import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from torch import Tensor, nn

from gliner_mt.errors import TrainingError
from gliner_mt.train.halves import pieces

ModelT = TypeVar("ModelT", bound=nn.Module)
BatchT = TypeVar("BatchT")

_MEND = "Lower batch_tokens and raise accumulate, set checkpoint_layers, or cut the texts shorter."


@final
class Gradients(Generic[ModelT, BatchT]):
    """Adds up the gradients of a prepared model over the batches of a step.

    What is random in a batch, such as dropout, is drawn from the seed and the batch's place in the run.
    """

    def __init__(
        self, accelerator: Accelerator, model: ModelT, loss: Callable[[ModelT, BatchT], Tensor], seed: int
    ) -> None:
        self._accelerator = accelerator
        self._model = model
        self._loss = loss
        self._seed = seed
        self._cuts = 0

    def __call__(self, batches: Sequence[BatchT], places: Sequence[int]) -> Tensor:
        """Return the mean loss of this process's batches, whose places in the run are given.

        Where memory runs out, batches are halved from here on, which changes neither loss nor gradient.

        Raises:
            TrainingError: a batch that does not fit into memory and cannot be halved.
        """
        while True:
            parts = [pieces(batch, self._cuts) for batch in batches]
            try:
                return self._backward(parts, places)
            except RuntimeError as error:
                if not should_reduce_batch_size(error):
                    raise
                self._cut(max(map(len, parts)), error)
            self._model.zero_grad()
            clear_device_cache(garbage_collection=True)

    def _backward(self, batches: Sequence[Sequence[tuple[float, BatchT]]], places: Sequence[int]) -> Tensor:
        accelerator, n_parts = self._accelerator, sum(map(len, batches))
        accelerator.gradient_accumulation_steps, accelerator.step = n_parts, 0
        total = torch.zeros((), device=accelerator.device)
        for place, parts in zip(places, batches, strict=True):
            torch.manual_seed(Random(f"{self._seed}/{place}").getrandbits(32))
            for share, part in parts:
                with accelerator.accumulate(self._model):
                    loss = self._loss(self._model, send_to_device(part, accelerator.device))
                    loss = loss * (share / len(batches))
                    accelerator.backward(loss * n_parts)  # which divides by the number of parts
                total += loss.detach().float()
        return total

    def _cut(self, most_parts: int, error: RuntimeError) -> None:
        reason = None
        if self._accelerator.num_processes > 1:
            reason = "several processes cannot halve it"
        elif most_parts < 2**self._cuts:
            reason = "it cannot be halved"
        if reason is not None:
            raise TrainingError(f"a batch does not fit into memory, and {reason}. {_MEND}") from error
        self._cuts += 1
        warnings.warn(
            f"out of memory: from here on each batch is read in {2**self._cuts} parts. That changes no "
            f"gradient, but takes longer. {_MEND}",
            stacklevel=2,
        )
