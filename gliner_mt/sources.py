"""Texts from the inputs of a command, read lazily: arguments, stdin and files of texts or of rows.

A reader yields a `Record` for each text. It yields an `InputError` for a row it has to leave out, and raises
one when it cannot go on.
"""

import csv
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, final

from gliner_mt.errors import InputError

STDIN = "-"
_BOM = b"\xef\xbb\xbf"
_PARQUET_ROWS = 256
_CSV_FIELD_LIMIT = 2**31 - 1  # the largest that a C long holds everywhere; the default refuses long texts


@dataclass(frozen=True, slots=True)
class Record:
    """One text to read, and where it came from.

    `row` counts from 1: the line of a .jsonl file or of an input read by lines, the data row of a .csv or
    .parquet file; None for an input that is one text. `size` is the number of bytes read for it.
    """

    text: str
    source: str
    row: int | None = None
    size: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """How files are read: the column that holds the text, and whether plain text is one text a line."""

    text_column: str = "text"
    lines: bool = False


Records = Iterator[Record | InputError]


@dataclass(frozen=True, slots=True)
class Source:
    """One input: its name, its size in bytes if known, and its reader. `path` is None unless it is a file."""

    name: str
    read: Callable[[Reading], Records]
    size: int | None = None
    path: str | None = None


def find_sources(
    inputs: Sequence[str], texts: Sequence[str], stdin: BinaryIO, *, piped: bool
) -> list[Source | InputError]:
    """Say what each input is, without reading any: a file, stdin ("-"), or the text itself.

    A single input that is no file and does not look like one is a text. `texts` are texts whatever they look
    like. Where stdin is `piped`, it is read if nothing else is given.
    """
    found: list[Source | InputError] = []
    for number, text in enumerate(texts, start=1):
        found.append(_text_source(text, number if len(texts) > 1 else None))
    for name in [STDIN] if piped and not inputs and not texts else inputs:
        if name == STDIN:
            found.append(Source("stdin", partial(_plain_records, stdin, "stdin")))
        elif os.path.exists(name) or len(inputs) > 1 or _looks_like_a_path(name):
            found.append(_file_source(name))
        else:
            found.append(_text_source(name, None))
    return found


def read_sources(sources: Sequence[Source | InputError], reading: Reading) -> Records:
    """Yield the records of all inputs in order, and an `InputError` for every input or row left out."""
    for source in sources:
        if isinstance(source, InputError):
            yield source
            continue
        try:
            yield from source.read(reading)
        except InputError as error:
            yield error
        except OSError as error:
            yield InputError(f"cannot read {source.name}: {error.strerror or error}.")


def _text_source(text: str, row: int | None) -> Source:
    return Source("text", lambda _: iter([Record(text, "text", row)]), size=0)


def _looks_like_a_path(name: str) -> bool:
    return _suffix(name) in _READERS or (os.sep in name and not any(char.isspace() for char in name))


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _file_source(name: str) -> Source | InputError:
    if os.path.isdir(name):
        return InputError(f"{name} is a folder; expected files, for example {os.path.join(name, '*.txt')}.")
    if not os.path.exists(name):
        return InputError(f"there is no file {name!r}; to read it as a text, quote it whole and use --text.")
    reader = _READERS.get(_suffix(name))
    if reader is None:
        kinds = ", ".join(_READERS)
        return InputError(f"{name} is not a {kinds} file; to read it as plain text, use: - < {name}")
    return Source(name, partial(reader, name, name), size=os.path.getsize(name), path=name)


def _read_plain(path: str, name: str, reading: Reading) -> Records:
    with open(path, "rb") as file:
        yield from _plain_records(file, name, reading)


def _plain_records(stream: BinaryIO, name: str, reading: Reading) -> Records:
    if not reading.lines:
        content = stream.read()
        yield Record(_decode(content, name, 0), name, size=len(content))
        return
    lines = _Lines(stream)
    for raw in lines:
        try:
            text = _decode(raw, name, lines.offset)
        except InputError as error:
            yield error
        else:
            yield Record(text.removesuffix("\n").removesuffix("\r"), name, lines.number, len(raw))


def _read_jsonl(path: str, name: str, reading: Reading) -> Records:
    with open(path, "rb") as file:
        lines = _Lines(file)
        for raw in lines:
            if not raw.strip():
                continue
            try:
                text = _json_text(_decode(raw, name, lines.offset), f"{name}, line {lines.number}", reading)
            except InputError as error:
                yield error
            else:
                yield Record(text, name, lines.number, len(raw))


def _json_text(line: str, where: str, reading: Reading) -> str:
    try:
        row = json.loads(line.rstrip())
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: broken JSON at column {error.colno} ({error.msg}).") from None
    except RecursionError:
        raise InputError(f"{where}: the JSON is nested too deep.") from None
    if not isinstance(row, dict):
        raise InputError(f'{where}: a JSON {type(row).__name__}; expected an object such as {{"text": "…"}}.')
    if reading.text_column not in row:
        raise _missing_column(where, reading.text_column, list(row))
    return _checked_text(row[reading.text_column], where, reading)


def _read_csv(path: str, name: str, reading: Reading) -> Records:
    csv.field_size_limit(_CSV_FIELD_LIMIT)
    with open(path, "rb") as file:
        lines = _Lines(file)
        rows = csv.reader((_decode(raw, name, lines.offset) for raw in lines), strict=True)
        try:
            header = next(rows, None)
            if header is None:
                raise InputError(
                    f"{name} is empty; expected a header row with a column {reading.text_column!r}."
                )
            if reading.text_column not in header:
                raise _missing_column(name, reading.text_column, header)
            yield from _csv_records(rows, lines, name, header.index(reading.text_column))
        except csv.Error as error:
            raise InputError(f"{name}, line {lines.number}: broken CSV ({error}).") from None


def _csv_records(rows: Iterator[list[str]], lines: "_Lines", name: str, column: int) -> Records:
    number, done = 0, lines.end
    for cells in rows:
        if not cells:
            continue  # a blank line
        number += 1
        if column < len(cells):
            yield Record(cells[column], name, number, lines.end - done)
        else:
            yield InputError(
                f"{name}, line {lines.number}: {len(cells)} cells; the text is expected in cell {column + 1}."
            )
        done = lines.end


def _read_parquet(path: str, name: str, reading: Reading) -> Records:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise InputError(f"{name} needs pyarrow to be read: pip install gliner_mt[parquet]") from None
    column = reading.text_column
    try:
        with pq.ParquetFile(path) as file:
            columns = file.schema_arrow.names
            if column not in columns:
                raise _missing_column(name, column, columns)
            size = os.path.getsize(path) / max(1, file.metadata.num_rows)
            number = 0
            for batch in file.iter_batches(batch_size=_PARQUET_ROWS, columns=[column]):
                for value in batch.column(0).to_pylist():
                    number += 1
                    yield _parquet_record(value, Record("", name, number, round(size)), reading)
    except pa.ArrowException as error:
        raise InputError(f"cannot read {name} as parquet: {error}") from None


def _parquet_record(value: object, blank: Record, reading: Reading) -> Record | InputError:
    try:
        text = _checked_text(value, f"{blank.source}, row {blank.row}", reading)
    except InputError as error:
        return error
    return Record(text, blank.source, blank.row, blank.size)


def _checked_text(value: object, where: str, reading: Reading) -> str:
    if isinstance(value, str):
        return value
    kind = "null" if value is None else f"a {type(value).__name__}"
    raise InputError(f"{where}: column {reading.text_column!r} holds {kind}; expected a string.")


def _missing_column(where: str, column: str, columns: Sequence[str]) -> InputError:
    present = ", ".join(columns) or "none"
    return InputError(f"{where}: no column {column!r}; it has: {present}. Choose one with --text-column.")


def _decode(raw: bytes, name: str, offset: int) -> str:
    """Decode UTF-8 that starts at byte `offset` of an input; a byte order mark at its head is no text."""
    body = raw.removeprefix(_BOM) if offset == 0 else raw
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        at = offset + len(raw) - len(body) + error.start
        raise InputError(
            f"{name} is not UTF-8: byte 0x{body[error.start]:02x} at offset {at}; convert it, for example "
            f"with iconv -f latin1 -t utf-8."
        ) from None


@final
class _Lines:
    """The lines of a stream, the number of the last one (from 1) and the bytes where it starts and ends."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.number = 0
        self.offset = 0
        self.end = 0

    def __iter__(self) -> Iterator[bytes]:
        for raw in self._stream:
            self.number += 1
            self.offset = self.end
            self.end += len(raw)
            yield raw


_READERS: dict[str, Callable[[str, str, Reading], Records]] = {
    ".txt": _read_plain,
    ".md": _read_plain,
    ".jsonl": _read_jsonl,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
