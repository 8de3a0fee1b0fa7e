"""Batches without their padding: all rows one behind the other as a single row, and back."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Run:
    """Rows of one length that stand side by side in a packed row, and what their sub-words do not see.

    `seen` masks the first `q` queries of each row, and all later ones see every key; None hides nothing.
    `near` is the mask of layers that see only what is near, if places do not tell what that is.
    """

    rows: int
    length: int
    seen: Float[Tensor, "rows 1 q length"] | None = None
    near: Float[Tensor, "rows 1 length length"] | None = None


@dataclass(frozen=True, slots=True)
class Packing:
    """Where the sub-words of a padded batch (`b` rows of `t`, `n` of them real) stand in its packed row.

    `places`: of each packed sub-word in the flattened batch. `offsets`: its place in its own row.
    `rows`, `lengths`: rows in packed order, the longest first, and their lengths; empty rows are left out.
    """

    places: Int[Tensor, " n"]
    offsets: Int[Tensor, " n"]
    rows: Int[Tensor, " r"]
    lengths: tuple[int, ...]
    shape: tuple[int, int]

    def pack(self, padded: Tensor) -> Tensor:
        """Turn (b, t, ...) into (1, n, ...)."""
        return padded.flatten(0, 1).index_select(0, self.places)[None]

    def unpack(self, packed: Float[Tensor, "1 n h"]) -> Float[Tensor, "b t h"]:
        """Put vectors back where they came from, zeros elsewhere."""
        rows, length = self.shape
        padded = packed.new_zeros((rows * length, packed.shape[2]))
        return padded.index_copy(0, self.places, packed[0]).view(rows, length, -1)

    def arguments(self, runs: tuple[Run, ...] | None = None) -> dict[str, Any]:
        """Return what tells attention where rows end: flash-attention's names, and `runs` beside them."""
        bounds = torch.tensor((0, *self.lengths), dtype=torch.int32).cumsum(0, dtype=torch.int32)
        bounds, longest = bounds.to(self.places.device), max(self.lengths, default=0)
        return {
            "cu_seq_lens_q": bounds,
            "cu_seq_lens_k": bounds,
            "max_length_q": longest,
            "max_length_k": longest,
            "runs": tuple(self.runs()) if runs is None else runs,
        }

    def runs(self) -> Iterator[Run]:
        """Yield the runs of rows of one length."""
        for length, group in groupby(self.lengths):
            yield Run(len(list(group)), length)


def packing_of(real: Bool[Tensor, "b t"]) -> Packing:
    """Return how the real sub-words of a batch are packed."""
    count = real.sum(1)
    rows = count.argsort(descending=True, stable=True)
    rows = rows[: int((count > 0).sum())]
    width = torch.arange(real.shape[1], device=real.device)
    kept = real[rows]
    places = (rows[:, None] * real.shape[1] + width)[kept]
    offsets = (kept.cumsum(1) - 1)[kept]
    return Packing(places, offsets, rows, tuple(count[rows].tolist()), (real.shape[0], real.shape[1]))
