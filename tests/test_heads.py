from collections.abc import Iterator

import pytest
import torch
from tiny_models import tiny_config
from torch import Tensor, nn

from gliner_mt.boundary import END, INSIDE, START, BoundaryHead
from gliner_mt.build import build_model
from gliner_mt.heads import Found, Gold, LinearMarkerHead, MarkerHead, SpanHead

ROWS, WORDS, CLASSES, SIZE, WIDTH = 3, 6, 4, 16, 3
N_WORDS = torch.tensor([6, 1, 4])
PADDED = 2.0
"""The threshold of labels that only pad a row."""

Spans = dict[tuple[int, int, int, int], float]


@pytest.fixture(params=["marker", "marker_v0", "boundary"])
def head(request: pytest.FixtureRequest) -> SpanHead:
    torch.manual_seed(0)
    return build_model(tiny_config(head=request.param, hidden_size=SIZE, max_width=WIDTH)).head.eval()


@pytest.fixture(params=[0, 1])
def vectors(request: pytest.FixtureRequest) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(request.param)
    words, labels = (torch.randn(ROWS, n, SIZE, generator=generator) for n in (WORDS, CLASSES))
    return 3 * words, 3 * labels


def naive_marker(head: MarkerHead | LinearMarkerHead, words: Tensor, labels: Tensor) -> Tensor:
    """Make every span's vector, as the published code does, and compare it with every label's."""
    starts, ends = head.start(words), head.end(words)
    spans = torch.zeros(*words.shape[:2], head.max_width, words.shape[2])
    for i in range(words.shape[1]):
        for k in range(min(head.max_width, words.shape[1] - i)):
            spans[:, i, k] = head.joint(torch.cat([starts[:, i], ends[:, i + k]], dim=-1).relu())
    return torch.einsum("bwkd,bcd->bwkc", spans, labels)


def naive_boundary(head: BoundaryHead, words: Tensor, labels: Tensor) -> Tensor:
    b, w, d = words.shape
    c = labels.shape[1]
    token = head.token(words).view(b, w, 1, 2, d).expand(-1, -1, c, -1, -1)
    label = head.label(labels).view(b, 1, c, 2, d).expand(-1, w, -1, -1, -1)
    both = token[..., 1, :] * label[..., 1, :]
    scores: Tensor = head.joint(torch.cat([token[..., 0, :], label[..., 0, :], both], dim=-1))
    return scores


@torch.no_grad()
def test_scores_are_those_of_span_vectors(head: SpanHead, vectors: tuple[Tensor, Tensor]) -> None:
    words, labels = vectors
    logits = head(words, labels)
    naive = naive_boundary if isinstance(head, BoundaryHead) else naive_marker
    expected = naive(head, words, labels)
    valid = head.valid(logits, torch.full((ROWS,), WORDS), torch.full((ROWS,), CLASSES)).expand_as(logits)
    assert logits.shape == expected.shape
    torch.testing.assert_close(logits[valid], expected[valid], atol=1e-4, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("n_labels", [CLASSES, 3 * SIZE])
def test_labels_may_be_the_same_for_all_rows(head: SpanHead, n_labels: int) -> None:
    """And many, when the marker head makes span vectors after all."""
    words, labels = torch.randn(ROWS, WORDS, SIZE), torch.randn(1, n_labels, SIZE)
    logits = head(words, labels)
    apart = [head(words, labels[:, at : at + CLASSES]) for at in range(0, n_labels, CLASSES)]
    by_label = 2 if isinstance(head, BoundaryHead) else 3
    torch.testing.assert_close(logits, torch.cat(apart, dim=by_label), atol=1e-5, rtol=1e-5)
    naive = naive_boundary if isinstance(head, BoundaryHead) else naive_marker
    expected = naive(head, words, labels.expand(ROWS, -1, -1))
    valid = head.valid(logits, torch.full((ROWS,), WORDS), torch.full((ROWS,), n_labels)).expand_as(logits)
    torch.testing.assert_close(logits[valid], expected[valid], atol=1e-4, rtol=1e-5)


@torch.no_grad()
def test_gradients_and_dropout_have_their_places(head: SpanHead, vectors: tuple[Tensor, Tensor]) -> None:
    """Dropout at 1 leaves nothing but biases: the naive form and ours must agree on that too."""
    for module in head.modules():
        if isinstance(module, nn.Dropout):
            module.p = 1.0
    head.train()
    words, labels = vectors
    naive = naive_boundary if isinstance(head, BoundaryHead) else naive_marker
    logits, expected = head(words, labels), naive(head, words, labels)
    valid = head.valid(logits, torch.full((ROWS,), WORDS), torch.full((ROWS,), CLASSES)).expand_as(logits)
    torch.testing.assert_close(logits[valid], expected[valid], atol=1e-4, rtol=1e-5)


def widths(head: SpanHead, row: int) -> Iterator[tuple[int, int]]:
    for start in range(int(N_WORDS[row])):
        for end in range(start + 1, min(start + head.max_width, int(N_WORDS[row])) + 1):
            yield start, end


def naive_find(head: SpanHead, logits: Tensor, thresholds: Tensor) -> Spans:
    found: Spans = {}
    probabilities = logits.sigmoid()
    for row in range(ROWS):
        for start, end in widths(head, row):
            for label in range(CLASSES):
                threshold = float(thresholds[row, label])
                if isinstance(head, BoundaryHead):
                    of_label = probabilities[row, :, label]
                    edges = min(float(of_label[start, START]), float(of_label[end - 1, END]))
                    inside = float(of_label[start:end, INSIDE].min())
                    if edges > threshold and inside >= threshold:
                        found[row, start, end, label] = min(edges, inside)
                else:
                    score = float(probabilities[row, start, end - start - 1, label])
                    if score > threshold:
                        found[row, start, end, label] = score
    return found


def as_spans(found: Found) -> list[tuple[tuple[int, int, int, int], float]]:
    rows = zip(*(column.tolist() for column in found), strict=True)
    return [((row, start, end, label), score) for row, start, end, label, score in rows]


def random_logits(head: SpanHead, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    if isinstance(head, BoundaryHead):
        logits = 2 * torch.randn(ROWS, WORDS, CLASSES, 3, generator=generator)
        logits[..., INSIDE] += 2
        return logits
    return 2 * torch.randn(ROWS, WORDS, min(head.max_width, WORDS), CLASSES, generator=generator)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("width", [1, WIDTH, 12])
def test_find_is_the_naive_loop(head: SpanHead, seed: int, width: int) -> None:
    head.max_width = width
    logits = random_logits(head, seed)
    thresholds = torch.rand(ROWS, CLASSES, generator=torch.Generator().manual_seed(seed))
    thresholds[1, 2:] = PADDED
    expected = naive_find(head, logits, thresholds)
    found = as_spans(head.find(logits, N_WORDS, thresholds))
    assert [span for span, _ in found] == sorted(expected)
    assert [score for _, score in found] == pytest.approx([expected[span] for span, _ in found])


def test_a_threshold_of_one_lets_nothing_pass(head: SpanHead) -> None:
    certain = torch.full_like(random_logits(head, 0), 1e9)
    assert as_spans(head.find(certain, N_WORDS, torch.ones(ROWS, CLASSES))) == []
    found = as_spans(head.find(certain, N_WORDS, torch.zeros(ROWS, CLASSES)))
    every = [
        (row, *span, label) for row in range(ROWS) for span in widths(head, row) for label in range(CLASSES)
    ]
    assert [span for span, _ in found] == sorted(every)


def test_targets_are_found_again(head: SpanHead) -> None:
    spans = [(0, 0, 2, 1), (0, 4, 5, 0), (1, 0, 1, 3), (2, 1, 4, 2)]
    gold = Gold(*torch.tensor(spans).unbind(1))
    logits = torch.zeros_like(random_logits(head, 0))
    targets = head.targets(logits, gold)
    assert targets.shape == logits.shape
    found = as_spans(head.find(20 * targets - 10, N_WORDS, torch.full((ROWS, CLASSES), 0.5)))
    assert [span for span, _ in found] == spans


def test_targets_of_wide_and_of_no_spans(head: SpanHead) -> None:
    logits = torch.zeros_like(random_logits(head, 0))
    none = Gold(*torch.empty(4, 0, dtype=torch.long))
    assert head.targets(logits, none).sum() == 0
    wide = Gold(*torch.tensor([[0], [0], [WIDTH + 1], [0]]))
    # A boundary head learns the edges of any span; there is no place for this one in a marker head.
    expected = 2 + WIDTH + 1 if isinstance(head, BoundaryHead) else 0
    assert head.targets(logits, wide).sum() == expected


def test_valid_is_the_naive_loop(head: SpanHead) -> None:
    logits = random_logits(head, 0)
    n_labels = torch.tensor([4, 2, 0])
    valid = head.valid(logits, N_WORDS, n_labels).expand_as(logits)
    for row in range(ROWS):
        for word in range(WORDS):
            for label in range(CLASSES):
                asked = label < n_labels[row]
                if isinstance(head, BoundaryHead):
                    assert (valid[row, word, label] == bool(word < N_WORDS[row] and asked)).all()
                else:
                    for k in range(WIDTH):
                        expected = bool(word + k < N_WORDS[row] and asked)
                        assert valid[row, word, k, label] == expected


def test_there_are_no_more_widths_than_words(head: SpanHead) -> None:
    logits = head(torch.randn(2, 2, SIZE), torch.randn(2, CLASSES, SIZE))
    assert logits.shape[:2] == (2, 2)
    assert isinstance(head, BoundaryHead) or logits.shape[2] == 2
