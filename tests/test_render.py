import io
import json
import math
import re
from collections.abc import Sequence

import pytest
from html_pages import Page
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from gliner_mt.html_page import HtmlPage
from gliner_mt.html_style import DARK, LIGHT, Theme, hue
from gliner_mt.render import Close, JsonArray, JsonLines, Open, Result, to_json, visible, walk
from gliner_mt.sources import Record
from gliner_mt.tasks import NER
from gliner_mt.terminal import TerminalView
from gliner_mt.types import Span

TEXT = "Ada saw London Bridge in London."
TASK = NER({"person": "a <human>", "place": "", "city": ""})


def spans(*found: tuple[int, int, str], text: str = TEXT) -> list[Span]:
    return [Span(start, end, text[start:end], label, 0.75) for start, end, label in found]


FOUND = spans((0, 3, "person"), (8, 21, "place"), (8, 14, "city"), (25, 31, "city"))


def result(
    text: str = TEXT, found: Sequence[Span] = FOUND, source: str = "a.txt", row: int | None = None
) -> Result:
    return Result(Record(text, source, row), TASK, found)


def marked(text: str, found: Sequence[Span]) -> str:
    shown = ""
    for piece in walk(text, found):
        if isinstance(piece, str):
            shown += piece
        elif isinstance(piece, Open):
            shown += "["
        else:
            shown += f"|{piece.span.label}]" if piece.last else "]"
    return shown


def test_walk_nests_and_cuts() -> None:
    assert marked(TEXT, FOUND) == "[Ada|person] saw [[London|city] Bridge|place] in [London|city]."
    assert marked("abcd", spans((0, 2, "x"), (0, 2, "y"), text="abcd")) == "[[ab|y]|x]cd"
    assert marked("abcd", spans((0, 3, "x"), (1, 4, "y"), text="abcd")) == "[a[bc]|x][d|y]"
    assert marked("", []) == ""


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 12), st.sampled_from("xyz")), max_size=8))
def test_walk_keeps_the_text_and_every_span(pairs: list[tuple[int, int, str]]) -> None:
    text = "0123456789abcdefghijklmnop"
    found = spans(*((start, start + width, label) for start, width, label in pairs), text=text)
    pieces = list(walk(text, found))
    assert "".join(piece for piece in pieces if isinstance(piece, str)) == text
    covered = {id(span): "" for span in found}
    inside: list[Span] = []
    for piece in pieces:
        if isinstance(piece, Open):
            inside.append(piece.span)
        elif isinstance(piece, Close):
            assert inside.pop() is piece.span
        else:
            for span in inside:
                covered[id(span)] += piece
    assert not inside
    assert [covered[id(span)] for span in found] == [span.text for span in found]


def test_json_lines_are_whole_and_exact() -> None:
    file = io.StringIO()
    sink = JsonLines(file)
    sink.write(result(row=3))
    sink.write(result("é\n\u2028", []))
    sink.close()
    first, second, rest = file.getvalue().split("\n")
    assert rest == ""
    assert json.loads(first) == {
        "source": "a.txt",
        "row": 3,
        "text": TEXT,
        "spans": [
            {"start": s.start, "end": s.end, "text": s.text, "label": s.label, "score": 0.75} for s in FOUND
        ],
    }
    assert "é" in second and json.loads(second)["text"] == "é\n\u2028"


def test_json_of_a_lone_surrogate_is_valid_utf8() -> None:
    line = to_json(result("\ud800 é", []))
    assert json.loads(line.encode())["text"] == "\ud800 é"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_json_array_is_valid_with_any_number_of_results(count: int) -> None:
    file = io.StringIO()
    sink = JsonArray(file)
    for _ in range(count):
        sink.write(result())
    sink.close()
    assert len(json.loads(file.getvalue())) == count


def on_terminal(*results: Result, colour: bool = True) -> str:
    file = io.StringIO()
    console = Console(
        file=file,
        force_terminal=colour,
        color_system="truecolor" if colour else None,
        width=100,
        highlight=False,
        legacy_windows=False,
        _environ={},
    )
    view = TerminalView(console, TASK)
    for one in results:
        view.write(one)
    view.close()
    return file.getvalue()


def test_terminal_shows_text_and_table_in_colour() -> None:
    shown = on_terminal(result())
    assert "\x1b[" in shown
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert "Ada person  saw London city  Bridge place  in London city ." in plain
    assert re.search(r"place +London Bridge +0.75 +8-21", plain)


def test_terminal_without_colour_marks_spans() -> None:
    shown = on_terminal(result(), result(source="text"), colour=False)
    assert shown.count("[Ada](person) saw [[London](city) Bridge](place) in [London](city).") == 2
    assert shown.count("a.txt") == 1
    assert "\x1b" not in shown


def test_terminal_sends_no_control_characters_of_the_text() -> None:
    found = spans((0, 5, "a\x1bb"), text="\x1b[31m\r\x9b")
    shown = on_terminal(result("\x1b[31m\r\x9b", found, source="a\x1b\n.txt"), colour=False)
    assert not set(shown) & {"\x1b", "\r", "\x9b"}
    assert "[␛[31m](a␛b)␍\ufffd" in shown


def test_terminal_shows_a_long_text_by_its_spans() -> None:
    text = "word " * 1000 + "Ada\n\nsaw " + "word " * 1000
    shown = on_terminal(result(text, spans((5000, 5003, "person"), text=text)), colour=False)
    assert len(shown) < 1000
    assert "word Ada saw word" in re.sub(r"\s+", " ", shown)


def test_terminal_says_when_nothing_is_found() -> None:
    assert "nothing found" in on_terminal(result("", []))


def test_visible_keeps_lines_and_tabs() -> None:
    assert visible("a\tb\r\nc\n\x00\x7f\x85\ud800é") == "a\tb\nc\n␀␡\ufffd\ufffdé"


def page(*results: Result) -> str:
    file = io.StringIO()
    sink = HtmlPage(file, TASK)
    for one in results:
        sink.write(one)
    sink.close()
    return file.getvalue()


def test_page_holds_texts_marks_legend_and_totals() -> None:
    html = page(result(), result("nothing", [], row=2))
    parsed = Page(html)
    assert parsed.texts == [TEXT, "nothing"]
    assert parsed.marks == ["person", "place", "city", "city"]
    assert html.count('type="checkbox" id="l') == len(TASK.labels)
    assert "4 found in 2 texts" in html
    assert re.search(r"<th>city</th><td>2</td>", html)
    assert 'title="a &lt;human&gt;"' in html
    assert "prefers-color-scheme:dark" in html
    assert "a.txt:2 <small>nothing found</small>" in html


def test_page_escapes_everything() -> None:
    text = "<script>alert('&amp;')</script>\x00\x1b\ud800\""
    found = spans((0, 8, '"><b>'), text=text)
    html = page(result(text, found, source="<i>.txt"))
    parsed = Page(html)
    assert parsed.texts == [visible(text)]
    assert parsed.marks == ['"><b>']
    assert not parsed.tags & {"script", "b"}
    html.encode("utf-8")


def test_page_needs_nothing_else() -> None:
    html = page(result())
    assert not re.search(r"url\(|@import|https?:|<script|<link|<img", html)


def test_page_without_results_is_a_page() -> None:
    assert "0 found in 0 texts" in page()


def luminance(colour: str | tuple[float, float], degrees: float) -> float:
    """Relative luminance (WCAG) of `#rrggbb`, or of OKLCH (lightness, chroma) at a hue, clipped to sRGB."""
    if isinstance(colour, str):
        coded = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in coded]
    else:
        lightness, chroma = colour
        a, b = chroma * math.cos(math.radians(degrees)), chroma * math.sin(math.radians(degrees))
        long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
        medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
        short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
        linear = [
            4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
            -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
            -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
        ]
    red, green, blue = (min(1.0, max(0.0, c)) for c in linear)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", [LIGHT, DARK])
@pytest.mark.parametrize(("front", "back"), [("ink", "mark"), ("on-tag", "tag")])
def test_text_on_every_hue_has_a_contrast_of_seven(theme: Theme, front: str, back: str) -> None:
    for degrees in range(360):
        dark, light = sorted((luminance(theme[front], 0), luminance(theme[back], degrees)))
        assert (light + 0.05) / (dark + 0.05) >= 7


def test_neighbouring_labels_have_hues_far_apart() -> None:
    hues = [hue(at) for at in range(8)]
    gaps = [abs((a - b + 180) % 360 - 180) for at, a in enumerate(hues) for b in hues[:at]]
    assert min(gaps) > 20
