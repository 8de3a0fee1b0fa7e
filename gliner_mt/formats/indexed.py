"""Examples that stay on disk: JSON lines as a sequence, of which only the places of the lines are held."""

import os
import shutil
import tempfile
import weakref
from array import array
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar, final, overload

from gliner_mt.errors import InputError
from gliner_mt.formats.files import UNREADABLE, numbered_lines, open_bytes, unreadable

_BLOCK = 1 << 20  # bytes read at a time to count lines

ExampleT = TypeVar("ExampleT")


@final
class ExampleFile(Sequence[ExampleT]):
    """The examples of a `.jsonl` file, each read when it is asked for; 8 bytes of memory for one.

    `parse` makes one of a line and of the words for where that stands, such as `parse_example`.

    What is gzipped (`.gz`) cannot be read from its middle, so it is unpacked into a temporary file, which
    goes when this object does. The file must not change meanwhile. Copies in other processes may read it too.

    Raises:
        InputError: no such file, or one that cannot be read; on access, a line that is no example, named with
            its number and column.
    """

    def __init__(self, path: str | Path, parse: Callable[[str, str], ExampleT]) -> None:
        self._parse = parse
        self.path = Path(path)
        self._plain = self.path
        if self.path.suffix == ".gz":
            self._plain = _unpacked(self.path)
            weakref.finalize(self, _remove, self._plain, os.getpid())
        self._starts = _line_starts(self._plain)

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> ExampleT: ...

    @overload
    def __getitem__(self, index: slice) -> list[ExampleT]: ...

    def __getitem__(self, index: int | slice) -> ExampleT | list[ExampleT]:
        if isinstance(index, slice):
            return [self._read(start) for start in self._starts[index]]
        return self._read(self._starts[index])

    def __iter__(self) -> Iterator[ExampleT]:
        for number, line in numbered_lines(self._plain):
            if line.strip():
                yield self._parse(line, f"{self.path}, line {number}")

    def _read(self, start: int) -> ExampleT:
        # Opened anew each time, the file is no state that processes could share and move.
        with self._plain.open("rb") as file:
            file.seek(start)
            raw = file.readline()
        try:
            line = raw.decode("utf-8" if start else "utf-8-sig")
            return self._parse(line, str(self.path))
        except UnicodeDecodeError as error:
            raise unreadable(self.path, self._number(start), error) from error
        except InputError:
            return self._parse(line, f"{self.path}, line {self._number(start)}")

    def _number(self, start: int) -> int:
        """Return the number of the line that starts at a byte: blank ones count, and are not held."""
        with self._plain.open("rb") as file:
            blocks = [_BLOCK] * (start // _BLOCK) + [start % _BLOCK]
            return 1 + sum(file.read(size).count(b"\n") for size in blocks)


def _line_starts(path: Path) -> "array[int]":
    starts, at = array("Q"), 0
    with open_bytes(path) as lines:
        for line in lines:
            if (line if at else line.removeprefix(BOM_UTF8)).strip():
                starts.append(at)
            at += len(line)
    return starts


def _unpacked(path: Path) -> Path:
    with open_bytes(path) as packed, tempfile.NamedTemporaryFile(suffix=".jsonl", delete=False) as plain:
        try:
            shutil.copyfileobj(packed, plain)
        except UNREADABLE as error:
            _remove(Path(plain.name), os.getpid())
            raise unreadable(path, 0, error) from error
    return Path(plain.name)


def _remove(path: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked copy ends before the run does
        path.unlink(missing_ok=True)
