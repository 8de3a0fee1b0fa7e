import io
import json
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from texts import any_text

from gliner_mt.errors import InputError
from gliner_mt.text import split_words
from gliner_mt.tokenization import WordTokenizer
from gliner_mt.train.checks import Problem, Report, check_examples
from gliner_mt.types import Entity, Example

LABELS = ("city", "person")
TEXT = "Ada Lovelace met Bob in New York"
GOOD = Example(TEXT, (Entity(0, 12, "person"), Entity(24, 32, "city")), LABELS)


def marked(*spans: tuple[int, int, str], text: str = TEXT, labels: tuple[str, ...] = LABELS) -> Example:
    return Example(text, tuple(Entity(*span) for span in spans), labels)


def check(
    tokenizer: WordTokenizer, *train: Example, dev: Sequence[Example] = (), nested: bool = False
) -> Report:
    return check_examples(train, tokenizer, max_width=3, dev=dev, nested=nested)


def found(report: Report) -> dict[str, int]:
    return {one.problem.name: one.count for one in report.findings}


@pytest.mark.parametrize(
    ("spans", "problems"),
    [
        ([(0, 3, "person")], {}),
        ([(1, 3, "person")], {"OFF_WORDS": 1}),
        ([(0, 4, "person")], {"OFF_WORDS": 1}),
        ([(3, 4, "person")], {"NO_WORD": 1}),
        ([(0, 20, "person")], {"TOO_WIDE": 1}),
        ([(1, 20, "person")], {"OFF_WORDS": 1, "TOO_WIDE": 1}),
        ([(28, 33, "city")], {"OUTSIDE": 1}),
        ([(-1, 3, "person"), (3, 3, "city")], {"OUTSIDE": 2}),
        ([(0, 3, "person"), (0, 3, "person"), (0, 3, "person")], {"DUPLICATE": 2}),
        ([(0, 12, "person"), (4, 12, "city")], {"OVERLAP": 1}),
        ([(0, 3, "person"), (0, 3, "city")], {"OVERLAP": 1}),
        ([(0, 3, "person"), (3, 12, "city")], {"OFF_WORDS": 1}),
        ([(0, 3, " ")], {"BAD_LABEL": 1}),
        ([(0, 3, "per\nson")], {"BAD_LABEL": 1}),
        ([(0, 3, "poet")], {"UNLISTED": 1}),
    ],
)
def test_what_is_odd_about_spans(
    tokenizer: WordTokenizer, spans: list[tuple[int, int, str]], problems: dict[str, int]
) -> None:
    assert found(check(tokenizer, GOOD, marked(*spans))) == problems


def test_nested_spans_are_odd_only_if_they_cross(tokenizer: WordTokenizer) -> None:
    inner = marked((0, 12, "person"), (4, 12, "person"), (0, 3, "city"), (0, 12, "city"))
    crossing = marked((0, 12, "person"), (4, 16, "city"))
    assert found(check(tokenizer, inner)) == {"OVERLAP": 3}
    assert found(check(tokenizer, inner, nested=True)) == {}
    assert found(check(tokenizer, crossing, nested=True)) == {"OVERLAP": 1}


def test_what_is_odd_about_sets(tokenizer: WordTokenizer) -> None:
    assert found(check(tokenizer)) == {"NO_EXAMPLES": 1}
    assert found(check(tokenizer, marked())) == {"NO_ENTITIES": 1}
    assert found(check(tokenizer, marked((0, 3, "person"), labels=("person",)))) == {"ONE_LABEL": 1}
    assert found(check(tokenizer, GOOD, marked(text=" \n"))) == {"NO_WORDS": 1}
    assert found(check(tokenizer, GOOD, marked(labels=()))) == {"NO_LABELS": 1}
    assert found(check(tokenizer, GOOD, marked(labels=("", "a\rb", "city")))) == {"BAD_LABEL": 2}
    assert found(check(tokenizer, GOOD, dev=[marked(text="Paris")])) == {"DEV_EMPTY": 1}
    dev = [marked((0, 3, "poet"), (17, 20, "poet"), labels=("poet",)), GOOD, marked(text="Paris")]
    report = check(tokenizer, GOOD, dev=dev)
    assert found(report) == {"UNSEEN": 2, "LEAKED": 1}
    assert (report.n_train, report.n_dev, report.n_entities) == (1, 3, 2)
    assert report.labels == {"city": 1, "person": 1}
    assert str(report.findings[0].shown[0]) == "dev, example 1: [Ada] Lovelace met Bob in New (poet)"
    assert str(report.findings[1].shown[0]) == f"train, example 1: {TEXT}"


def test_three_places_are_shown_and_all_are_counted(tokenizer: WordTokenizer) -> None:
    long = "x" * 50 + " " + "y" * 100
    odd = [marked((1, 3, "person"), text=f"\x1bAda{number} met") for number in range(5)]
    report = check(tokenizer, GOOD, *odd, marked((49, 151, "city"), text=long))
    (finding,) = report.findings
    assert (finding.problem, finding.count, len(finding.shown)) == (Problem.OFF_WORDS, 6, 3)
    console = Console(width=120, file=io.StringIO())
    console.print(report.table())
    page = console.file.getvalue()
    assert "7 examples, 8 entities of 2 labels; 0 dev examples" in page
    assert "span not on word edges" in page
    assert "train, example 2:" in page
    assert "[Ad]a0 met" in page
    assert "\x1b" not in page
    record = json.loads(json.dumps(report.as_dict()))
    assert record["n_train"] == 7
    assert record["findings"][0]["problem"] == "off_words"
    assert record["findings"][0]["shown"][0]["marked"] == "Ad"
    assert set(Problem) == {problem for problem in Problem if problem.effect}
    (finding,) = check(tokenizer, GOOD, marked((49, 151, "city"), text=long)).findings
    (place,) = finding.shown
    assert place.marked == f"x {'y' * 28}…{'y' * 30}"
    assert place.before == "x" * 24


def test_strict_stops_at_anything_odd(tokenizer: WordTokenizer) -> None:
    odd = marked((1, 3, "person"))
    with pytest.raises(
        InputError, match=r"span not on word edges: 1 \(train, example 1: A\[da\] Lovelace .*mend it"
    ):
        check_examples([odd], tokenizer, max_width=3, strict=True)
    assert check_examples([GOOD], tokenizer, max_width=3, strict=True).findings == ()
    check(tokenizer, odd).require()
    for nothing in ((), (marked(),)):
        with pytest.raises(InputError, match=r"^no (examples|entities): 1; nothing to train on"):
            check(tokenizer, *nothing).require()
    with pytest.raises(InputError, match=r"^label that is blank .*: 1 \(train, example 2: ' '\)"):
        check(tokenizer, GOOD, marked(labels=(" ", "city"))).require()
    with pytest.raises(InputError, match=r"^dev set without entities: 1; no checkpoint is better"):
        check(tokenizer, GOOD, dev=[marked(text="Paris")]).require()


def test_long_texts_are_counted_and_are_not_odd(tokenizer: WordTokenizer) -> None:
    long = marked((0, 3, "person"), text="Ada met Bob. " * 4)
    report = check_examples([GOOD, long], tokenizer, max_width=3, row_tokens=15, strict=True)
    assert found(report) == {"LONG": 1}
    report.require(strict=True)
    assert check_examples([GOOD, long], tokenizer, max_width=3, row_tokens=16).findings == ()


def test_a_stream_is_read_once_and_not_kept(tokenizer: WordTokenizer) -> None:
    alive: list[int] = []

    def stream() -> Iterator[Example]:
        for number in range(50):
            alive.append(number)
            yield marked((0, 3, "person"))

    assert check_examples(stream(), tokenizer, max_width=3).n_train == len(alive) == 50


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(any_text, st.data())
def test_spans_of_whole_words_are_never_off(tokenizer: WordTokenizer, text: str, data: st.DataObject) -> None:
    words = [word for word in tokenizer.encode(text, max_word_tokens=1)]
    assert len(words) <= len(list(split_words(text)))
    if words:
        first = data.draw(st.integers(0, len(words) - 1))
        last = data.draw(st.integers(first, min(first + 2, len(words) - 1)))
        inside = marked((words[first].start, words[last].end, "city"), text=text)
        assert found(check(tokenizer, GOOD, inside)) == {}
    start = data.draw(st.integers(-1, len(text) + 1))
    anywhere = marked((start, data.draw(st.integers(-1, len(text) + 1)), "city"), text=text)
    check(tokenizer, anywhere).table()
