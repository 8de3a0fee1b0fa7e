import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gliner_mt.decode import Candidate, join_adjacent, resolve_overlaps, uncrossed
from gliner_mt.types import Span


def build(start: int, width: int, label: int, score: float) -> Candidate:
    return Candidate(start, start + width, label, score)


# Few distinct scores, so that ties are common.
scores = st.sampled_from([0.5, 0.7, 0.9])
candidate = st.builds(build, st.integers(0, 12), st.integers(1, 6), st.integers(0, 2), scores)
candidates = st.lists(candidate, max_size=30, unique_by=lambda c: (c.word_start, c.word_end, c.label))
rules = {"nested": st.booleans(), "multi_label": st.booleans()}


def by_rank(c: Candidate) -> tuple[float, int, int, int]:
    return (-c.score, c.word_start, c.word_end, c.label)


def in_text_order(found: list[Candidate]) -> list[Candidate]:
    return sorted(found, key=lambda c: (c.word_start, -c.word_end, c.label))


def conflict(a: Candidate, b: Candidate, nested: bool, multi_label: bool) -> bool:
    words_a, words_b = set(range(a.word_start, a.word_end)), set(range(b.word_start, b.word_end))
    if words_a == words_b:
        return not multi_label
    if nested and (words_a < words_b or words_b < words_a):
        return False
    return bool(words_a & words_b)


def greedy(found: list[Candidate], clash: Callable[[Candidate, Candidate], bool]) -> list[Candidate]:
    kept: list[Candidate] = []
    for one in sorted(found, key=by_rank):
        if not any(clash(one, other) for other in kept):
            kept.append(one)
    return in_text_order(kept)


@settings(deadline=None, max_examples=200)
@given(found=candidates, **rules)
def test_equals_the_naive_greedy(found: list[Candidate], nested: bool, multi_label: bool) -> None:
    expected = greedy(found, lambda a, b: conflict(a, b, nested, multi_label))
    assert resolve_overlaps(found, nested=nested, multi_label=multi_label) == expected


@pytest.fixture(scope="module")
def published() -> ModuleType:
    """The overlap rules of the published package, without importing all of it."""
    package = importlib.util.find_spec("gliner")
    if package is None or package.origin is None:
        pytest.skip("gliner is not installed")
    path = Path(package.origin).parent / "decoding" / "utils.py"
    spec = importlib.util.spec_from_file_location("published_overlap_rules", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@settings(deadline=None, max_examples=200)
@given(found=candidates, **rules)
def test_equals_the_published_rules(
    published: ModuleType, found: list[Candidate], nested: bool, multi_label: bool
) -> None:
    rule = published.has_overlapping_nested if nested else published.has_overlapping

    def clash(a: Candidate, b: Candidate) -> bool:
        # The published rules count the last word in.
        inclusive = [(c.word_start, c.word_end - 1, c.label) for c in (a, b)]
        return bool(rule(*inclusive, multi_label=multi_label))

    assert resolve_overlaps(found, nested=nested, multi_label=multi_label) == greedy(found, clash)


@settings(deadline=None, max_examples=100)
@given(found=candidates, data=st.data(), **rules)
def test_the_order_of_the_input_is_of_no_account(
    found: list[Candidate], data: st.DataObject, nested: bool, multi_label: bool
) -> None:
    shuffled = data.draw(st.permutations(found))
    once = resolve_overlaps(found, nested=nested, multi_label=multi_label)
    assert resolve_overlaps(iter(shuffled), nested=nested, multi_label=multi_label) == once
    assert resolve_overlaps(once, nested=nested, multi_label=multi_label) == once


def test_nothing_gives_nothing() -> None:
    assert resolve_overlaps([], nested=False, multi_label=False) == []


def test_flat_keeps_the_best_of_what_overlaps() -> None:
    outer, inner, neighbour = Candidate(0, 3, 0, 0.6), Candidate(1, 2, 1, 0.9), Candidate(2, 4, 0, 0.5)
    assert resolve_overlaps([outer, inner, neighbour], nested=False, multi_label=True) == [inner, neighbour]


def test_nested_keeps_what_lies_inside_but_not_what_crosses() -> None:
    outer, inner, crossing = Candidate(0, 3, 0, 0.6), Candidate(1, 3, 1, 0.9), Candidate(2, 4, 0, 0.5)
    assert resolve_overlaps([outer, inner, crossing], nested=True, multi_label=False) == [outer, inner]


@pytest.mark.parametrize("nested", [False, True])
def test_one_span_has_several_labels_only_if_asked(nested: bool) -> None:
    person, author = Candidate(0, 2, 0, 0.6), Candidate(0, 2, 1, 0.9)
    assert resolve_overlaps([person, author], nested=nested, multi_label=False) == [author]
    assert resolve_overlaps([person, author], nested=nested, multi_label=True) == [person, author]


@pytest.mark.parametrize("nested", [False, True])
def test_a_chain_through_a_long_document_takes_linear_time(nested: bool) -> None:
    # Each span crosses the next: comparing each with all kept ones would take hours.
    words = 200_000
    chain = [Candidate(i, i + 2, 0, 0.5) for i in range(words)]
    kept = resolve_overlaps(chain, nested=nested, multi_label=False)
    assert kept == chain[::2]


@settings(deadline=None, max_examples=200)
@given(found=candidates, word=st.integers(0, 18), **rules)
def test_what_a_boundary_parts_is_resolved_apart(
    found: list[Candidate], word: int, nested: bool, multi_label: bool
) -> None:
    boundary = uncrossed(found, word)
    assert boundary <= word
    before = [one for one in found if one.word_end <= boundary]
    behind = [one for one in found if one.word_start >= boundary]
    assert len(before) + len(behind) == len(found)
    apart = [
        one
        for part in (before, behind)
        for one in resolve_overlaps(part, nested=nested, multi_label=multi_label)
    ]
    assert apart == resolve_overlaps(found, nested=nested, multi_label=multi_label)


def test_the_last_uncrossed_boundary_is_taken() -> None:
    found = [Candidate(0, 2, 0, 0.9), Candidate(3, 6, 0, 0.9), Candidate(5, 9, 0, 0.9)]
    assert [uncrossed(found, word) for word in range(10)] == [0, 0, 2, 3, 3, 3, 3, 3, 3, 9]
    assert uncrossed([], 7) == 7


def test_neighbours_of_one_label_are_joined() -> None:
    text = "New  York\nCity, old Rome"

    def span(words: str, label: str, score: float = 0.9) -> Span:
        start = text.index(words)
        return Span(start, start + len(words), words, label, score)

    spans = [span("New", "city"), span("New", "word"), span("York", "city", 0.7), span("City", "city", 0.8)]
    spans += [span(",", "word"), span("old", "city"), span("Rome", "town")]
    assert join_adjacent(spans, text) == [
        span("New  York\nCity", "city", 0.7),
        span("New", "word"),
        span(",", "word"),
        span("old", "city"),
        span("Rome", "town"),
    ]
    inside = [span("New  York", "city"), span("York", "city")]
    assert join_adjacent(inside, text) == inside
