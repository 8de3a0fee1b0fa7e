import warnings
from functools import partial
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_tasks_training import make_batch_of_every_task, rows_of_every_task
from tiny_models import tiny_config
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, pad

from gliner_mt.batch import Collator
from gliner_mt.build import build_model
from gliner_mt.errors import ConfigError
from gliner_mt.model import SpanMatcher
from gliner_mt.tokenization import WordTokenizer
from gliner_mt.train.halves import halves, pieces
from gliner_mt.train.loss import (
    REDUCTIONS,
    DecisionLoss,
    LossConfig,
    build_loss,
    by_row_of,
    matcher_loss,
    of_first_dimension,
)
from gliner_mt.train.mntp import MaskedBatch
from gliner_mt.train.questions import Judged, TrainBatch, question_batch

CONFIGS = [
    LossConfig(),
    LossConfig(reduction="mean", focal_gamma=2.0, focal_alpha=0.25),
    LossConfig(reduction="balanced", smoothing=0.1, hard_negatives=3.0),
]


def decisions(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Return logits (b w k c), targets, and what is asked."""
    random = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(3, 5, 2, 4, generator=random)
    right = (torch.rand(logits.shape, generator=random) < 0.1).float()
    return logits, right, torch.rand(logits.shape, generator=random) < 0.8


def of_rows(loss: DecisionLoss, logits: Tensor, right: Tensor, asked: Tensor) -> Tensor:
    return loss.of_rows(logits, right, asked, of_first_dimension)


def test_the_default_is_the_sum_of_cross_entropies() -> None:
    logits, right, asked = decisions()
    losses = binary_cross_entropy_with_logits(logits, right, reduction="none")
    expected = torch.stack([one[where].sum() for one, where in zip(losses, asked, strict=True)])
    torch.testing.assert_close(of_rows(build_loss(LossConfig()), logits, right, asked), expected)


@pytest.mark.parametrize(
    ("gamma", "alpha", "smoothing"), list(product((0.0, 0.5, 2.0), (None, 0.25), (0.0, 0.1)))
)
def test_focal_loss_is_that_of_gliner(gamma: float, alpha: float | None, smoothing: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from gliner.modeling.loss_functions import focal_loss_with_logits
    logits, right = (one.double() for one in decisions()[:2])
    loss = build_loss(LossConfig(focal_gamma=gamma, focal_alpha=alpha, smoothing=smoothing))
    expected = focal_loss_with_logits(
        logits, right, alpha=-1 if alpha is None else alpha, gamma=gamma, label_smoothing=smoothing
    )
    torch.testing.assert_close(loss.element(logits, right), expected, rtol=1e-4, atol=1e-5)


def test_the_published_focal_loss_by_hand() -> None:
    loss = build_loss(LossConfig(focal_gamma=2.0, focal_alpha=0.25)).element
    logits, targets = torch.tensor([0.9, 0.2]).logit(), torch.tensor([1.0, 0.0])
    expected = torch.tensor([0.25 * 0.1**2, 0.75 * 0.2**2]) * -torch.tensor([0.9, 0.8]).log()
    torch.testing.assert_close(loss(logits, targets), expected)


def test_hard_negatives_weigh_by_their_score_and_positives_do_not() -> None:
    loss = build_loss(LossConfig(hard_negatives=4.0)).element
    logits, targets = torch.tensor([0.75, 0.25, 0.25]).logit(), torch.tensor([0.0, 0.0, 1.0])
    plain = binary_cross_entropy_with_logits(logits, targets, reduction="none")
    torch.testing.assert_close(loss(logits, targets), plain * torch.tensor([4.0, 2.0, 1.0]))


def test_means_and_balance_by_hand() -> None:
    logits, right, asked = decisions()
    losses = binary_cross_entropy_with_logits(logits, right, reduction="none")
    for row in range(3):
        own, good = losses[row][asked[row]], right[row][asked[row]] > 0.5
        mean, balanced = (
            of_rows(build_loss(LossConfig(reduction=name)), logits, right, asked)[row]
            for name in ("mean", "balanced")
        )
        torch.testing.assert_close(mean, own.mean())
        torch.testing.assert_close(balanced, own[good].mean() + own[~good].mean())


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_row_without_decisions_has_no_loss(reduction: str) -> None:
    logits, right, asked = decisions()
    loss = of_rows(build_loss(LossConfig(reduction=reduction)), logits, right, torch.zeros_like(asked))
    assert torch.equal(loss, torch.zeros(3))


@pytest.mark.parametrize("config", CONFIGS)
@given(words=st.integers(0, 3), widths=st.integers(0, 3), labels=st.integers(0, 3), value=st.floats(-9, 9))
def test_padding_changes_no_rows_loss(
    config: LossConfig, words: int, widths: int, labels: int, value: float
) -> None:
    loss, by = build_loss(config), (0, labels, 0, widths, 0, words)
    logits, right, asked = decisions()
    padded = of_rows(loss, pad(logits, by, value=value), pad(right, by), pad(asked, by))
    torch.testing.assert_close(padded, of_rows(loss, logits, right, asked))


def test_more_labels_and_widths_do_not_shift_the_balance() -> None:
    logits, right, asked = decisions()
    more = [
        torch.cat([x, y], dim=3)
        for x, y in zip((logits, right, asked), (logits, 0 * right, asked), strict=True)
    ]
    for reduction, stable in (("balanced", True), ("sum", False)):
        loss = build_loss(LossConfig(reduction=reduction))
        ratios = []
        for one in ((logits, right, asked), more):
            scores = one[0].clone().requires_grad_()
            of_rows(loss, scores, *one[1:]).sum().backward()
            assert scores.grad is not None
            pull, push = (scores.grad[one[1] == target].abs().sum() for target in (1.0, 0.0))
            ratios.append(float(pull / push))
        assert (abs(ratios[1] / ratios[0] - 1) < 0.2) is stable


@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
@pytest.mark.parametrize("config", CONFIGS)
def test_what_is_not_asked_has_no_gradient(config: LossConfig, value: float) -> None:
    logits, right, asked = decisions()
    scores = torch.where(asked, logits, torch.full_like(logits, value)).requires_grad_()
    of_rows(build_loss(config), scores, right, asked).sum().backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
    assert (scores.grad[~asked] == 0).all()


@given(rows=st.lists(st.integers(0, 3), max_size=9))
def test_things_are_added_by_row(rows: list[int]) -> None:
    values = torch.arange(len(rows) * 2.0).reshape(-1, 2)
    sums = by_row_of(torch.tensor(rows, dtype=torch.long), 4)(values)
    assert sums.tolist() == [
        sum(float(values[i].sum()) for i, own in enumerate(rows) if own == row) for row in range(4)
    ]


@pytest.fixture(scope="module")
def matcher() -> SpanMatcher:
    torch.manual_seed(0)
    return build_model(tiny_config(labels="parallel", layers=1, pairs=True)).eval()


@pytest.mark.parametrize("config", CONFIGS)
def test_a_row_has_its_loss_in_any_company(
    matcher: SpanMatcher, tokenizer: WordTokenizer, config: LossConfig
) -> None:
    rows, collate = rows_of_every_task(tokenizer), Collator(tokenizer.pad_id, tokenizer.suffix)
    loss = partial(matcher_loss, loss=build_loss(config))
    with torch.no_grad():
        alone = [loss(matcher, question_batch([row], collate)) for row in rows]
        together = loss(matcher, question_batch(rows, collate))
    torch.testing.assert_close(together, torch.stack(alone).mean(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("config", CONFIGS)
def test_halves_have_the_loss_and_gradient_of_the_whole(
    matcher: SpanMatcher, tokenizer: WordTokenizer, config: LossConfig
) -> None:
    batch, loss = make_batch_of_every_task(tokenizer), build_loss(config)
    whole = matcher_loss(matcher, batch, loss)
    whole.backward()
    expected = [None if p.grad is None else p.grad.clone() for p in matcher.parameters()]
    matcher.zero_grad()
    parts = pieces(batch, 3)
    assert len(parts) == 8
    total = sum(share * matcher_loss(matcher, part, loss) for share, part in parts)
    assert isinstance(total, Tensor)
    total.backward()
    torch.testing.assert_close(total, whole)
    torch.testing.assert_close([p.grad for p in matcher.parameters()], expected, rtol=1e-3, atol=1e-4)
    matcher.zero_grad()


def test_rows_that_are_recalled_are_judged_by_the_teacher(
    matcher: SpanMatcher, tokenizer: WordTokenizer
) -> None:
    rows, collate = rows_of_every_task(tokenizer), Collator(tokenizer.pad_id, tokenizer.suffix)
    nothing = Judged([], [])
    some = [
        row._replace(recalled=True, stated=nothing, ends=[], pairs=nothing) if row.n_free else row
        for row in rows
    ]
    batch = question_batch(some, collate)
    assert question_batch(rows, collate).recalled is None

    def gradient(teacher: SpanMatcher | None, batch: TrainBatch) -> float:
        matcher.zero_grad()
        matcher_loss(matcher, batch, teacher=teacher).backward()
        return sum(float(p.grad.abs().sum()) for p in matcher.parameters() if p.grad is not None)

    alone = question_batch([row for row in some if row.recalled], collate)
    assert gradient(matcher, alone) == pytest.approx(0.0, abs=1e-3)  # it answers as it does
    assert gradient(None, alone) > 1.0
    torch.manual_seed(1)
    other = build_model(tiny_config(labels="parallel", layers=1, pairs=True)).eval()
    whole = matcher_loss(matcher, batch, teacher=other)
    parts = sum(share * matcher_loss(matcher, part, teacher=other) for share, part in pieces(batch, 2))
    torch.testing.assert_close(parts, whole)
    assert whole != matcher_loss(matcher, batch)


def test_halves_of_sequences() -> None:
    ids = torch.arange(15).reshape(3, 5)
    before = torch.zeros(3, 5, dtype=torch.bool)
    before[0, 1] = before[1, 2] = before[2, 0] = before[2, 3] = True
    (first, one), (second, other) = halves(MaskedBatch(ids, before, torch.tensor([1, 2, 3, 4])))
    assert (first, second) == (0.5, 0.5)
    assert (one.targets.tolist(), other.targets.tolist()) == ([1, 2], [3, 4])
    assert int(one.before.sum()) == 2
    assert [(share, len(part)) for share, part in halves(ids)] == [(2 / 3, 2), (1 / 3, 1)]
    assert halves(ids[:1]) == halves("a batch of another kind") == []


@pytest.mark.parametrize(
    "change",
    [
        {"reduction": "max"},
        {"smoothing": 1.0},
        {"focal_gamma": -1.0},
        {"focal_alpha": 2.0},
        {"hard_negatives": -1.0},
    ],
)
def test_a_loss_that_makes_no_sense(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(change))} is"):
        LossConfig(**change)
