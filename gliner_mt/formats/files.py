"""What all readers share: lines with their numbers, whole JSON files, and errors that name the place."""

import gzip
import json
import zlib
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from reprlib import repr as short
from types import MappingProxyType
from typing import Any, BinaryIO, TypeVar, cast

from gliner_mt.errors import InputError

NO_NAMES: Mapping[str, str] = MappingProxyType({})
UNREADABLE = (OSError, EOFError, zlib.error, UnicodeDecodeError)

_WRONG = (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError)
_KINDS = {str: "string", int: "whole number", list: "list", dict: "object"}
_NOT_UTF_8 = {
    b"\x1f\x8b": "it is gzipped: let its name end in .gz.",
    BOM_UTF16_LE: "it is UTF-16: save it as UTF-8.",
    BOM_UTF16_BE: "it is UTF-16: save it as UTF-8.",
}
T = TypeVar("T")


def open_bytes(path: Path) -> BinaryIO:
    """Open a file for reading, unpacked if it is gzipped (`.gz`). Raises InputError if there is none."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; expected a file of text, UTF-8, plain or gzipped.")
    if not path.is_file():
        raise InputError(f"there is no file {path}; expected one of text, UTF-8, plain or gzipped.")
    return cast(BinaryIO, gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def unreadable(path: Path, line: int, error: Exception) -> InputError:
    """Say that a file cannot be read: at a line that is no UTF-8, or beyond it."""
    if isinstance(error, UnicodeDecodeError):
        found = f"byte {error.object[error.start]:#04x} at {error.start} is no UTF-8"
        mend = next((mend for start, mend in _NOT_UTF_8.items() if error.object.startswith(start)), "")
        return InputError(f"{path}, line {line}: {found}; {mend or 'save the file as UTF-8.'}")
    return InputError(
        f"{path}, after line {line}: {error}; expected UTF-8 text, whole if gzipped. Fetch it again."
    )


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a UTF-8 file, plain or gzipped (`.gz`), with their numbers from 1.

    Raises:
        InputError: no such file, or one that cannot be read to its end.
    """
    number = 0
    try:
        with open_bytes(path) as lines:
            for number, line in enumerate(lines, start=1):
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UNREADABLE as error:
        raise unreadable(path, number, error) from error


def json_lines(path: Path, form: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each JSON object of a file of one a line, and where it stands; blank lines are left out.

    Raises:
        InputError: no such file, or a line that is no JSON object; the message says that `form` was expected.
    """
    for number, line in numbered_lines(path):
        if line.strip():
            where = f"{path}, line {number}"
            yield where, json_object(line, where, form)


def json_value(text: str, where: str, form: str) -> Any:  # noqa: ANN401 (what JSON holds is checked by its reader)
    """Return what a piece of JSON holds.

    Raises:
        InputError: it is no JSON; the message names the column, and says that `form` was expected.
    """
    text = text.rstrip()
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = f", line {error.lineno}" if "\n" in text else ""
        raise InputError(
            f"{where}{line}: broken JSON at column {error.colno} ({error.msg}); expected {form}."
        ) from error
    except RecursionError as error:
        raise InputError(f"{where}: the JSON is nested too deep; expected {form}.") from error


def json_object(line: str, where: str, form: str) -> dict[str, Any]:
    """Return the JSON object of a line. Raises InputError, as `json_value` does, if it is none."""
    value = json_value(line, where, form)
    if not isinstance(value, dict):
        raise InputError(f"{where}: a JSON {type(value).__name__}; expected {form}.")
    return value


def json_file(path: Path, form: str) -> Any:  # noqa: ANN401 (what JSON holds is checked by its reader)
    """Return what a file of one JSON value holds.

    Raises:
        InputError: no such file, or no JSON; the message says that `form` was expected.
    """
    return json_value("".join(line for _, line in numbered_lines(path)), str(path), form)


def json_list(path: Path, form: str) -> Iterator[tuple[str, Any]]:
    """Yield each element of a file of one JSON list, and where it stands, counted from 0.

    Raises:
        InputError: no such file, or no JSON list; the message says that `form` was expected.
    """
    values = json_file(path, form)
    with expecting(str(path), form):
        if not isinstance(values, list):
            raise TypeError(f"a JSON {type(values).__name__}")
    for number, value in enumerate(values):
        yield f"{path}, record {number}", value


@contextmanager
def expecting(where: str, form: str) -> Iterator[None]:
    """Turn what goes wrong in reading a record into an `InputError` that says where and what was expected."""
    try:
        yield
    except InputError:
        raise
    except _WRONG as error:
        raise InputError(f"{where}: {_reason(error)}; expected {form}.") from error


@contextmanager
def inside(name: str) -> Iterator[None]:
    """Add the name of a field to what goes wrong in reading it."""
    try:
        yield
    except _WRONG as error:
        raise ValueError(f"{name}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return f"no field {error}" if isinstance(error, KeyError) else str(error)


def field(record: object, name: str, kind: type[T]) -> T:
    """Return a field of a JSON object. Raises KeyError or TypeError if it is missing or of another kind."""
    if not isinstance(record, dict):
        raise TypeError(f"{short(record)} is no object")
    value = record[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{name} is {short(value)}, which is no {_KINDS[kind]}")
    return value


def string(value: object) -> str:
    """Return a value that has to be a string. Raises TypeError if it is none."""
    if not isinstance(value, str):
        raise TypeError(f"{short(value)} is no string")
    return value


def not_blank(value: object) -> str:
    """Return a value that has to be a string, and not a blank one. Raises TypeError or ValueError else."""
    if not string(value).strip():
        raise ValueError(f"{value!r} is blank")
    return string(value)


def names(values: object) -> tuple[str, ...]:
    """Return a list that has to be one of names, none blank. Raises TypeError or ValueError if it is none."""
    return tuple(not_blank(value) for value in strings(values))


def strings(values: object) -> tuple[str, ...]:
    """Return a list that has to be one of strings. Raises TypeError if it is none."""
    if not isinstance(values, list):
        raise TypeError(f"{short(values)} is no list")
    return tuple(string(value) for value in values)


def index(value: object, length: int) -> int:
    """Return a value that has to be an index into a list. Raises ValueError if it is none."""
    if type(value) is not int or not 0 <= value < length:
        raise ValueError(f"{value!r} is no index from 0 to {length - 1}")
    return value
