"""Models small enough to be made in a test, with scores spread so that some spans are found, others not."""

from collections.abc import Iterable, Iterator, Sequence
from string import ascii_lowercase, digits
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn

from gliner_mt.batch import Batch, Collator, Row
from gliner_mt.boundary import INSIDE, BoundaryHead
from gliner_mt.build import build_labels, build_model
from gliner_mt.config import ModelConfig
from gliner_mt.engine import Engine
from gliner_mt.extractor import Extractor
from gliner_mt.heads import Spans
from gliner_mt.model import SpanMatcher
from gliner_mt.pairs import PairHead, Pairs
from gliner_mt.tasks import Queries
from gliner_mt.tokenization import WordTokenizer
from gliner_mt.types import Span

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[unused0]")
PAD, UNK, CLS, SEP, MARKER = range(5)
WORDS = (
    *"ada bob london paris apple met in the on of new york was born sang for person city company".split(),
    *"red green blue one two three four five six seven eight nine ten north east west river date".split(),
)
LABELS = ("person", "city", "company", "date of birth")
TEXTS = ("Ada met Bob in London.", "In the north of New York, Apple was born on five green river", "Paris")


def tiny_tokenizer() -> WordTokenizer:
    """Return a lower-casing WordPiece tokenizer that spells in letters what is not among its `WORDS`."""
    characters = ascii_lowercase + digits
    pieces = [*SPECIAL, *WORDS, *characters, *(f"##{c}" for c in characters), *".,:;!?-'\"()[]"]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)]
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    return WordTokenizer(tokenizer, PAD)


def tiny_config(*, positions: int = 256, layers: int = 2, **changes: object) -> ModelConfig:
    """Return a small BERT with the marker head, but for `changes`."""
    backbone = {
        "model_type": "bert",
        "vocab_size": 160,
        "hidden_size": 32,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": positions,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    defaults: dict[str, Any] = {
        "backbone": backbone,
        "hidden_size": 32,
        "max_tokens": 128,
        "max_width": 4,
        "marker_id": MARKER,
        "separator_id": SEP,
        "text_position": 16,
        "dropout": 0.0,
    }
    return ModelConfig(**(defaults | changes))


@torch.no_grad()
def tiny_model(
    config: ModelConfig, tokenizer: WordTokenizer, seed: int = 0, *, context: bool = True
) -> SpanMatcher:
    """Return a random model in evaluation mode whose probabilities are spread over 0 to 1.

    Without `context` every vector depends on its own sub-word alone: no attention, no positions.
    """
    torch.manual_seed(seed)
    model = build_model(config).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.normal_(0.0, 1.5 * parameter.shape[-1] ** -0.5)
    if not context:
        encoder = model.backbone.model
        encoder.embeddings.position_embeddings.weight.zero_()
        for layer in encoder.encoder.layer:
            layer.attention.output.dense.weight.zero_()
            layer.attention.output.dense.bias.zero_()
    spread(model, config, tokenizer)
    if model.pairs is not None:
        spread_pairs(model, model.pairs, make_batch(config, tokenizer, TEXTS, LABELS))
    return model


def spread(model: SpanMatcher, config: ModelConfig, tokenizer: WordTokenizer) -> None:
    """Shift and scale the head's last layer: logits get a mean near 0 and a standard deviation of 2.5."""
    last = model.head.joint[-1] if isinstance(model.head.joint, nn.Sequential) else model.head.joint
    assert isinstance(last, nn.Linear)
    vectors: list[Tensor] = []
    watch = model.head.register_forward_pre_hook(lambda _, given: vectors.append(given[1].mean(0)))
    groups = [LABELS, *(WORDS[i : i + 4] for i in range(0, len(WORDS) - 3, 4))]
    batches = [make_batch(config, tokenizer, TEXTS, labels) for labels in groups]

    def all_logits() -> Tensor:
        found = []
        for batch in batches:
            logits = model(batch).spans
            valid = model.head.valid(logits, batch.n_words, batch.n_labels).expand_as(logits)
            found.append(logits[valid].reshape(-1, *logits.shape[-1:]))
        return torch.stack(found)

    logits = all_logits()
    watch.remove()
    if isinstance(model.head, BoundaryHead):
        last.bias -= logits.mean((0, 1))
    else:
        # A bias adds bias . label to every score of a label: the one that takes most of their means away.
        means = logits.mean(1).reshape(-1)
        last.bias -= torch.linalg.lstsq(torch.cat(vectors), means[:, None]).solution[:, 0]
    scale = 2.5 / all_logits().std()
    last.weight *= scale
    last.bias *= scale
    if isinstance(model.head, BoundaryHead):
        last.bias[INSIDE] += 1.5


def spread_pairs(model: SpanMatcher, pairs: PairHead, batch: Batch) -> None:
    """Shift and scale the pair head's last layer, as `spread` does: each word of a text with each other."""
    words, labels = model.fuse(*model.read(batch), batch.n_words, batch.n_labels)
    first = list(range(int(batch.n_words[0])))
    ends = Spans(*torch.tensor([(0, n, n + 1) for n in first]).unbind(1))
    both = Pairs(
        *torch.tensor([(0, one, other) for one in first for other in first if one != other]).unbind(1)
    )
    last = pairs.joint[3]
    last.bias.zero_()

    def logits() -> Tensor:
        scores = model.relate(words, labels, ends, both)
        assert scores is not None
        return scores.logits

    last.bias -= torch.linalg.lstsq(labels[0], logits().mean(0)[:, None]).solution[:, 0]
    scale = 2.5 / logits().std()
    last.weight *= scale
    last.bias *= scale


def tiny_extractor(tokenizer: WordTokenizer, seed: int = 0, **changes: object) -> Extractor:
    """Return an extractor around a `tiny_model`."""
    config = tiny_config(**changes)
    return Extractor(config, tiny_model(config, tokenizer, seed), tokenizer)


def make_rows(
    config: ModelConfig, tokenizer: WordTokenizer, texts: Sequence[str], labels: Sequence[str]
) -> list[Row]:
    """Return a row for each text, all asked for `labels`."""
    prompt = build_labels(config, tokenizer).prompt(labels)
    return [Row(prompt, list(tokenizer.encode(text, max_word_tokens=64))) for text in texts]


def make_batch(
    config: ModelConfig, tokenizer: WordTokenizer, texts: Sequence[str], labels: Sequence[str]
) -> Batch:
    """Return one batch of `make_rows`."""
    return Collator(tokenizer.pad_id, tokenizer.suffix)(make_rows(config, tokenizer, texts, labels))


@torch.no_grad()
def probabilities(
    model: SpanMatcher, config: ModelConfig, tokenizer: WordTokenizer, text: str, labels: Sequence[str]
) -> Tensor:
    """Return what the head gives for one text, labels in its last or last but one dimension."""
    scores: Tensor = model(make_batch(config, tokenizer, [text], labels)).spans[0].sigmoid()
    return scores


def spans_of(engine: Engine, texts: Iterable[str], queries: tuple[Queries, ...]) -> Iterator[list[Span]]:
    """Yield the spans that an engine finds in each text for a single query."""
    return (found[0].spans for found in engine.answers(((text, None) for text in texts), queries))


def plain(spans: Iterable[Span]) -> list[tuple[int, int, str]]:
    """Return the place and the label of each span."""
    return [(span.start, span.end, span.label) for span in spans]


def assert_same(answers: Sequence[Sequence[Span]], expected: Sequence[Sequence[Span]]) -> None:
    """Compare the spans of each text; their scores up to rounding, which such models spread."""
    assert [plain(spans) for spans in answers] == [plain(spans) for spans in expected]
    scores = [span.score for spans in answers for span in spans]
    assert scores == pytest.approx([span.score for spans in expected for span in spans], abs=1e-4)
