"""The plain baselines that the benchmark sets beside a model."""

from benchmarks.baselines import labels_for, lead, majority_given, majority_pair, split_at_verb
from gliner_mt.types import (
    Entity,
    GoldRelation,
    Offsets,
    RelationExample,
    SummaryExample,
    TextTuple,
)

TEXT = "Ada met Bob in Rome"
ADA, BOB, ROME = Entity(0, 3, "person"), Entity(8, 11, "person"), Entity(15, 19, "city")


def related(*relations: GoldRelation, entities: tuple[Entity, ...] = (ADA, ROME)) -> RelationExample:
    return RelationExample(TEXT, entities, relations, ("person", "city"), ("in", "met"))


def test_a_question_word_asks_for_its_kind() -> None:
    assert labels_for("Who lives where?") == ("person", "organization")
    assert labels_for("in what year was it?") == ("date",)
    assert labels_for("How many are there") == ("number",)
    assert labels_for("Whoever?") == ("entity", "noun phrase")


def test_a_sentence_is_split_at_its_first_verb() -> None:
    assert split_at_verb("Ada Byron wanted to go") == [TextTuple("wanted", ("Ada Byron", "to go"))]
    assert split_at_verb("Is it true") == []
    assert split_at_verb("") == []


def test_the_first_sentences_are_a_summary() -> None:
    example = SummaryExample("A. B.", (Offsets(0, 2), Offsets(3, 5)), (0,))
    assert lead([example]).figures["selection F1"].value == 1.0


def test_entities_are_related_as_their_types_mostly_are() -> None:
    forward = GoldRelation(ADA, ROME, "in")
    result = majority_given([related(forward), related(forward), related()])
    assert result.figures["precision"].value == 2 / 3
    assert result.figures["recall"].value == 1.0
    assert result.threshold == 0.65
    assert not majority_given([related()]).figures["recall"].value


def test_a_pair_has_the_most_frequent_answer() -> None:
    forward, back, other = (
        GoldRelation(ADA, ROME, "in"),
        GoldRelation(ROME, ADA, "in"),
        GoldRelation(ADA, ROME, "met"),
    )
    assert majority_pair([related(forward), related(back), related(other)]).main[1].value == 2 / 3
    assert majority_pair([related(forward), related(back), related(back), related()]).main[1].value == 0.5
    assert majority_pair([related(forward), related(), related()]).main[1].value == 2 / 3
