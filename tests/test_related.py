"""Pairs of spans over windows, and the words that windows share. No model."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gliner_mt.related import Mention, Related
from gliner_mt.tasks import PairQueries, RelationLabel
from gliner_mt.types import Span
from gliner_mt.windows import Window, plan_windows

TYPES = ("person", "city", "")
LABELS = (
    RelationLabel("born in", head="person", tail="city"),
    RelationLabel("met", head="person", tail="person", symmetric=True),
)
mention = st.builds(
    lambda start, width, label, score: Mention(start, start + width, label, score),
    st.integers(0, 30),
    st.integers(1, 3),
    st.sampled_from((*TYPES, "date")),
    st.floats(0, 1),
)


@given(st.lists(mention, max_size=12), st.integers(1, 6))
def test_only_the_best_that_a_relation_joins_are_paired(mentions: list[Mention], most: int) -> None:
    best, pairs = Related(PairQueries(LABELS, max_spans=most)).propose(mentions)
    assert len(best) <= most
    assert all(one.label != "date" for one in best)
    fit = sorted((one.score for one in mentions if one.label != "date"), reverse=True)
    assert [one.score for one in best] == fit[:most]
    expected = {
        (h, t)
        for h, head in enumerate(best)
        for t, tail in enumerate(best)
        if head[:2] != tail[:2] and any(label.joins(head.label, tail.label) for label in LABELS)
    }
    assert set(pairs) == expected
    assert len(pairs) == len(expected)


def span(place: tuple[int, int], label: str) -> Span:
    return Span(*place, "x" * (place[1] - place[0]), label, 0.9)


def test_the_window_with_the_widest_margin_answers_for_a_pair() -> None:
    windows = [Window(0, 20), Window(10, 30)]
    ada, rome = (12, 13), (16, 17)
    spans = {place: [span(place, label)] for place, label in ((ada, "person"), (rome, "city"))}

    def relations(first: list[Mention], second: list[Mention], scores: dict[int, float]) -> list[float]:
        related = Related(PairQueries(LABELS))
        related.remember(0, 0, 0, first)
        related.remember(1, 10, 0, second)
        for window, score in scores.items():
            related.add(window, 0, ada, rome, 0, score)
        return [one.score for one in related.relations(windows, spans)]

    in_first = [Mention(12, 13, "person", 0.9), Mention(16, 17, "city", 0.9)]
    in_second = [Mention(2, 3, "person", 0.9), Mention(6, 7, "city", 0.9)]
    # Both windows hold both: the pair is 3 words from the end of the first, 2 from the start of the second.
    assert relations(in_first, in_second, {0: 0.6, 1: 0.9}) == [0.6]
    assert relations(in_first, in_second, {1: 0.9}) == []
    # Where the first did not propose the city, the second answers.
    assert relations(in_first[:1], in_second, {1: 0.9}) == [0.9]


def test_spans_that_did_not_last_or_changed_their_type_are_not_related() -> None:
    related = Related(PairQueries(LABELS))
    ends = [Mention(0, 1, "person", 0.9), Mention(3, 4, "city", 0.9), Mention(6, 7, "city", 0.9)]
    related.remember(0, 0, 0, ends)
    related.add(0, 0, (0, 1), (3, 4), 0, 0.8)
    related.add(0, 0, (0, 1), (6, 7), 0, 0.7)
    spans = {(0, 1): [span((0, 1), "person")], (3, 4): [span((3, 4), "person")]}
    assert related.relations([Window(0, 9)], spans) == []
    spans[6, 7] = [span((6, 7), "city")]
    (only,) = related.relations([Window(0, 9)], spans)
    assert (only.tail.start, only.label, only.score) == (6, "born in", 0.7)


@given(
    st.lists(st.tuples(st.integers(1, 3), st.booleans()), max_size=120),
    st.integers(12, 40),
    st.integers(0, 4),
    st.sampled_from([0.0, 0.25, 0.5]),
)
def test_windows_share_a_part_and_still_cover_all(
    words: list[tuple[int, bool]], budget: int, overlap: int, shared: float
) -> None:
    windows = list(plan_windows(words, budget=budget, overlap=overlap, shared=shared))
    assert {n for w in windows for n in range(w.word_start, w.word_end)} == set(range(len(words)))
    for one, other in pairwise(windows):
        assert one.word_start < other.word_start
        assert one.word_end < other.word_end
        assert sum(size for size, _ in words[one.word_start : one.word_end]) <= budget
    if shared == 0.0:
        assert windows == list(plan_windows(words, budget=budget, overlap=overlap))


def test_pairs_may_be_kept_to_one_sentence() -> None:
    mentions = [Mention(0, 1, "", 0.9), Mention(2, 3, "", 0.8), Mention(4, 6, "", 0.7)]
    for within, expected in (
        (True, [(1, 2), (2, 1)]),
        (False, [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]),
    ):
        queries = PairQueries((RelationLabel("of"),), within_sentence=within)
        assert Related(queries).propose(mentions, [1, 6])[1] == expected
