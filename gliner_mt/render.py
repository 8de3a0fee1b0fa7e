"""Results as JSON lines, as one JSON array, and as highlighted text with a table for terminals."""

import heapq
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TextIO, final

from rich import box
from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from gliner_mt.sources import Record
from gliner_mt.types import Span

_DIGITS = 6
_SHOWN_WHOLE = 2000  # characters; a longer text is shown as its spans in their context
_CONTEXT = 40
_SPACES = re.compile(r"\s+")
_INK = "#1b1b1f"
_COLOURS = (
    "#8fd3fe", "#ffc78a", "#a8e6a1", "#f7b2d9", "#d6c1ff", "#ffe27a",
    "#8ee5d8", "#ffb3a7", "#c9de8b", "#b8c9ff", "#e9c9a5", "#dcdcdc",
)  # fmt: skip

# Control characters would move the cursor or end the colour of a terminal, and are no HTML.
_VISIBLE = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"}
_VISIBLE |= {0x7F: 0x2421} | dict.fromkeys([*range(0x80, 0xA0), *range(0xD800, 0xE000)], 0xFFFD)


@dataclass(frozen=True, slots=True)
class Result:
    """What was found in one text."""

    record: Record
    spans: Sequence[Span]

    @property
    def name(self) -> str:
        """Where the text came from: `notes.txt`, or `rows.csv:3`."""
        row = self.record.row
        return self.record.source if row is None else f"{self.record.source}:{row}"


class Sink(Protocol):
    """Where results go, one by one. `close` ends the output; it leaves the file open."""

    def write(self, result: Result) -> None:
        """Write one result, whole."""
        ...

    def close(self) -> None:
        """Write what comes after the last result."""
        ...


@dataclass(frozen=True, slots=True)
class Open:
    """Here a span starts, or goes on inside another one; `last` if the next `Close` is its end."""

    span: Span
    last: bool


@dataclass(frozen=True, slots=True)
class Close:
    """Here the span opened last ends, or is cut because the one around it ends; `last` if it ends."""

    span: Span
    last: bool


def walk(text: str, spans: Sequence[Span]) -> Iterator[str | Open | Close]:
    """Yield the text in pieces, with a properly nested `Open` and `Close` for every span."""
    position = 0
    inside: list[tuple[int, Close]] = []
    for start, end, opened in _nested(spans):
        while inside and inside[-1][0] <= start:
            stop, closed = inside.pop()
            yield text[position:stop]
            yield closed
            position = stop
        yield text[position:start]
        yield opened
        position = start
        inside.append((end, Close(opened.span, opened.last)))
    for stop, closed in reversed(inside):
        yield text[position:stop]
        yield closed
        position = stop
    yield text[position:]


def _nested(spans: Sequence[Span]) -> Iterator[tuple[int, int, Open]]:
    """Yield spans as (start, end, part), outer ones first; a span that crosses one is cut where that ends."""
    queue = [(span.start, -span.end, order, span) for order, span in enumerate(spans)]
    heapq.heapify(queue)
    ends: list[int] = []
    while queue:
        start, negative_end, order, span = heapq.heappop(queue)
        end = -negative_end
        while ends and ends[-1] <= start:
            ends.pop()
        cut = min(end, ends[-1]) if ends else end
        if cut < end:
            heapq.heappush(queue, (cut, negative_end, order, span))
        ends.append(cut)
        yield start, cut, Open(span, last=cut == end)


def visible(text: str) -> str:
    """Show control characters instead of sending them; line breaks and tabs stay."""
    return text.replace("\r\n", "\n").translate(_VISIBLE)


def to_json(result: Result) -> str:
    """Return a result as JSON on one line."""
    record = result.record
    spans = [
        {"start": s.start, "end": s.end, "text": s.text, "label": s.label, "score": round(s.score, _DIGITS)}
        for s in result.spans
    ]
    data = {"source": record.source, "row": record.row, "text": record.text, "spans": spans}
    line = json.dumps(data, ensure_ascii=False)
    try:
        line.encode("utf-8")
    except UnicodeEncodeError:  # a lone surrogate, or a file name that is not UTF-8
        return json.dumps(data)
    return line


@final
class JsonLines:
    """Writes a JSON object a line, each flushed whole."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, result: Result) -> None:
        """Write one line."""
        self._file.write(to_json(result) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Write nothing: the last line is the end."""


@final
class JsonArray:
    """Writes one JSON array, an element a line."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._before = "["

    def write(self, result: Result) -> None:
        """Write one element."""
        self._file.write(f"{self._before}\n{to_json(result)}")
        self._file.flush()
        self._before = ","

    def close(self) -> None:
        """Close the array."""
        self._file.write("[]\n" if self._before == "[" else "\n]\n")
        self._file.flush()


@final
class TerminalView:
    """Shows each text with its spans in colour, and a table of them below; `labels` decide the colours."""

    def __init__(self, console: Console, labels: Sequence[str]) -> None:
        self._console = console
        self._coloured = console.color_system is not None and not console.no_color
        self._colours = {label: _COLOURS[at % len(_COLOURS)] for at, label in enumerate(labels)}

    def write(self, result: Result) -> None:
        """Show one text."""
        text, spans = result.record.text, result.spans
        if result.record.source != "text" or result.record.row is not None:
            title = Text(visible(result.name).replace("\n", "␊"), style="bold")
            self._console.print(Rule(title, align="left", style="dim"))
        whole = len(text) <= _SHOWN_WHOLE
        if whole and text:
            self._console.print(self._highlighted(text, spans))
        if spans:
            self._console.print(self._table(text, spans, with_context=not whole))
        else:
            self._console.print(Text("nothing found\n", style="dim"))

    def close(self) -> None:
        """Show nothing more."""

    def _highlighted(self, text: str, spans: Sequence[Span]) -> Text:
        shown = Text()
        inside: list[str] = []
        for piece in walk(text, spans):
            if isinstance(piece, str):
                shown.append(visible(piece), style=inside[-1] if inside else "")
            elif isinstance(piece, Open):
                inside.append(self._style(piece.span.label))
                shown.append("" if self._coloured else "[")
            else:
                style = inside.pop()
                if not self._coloured:
                    shown.append(f"]({visible(piece.span.label)})" if piece.last else "]")
                elif piece.last:
                    shown.append(f" {visible(piece.span.label)} ", style=f"bold {style} reverse")
        return shown

    def _style(self, label: str) -> str:
        return f"{_INK} on {self._colours.get(label, _COLOURS[-1])}"

    def _table(self, text: str, spans: Sequence[Span], *, with_context: bool) -> Table:
        table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False)
        table.add_column("label", overflow="fold")
        table.add_column("text", overflow="fold")
        table.add_column("score", justify="right", no_wrap=True)
        table.add_column("characters", justify="right", style="dim", no_wrap=True)
        if with_context:
            table.add_column("context", overflow="fold")
        for span in spans:
            cells = [
                Text(
                    f" {visible(span.label)} " if self._coloured else visible(span.label),
                    self._style(span.label),
                ),
                Text(_one_line(span.text), style="bold"),
                Text(f"{span.score:.2f}"),
                Text(f"{span.start}-{span.end}"),
            ]
            table.add_row(*cells, *([_context(text, span)] if with_context else []))
        return table


def _context(text: str, span: Span) -> Text:
    before = text[max(0, span.start - _CONTEXT) : span.start]
    after = text[span.end : span.end + _CONTEXT]
    return Text.assemble(
        ("…" + _one_line(before), "dim"), (_one_line(span.text), "bold"), (_one_line(after) + "…", "dim")
    )


def _one_line(text: str) -> str:
    return visible(_SPACES.sub(" ", text))
