"""CaRB. The figures are what the published scorer (dair-iitd/CaRB, `carb.py`) prints for the fixture."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gliner_mt.formats import read_carb_gold, read_carb_output, sentence_key
from gliner_mt.metrics import (
    CarbScores,
    CurvePoint,
    binary_lenient_match,
    carb_matches,
    carb_scores,
    lenient_match,
    text_tuple,
)
from gliner_mt.metrics.openie import Match
from gliner_mt.types import GoldTuple, Part, Span, TextTuple, Triple

FIXTURE = Path(__file__).parent / "fixtures" / "carb"
PUBLISHED = {
    "binary": (
        binary_lenient_match,
        0.5265077110389611,
        (0.6898268398268398, 0.6604166666666667, 0.6748014560999231),
        {
            0.1: (0.5365319865319864, 0.6604166666666667),
            0.2: (0.6035984848484848, 0.6604166666666667),
            0.6: (0.6898268398268398, 0.6604166666666667),
            0.7: (0.7484848484848485, 0.3375),
            0.8: (0.85, 0.2125),
            0.9: (0.9, 0.1125),
        },
    ),
    "by argument": (
        lenient_match,
        0.35747993326118327,
        (0.5898268398268398, 0.5729166666666667, 0.5812487880550709),
        {
            0.1: (0.45875420875420875, 0.5729166666666667),
            0.2: (0.5160984848484849, 0.5729166666666667),
            0.6: (0.5898268398268398, 0.5729166666666667),
            0.7: (0.5151515151515151, 0.25),
            0.8: (0.5, 0.125),
            0.9: (0.9, 0.1125),
        },
    ),
}
words = st.lists(st.sampled_from("be is was said the a cat sat".split()), max_size=3).map(" ".join)
arguments = st.lists(words, max_size=4).map(tuple)
tuples = st.lists(st.builds(TextTuple, words, arguments, st.sampled_from([0.2, 0.5, 0.9])), max_size=4)


def score_fixture(match: Match) -> CarbScores:
    output = read_carb_output(FIXTURE / "output.tsv")
    return carb_scores(
        carb_matches(
            [text_tuple(gold) for gold in example.tuples], output.get(sentence_key(example.text), []), match
        )
        for example in read_carb_gold(FIXTURE / "gold.tsv")
    )


@pytest.mark.parametrize("name", PUBLISHED)
def test_figures_of_the_published_scorer(name: str) -> None:
    match, auc, best, curve = PUBLISHED[name]
    scores = score_fixture(match)
    assert scores.auc == pytest.approx(auc)
    assert (scores.best.precision, scores.best.recall, scores.best.f1) == pytest.approx(best)
    assert [point.threshold for point in scores.curve] == sorted(curve, reverse=True)
    for point in scores.curve:
        assert (point.precision, point.recall) == pytest.approx(curve[point.threshold])


def test_words_are_counted_part_by_part() -> None:
    gold = TextTuple("was closed by", ("the bridge", "the council", "in May"))
    found = TextTuple("was closed", ("the old bridge", "council the council", "May"))
    assert lenient_match(gold, found) == (7 / 9, 7 / 9)
    assert lenient_match(gold, TextTuple("was closed", ("the bridge", "the council"))) == (1.0, 6 / 9)


def test_nothing_matches_without_a_word_of_the_predicate_or_an_argument() -> None:
    gold = TextTuple("closed", ("the council", "the bridge"))
    assert lenient_match(gold, TextTuple("opened", gold.arguments)) == (0.0, 0.0)
    assert lenient_match(gold, TextTuple("closed", ("the council",))) == (0.0, 0.0)
    assert lenient_match(gold, TextTuple("", gold.arguments)) == (0.0, 0.0)


def test_be_stands_for_its_forms() -> None:
    gold = TextTuple("was", ("Ada", "Mayor"))
    assert lenient_match(gold, TextTuple("be", gold.arguments)) == (1.0, 1.0)
    assert lenient_match(TextTuple("be", gold.arguments), TextTuple("was", gold.arguments)) == (0.0, 0.0)


def test_what_was_said_may_stand_first() -> None:
    gold = TextTuple("said", ("Ada", "it opens"))
    turned = TextTuple("said", ("it opens", "Ada"))
    assert binary_lenient_match(gold, turned) == (1.0, 1.0)
    assert lenient_match(gold, turned) == (1 / 4, 1 / 4)


def test_another_split_compares_untokenised_text() -> None:
    gold = TextTuple("costs", ("it", "$4.25, in all"))
    found = TextTuple("costs", ("it", "$4.25"))
    assert lenient_match(gold, found) == (2 / 3, 2 / 5)
    assert lenient_match(gold, found, split=lambda part: part.replace(",", " ").split()) == (1.0, 3 / 5)


def test_each_tuple_is_matched_once() -> None:
    gold = [TextTuple("sat", ("cat", "mat"))]
    twice = [TextTuple("sat", ("cat", "mat"), 0.9), TextTuple("sat", ("cat", "mat"), 0.8)]
    scores = carb_scores([carb_matches(gold, twice)])
    assert scores.curve == (CurvePoint(0.9, 1.0, 1.0), CurvePoint(0.8, 0.5, 1.0))
    assert scores.best == scores.curve[0]
    assert scores.auc == 1.0


def test_without_predictions_or_gold_all_is_zero() -> None:
    nothing = CarbScores((), 0.0, CurvePoint(0.0, 0.0, 0.0))
    assert carb_scores([]) == nothing
    assert carb_scores([carb_matches([TextTuple("sat", ("cat",))], [])]) == nothing
    assert carb_scores([carb_matches([], [TextTuple("sat", ("cat",))])]).best.f1 == 0.0


def test_tuples_in_words() -> None:
    gold = GoldTuple(Part("gave"), None, (Part("a book"), Part("to Mary")))
    assert text_tuple(gold) == TextTuple("gave", ("", "a book", "to Mary"))
    assert text_tuple(GoldTuple(Part("rains"), None, ())) == TextTuple("rains", ())
    ada, sings, here = (Span(0, 0, text, "", 0.5) for text in ("Ada", "sings", "here"))
    assert text_tuple(Triple(ada, sings, None, None, here, 0.7)) == TextTuple("sings", ("Ada", "here"), 0.7)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(tuples, tuples), max_size=3))
def test_recall_rises_as_the_threshold_falls(pairs: list[tuple[list[TextTuple], list[TextTuple]]]) -> None:
    scores = carb_scores(carb_matches(gold, found) for gold, found in pairs)
    recalls = [point.recall for point in scores.curve]
    assert recalls == pytest.approx(sorted(recalls))
    assert all(0 <= point.precision <= 2 for point in scores.curve)  # `be` may count twice
    assert scores.best.f1 == max([point.f1 for point in scores.curve], default=0.0)
