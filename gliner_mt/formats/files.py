"""What all readers share: lines with their numbers, whole JSON files, and errors that name the place."""

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gliner_mt.errors import InputError

NO_NAMES: Mapping[str, str] = MappingProxyType({})


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a UTF-8 file, plain or gzipped (`.gz`), with their numbers from 1.

    Raises:
        InputError: no such file, or one that cannot be read to its end.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}; expected one of text, UTF-8, plain or gzipped.")
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}, after line {number}: {error}; expected UTF-8 text, whole if gzipped. Fetch it again."
        ) from error


def json_lines(path: Path, form: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each JSON object of a file of one a line, and where it stands; blank lines are left out.

    Raises:
        InputError: no such file, or a line that is no JSON object; the message says that `form` was expected.
    """
    for number, line in numbered_lines(path):
        if line.strip():
            where = f"{path}, line {number}"
            with expecting(where, form):
                record = json.loads(line)
                if not isinstance(record, dict):
                    raise TypeError(f"a JSON {type(record).__name__}")
            yield where, record


def json_file(path: Path, form: str) -> Any:  # noqa: ANN401 (what JSON holds is checked by its reader)
    """Return what a file of one JSON value holds.

    Raises:
        InputError: no such file, or no JSON; the message says that `form` was expected.
    """
    content = "".join(line for _, line in numbered_lines(path))
    with expecting(str(path), form):
        return json.loads(content)


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
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{where}: {error!r}; expected {form}.") from error


def string(value: object) -> str:
    """Return a value that has to be a string. Raises TypeError if it is none."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no string")
    return value


def strings(values: object) -> tuple[str, ...]:
    """Return a list that has to be one of strings. Raises TypeError if it is none."""
    if not isinstance(values, list):
        raise TypeError(f"{values!r} is no list")
    return tuple(string(value) for value in values)


def index(value: object, length: int) -> int:
    """Return a value that has to be an index into a list. Raises ValueError if it is none."""
    if type(value) is not int or not 0 <= value < length:
        raise ValueError(f"{value!r} is no index from 0 to {length - 1}")
    return value
