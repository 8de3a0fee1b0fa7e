import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import PAD

from gliner_mt.batch import PADDING_GROUP, Batch, Collator, Row, token_budget_batches
from gliner_mt.labels import Prompt
from gliner_mt.tokenization import EncodedWord

SUFFIX = (90, 91)
PROMPT = Prompt(ids=(7, 8, 9), groups=(0, 1, 0), label_first=(1,), label_last=(1,))


def word(*ids: int, shape: int = 1) -> EncodedWord:
    return EncodedWord(0, 1, ids, shape, False)


def collate(*rows: Row) -> Batch:
    return Collator(PAD, SUFFIX)(rows)


def test_rows_are_padded_to_the_longest() -> None:
    longer = Row(PROMPT, [word(11, 12, shape=4), word(13)])
    batch = collate(longer, Row(PROMPT, [word(14, shape=2)]))
    assert batch.ids.tolist() == [[7, 8, 9, 11, 12, 13, 90, 91], [7, 8, 9, 14, 90, 91, PAD, PAD]]
    pad = PADDING_GROUP
    assert batch.groups.tolist() == [[0, 1, 0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, pad, pad]]
    assert batch.shapes.tolist() == [[0, 0, 0, 4, 4, 1, 0, 0], [0, 0, 0, 2, 0, 0, 0, 0]]
    assert batch.word_first.tolist() == [[3, 5], [3, 0]]
    assert batch.word_last.tolist() == [[4, 5], [3, 0]]
    assert batch.n_words.tolist() == [2, 1]
    assert batch.n_labels.tolist() == [1, 1]
    assert batch.positions is None
    assert len(longer) + len(SUFFIX) == batch.ids.shape[1]


def test_rows_may_ask_for_different_labels() -> None:
    other = Prompt(ids=(7, 8, 8, 9), groups=(0, 1, 2, 0), label_first=(1, 2), label_last=(1, 2))
    batch = collate(Row(PROMPT, [word(1)]), Row(other, [word(1)]))
    assert batch.label_first.tolist() == [[1, 0], [1, 2]]
    assert batch.n_labels.tolist() == [1, 2]


def test_a_row_without_words_or_labels_has_room_for_padding() -> None:
    batch = collate(Row(Prompt(ids=(7,), groups=(0,), label_first=(), label_last=()), []))
    assert batch.word_first.shape == batch.label_first.shape == (1, 1)
    assert batch.n_words.tolist() == batch.n_labels.tolist() == [0]


def test_a_batch_moves_whole() -> None:
    batch = collate(Row(PROMPT, [word(1)])).to(torch.device("meta"))
    assert batch.ids.device.type == batch.n_labels.device.type == "meta"
    assert batch.positions is None


@settings(max_examples=200)
@given(lengths=st.lists(st.integers(1, 40), max_size=40), budget=st.integers(1, 100))
def test_batches_hold_each_row_once_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = list(token_budget_batches(lengths, budget))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert batch
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget
    assert [lengths[i] for batch in batches for i in batch] == sorted(lengths, reverse=True)
