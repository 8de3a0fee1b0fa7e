"""Span heads: word vectors and label vectors in, a logit for every span and label out.

Both marker heads are separable. With s and e the projected boundary words, a span's vector is
W2 relu(A relu(s_i) + B relu(e_j) + b1) + b2. Its inner sum is one product per *word*, and W2 folds into the
labels: score = relu(a_i + b_j) . (W2^T l) + b2 . l. No span vector is made, unless there are so many labels
that the product in its plain order is the shorter way.

Labels (1 c d) in place of (b c d) are asked of all rows.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple, cast, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

_ROUNDING = 1e-6


class Gold(NamedTuple):
    """Gold spans of a batch, a row each: all of shape (n,), `word_end` exclusive."""

    row: Int[Tensor, " n"]
    word_start: Int[Tensor, " n"]
    word_end: Int[Tensor, " n"]
    label: Int[Tensor, " n"]


class Spans(NamedTuple):
    """Spans of a batch in the order of rows: all of shape (n,), `word_end` exclusive."""

    row: Int[Tensor, " n"]
    word_start: Int[Tensor, " n"]
    word_end: Int[Tensor, " n"]


class Found(NamedTuple):
    """Spans that passed their label's threshold: all of shape (n,), `word_end` exclusive."""

    row: Int[Tensor, " n"]
    word_start: Int[Tensor, " n"]
    word_end: Int[Tensor, " n"]
    label: Int[Tensor, " n"]
    score: Float[Tensor, " n"]


class SpanHead(nn.Module, ABC):
    """Scores every span of up to `max_width` words, or given spans of any width, against every label."""

    max_width: int

    @property
    @abstractmethod
    def logits_per_word(self) -> int:
        """How many logits a word has for each label."""

    @abstractmethod
    def forward(self, words: Float[Tensor, "b w d"], labels: Float[Tensor, "b c d"]) -> Tensor:
        """Return logits; their shape is the head's own, with rows first."""

    @abstractmethod
    def vectors(self, words: Float[Tensor, "b w d"], spans: Spans) -> Float[Tensor, "n d"]:
        """Return a vector for each of some spans, however wide."""

    @abstractmethod
    def score(
        self, words: Float[Tensor, "b w d"], labels: Float[Tensor, "b c d"], spans: Spans
    ) -> Float[Tensor, "n c"]:
        """Return the logits of some spans, however wide, with the labels of their rows."""

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


def by_row(
    vectors: Float[Tensor, "n d"], labels: Float[Tensor, "b c d"], row: Tensor
) -> Float[Tensor, "n c"]:
    """Return the products of vectors, in the order of their rows, with the labels of each row."""
    if len(labels) == 1:
        return vectors @ labels[0].T
    counts = torch.bincount(row, minlength=len(labels)).tolist()
    return torch.cat([part @ labels[i].T for i, part in enumerate(torch.split(vectors, counts))])


EXPANSION = 4
"""How much wider the first layer of a projection is than what comes out."""


def projection(in_size: int, out_size: int, dropout: float, expansion: int = EXPANSION) -> nn.Sequential:
    """Linear → ReLU → Dropout → Linear, the two-layer projection of GLiNER."""
    hidden = expansion * out_size
    return nn.Sequential(
        nn.Linear(in_size, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, out_size)
    )


class _WidthHead(SpanHead):
    """What the two marker heads share: logits (b, w, k, c), index k for spans of k + 1 words."""

    start: nn.Sequential
    end: nn.Sequential
    joint: nn.Module

    @property
    @final
    def logits_per_word(self) -> int:
        """As many as the widest span has words."""
        return self.max_width

    @final
    def vectors(self, words: Float[Tensor, "b w d"], spans: Spans) -> Float[Tensor, "n d"]:
        """Return the joint projection of the boundary words."""
        first, last = words[spans.row, spans.word_start], words[spans.row, spans.word_end - 1]
        vectors: Tensor = self.joint(torch.cat([self.start(first), self.end(last)], dim=-1).relu())
        return vectors

    @final
    def score(
        self, words: Float[Tensor, "b w d"], labels: Float[Tensor, "b c d"], spans: Spans
    ) -> Float[Tensor, "n c"]:
        """Return the products of the spans' vectors with the labels."""
        return by_row(self.vectors(words, spans), labels, spans.row)

    @final
    def find(
        self, logits: Float[Tensor, "b w k c"], n_words: Int[Tensor, " b"], thresholds: Float[Tensor, "b c"]
    ) -> Found:
        """Return the spans above their thresholds."""
        # Most logits are far below: only those near enough to be above, rounding aside, are looked at.
        near = (thresholds.double() - _ROUNDING).clamp(0.0, 1.0).logit().to(logits.dtype)
        row, start, width, label = (logits > near[:, None, None, :]).nonzero(as_tuple=True)
        end, score = start + width + 1, logits[row, start, width, label].sigmoid()
        passed = (score > thresholds.expand(len(logits), -1)[row, label]) & (end <= n_words[row])
        return Found(*(column[passed] for column in (row, start, end, label, score)))

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

    joint: nn.Sequential

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
        first, dropout = cast(nn.Linear, self.joint[0]), self.joint[2]
        split = words.shape[-1]
        a = self.start(words).relu() @ first.weight[:, :split].T + first.bias
        b = self.end(words).relu() @ first.weight[:, split:].T
        against = self._against(labels)
        return _by_width(
            words.shape[1], self.max_width, lambda i, j: against(dropout((a[:, i] + b[:, j]).relu()))
        )

    def _against(self, labels: Float[Tensor, "b c d"]) -> Callable[[Tensor], Tensor]:
        """Return the last layer and the product with the labels as one step, in the order that costs less."""
        last = cast(nn.Linear, self.joint[3])
        saved = (last.in_features - last.out_features) * labels.shape[1]
        if saved > last.in_features * last.out_features:
            return lambda hidden: product(last(hidden), labels.transpose(1, 2))
        folded = (labels @ last.weight).transpose(1, 2)
        offset = (labels @ last.bias)[:, None, :]
        return lambda hidden: product(hidden, folded) + offset


@final
class LinearMarkerHead(_WidthHead):
    """GLiNER's `marker` of v0: the joint projection is one linear layer, so a score is a sum of two terms."""

    joint: nn.Linear

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
        a = product(self.start(words).relu(), at_start) + (labels @ self.joint.bias)[:, None, :]
        b = product(self.end(words).relu(), at_end)
        return _by_width(words.shape[1], self.max_width, lambda i, j: a[:, i] + b[:, j])


def product(rows: Float[Tensor, "b w d"], matrix: Float[Tensor, "b d n"]) -> Float[Tensor, "b w n"]:
    """Return `rows @ matrix`; one that all rows share (1 d n) takes one large product, not b small ones."""
    return rows @ (matrix[0] if len(matrix) == 1 else matrix)


def _by_width(
    n_words: int, max_width: int, score: Callable[[slice, slice], Tensor]
) -> Float[Tensor, "b w k c"]:
    """Score spans one width at a time; `score` takes the slices of first and last words."""
    widest = min(max_width, n_words)
    words = score(slice(0, n_words), slice(0, n_words))
    logits = words.new_zeros(len(words), n_words, widest, words.shape[2])
    logits[:, :, 0] = words
    for width in range(1, widest):
        logits[:, : n_words - width, width] = score(slice(0, n_words - width), slice(width, n_words))
    return logits


def _fits(logits: Float[Tensor, "b w k c"], n_words: Int[Tensor, " b"]) -> Bool[Tensor, "b w k"]:
    _, w, k, _ = logits.shape
    last = torch.arange(w, device=logits.device)[:, None] + torch.arange(k, device=logits.device)
    return last < n_words[:, None, None]
