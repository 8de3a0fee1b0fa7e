"""Answers of every task as JSON and on a terminal."""

import io
import json
import re

import pytest
from rich.console import Console
from task_answers import ANSWERS, ASKED, FILLER, NOTHING, TEXT, result, span

from gliner_mt.render import JsonLines, Result, in_context, to_json
from gliner_mt.shown import entries, marks, parts, title
from gliner_mt.sources import Record
from gliner_mt.tasks import NER, QA, Classification, Relations, Several
from gliner_mt.terminal import TerminalView
from gliner_mt.types import ClassScore, Relation, Span

KEYS = list(ANSWERS)


def on_terminal(one: Result, *, colour: bool = False, width: int = 120) -> str:
    file = io.StringIO()
    console = Console(
        file=file,
        force_terminal=colour,
        color_system="truecolor" if colour else None,
        width=width,
        highlight=False,
        legacy_windows=False,
        _environ={},
    )
    view = TerminalView(console, one.task)
    view.write(one)
    view.close()
    return file.getvalue()


def table(shown: str) -> list[list[str]]:
    """Return the cells of what looks like rows."""
    return [re.split(r"\s{2,}", line.strip()) for line in shown.splitlines() if line.strip()]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("long", [False, True])
def test_every_offset_in_json_is_one_of_the_text(key: str, long: bool) -> None:
    data = json.loads(to_json(result(key, long=long)))
    assert list(data) == ["source", "row", "text", key]
    found = list(pieces(data[key]))
    assert bool(found) == (key != "classes")
    assert all(data["text"][one["start"] : one["end"]] == one["text"] for one in found)


def pieces(value: object) -> list[dict[str, object]]:
    if isinstance(value, list):
        return [piece for one in value for piece in pieces(one)]
    if not isinstance(value, dict):
        return []
    return [value] if "start" in value else [piece for one in value.values() for piece in pieces(one)]


def test_relations_as_json() -> None:
    first = json.loads(to_json(result("relations")))["relations"][0]
    assert first == {
        "head": {"start": 0, "end": 3, "text": "Ada", "label": "person", "score": 0.9},
        "tail": {"start": 8, "end": 11, "text": "Bob", "label": "person", "score": 0.9},
        "label": "knows",
        "score": 0.8,
    }


def test_answers_as_json_stand_beside_their_questions() -> None:
    data = json.loads(to_json(result("answers")))["answers"]
    assert [one["question"] for one in data] == list(ASKED.questions)
    assert data[0]["answers"] == [{"start": 15, "end": 21, "text": "London", "score": 0.9}]
    assert [len(one["answers"]) for one in data] == [1, 2, 0]


def test_triples_as_json_have_null_for_what_is_missing() -> None:
    first, second = json.loads(to_json(result("triples")))["triples"]
    assert list(first) == ["subject", "predicate", "object", "time", "place", "score"]
    assert (first["subject"]["text"], first["place"]["text"], first["time"]) == ("Ada", "London", None)
    assert (second["subject"], second["score"]) == (None, 0.6)


def test_classes_and_sentences_as_json() -> None:
    classes = json.loads(to_json(result("classes")))["classes"]
    assert classes == [{"label": "people", "score": 0.8}, {"label": "weather", "score": 0.2}]
    (sentence,) = json.loads(to_json(result("summary")))["summary"]
    assert (sentence["start"], sentence["end"], sentence["label"]) == (0, 22, "summary")


def test_several_as_json_are_what_each_is_alone() -> None:
    results = json.loads(to_json(result("results")))["results"]
    assert list(results) == ["who", "jobs", "inner", "gist"]
    for key, value in (
        ("spans", results["who"]),
        ("relations", results["jobs"]),
        ("answers", results["inner"]["asked"]),
        ("classes", results["inner"]["about"]),
        ("summary", results["gist"]),
    ):
        assert value == json.loads(to_json(result(key)))[key]


@pytest.mark.parametrize("key", KEYS)
def test_no_answer_is_shown_and_written(key: str) -> None:
    one = Result(Record("", "empty.txt"), ANSWERS[key][0], NOTHING[key])
    file = io.StringIO()
    JsonLines(file).write(one)
    assert json.loads(file.getvalue())["text"] == ""
    assert re.search("nothing found|the text does not say", on_terminal(one))
    assert sum(len(part.shown.found) for part in parts(one.task, one.answer)) == 0


def test_relations_on_a_terminal() -> None:
    shown = on_terminal(result("relations"))
    assert (
        "[Ada](person) met [Bob](person) in London. It rained. [Bob](person) works for [Acme](company)."
        in shown
    )
    rows = table(shown)
    assert ["Ada person", "← knows →", "Bob person", "0.80", "0-3, 8-11"] in rows
    assert ["Bob person", "works for →", "Acme company", "0.70", "34-37, 48-52"] in rows


def test_answers_on_a_terminal_and_questions_without_any() -> None:
    shown = on_terminal(result("answers"))
    assert "[Ada](Q2) met [Bob](Q2) in [London](Q1)." in shown
    rows = table(shown)
    assert ["Q1 Where did they meet?", "London", "0.90", "15-21"] in rows
    assert ["Bob", "0.60", "8-11"] in rows
    assert ["Q3 What did it cost?", "the text does not say"] in rows


def test_triples_on_a_terminal_leave_empty_columns_out() -> None:
    rows = table(on_terminal(result("triples")))
    assert ["subject", "predicate", "object", "place", "score"] in rows
    assert ["Ada", "met", "Bob", "London", "0.75"] in rows


def test_classes_on_a_terminal_have_bars_as_long_as_their_scores() -> None:
    rows = table(on_terminal(result("classes")))
    assert ["people", "█" * 16, "0.80"] in rows
    assert ["weather", "█" * 4, "0.20"] in rows


def test_several_on_a_terminal_stand_under_their_names() -> None:
    lines = on_terminal(result("results")).splitlines()
    headings = [line.strip() for line in lines if line.strip() in ("who", "jobs", "inner.asked", "gist")]
    assert headings == ["who", "jobs", "inner.asked", "gist"]
    # One mark for what two tasks mark alike.
    assert lines[1].count("(person)") == 3


@pytest.mark.parametrize("key", KEYS)
def test_a_long_text_is_shown_by_what_was_found(key: str) -> None:
    shown = on_terminal(result(key, long=True))
    assert len(shown) < len(FILLER) * 3
    assert shown.count("happened") < 20


def test_relations_in_a_long_text_stand_in_context() -> None:
    shown = " ".join(on_terminal(result("relations", long=True), width=250).split())
    assert "… happened that day. Ada met Bob in London. It raine…" in shown
    assert "… London. It rained. Bob works for Acme.Nothing" in shown


@pytest.mark.parametrize("key", KEYS)
def test_colour_shows_the_same_words(key: str) -> None:
    coloured = on_terminal(result(key), colour=True)
    assert "\x1b[" in coloured
    words = set(re.sub(r"\x1b\[[0-9;]*m", "", coloured).split())
    plain = re.sub(r"[\[\]]|\(\w+\)", "", on_terminal(result(key)))
    assert {word for word in plain.split() if word.isalnum()} <= words


def test_control_characters_of_answers_and_names_stay_away() -> None:
    text = "a\x1bb c"
    task = Several(**{"x\x1b": Relations(["r\x1b"], ["t\x1b"])})
    ends = [Span(0, 3, text[:3], "t\x1b", 0.9), Span(4, 5, "c", "t\x1b", 0.9)]
    answer = {"x\x1b": [Relation(ends[0], ends[1], "r\x1b", 0.9)]}
    shown = on_terminal(Result(Record(text, "n\x1b"), task, answer))
    assert "\x1b" not in shown
    assert "a␛b" in shown and "r␛ →" in shown and "x␛" in shown


def test_questions_of_several_tasks_are_numbered_through() -> None:
    task = Several(a=QA(["Who?", "Where?"]), b=QA(["Where?", "When?"]), c=NER(["Q1"]))
    assert [(entry.name, entry.tag) for entry in entries(task)] == [
        ("Who?", "Q1"), ("Where?", "Q2"), ("When?", "Q3"), ("Q1", "Q1"),
    ]  # fmt: skip
    assert [entry.title for entry in entries(task)] == ["Q1 Who?", "Q2 Where?", "Q3 When?", "Q1"]


def test_the_legend_of_relations_has_the_types_of_given_spans() -> None:
    task = Relations(["near"], spans=[(0, 3, "person"), (8, 11)])
    assert [entry.name for entry in entries(task)] == ["person", "near"]


def test_what_counts_as_found() -> None:
    def found(key: str) -> list[list[str]]:
        one = result(key)
        return [list(part.shown.found) for part in parts(one.task, one.answer)]

    assert found("relations") == [["knows", "works for"]]
    assert found("answers") == [[ASKED.questions[0], ASKED.questions[1], ASKED.questions[1]]]
    assert found("triples") == [["triple", "triple"]]
    assert found("classes") == [["people"]]
    task = Classification(["a", "b", "c"], multi_label=True)
    scores = [ClassScore("a", 0.9), ClassScore("b", 0.6), ClassScore("c", 0.1)]
    assert parts(task, scores)[0].shown.found == ["a", "b"]


def test_marks_are_in_the_order_of_the_text_and_once() -> None:
    one = result("results")
    found = marks(parts(one.task, one.answer))
    assert len(found) == len({(mark.start, mark.end, mark.label) for mark in found})
    assert [mark.start for mark in found] == sorted(mark.start for mark in found)


def test_titles() -> None:
    assert [title(task) for task, _ in ANSWERS.values()] == [
        "Entities", "Relations", "Answers", "Triples", "Key sentences", "Classes", "Results",
    ]  # fmt: skip


def test_context_joins_overlapping_spans_and_shortens_long_gaps() -> None:
    text = "x" * 50 + TEXT[:22] + "y" * 300 + "Acme" + "z" * 50
    spans = [Span(50, 53, "Ada", "", 1.0), Span(52, 57, "a met", "", 1.0), Span(372, 376, "Acme", "", 1.0)]
    found = list(in_context(text, spans))
    assert [piece for piece, is_span in found if is_span] == ["Ada met", "Acme"]
    shown = "".join(piece for piece, _ in found)
    assert shown.startswith("…xxx") and shown.endswith("zzz…")
    assert " … " in shown and len(shown) < 200


def test_context_at_the_ends_of_a_text_has_no_ellipsis() -> None:
    assert "".join(piece for piece, _ in in_context(TEXT, [span("Ada"), span("Acme")])) == TEXT
