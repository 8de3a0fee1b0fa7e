from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import CLS, LABELS, MARKER, SEP, TEXTS, make_batch, probabilities, tiny_config, tiny_model

from gliner_mt.backbones.backbone import additive, visible
from gliner_mt.build import build_labels
from gliner_mt.config import ModelConfig
from gliner_mt.labels import ParallelLabels, Prompt, PromptLabels
from gliner_mt.model import SpanMatcher
from gliner_mt.tokenization import WordTokenizer

NAMES = ["person", "city", "zoo", "date of birth", "x" * 40]
LAST = 7
"""The position before the text, in the layouts below."""


def ids_of(tokenizer: WordTokenizer, *labels: str) -> list[tuple[int, ...]]:
    return [(MARKER, *ids) for ids in tokenizer.words(labels)]


def test_the_published_prompt(tokenizer: WordTokenizer) -> None:
    prompt = PromptLabels(tokenizer, MARKER, SEP).prompt(["city", "date of birth"])
    city, birth = ids_of(tokenizer, "city", "date of birth")
    assert prompt.ids == (CLS, *city, *birth, SEP)
    assert prompt.groups == (0,) * len(prompt.ids)
    assert prompt.positions is None
    assert prompt.label_first == prompt.label_last == (1, 1 + len(city))
    assert all(prompt.ids[at] == MARKER for at in prompt.label_first)


def test_the_first_sub_word_may_stand_for_the_label(tokenizer: WordTokenizer) -> None:
    prompt = PromptLabels(tokenizer, MARKER, SEP, marker_is_label=False).prompt(["city", "zoo"])
    assert [prompt.ids[at] for at in prompt.label_first] == [
        ids_of(tokenizer, x)[0][1] for x in ("city", "zoo")
    ]


def test_the_parallel_layout(tokenizer: WordTokenizer) -> None:
    prompt = ParallelLabels(tokenizer, MARKER, SEP, LAST + 1).prompt(["city", "zoo"])
    city, zoo = ids_of(tokenizer, "city", "zoo")
    assert prompt.ids == (CLS, *city, *zoo, SEP)
    assert prompt.groups == (0, 1, 1, 2, 2, 2, 2, 0)
    assert prompt.positions == (0, 1, 2, 1, 2, 3, 4, LAST)
    assert prompt.text_position == LAST + 1
    assert prompt.label_first == (1, 3)
    assert prompt.label_last == (2, 6)


def test_a_long_label_stays_before_the_separator(tokenizer: WordTokenizer) -> None:
    prompt = ParallelLabels(tokenizer, MARKER, SEP, LAST + 1).prompt(["abcdefghij"])
    assert prompt.positions == (0, 1, 2, 3, 4, 5, 6, 6, 6, 6, 6, 6, LAST)


@pytest.mark.parametrize("labels", ["prompt", "parallel"])
def test_no_labels_leave_the_frame(tokenizer: WordTokenizer, labels: str) -> None:
    prompt = build_labels(tiny_config(labels=labels), tokenizer).prompt([])
    assert (prompt.ids, prompt.label_first, prompt.label_last) == ((CLS, SEP), (), ())


@settings(deadline=None, max_examples=50)
@given(names=st.lists(st.sampled_from(NAMES), max_size=5), marker_is_label=st.booleans())
def test_labels_lie_side_by_side(tokenizer: WordTokenizer, names: list[str], marker_is_label: bool) -> None:
    for encoding in (
        PromptLabels(tokenizer, MARKER, SEP, marker_is_label=marker_is_label),
        ParallelLabels(tokenizer, MARKER, SEP, 16),
    ):
        prompt = encoding.prompt(names)
        assert len(prompt.label_first) == len(prompt.label_last) == len(names)
        assert len(prompt.ids) == len(prompt.groups)
        assert all(first <= last < len(prompt.ids) - 1 for first, last in labels_of(prompt))
        assert all(before[1] < after[0] for before, after in pairwise(labels_of(prompt)))


def labels_of(prompt: Prompt) -> list[tuple[int, int]]:
    return list(zip(prompt.label_first, prompt.label_last, strict=True))


def test_who_sees_whom() -> None:
    groups = [0, 1, 1, 2, 0, 0, -1]
    seen = visible(torch.tensor([groups]))[0]
    for i, query in enumerate(groups):
        for j, key in enumerate(groups):
            assert seen[i, j] == (key >= 0 and (query == key or 0 in (query, key))), (i, j)
    mask = additive(seen[None], torch.float32)[0, 0]
    assert mask[seen].eq(0).all()
    assert mask[~seen].eq(torch.finfo(torch.float32).min).all()


def test_rows_have_the_positions_of_prompt_and_text(tokenizer: WordTokenizer) -> None:
    config = tiny_config(labels="parallel", text_position=9)
    batch = make_batch(config, tokenizer, ["Ada zoo", "Ada"], ["city"])
    assert batch.positions is not None
    # [CLS] <marker> city [SEP] ada z ##o ##o [SEP]
    assert batch.positions.tolist() == [[0, 1, 2, 8, 9, 10, 11, 12, 13], [0, 1, 2, 8, 9, 10, 0, 0, 0]]
    assert batch.groups.tolist() == [[0, 1, 1, 0, 0, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0, -1, -1, -1]]


@pytest.fixture(scope="module", params=["bert", "electra", "marker_v0", "boundary", "lstm"])
def parallel(request: pytest.FixtureRequest, tokenizer: WordTokenizer) -> tuple[ModelConfig, SpanMatcher]:
    config = tiny_config(labels="parallel")
    if request.param == "electra":
        config = replace(config, backbone={**config.backbone, "model_type": "electra", "embedding_size": 32})
    elif request.param in ("marker_v0", "boundary"):
        config = replace(config, head=request.param)
    elif request.param == "lstm":
        config = replace(config, lstm_layers=1, word_shapes=True, hidden_size=24)
    # In double precision rounding is far below what any real difference would be.
    return config, tiny_model(config, tokenizer).double()


@settings(deadline=None, max_examples=15)
@given(order=st.permutations(NAMES), kept=st.integers(1, len(NAMES)), text=st.sampled_from(TEXTS))
def test_the_order_of_parallel_labels_changes_no_score(
    parallel: tuple[ModelConfig, SpanMatcher],
    tokenizer: WordTokenizer,
    order: list[str],
    kept: int,
    text: str,
) -> None:
    config, model = parallel
    labels = order[:kept]
    shuffled = probabilities(model, config, tokenizer, text, labels)
    in_order = probabilities(model, config, tokenizer, text, sorted(labels))
    by_label = 1 if config.head == "boundary" else 2
    back = torch.tensor([labels.index(label) for label in sorted(labels)])
    torch.testing.assert_close(shuffled.index_select(by_label, back), in_order, atol=1e-12, rtol=0)


def test_the_order_of_prompted_labels_does(tokenizer: WordTokenizer) -> None:
    config = tiny_config(labels="prompt")
    model = tiny_model(config, tokenizer)
    scores = probabilities(model, config, tokenizer, TEXTS[0], LABELS)
    backwards = probabilities(model, config, tokenizer, TEXTS[0], LABELS[::-1])
    assert (scores - backwards.flip(2)).abs().max() > 1e-3
