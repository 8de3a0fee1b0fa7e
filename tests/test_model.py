from collections.abc import Callable

import pytest
import torch
from tiny_models import LABELS, TEXTS, make_rows, tiny_config, tiny_model
from torch import Tensor, nn

from gliner_mt.batch import Collator
from gliner_mt.build import build_model
from gliner_mt.config import ModelConfig
from gliner_mt.model import Pooling, SpanMatcher, WordLSTM, pool
from gliner_mt.tokenization import WordTokenizer

NAIVE: dict[Pooling, Callable[[Tensor], Tensor]] = {
    Pooling.FIRST: lambda run: run[0],
    Pooling.LAST: lambda run: run[-1],
    Pooling.MEAN: lambda run: run.mean(0),
    Pooling.MAX: lambda run: run.amax(0),
}


@pytest.mark.parametrize("pooling", Pooling)
def test_pooling_is_the_naive_loop(pooling: Pooling) -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(4, 9, 5, generator=generator)
    first = torch.randint(0, 9, (4, 6), generator=generator)
    last = (first + torch.randint(0, 5, (4, 6), generator=generator)).clamp(max=8)
    pooled = pool(hidden, first, last, pooling)
    for row in range(4):
        for n in range(6):
            expected = NAIVE[pooling](hidden[row, first[row, n] : last[row, n] + 1])
            torch.testing.assert_close(pooled[row, n], expected)


def test_the_lstm_reads_each_row_alone() -> None:
    torch.manual_seed(0)
    lstm = WordLSTM(nn.LSTM(6, 3, num_layers=2, batch_first=True, bidirectional=True))
    words, n_words = torch.randn(3, 7, 6), torch.tensor([2, 7, 1])
    states = lstm(words, n_words)
    assert states.shape == words.shape
    for row, n in enumerate(n_words.tolist()):
        torch.testing.assert_close(states[row, :n], lstm.lstm(words[row, :n])[0])
        assert (states[row, n:] == 0).all()


def test_a_row_without_words_passes_the_lstm() -> None:
    lstm = WordLSTM(nn.LSTM(6, 3, batch_first=True, bidirectional=True))
    assert lstm(torch.randn(2, 4, 6), torch.tensor([0, 4])).shape == (2, 4, 6)


@torch.no_grad()
def test_a_row_scores_the_same_alone_and_in_any_batch(
    config: ModelConfig, model: SpanMatcher, tokenizer: WordTokenizer
) -> None:
    rows = make_rows(config, tokenizer, TEXTS, LABELS) + make_rows(config, tokenizer, TEXTS, LABELS[:1])
    collate = Collator(tokenizer.pad_id, tokenizer.suffix)
    together = model(collate(rows)).spans
    for index, row in enumerate(rows):
        batch = collate([row])
        alone = model(batch).spans
        valid = model.head.valid(alone, batch.n_words, batch.n_labels).expand_as(alone)[0]
        of_row = together[index][tuple(slice(size) for size in alone.shape[1:])]
        torch.testing.assert_close(of_row[valid], alone[0][valid], atol=1e-4, rtol=1e-5)


@torch.no_grad()
def test_word_shapes_tell_capitals_apart(tokenizer: WordTokenizer) -> None:
    for shapes in (False, True):
        config = tiny_config(word_shapes=shapes)
        model = tiny_model(config, tokenizer)
        collate = Collator(tokenizer.pad_id, tokenizer.suffix)
        rows = [make_rows(config, tokenizer, [text], LABELS) for text in ("ada", "ADA")]
        lower, upper = (model(collate(one)).spans for one in rows)
        assert torch.equal(lower, upper) is not shapes


def test_untrained_word_shapes_change_nothing(tokenizer: WordTokenizer) -> None:
    model = build_model(tiny_config(word_shapes=True))
    assert model.backbone.shapes is not None
    assert (model.backbone.shapes.weight == 0).all()


def test_the_pooler_is_left_out(model: SpanMatcher) -> None:
    assert not [name for name in model.state_dict() if "pooler" in name]
