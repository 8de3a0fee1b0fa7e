"""What adapters train outside the pretrained encoders: projections, LSTM, heads.

Matrices of linear layers may get a trained change of low rank instead of being trained whole. The heads read
weights as well as calling layers, so the change belongs to the weight: whoever reads it gets the sum.
"""

from collections.abc import Iterator, Mapping
from typing import cast, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize

from gliner_mt.model import SpanMatcher

_UP, _DOWN = ".up", ".down"


@final
class LowRank(nn.Module):
    """W + scale · up · down, with up (m r) and down (r n) trained (LoRA, arXiv 2106.09685, section 4.1).

    Before training the change is zero.
    """

    def __init__(self, weight: Float[Tensor, "m n"], rank: int, scale: float) -> None:
        super().__init__()
        rows, columns = weight.shape
        self.down = nn.Parameter(torch.empty(rank, columns, device=weight.device))
        self.up = nn.Parameter(torch.zeros(rows, rank, device=weight.device))
        nn.init.kaiming_uniform_(self.down, a=5**0.5)
        self._scale = scale

    def forward(self, weight: Float[Tensor, "m n"]) -> Float[Tensor, "m n"]:
        """Return the changed weight."""
        return weight + (self.scaled_up @ self.down).to(weight.dtype)

    @property
    def scaled_up(self) -> Float[Tensor, "m r"]:
        """The first factor of the change, its scale included."""
        return self._scale * self.up

    @torch.no_grad()
    def take_up(self, scaled_up: Float[Tensor, "m r"], down: Float[Tensor, "r n"]) -> None:
        """Go on from the factors of another change, the first one with its scale."""
        self.up.copy_(scaled_up / self._scale)
        self.down.copy_(down)


def outside_encoders(model: SpanMatcher) -> dict[str, nn.Parameter]:
    """Return the parameters outside the pretrained encoders, by name."""
    inside = {id(parameter) for parameter in model.encoders.parameters()}
    return {name: one for name, one in model.named_parameters() if id(one) not in inside}


def add_low_rank(model: SpanMatcher, rank: int, scale: float) -> None:
    """Freeze the matrices of linear layers outside the encoders, each with a trained change beside it.

    Those so small that two factors would be no fewer numbers stay as they are.
    """
    inside = {id(module) for module in model.encoders.modules()}
    linear = [one for one in model.modules() if type(one) is nn.Linear and id(one) not in inside]
    for layer in linear:
        if rank * sum(layer.weight.shape) < layer.weight.numel():
            layer.weight.requires_grad_(False)
            change = LowRank(layer.weight, rank, scale)
            parametrize.register_parametrization(layer, "weight", change)


def remove_low_rank(model: SpanMatcher) -> None:
    """Undo `add_low_rank`: the matrices are what they were before."""
    for _, layer, _ in list(_changed_layers(model)):
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)


def trained(model: SpanMatcher) -> dict[str, Tensor]:
    """Return what is trained outside the encoders: tensors as they are, changes as factors `.up`, `.down`."""
    changes = {f"{name}.weight": change for name, _, change in _changed_layers(model)}
    factors = {id(factor) for change in changes.values() for factor in change.parameters()}
    found = {
        name: one.detach()
        for name, one in outside_encoders(model).items()
        if one.requires_grad and id(one) not in factors
    }
    for name, change in changes.items():
        found |= {name + _UP: change.scaled_up.detach(), name + _DOWN: change.down.detach()}
    return found


@torch.no_grad()
def take_up(model: SpanMatcher, saved: Mapping[str, Tensor]) -> None:
    """Let a model go on from what `trained` returned of one that was prepared alike."""
    changes = {f"{name}.weight": change for name, _, change in _changed_layers(model)}
    for name, change in changes.items():
        change.take_up(saved[name + _UP], saved[name + _DOWN])
    own = outside_encoders(model)
    for name in shapes(saved).keys() - changes.keys():
        own[name].copy_(saved[name])


def shapes(saved: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of the tensors that `saved`, as of `trained`, changes."""
    return {
        name.removesuffix(_UP): (tensor.shape[0], saved[_partner(name)].shape[1])
        if name.endswith(_UP)
        else tuple(tensor.shape)
        for name, tensor in saved.items()
        if not name.endswith(_DOWN)
    }


def whole(saved: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what `saved` makes of the tensors of the base, in their type."""
    found = {}
    for name in shapes(saved):
        own = base[name]
        up, down = saved.get(name + _UP), saved.get(name + _DOWN)
        change = saved[name] if up is None or down is None else own + (up @ down).to(own)
        found[name] = change.to(own)
    return found


def _partner(name: str) -> str:
    return name.removesuffix(_UP) + _DOWN


def _changed_layers(model: SpanMatcher) -> Iterator[tuple[str, nn.Linear, LowRank]]:
    for name, module in model.named_modules():
        if parametrize.is_parametrized(module, "weight"):
            change = cast(nn.ModuleDict, module.parametrizations)["weight"][0]  # type: ignore[index]
            if isinstance(change, LowRank):
                yield name, cast(nn.Linear, module), change
