"""The one model: a backbone, labels beside the text, and a head that matches spans with labels."""

from enum import Enum
from typing import NamedTuple, final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from gliner_mt.backbones import Backbone
from gliner_mt.batch import Batch
from gliner_mt.fusion import CrossFuser
from gliner_mt.heads import SpanHead, Spans
from gliner_mt.links import Links
from gliner_mt.pairs import PairContext, PairHead, Pairs


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
class LabelEncoder(nn.Module):
    """The encoder of labels that stand apart from the text (bi-encoder GLiNER, arXiv 2602.18487).

    `projection` maps its vectors to the head's size; the mean over a label's sub-words, special tokens
    included, then stands for it.
    """

    def __init__(self, backbone: Backbone, projection: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.projection = projection

    def forward(self, labels: Batch) -> Float[Tensor, "n d"]:
        """Return a vector for each row of a batch of labels (`label_batch`)."""
        padding = labels.groups < 0
        hidden: Tensor = self.projection(self.backbone(labels)).masked_fill(padding[..., None], 0.0)
        return hidden.sum(1) / (~padding).sum(1, keepdim=True).clamp(min=1)


class Beside(NamedTuple):
    """What to score beside the spans up to the head's width: given spans, and pairs of given spans.

    `stated` are matched with the labels as spans are; `ends` are those that `pairs` index.
    """

    stated: Spans
    ends: Spans
    pairs: Pairs


class Scores(NamedTuple):
    """Logits: of all spans, in the head's own shape; of stated spans (n c) and pairs (p c), if asked for."""

    spans: Tensor
    stated: Float[Tensor, "n c"] | None = None
    pairs: Float[Tensor, "p c"] | None = None


class PairScores(NamedTuple):
    """Logits of pairs; of models that ask it, the probabilities that the two are related at all."""

    logits: Float[Tensor, "p c"]
    links: Float[Tensor, " p"] | None


@final
class SpanMatcher(nn.Module):
    """Matches every span of a text with every label asked of it.

    `projection` maps backbone vectors to the head's size, `lstm` runs over words, `label_projection` over
    labels; `nn.Identity` and None leave a step out. Labels are read where they stand in the text's rows or,
    with a `label_encoder`, apart. With a `fuser`, words and labels then read each other. `pairs` scores pairs
    of spans, if the model relates them; `pair_context` adds what stands between the two, `links` says which
    are related at all, and `ends` makes the vectors of such spans, None being `head`. The parts are passed
    in: see `build_model`.
    """

    def __init__(  # noqa: PLR0913 - every argument is a part of the model
        self,
        backbone: Backbone,
        head: SpanHead,
        *,
        pooling: Pooling = Pooling.FIRST,
        projection: nn.Module,
        label_projection: nn.Module,
        lstm: WordLSTM | None = None,
        label_encoder: LabelEncoder | None = None,
        fuser: CrossFuser | None = None,
        pairs: PairHead | None = None,
        pair_context: PairContext | None = None,
        links: Links | None = None,
        ends: SpanHead | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.projection = projection
        self.lstm = lstm
        self.label_encoder = label_encoder
        self.label_projection = label_projection
        self.fuser = fuser
        self.head = head
        self.pairs = pairs
        self.pair_context = pair_context
        self.links = links
        self.ends = ends
        self.pooling = pooling

    @property
    def encoders(self) -> nn.ModuleList:
        """The parts that come pretrained: the encoder of texts and, if there is one, that of labels."""
        backbones = (self.backbone, *(() if self.label_encoder is None else (self.label_encoder.backbone,)))
        return nn.ModuleList(backbone.model for backbone in backbones)

    def forward(self, batch: Batch, beside: Beside | None = None) -> Scores:
        """Return the logits, rows first; padded words and labels hold arbitrary values."""
        words, labels = self.read(batch)
        words, labels = self.fuse(words, labels, batch.n_words, batch.n_labels)
        spans: Tensor = self.head(words, labels)
        if beside is None:
            return Scores(spans)
        stated = self.head.score(words, labels, beside.stated)
        related = self.relate(words, labels, beside.ends, beside.pairs)
        return Scores(spans, stated, None if related is None else related.logits)

    def read(self, batch: Batch) -> tuple[Float[Tensor, "b w d"], Float[Tensor, "b c d"]]:
        """Return the vectors of the words and of the labels that the batch holds."""
        hidden = self.projection(self.backbone(batch))
        words = pool(hidden, batch.word_first, batch.word_last, self.pooling)
        if self.lstm is not None:
            words = self.lstm(words, batch.n_words)
        if batch.apart is not None:
            return words, self.label_vectors(batch.apart)[batch.label_row]
        labels = pool(hidden, batch.label_first, batch.label_last, Pooling.MEAN)
        projected: Tensor = self.label_projection(labels)
        return words, projected if batch.raw is None else torch.where(batch.raw[..., None], labels, projected)

    def label_vectors(self, labels: Batch) -> Float[Tensor, "n d"]:
        """Return the vectors of labels that stand apart; they are the same for every text."""
        if self.label_encoder is None:
            raise TypeError("this model has no label encoder: it reads labels beside the text only")
        vectors: Tensor = self.label_projection(self.label_encoder(labels))
        return vectors

    def fuse(
        self,
        words: Float[Tensor, "b w d"],
        labels: Float[Tensor, "b c d"],
        n_words: Int[Tensor, " b"],
        n_labels: Int[Tensor, " b"],
    ) -> tuple[Float[Tensor, "b w d"], Float[Tensor, "b c d"]]:
        """Return words and labels as the heads take them; one row of labels may stand for all (1 c d)."""
        if self.fuser is None:
            return words, labels
        fused: tuple[Tensor, Tensor] = self.fuser(words, labels.expand(len(words), -1, -1), n_words, n_labels)
        return fused

    def relate(
        self, words: Float[Tensor, "b w d"], labels: Float[Tensor, "b c d"], ends: Spans, pairs: Pairs
    ) -> PairScores | None:
        """Return the scores of pairs of the spans `ends` with the labels; None without a pair head."""
        if self.pairs is None:
            return None
        vectors = (self.head if self.ends is None else self.ends).vectors(words, ends)
        context = None if self.pair_context is None else self.pair_context(words, ends, pairs)
        links = None if self.links is None else self.links(vectors, ends.row, pairs)
        return PairScores(self.pairs(vectors, labels, pairs, context), links)


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
