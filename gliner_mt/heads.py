"""Span heads: word vectors and label vectors in, a logit for every span and label out.

Both marker heads are separable, so no tensor of span vectors is ever made. With s and e the projected
boundary words, a span's vector is W2 relu(A relu(s_i) + B relu(e_j) + b1) + b2. Its inner sum is one product
per *word*, and W2 folds into the labels: score = relu(a_i + b_j) . (W2^T l) + b2 . l.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple, cast, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


class Gold(NamedTuple):
    """Gold spans of a batch, a row each: all of shape (n,), `word_end` exclusive."""

    row: Int[Tensor, " n"]
    word_start: Int[Tensor, " n"]
    word_end: Int[Tensor, " n"]
    label: Int[Tensor, " n"]


class Found(NamedTuple):
    """Spans that passed their label's threshold: all of shape (n,), `word_end` exclusive."""

    row: Int[Tensor, " n"]
    word_start: Int[Tensor, " n"]
    word_end: Int[Tensor, " n"]
    label: Int[Tensor, " n"]
    score: Float[Tensor, " n"]


class SpanHead(nn.Module, ABC):
    """Scores every span of up to `max_width` words against every label."""

    max_width: int

    @abstractmethod
    def forward(self, words: Float[Tensor, "b w d"], labels: Float[Tensor, "b c d"]) -> Tensor:
        """Return logits; their shape is the head's own, with rows first."""

    @abstractmethod
    def find(self, logits: Tensor, n_words: Int[Tensor, " b"], thresholds: Float[Tensor, "b c"]) -> Found:
        """Return the spans with a probability above their label's threshold, by row, start, end and label.

        A threshold of 1 or more lets nothing pass: so padded labels are kept out.
        """

    @abstractmethod
    def targets(self, logits: Tensor, gold: Gold) -> Tensor:
        """Return 0/1 targets of the shape of `logits`."""

    @abstractmethod
    def valid(self, logits: Tensor, n_words: Int[Tensor, " b"], n_labels: Int[Tensor, " b"]) -> Tensor:
        """Return which logits stand for real words and labels; broadcastable to `logits`."""


def projection(in_size: int, out_size: int, dropout: float, expansion: int = 4) -> nn.Sequential:
    """Linear → ReLU → Dropout → Linear, the two-layer projection of GLiNER."""
    hidden = expansion * out_size
    return nn.Sequential(
        nn.Linear(in_size, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, out_size)
    )


class _WidthHead(SpanHead):
    """What the two marker heads share: logits (b, w, k, c), index k for spans of k + 1 words."""

    @final
    def find(
        self, logits: Float[Tensor, "b w k c"], n_words: Int[Tensor, " b"], thresholds: Float[Tensor, "b c"]
    ) -> Found:
        """Return the spans above their thresholds."""
        inside = _fits(logits, n_words)
        probabilities = logits.sigmoid()
        passed = (probabilities > thresholds[:, None, None, :]) & inside[..., None]
        row, start, width, label = passed.nonzero(as_tuple=True)
        return Found(row, start, start + width + 1, label, probabilities[row, start, width, label])

    @final
    def targets(self, logits: Float[Tensor, "b w k c"], gold: Gold) -> Float[Tensor, "b w k c"]:
        """Return 1 at every gold span; those wider than the head are left out."""
        targets = torch.zeros_like(logits)
        width = gold.word_end - gold.word_start - 1
        keep = width < logits.shape[2]
        targets[gold.row[keep], gold.word_start[keep], width[keep], gold.label[keep]] = 1.0
        return targets

    @final
    def valid(
        self, logits: Float[Tensor, "b w k c"], n_words: Int[Tensor, " b"], n_labels: Int[Tensor, " b"]
    ) -> Bool[Tensor, "b w k c"]:
        """Return which logits belong to spans within the text and labels asked."""
        labels = torch.arange(logits.shape[3], device=logits.device) < n_labels[:, None]
        return _fits(logits, n_words)[..., None] & labels[:, None, None, :]


@final
class MarkerHead(_WidthHead):
    """GLiNER's `markerV0`: two-layer projections of the boundary words, joined by a two-layer projection."""

    def __init__(
        self, start: nn.Sequential, end: nn.Sequential, joint: nn.Sequential, max_width: int
    ) -> None:
        super().__init__()
        self.start = start
        self.end = end
        self.joint = joint
        self.max_width = max_width

    def forward(
        self, words: Float[Tensor, "b w d"], labels: Float[Tensor, "b c d"]
    ) -> Float[Tensor, "b w k c"]:
        """Return logits of all spans of up to `max_width` words."""
        first, dropout, last = cast(nn.Linear, self.joint[0]), self.joint[2], cast(nn.Linear, self.joint[3])
        split = words.shape[-1]
        a = self.start(words).relu() @ first.weight[:, :split].T + first.bias
        b = self.end(words).relu() @ first.weight[:, split:].T
        folded = (labels @ last.weight).transpose(1, 2)
        offset = (labels @ last.bias)[:, None, :]
        return _by_width(
            words.shape[1], self.max_width, lambda i, j: dropout((a[:, i] + b[:, j]).relu()) @ folded + offset
        )


@final
class LinearMarkerHead(_WidthHead):
    """GLiNER's `marker` of v0: the joint projection is one linear layer, so a score is a sum of two terms."""

    def __init__(self, start: nn.Sequential, end: nn.Sequential, joint: nn.Linear, max_width: int) -> None:
        super().__init__()
        self.start = start
        self.end = end
        self.joint = joint
        self.max_width = max_width

    def forward(
        self, words: Float[Tensor, "b w d"], labels: Float[Tensor, "b c d"]
    ) -> Float[Tensor, "b w k c"]:
        """Return logits of all spans of up to `max_width` words."""
        split = words.shape[-1]
        at_start = (labels @ self.joint.weight[:, :split]).transpose(1, 2)
        at_end = (labels @ self.joint.weight[:, split:]).transpose(1, 2)
        a = self.start(words).relu() @ at_start + (labels @ self.joint.bias)[:, None, :]
        b = self.end(words).relu() @ at_end
        return _by_width(words.shape[1], self.max_width, lambda i, j: a[:, i] + b[:, j])


def _by_width(
    n_words: int, max_width: int, score: Callable[[slice, slice], Tensor]
) -> Float[Tensor, "b w k c"]:
    """Score spans one width at a time; `score` takes the slices of first and last words."""
    columns = []
    for width in range(min(max_width, n_words)):
        fitting = score(slice(0, n_words - width), slice(width, n_words))
        columns.append(nn.functional.pad(fitting, (0, 0, 0, width)))
    return torch.stack(columns, dim=2)


def _fits(logits: Float[Tensor, "b w k c"], n_words: Int[Tensor, " b"]) -> Bool[Tensor, "b w k"]:
    _, w, k, _ = logits.shape
    last = torch.arange(w, device=logits.device)[:, None] + torch.arange(k, device=logits.device)
    return last < n_words[:, None, None]
