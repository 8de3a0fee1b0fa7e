import pytest

from gliner_mt.metrics import F1, boundary_relation_f1, pair_scores, strict_relation_f1
from gliner_mt.types import Entity, GoldRelation, Relation, Span

ADA, PARIS, ACME = Entity(0, 3, "person"), Entity(10, 15, "city"), Entity(20, 24, "company")


def predicted(head: Entity, tail: Entity, label: str) -> Relation:
    spans = [Span(entity.start, entity.end, "", entity.label, 0.9) for entity in (head, tail)]
    return Relation(spans[0], spans[1], label, 0.8)


def test_strict_asks_for_spans_types_and_label() -> None:
    gold = [[GoldRelation(ADA, PARIS, "lives in"), GoldRelation(ADA, ACME, "works for")]]
    found = [
        [
            predicted(ADA, PARIS, "lives in"),
            predicted(ADA, Entity(20, 24, "city"), "works for"),
            predicted(ADA, Entity(20, 25, "company"), "works for"),
        ]
    ]
    strict = strict_relation_f1(gold, found)
    assert strict.per_type == {"lives in": F1(1, 0, 0), "works for": F1(0, 2, 1)}
    assert strict.micro == F1(1, 2, 1)
    assert boundary_relation_f1(gold, found).per_type == {"lives in": F1(1, 0, 0), "works for": F1(1, 1, 0)}


def test_direction_counts_unless_the_relation_is_symmetric() -> None:
    gold = [[GoldRelation(ADA, PARIS, "near"), GoldRelation(PARIS, ACME, "part of")]]
    found = [[predicted(PARIS, ADA, "near"), predicted(ACME, PARIS, "part of")]]
    assert strict_relation_f1(gold, found).micro == F1(0, 2, 2)
    assert strict_relation_f1(gold, found, symmetric=["near"]).micro == F1(1, 1, 1)
    assert boundary_relation_f1(gold, found, symmetric=["near"]).micro == F1(1, 1, 1)


def test_repetition_counts_once() -> None:
    gold = [[GoldRelation(ADA, PARIS, "near"), GoldRelation(PARIS, ADA, "near")]]
    found = [[predicted(PARIS, ADA, "near")] * 2]
    assert strict_relation_f1(gold, found, symmetric=["near"]).micro == F1(1, 0, 0)


def test_a_relation_counts_in_its_own_text_only() -> None:
    gold = [[GoldRelation(ADA, PARIS, "near")], []]
    assert strict_relation_f1(gold, [[], [predicted(ADA, PARIS, "near")]]).micro == F1(0, 1, 1)
    with pytest.raises(ValueError, match="zip"):
        strict_relation_f1(gold, [])


def test_pairs_without_relation_count_in_the_accuracy_alone() -> None:
    gold = [["works for"], [], ["near"], []]
    scores = pair_scores(gold, [["works for"], [], [], ["near"]])
    assert scores.accuracy == 0.5
    assert scores.labels.per_type == {"near": F1(0, 1, 1), "works for": F1(1, 0, 0)}
    assert scores.labels.micro.f1 == 0.5
