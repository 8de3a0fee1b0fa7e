"""The one model: a backbone, labels beside the text, and a head that matches spans with labels."""

from enum import Enum
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from gliner_mt.backbones import Backbone
from gliner_mt.batch import Batch
from gliner_mt.heads import SpanHead


class Pooling(str, Enum):
    """How the sub-words of a word become its vector."""

    FIRST = "first"
    LAST = "last"
    MEAN = "mean"
    MAX = "max"


@final
class WordLSTM(nn.Module):
    """A bidirectional LSTM over the words of each row, padding left out."""

    def __init__(self, lstm: nn.LSTM) -> None:
        super().__init__()
        self.lstm = lstm

    def forward(self, words: Float[Tensor, "b w d"], n_words: Int[Tensor, " b"]) -> Float[Tensor, "b w d"]:
        """Return the states of both directions; zero on padding."""
        lengths = n_words.cpu().clamp(min=1)  # torch packs no empty rows, which training may draw
        packed = pack_padded_sequence(words, lengths, batch_first=True, enforce_sorted=False)
        states, _ = self.lstm(packed)
        padded, _ = pad_packed_sequence(states, batch_first=True, total_length=words.shape[1])
        return padded


@final
class SpanMatcher(nn.Module):
    """Matches every span of a text with every label asked of it.

    `projection` maps backbone vectors to the head's size, `lstm` runs over words, `label_projection` over
    labels; `nn.Identity` and None leave a step out. The parts are passed in: see `build_model`.
    """

    def __init__(
        self,
        backbone: Backbone,
        head: SpanHead,
        *,
        pooling: Pooling = Pooling.FIRST,
        projection: nn.Module,
        label_projection: nn.Module,
        lstm: WordLSTM | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.projection = projection
        self.lstm = lstm
        self.label_projection = label_projection
        self.head = head
        self.pooling = pooling

    def forward(self, batch: Batch) -> Tensor:
        """Return the head's logits, rows first; padded words and labels hold arbitrary values."""
        hidden = self.projection(self.backbone(batch))
        words = pool(hidden, batch.word_first, batch.word_last, self.pooling)
        if self.lstm is not None:
            words = self.lstm(words, batch.n_words)
        labels = pool(hidden, batch.label_first, batch.label_last, Pooling.MEAN)
        logits: Tensor = self.head(words, self.label_projection(labels))
        return logits


def pool(
    hidden: Float[Tensor, "b t d"], first: Int[Tensor, "b n"], last: Int[Tensor, "b n"], pooling: Pooling
) -> Float[Tensor, "b n d"]:
    """Return one vector for each run of sub-words first..last (both inclusive)."""
    match pooling:
        case Pooling.FIRST:
            return _gather(hidden, first)
        case Pooling.LAST:
            return _gather(hidden, last)
        case Pooling.MEAN:
            total, longest = _gather(hidden, first), int((last - first).max())
            for step in range(1, longest + 1):
                total = total + _gather(hidden, (first + step).minimum(last)) * _within(first, last, step)
            return total / (last - first + 1)[..., None].to(hidden.dtype)
        case Pooling.MAX:
            # Past its end a run repeats its last sub-word, which changes no maximum.
            best, longest = _gather(hidden, first), int((last - first).max())
            for step in range(1, longest + 1):
                best = best.maximum(_gather(hidden, (first + step).minimum(last)))
            return best


def _within(first: Int[Tensor, "b n"], last: Int[Tensor, "b n"], step: int) -> Tensor:
    return (first + step <= last)[..., None]


def _gather(hidden: Float[Tensor, "b t d"], index: Int[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
    return torch.gather(hidden, 1, index[..., None].expand(-1, -1, hidden.shape[-1]))
