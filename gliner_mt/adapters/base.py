"""Which base an adapter belongs to: a fingerprint of its weights, in every type that they may be held in."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_PLACES = 16
_SHOWN = 16


@dataclass(frozen=True, slots=True)
class Base:
    """A base: its name, for people, the type of its weights, and their digest in each type by name."""

    name: str
    dtype: str
    digests: Mapping[str, str]

    def digest(self, other: "Base") -> str:
        """Return the start of the digest that compares with the other's: that of the coarser of the types."""
        kinds = {self.dtype, other.dtype}
        kind = self.dtype if len(kinds) == 1 else _coarser(kinds)
        return self.digests.get(kind, "of no digest")[:_SHOWN]


def base_of(model: nn.Module, name: str) -> Base:
    """Return the fingerprint of a model without adapters.

    A few numbers of every tensor are enough: training that changes a model changes nearly all of them.
    """
    digests = {kind: hashlib.sha256() for kind in _TYPES}
    for key, parameter in sorted(model.named_parameters()):
        numbers = parameter.detach().flatten()
        sample = numbers[:: max(1, len(numbers) // _PLACES)][:_PLACES].cpu()
        for kind, digest in digests.items():
            digest.update(f"{key} {tuple(parameter.shape)}".encode())
            digest.update(sample.to(_TYPES[kind]).float().numpy().tobytes())
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    return Base(name, dtype, {kind: digest.hexdigest() for kind, digest in digests.items()})


def _coarser(kinds: set[str]) -> str:
    # Of the two half types, neither holds the other's numbers.
    return (kinds - {"float32"}).pop() if "float32" in kinds else "bfloat16"
