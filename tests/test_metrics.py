import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gliner_mt.metrics import F1, entity_f1
from gliner_mt.types import Entity, Span

entities = st.builds(Entity, st.integers(0, 3), st.integers(4, 6), st.sampled_from(["city", "date"]))
texts = st.lists(st.tuples(st.lists(entities), st.lists(entities)), max_size=5)


def span(start: int, end: int, label: str) -> Span:
    return Span(start, end, "", label, 0.9)


def as_spans(found: list[Entity]) -> list[Span]:
    return [span(entity.start, entity.end, entity.label) for entity in found]


def test_ratios() -> None:
    score = F1(tp=3, fp=1, fn=2)
    assert score.precision == 0.75
    assert score.recall == 0.6
    assert score.f1 == pytest.approx(2 * 0.75 * 0.6 / (0.75 + 0.6))


def test_ratios_over_nothing_are_zero() -> None:
    assert (F1().precision, F1().recall, F1().f1) == (0.0, 0.0, 0.0)
    scores = entity_f1([], [])
    assert scores.micro == F1()
    assert scores.macro_f1 == 0.0


def test_counts_by_type_and_together() -> None:
    gold = [[Entity(0, 4, "city"), Entity(5, 9, "person")], [Entity(0, 4, "city")]]
    predicted = [[span(0, 4, "city"), span(5, 8, "person"), span(5, 9, "date")], [span(0, 4, "city")]]
    scores = entity_f1(gold, predicted)
    assert scores.per_type == {"city": F1(2, 0, 0), "date": F1(0, 1, 0), "person": F1(0, 1, 1)}
    assert list(scores.per_type) == ["city", "date", "person"]
    assert scores.micro == F1(2, 2, 1)
    assert scores.macro_f1 == pytest.approx(1 / 3)


def test_a_span_counts_in_its_own_text_only() -> None:
    scores = entity_f1([[Entity(0, 4, "city")], []], [[], [span(0, 4, "city")]])
    assert scores.micro == F1(0, 1, 1)


def test_repetition_counts_once() -> None:
    scores = entity_f1([[Entity(0, 4, "city")]], [[span(0, 4, "city"), span(0, 4, "city")]])
    assert scores.micro == F1(1, 0, 0)


def test_texts_without_a_partner_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        entity_f1([[], []], [[]])


@settings(deadline=None, max_examples=100)
@given(texts)
def test_gold_and_predictions_mirror_each_other(pairs: list[tuple[list[Entity], list[Entity]]]) -> None:
    there = entity_f1([left for left, _ in pairs], [as_spans(right) for _, right in pairs])
    back = entity_f1([right for _, right in pairs], [as_spans(left) for left, _ in pairs])
    assert there.micro.precision == back.micro.recall
    assert there.micro.f1 == back.micro.f1
    assert there.macro_f1 == back.macro_f1
    assert 0.0 <= there.macro_f1 <= 1.0


@settings(deadline=None, max_examples=100)
@given(texts)
def test_the_gold_itself_is_perfect(pairs: list[tuple[list[Entity], list[Entity]]]) -> None:
    gold = [left for left, _ in pairs]
    scores = entity_f1(gold, [as_spans(found) for found in gold])
    assert (scores.micro.fp, scores.micro.fn) == (0, 0)
    assert scores.macro_f1 == (1.0 if any(gold) else 0.0)
    assert scores.micro.tp == sum(len(set(found)) for found in gold)
