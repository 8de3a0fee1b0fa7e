"""Annotated examples and plain texts from files: one JSON object a line, plain or gzipped."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gliner_mt.errors import InputError
from gliner_mt.formats.files import numbered_lines
from gliner_mt.types import Entity, Example

_EXPECTED = "expected an object with text, entities [{start, end, label}] and labels [name]"


def read_examples(path: Path) -> Iterator[Example]:
    """Yield the examples of a `.jsonl` or `.jsonl.gz` file.

    A record holds `text`, `entities` (objects with `start`, `end` in characters, end-exclusive, and `label`)
    and `labels`, the types annotated in this text; without `labels`, those of its entities.

    Raises:
        InputError: no such file, or a record that is not of this form; the line is named.
    """
    for number, line in numbered_lines(path):
        if line.strip():
            yield parse_example(line, f"{path}, line {number}")


def read_texts(path: Path, column: str = "text") -> Iterator[str]:
    """Yield the texts of a file, plain or gzipped: a `.txt` or `.md` is one, a `.jsonl` has one in each line.

    Raises:
        InputError: no such file, one of another kind, or a line without a text; the line is named.
    """
    kind = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if kind in (".txt", ".md"):
        yield "".join(line for _, line in numbered_lines(path))
        return
    if kind != ".jsonl":
        raise InputError(f"{path} is no .txt, .md or .jsonl file, nor one of them gzipped; convert it.")
    for number, line in numbered_lines(path):
        if line.strip():
            yield _text(line, column, f"{path}, line {number}")


def _text(line: str, column: str, where: str) -> str:
    try:
        text = json.loads(line)[column]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(f"{where}: {error!r}; expected an object with a text in {column!r}.") from error
    if not isinstance(text, str):
        raise InputError(f"{where}: {column!r} holds {text!r}; expected a string.")
    return text


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
