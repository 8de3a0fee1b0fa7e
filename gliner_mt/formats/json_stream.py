"""Records of a JSON file, one at a time: JSON lines, or the elements of one JSON list of any length."""

import io
import json
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO, final

from gliner_mt.errors import InputError
from gliner_mt.formats.files import UNREADABLE, json_value, numbered_lines, open_bytes, unreadable

Records = Iterator[tuple[str, Any] | InputError]
"""Values and where each of them stands; an error for a record that has to be left out."""

_CHUNK = 1 << 16
_SPACE = re.compile(r"[ \t\r\n]*")
_LONGEST_CUT = 16  # a name or an escape that the end of what is read cuts is told at its start


def json_records(path: Path, form: str) -> Records:
    """Yield the records of JSON lines or of one JSON list; a broken line is an error among them.

    A list whose first element is a string is itself a record, one a line.

    Raises:
        InputError: no such file, one that cannot be read to its end, or a list that is broken.
    """
    if holds_list(path):
        for number, (line, value) in enumerate(_Elements(path, form), start=1):
            yield f"{path}, line {line} (record {number})", value
        return
    for number, text in numbered_lines(path):
        if text.strip():
            where = f"{path}, line {number}"
            try:
                value = json_value(text, where, form)
            except InputError as error:
                yield error
            else:
                yield where, value


def holds_list(path: Path) -> bool:
    """Say whether a file is one JSON list of records, not one record a line."""
    head = opening(path).decode("utf-8-sig", errors="ignore").lstrip()
    return head.startswith("[") and not head[1:].lstrip().startswith('"')


def opening(path: Path) -> bytes:
    """Return how a file starts. Raises InputError if it cannot be read."""
    try:
        with open_bytes(path) as stream:
            return stream.read(_CHUNK)
    except UNREADABLE as error:
        raise unreadable(path, 0, error) from error


@final
class _Elements:
    """The elements of one JSON list, each with its line; no more of it is held than one of them needs."""

    def __init__(self, path: Path, form: str) -> None:
        self._path = path
        self._form = form
        self._decode = json.JSONDecoder().raw_decode
        self._text = ""
        self._at = 0
        self._line = 1
        self._dropped = 0

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        try:
            with (
                open_bytes(self._path) as raw,
                io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as stream,
            ):
                self._skip("[", stream)
                more = self._next(stream) != "]"
                while more:
                    self._next(stream)
                    yield self._line, self._value(stream)
                    more = self._skip(",]", stream) == ","
        except UNREADABLE as error:
            deque(numbered_lines(self._path), maxlen=0)  # it names the line of what is no UTF-8
            raise unreadable(self._path, self._line, error) from error

    def _next(self, stream: TextIO) -> str:
        """Go to the next visible character and return it, "" at the end."""
        while True:
            self._forward(_SPACE.match(self._text, self._at).end())  # type: ignore[union-attr]
            if self._at < len(self._text) or not self._read(stream):
                return self._text[self._at : self._at + 1]

    def _skip(self, marks: str, stream: TextIO) -> str:
        mark = self._next(stream)
        if not mark or mark not in marks:
            raise self._broken(self._at, f"Expecting one of {marks!r}")
        self._forward(self._at + 1)
        return mark

    def _value(self, stream: TextIO) -> Any:  # noqa: ANN401 (what JSON holds is checked by its reader)
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except json.JSONDecodeError as error:
                broken = self._broken(error.pos, error.msg)
                cut = error.msg.startswith("Unterminated") or error.pos + _LONGEST_CUT > len(self._text)
                if not cut or not self._read(stream):
                    raise broken from error
            except RecursionError as error:
                raise self._broken(self._at, "nested too deep") from error
            else:
                self._forward(end)
                return value

    def _forward(self, to: int) -> None:
        self._line += self._text.count("\n", self._at, to)
        self._at = to

    def _read(self, stream: TextIO) -> bool:
        """Read as much again as is held, so that a long element is not parsed too often."""
        self._dropped += self._at
        self._text = self._text[self._at :]
        self._at = 0
        more = stream.read(max(_CHUNK, len(self._text)))
        self._text += more
        return bool(more)

    def _broken(self, at: int, message: str) -> InputError:
        line = self._line + self._text.count("\n", self._at, at)
        return InputError(
            f"{self._path}, line {line}: broken JSON at character {self._dropped + at} of the file "
            f"({message}); expected a list of which each element is {self._form}."
        )
