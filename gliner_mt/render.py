"""Results as JSON lines and as one JSON array; and what all views of a marked text share."""

import heapq
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TextIO, final

from gliner_mt.shown import key, plain
from gliner_mt.sources import Record
from gliner_mt.task_values import AnyTask
from gliner_mt.types import Span

FILE_WIDTH = 160  # columns of a report's tables where there is no terminal
SHOWN_WHOLE = 2000  # characters; of a longer text, what was found in it is shown first, in its context
_CONTEXT = 40
_BESIDE_PAIR = 20
_LONGEST_GAP = 100
_SPACES = re.compile(r"\s+")

# Control characters would move the cursor or end the colour of a terminal, and are no HTML.
_VISIBLE = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"}
_VISIBLE |= {0x7F: 0x2421} | dict.fromkeys([*range(0x80, 0xA0), *range(0xD800, 0xE000)], 0xFFFD)


@dataclass(frozen=True, slots=True)
class Result:
    """What was asked of one text, and its answer."""

    record: Record
    task: AnyTask
    answer: Any

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


def one_line(text: str) -> str:
    """Show a text on one line."""
    return visible(_SPACES.sub(" ", text))


def in_context(text: str, spans: Sequence[Span]) -> Iterator[tuple[str, bool]]:
    """Yield the line around `spans` in pieces, and whether each is in one of them; long gaps are left out."""
    places = _joined(spans)
    around = _CONTEXT if len(places) == 1 else _BESIDE_PAIR
    position = max(0, places[0][0] - around)
    stop = min(len(text), places[-1][1] + around)
    yield "…" if position else "", False
    for start, end in places:
        yield _shortened(text[position:start]), False
        yield one_line(text[start:end]), True
        position = end
    yield one_line(text[position:stop]), False
    yield "…" if stop < len(text) else "", False


def _joined(spans: Sequence[Span]) -> list[tuple[int, int]]:
    """Return the places of spans in the order of the text; those that overlap are one."""
    places: list[tuple[int, int]] = []
    for start, end in sorted((span.start, span.end) for span in spans):
        if places and start < places[-1][1]:
            places[-1] = (places[-1][0], max(end, places[-1][1]))
        else:
            places.append((start, end))
    return places


def _shortened(gap: str) -> str:
    whole = one_line(gap)
    return whole if len(whole) <= _LONGEST_GAP else f"{whole[:_CONTEXT]} … {whole[-_CONTEXT:]}"


def to_json(result: Result) -> str:
    """Return a result as JSON on one line."""
    record, task = result.record, result.task
    data = {"source": record.source, "row": record.row, "text": record.text}
    data[key(task)] = plain(task, result.answer)
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
