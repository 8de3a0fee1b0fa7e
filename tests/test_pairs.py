import torch
from hypothesis import given
from hypothesis import strategies as st

from gliner_mt.heads import Spans
from gliner_mt.pairs import DISTANCES, PairContext, Pairs
from gliner_mt.related import Place

SIZE, HIDDEN = 6, 8
span = st.tuples(st.integers(0, 11), st.integers(1, 4)).map(lambda one: (one[0], min(sum(one), 12)))


def context() -> PairContext:
    torch.manual_seed(0)
    made = PairContext(SIZE, HIDDEN)
    torch.nn.init.normal_(made.distance.weight)
    return made.double()


@given(st.lists(st.tuples(st.integers(0, 2), span, span), min_size=1, max_size=6))
def test_a_pair_is_judged_by_the_words_between(found: list[tuple[int, Place, Place]]) -> None:
    found.sort(key=lambda one: one[0])
    model, words = context(), torch.randn(3, 12, SIZE, dtype=torch.double)
    places = [(row, *end) for row, head, tail in found for end in (head, tail)]
    ends = Spans(*torch.tensor(places).unbind(1))
    pairs = Pairs(*torch.tensor([(row, 2 * n, 2 * n + 1) for n, (row, _, _) in enumerate(found)]).unbind(1))
    for got, (row, head, tail) in zip(model(words, ends, pairs), found, strict=True):
        first, second = sorted((head, tail), key=lambda end: (end[0], end is not head))
        gap = max(0, second[0] - first[1])
        expected = torch.zeros(HIDDEN, dtype=torch.double)
        if gap:
            expected = model.between(words[row, first[1] : second[0]].mean(0))
        steps = [0, 1, 2, 4, 8, 16].index(1 << (gap.bit_length() - 1)) if gap else 0
        apart = model.distance.weight[steps + DISTANCES * (head[0] <= tail[0])]
        # Running sums are kept in single precision, as mixed precision needs.
        torch.testing.assert_close(got, expected + apart, atol=1e-5, rtol=0)


def test_far_apart_is_as_far_as_it_gets() -> None:
    model, words = context(), torch.zeros(1, 700, SIZE, dtype=torch.double)
    ends = Spans(*torch.tensor([(0, 0, 1), (0, 300, 301), (0, 699, 700)]).unbind(1))
    near, far = model(words, ends, Pairs(*torch.tensor([(0, 0, 1), (0, 0, 2)]).unbind(1)))
    assert torch.equal(near, far)
