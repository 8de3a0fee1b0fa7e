"""Answers of every task as a page."""

import io
import re

import pytest
from html_pages import Page
from task_answers import ANSWERS, ASKED, FILLER, NOTHING, TEXT, result

from gliner_mt.html_page import HtmlPage
from gliner_mt.render import Result
from gliner_mt.sources import Record
from gliner_mt.tasks import QA, Classification, Relations, Several
from gliner_mt.types import Answer, ClassScore, Relation, Span

KEYS = list(ANSWERS)


def page(*results: Result) -> str:
    file = io.StringIO()
    sink = HtmlPage(file, results[0].task)
    for one in results:
        sink.write(one)
    sink.close()
    return file.getvalue()


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("long", [False, True])
def test_a_page_of_every_task_is_whole_and_needs_nothing_else(key: str, long: bool) -> None:
    html = page(result(key, long=long))
    parsed = Page(html)
    assert parsed.texts == [result(key, long=long).record.text]
    assert not re.search(r"url\(|@import|https?:|<script|<link|<img", html)
    assert html.endswith("</html>\n")


@pytest.mark.parametrize("key", KEYS)
def test_a_page_of_an_empty_text(key: str) -> None:
    html = page(Result(Record("", "empty.txt"), ANSWERS[key][0], NOTHING[key]))
    assert Page(html).texts == [""]
    assert "<small>nothing found</small>" in html
    assert "0 found in 1 text" in html


def test_relations_are_a_table_with_arrows() -> None:
    html = page(result("relations"))
    parsed = Page(html)
    assert parsed.rows[:3] == [
        ["Head", "Relation", "Tail", "Score", "Characters"],
        ["Ada", "knows", "Bob", "0.80", "0-3, 8-11"],
        ["Bob", "works for", "Acme", "0.70", "34-37, 48-52"],
    ]
    assert '<span class="arrow both">knows</span>' in html
    assert '<span class="arrow">works for</span>' in html
    # Marks in the text, then those in the table, with their types.
    assert parsed.marks == ["person", "person", "person", "company", "person", "person", "person", "company"]
    assert "2 relations" in html and "2 found in 1 text" in html


def test_the_box_of_a_relation_hides_its_rows() -> None:
    html = page(result("relations"))
    boxes = dict(re.findall(r'id="(l\d)" checked>([^<]+)<', html))
    assert list(boxes.values()) == ["person", "company", "works for", "knows"]
    by_name = {name: css for css, name in boxes.items()}
    assert Page(html).row_classes[1:3] == [by_name["knows"], by_name["works for"]]
    assert f"body:has(#{by_name['knows']}:not(:checked)) tr.{by_name['knows']}{{display:none}}" in html


def test_answers_are_marked_by_number_and_unanswered_questions_say_so() -> None:
    html = page(result("answers"))
    parsed = Page(html)
    assert parsed.rows[1:5] == [
        ["Q1 Where did they meet?", "London", "0.90", "15-21"],
        ["Q2 Who was it?", "Ada", "0.80", "0-3"],
        ["", "Bob", "0.60", "8-11"],
        ["Q3 What did it cost?", "the text does not say", "", ""],
    ]
    assert parsed.marks[:3] == ["Q2", "Q2", "Q1"]
    assert f'title="{ASKED.questions[1]}, score 0.80, characters 0 to 3"' in html


def test_triples_are_a_table_of_roles() -> None:
    parsed = Page(page(result("triples")))
    assert parsed.rows[:3] == [
        ["Subject", "Predicate", "Object", "Place", "Score"],
        ["Ada", "met", "Bob", "London", "0.75"],
        ["", "works for", "Acme", "", "0.60"],
    ]
    assert parsed.marks[:4] == ["subject", "predicate", "object", "place"]


def test_key_sentences_are_marked_without_a_tag() -> None:
    parsed = Page(page(result("summary")))
    assert parsed.marks == [None, None]
    assert parsed.rows[1] == ["Ada met Bob in London.", "0.90", "0-22"]


def test_classes_are_bars() -> None:
    html = page(result("classes"))
    assert Page(html).rows[1:3] == [["people", "", "0.80"], ["weather", "", "0.20"]]
    assert '<i style="width:80.0%"></i>' in html
    assert "<fieldset>" not in html


def test_several_stand_under_their_names_and_share_the_text() -> None:
    html = page(result("results"))
    assert re.findall("<h3>(.*)</h3>", html) == ["jobs", "inner.asked", "inner.about", "gist"]
    assert "<small>3 spans, 2 relations, 3 answers, 1 class, 1 sentence</small>" in html
    assert len(Page(html).texts) == 1


@pytest.mark.parametrize("key", [key for key in KEYS if key != "spans"])
def test_of_a_long_text_the_answer_comes_first_and_the_text_is_folded(key: str) -> None:
    html = page(result(key, long=True))
    assert html.index("<table>") < html.index("<details>") < html.index('<div class="text"')
    assert f"The text, {len(TEXT) + 2 * len(FILLER):,} characters" in html


def test_in_a_long_text_relations_have_their_context() -> None:
    parsed = Page(page(result("relations", long=True)))
    contexts = [row[0] for row, css in zip(parsed.rows, parsed.row_classes, strict=True) if "context" in css]
    assert contexts[0].startswith("…") and "Ada met Bob in London." in contexts[0]
    assert all(len(context) < 200 for context in contexts)


def test_several_with_entities_in_a_long_text_have_a_table_of_them() -> None:
    html = page(result("results", long=True))
    assert re.findall("<h3>(.*)</h3>", html)[0] == "who"


def test_everything_is_escaped() -> None:
    evil = '<b onclick="x">&'
    text = f"{evil} and {evil}\x1b."
    ends = [Span(0, len(evil), evil, evil, 0.9), Span(len(evil) + 5, len(text) - 1, evil + "\x1b", evil, 0.9)]
    task = Several(
        **{
            "<i>": Relations([evil], [evil]),
            "asked": QA(evil),
            "about": Classification([evil, "other"]),
        }
    )
    answer = {
        "<i>": [Relation(ends[0], ends[1], evil, 0.9)],
        "asked": [[Answer(0, len(evil), evil, 0.9)]],
        "about": [ClassScore(evil, 0.9), ClassScore("other", 0.1)],
    }
    for filler in ("", FILLER):
        html = page(Result(Record(text + filler, "<u>"), task, answer))
        parsed = Page(html)
        assert not parsed.tags & {"u"} and "<b onclick" not in html
        assert "\x1b" not in html
        assert parsed.texts == [text.replace("\x1b", "␛") + filler]


def test_relations_between_spans_without_a_type_have_no_tag() -> None:
    task = Relations(["near"], spans=[(0, 3), (8, 11)])
    ends = [Span(0, 3, "Ada", "", 1.0), Span(8, 11, "Bob", "", 1.0)]
    html = page(Result(Record(TEXT, "a.txt"), task, [Relation(ends[0], ends[1], "near", 0.9)]))
    parsed = Page(html)
    assert parsed.marks == [None, None]
    assert parsed.rows[1][:3] == ["Ada", "near", "Bob"]
