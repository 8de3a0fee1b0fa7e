"""Annotated examples from files: one JSON object a line, plain or gzipped."""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gliner_mt.errors import InputError
from gliner_mt.types import Entity, Example

_EXPECTED = "expected an object with text, entities [{start, end, label}] and labels [name]"


def read_examples(path: Path) -> Iterator[Example]:
    """Yield the examples of a `.jsonl` or `.jsonl.gz` file.

    A record holds `text`, `entities` (objects with `start`, `end` in characters, end-exclusive, and `label`)
    and `labels`, the types annotated in this text; without `labels`, those of its entities.

    Raises:
        InputError: no such file, or a record that is not of this form; the line is named.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}; expected .jsonl or .jsonl.gz with one example a line.")
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield parse_example(line.decode("utf-8"), f"{path}, line {number}")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}, after line {number}: {error}; expected UTF-8 text, whole if gzipped. Fetch it again."
        ) from error


def parse_example(line: str, where: str) -> Example:
    """Return the example of one JSON line.

    Raises:
        InputError: the line is no such record.
    """
    try:
        record: dict[str, Any] = json.loads(line)
        text, labels = record["text"], record.get("labels") or []
        entities = tuple(Entity(e["start"], e["end"], e["label"]) for e in record["entities"])
        strings = (text, *labels, *(entity.label for entity in entities))
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{where}: {error!r}; {_EXPECTED}.") from error
    if not isinstance(labels, list) or not all(isinstance(value, str) for value in strings):
        raise InputError(f"{where}: the text or a label is no string, or labels no list; {_EXPECTED}.")
    for entity in entities:
        whole = type(entity.start) is int and type(entity.end) is int
        if not whole or not 0 <= entity.start < entity.end <= len(text):
            raise InputError(
                f"{where}: {entity} lies outside the text of {len(text)} characters; "
                "expected whole numbers, 0 <= start < end <= length, in characters."
            )
    return Example(text, entities, tuple(labels or sorted({entity.label for entity in entities})))
