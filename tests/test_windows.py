import tracemalloc
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gliner_mt.decode import Candidate
from gliner_mt.windows import Window, merge_windows, plan_windows

BUDGET = 12

words = st.lists(st.tuples(st.integers(1, BUDGET), st.booleans()), max_size=60)
short_words = st.lists(st.tuples(st.integers(1, 2), st.booleans()), max_size=60)
documents = words | short_words
overlaps = st.integers(0, BUDGET + 2)

Words = list[tuple[int, bool]]
fast = settings(deadline=None, max_examples=150)


def plan(document: Words, overlap: int, budget: int = BUDGET) -> list[Window]:
    return list(plan_windows(iter(document), budget=budget, overlap=overlap))


def size(document: Words, start: int, end: int) -> int:
    return sum(sub_words for sub_words, _ in document[start:end])


def holds(window: Window, start: int, end: int) -> bool:
    return window.word_start <= start and end <= window.word_end


def admissible_spans(document: Words, overlap: int) -> Iterator[tuple[int, int]]:
    for start in range(len(document)):
        for end in range(start + 1, min(start + overlap, len(document)) + 1):
            if size(document, start, end) <= BUDGET:
                yield start, end


@fast
@given(documents, overlaps)
def test_every_admissible_span_lies_whole_in_some_window(document: Words, overlap: int) -> None:
    windows = plan(document, overlap)
    for start, end in admissible_spans(document, overlap):
        assert any(holds(window, start, end) for window in windows)


@fast
@given(documents, overlaps)
def test_windows_cover_the_document_and_keep_to_the_budget(document: Words, overlap: int) -> None:
    windows = plan(document, overlap)
    assert all(0 < size(document, w.word_start, w.word_end) <= BUDGET for w in windows)
    covered = {word for w in windows for word in range(w.word_start, w.word_end)}
    assert covered == set(range(len(document)))


@fast
@given(documents, overlaps)
def test_windows_go_forward_and_overlap_by_what_was_asked(document: Words, overlap: int) -> None:
    windows = plan(document, overlap)
    for before, after in pairwise(windows):
        assert before.word_start < after.word_start
        assert before.word_end < after.word_end
        wanted = max(before.word_start + 1, before.word_end - overlap)
        assert after.word_start >= wanted
        if after.word_start > wanted:  # only because starting earlier could not reach past the window before
            assert size(document, after.word_start - 1, before.word_end + 1) > BUDGET


@fast
@given(documents, overlaps)
def test_a_window_is_full_or_ends_with_a_sentence_or_the_document(document: Words, overlap: int) -> None:
    for window in plan(document, overlap):
        end = window.word_end
        full = end < len(document) and size(document, window.word_start, end + 1) > BUDGET
        assert full or document[end - 1][1] or end == len(document)


def test_no_words_no_windows() -> None:
    assert plan([], overlap=3) == []


@pytest.mark.parametrize("sentence_end", [False, True])
def test_a_short_text_is_one_window(sentence_end: bool) -> None:
    assert plan([(1, sentence_end)] * BUDGET, overlap=3) == [Window(0, BUDGET)]


def test_the_last_sentence_end_of_the_last_half_is_preferred() -> None:
    document = [(1, word in (2, 6, 8)) for word in range(20)]
    assert plan(document, overlap=2)[:2] == [Window(0, 9), Window(7, 19)]


def test_a_sentence_end_in_the_first_half_or_too_near_is_no_cut() -> None:
    early = [(1, word == 4) for word in range(20)]
    assert plan(early, overlap=2)[0] == Window(0, 12)
    near = [(1, word == 8) for word in range(20)]
    assert plan(near, overlap=8)[0] == Window(0, 12)


def test_a_word_over_the_budget_is_refused() -> None:
    with pytest.raises(ValueError, match="word 1 has 13 sub-words; a window holds at most 12"):
        plan([(1, False), (13, False)], overlap=2)


def test_windows_come_before_the_document_ends() -> None:
    read = 0

    def endless() -> Iterator[tuple[int, bool]]:
        nonlocal read
        while True:
            read += 1
            yield 1, False

    stream = plan_windows(endless(), budget=100, overlap=10)
    assert [next(stream) for _ in range(3)] == [Window(0, 100), Window(90, 190), Window(180, 280)]
    assert read == 281


def test_memory_does_not_grow_with_the_document() -> None:
    document = ((1 + word % 3, word % 20 == 19) for word in range(100_000))
    tracemalloc.start()
    try:
        count = sum(1 for _ in plan_windows(document, budget=400, overlap=20))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count > 500
    assert peak < 1_000_000


def naive_owner(windows: list[Window], start: int, end: int) -> int:
    first, last = windows[0].word_start, windows[-1].word_end

    def margin(window: Window) -> float:
        inner = [start - window.word_start] if window.word_start != first else []
        inner += [window.word_end - end] if window.word_end != last else []
        return min(inner, default=float("inf"))

    holding = [index for index, window in enumerate(windows) if holds(window, start, end)]
    return max(holding, key=lambda index: (margin(windows[index]), -index))


@fast
@given(documents, overlaps)
def test_each_span_is_judged_once_by_its_owner(document: Words, overlap: int) -> None:
    windows = plan(document, overlap)
    found = [
        (index, Candidate(start, end, 0, 0.5 + index / 1000))
        for index, window in enumerate(windows)
        for start in range(window.word_start, window.word_end)
        for end in range(start + 1, window.word_end + 1)
    ]
    kept = merge_windows(windows, iter(found))
    spans = [(one.word_start, one.word_end) for one in kept]
    assert len(spans) == len(set(spans))
    assert set(spans) == {(one.word_start, one.word_end) for _, one in found}
    owners = {(start, end): naive_owner(windows, start, end) for start, end in spans}
    assert kept == [one for index, one in found if owners[one.word_start, one.word_end] == index]


@fast
@given(short_words, st.integers(1, 5))
def test_a_span_cut_off_at_an_inner_edge_loses_to_the_whole_one(document: Words, overlap: int) -> None:
    # A reader that sees one span everywhere and reports as much of it as its window shows.
    windows = plan(document, overlap)
    for start, end in admissible_spans(document, overlap):
        found = [
            (index, Candidate(max(start, w.word_start), min(end, w.word_end), 0, 0.9))
            for index, w in enumerate(windows)
            if start < w.word_end and w.word_start < end
        ]
        assert {(one.word_start, one.word_end) for one in merge_windows(windows, found)} == {(start, end)}


def test_what_the_owner_did_not_find_is_not_found() -> None:
    windows = [Window(0, 10), Window(6, 16)]
    at_the_edge, inside = Candidate(8, 10, 0, 0.9), Candidate(2, 4, 1, 0.6)
    assert merge_windows(windows, [(0, inside), (0, at_the_edge)]) == [inside]
    assert merge_windows(windows, [(1, at_the_edge)]) == [at_the_edge]


def test_of_equal_margins_the_earlier_window_counts() -> None:
    windows = [Window(0, 10), Window(6, 16)]
    earlier, later = Candidate(7, 9, 0, 0.6), Candidate(7, 9, 0, 0.9)
    assert merge_windows(windows, [(1, later), (0, earlier)]) == [earlier]


def test_one_window_keeps_everything_and_none_keeps_nothing() -> None:
    whole = [Candidate(0, 1, 0, 0.6), Candidate(0, 5, 1, 0.7)]
    assert merge_windows([Window(0, 5)], [(0, one) for one in whole]) == whole
    assert merge_windows([], []) == []
