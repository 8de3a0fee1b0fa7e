"""An average of the weights over the steps, which often answers better than the last of them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import final

import torch
from torch import Tensor, nn


@final
class WeightAverage:
    """An exponential moving average of the weights that are trained (Polyak and Juditsky, 1992).

    After step n it moves by 1 - min(decay, (1 + n) / (10 + n)) towards the weights: a large `decay` would
    hold a short run at the weights that it began with.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay = decay
        self.weights = {name: weight.detach().clone() for name, weight in trained_weights(model).items()}

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take up an average that was saved."""
        for name, weight in self.weights.items():
            weight.copy_(weights[name])

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take up the weights after a step, counted from 1."""
        share = 1.0 - min(self._decay, (1 + step) / (10 + step))
        for name, weight in trained_weights(model).items():
            self.weights[name].lerp_(weight, share)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Let the model have the averaged weights inside the block."""
        current = {name: weight.detach().clone() for name, weight in trained_weights(model).items()}
        put_weights(model, self.weights)
        try:
            yield
        finally:
            put_weights(model, current)


def trained_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the weights that are trained, by name."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


@torch.no_grad()
def put_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy `weights` into the model's."""
    for name, weight in trained_weights(model).items():
        weight.copy_(weights[name])
