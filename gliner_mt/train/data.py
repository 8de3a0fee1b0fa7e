"""Annotated examples from files: one JSON object a line, plain or gzipped."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gliner_mt.errors import InputError
from gliner_mt.types import Entity, Example


def read_examples(path: Path) -> Iterator[Example]:
    """Yield the examples of a `.jsonl` or `.jsonl.gz` file.

    A record holds `text`, `entities` (objects with `start`, `end` in characters, end-exclusive, and `label`)
    and `labels`, the types annotated in this text; without `labels`, those of its entities.

    Raises:
        InputError: no such file, or a record that is not of this form; the line is named.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}; expected .jsonl or .jsonl.gz with one example a line.")
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield parse_example(line, f"{path}, line {number}")


def parse_example(line: str, where: str) -> Example:
    """Return the example of one JSON line.

    Raises:
        InputError: the line is no such record.
    """
    try:
        record: dict[str, Any] = json.loads(line)
        text = str(record["text"])
        entities = tuple(Entity(int(e["start"]), int(e["end"]), str(e["label"])) for e in record["entities"])
        labels = record.get("labels") or sorted({entity.label for entity in entities})
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{where}: {error!r}; expected an object with text, entities [{{start, end, label}}] and labels."
        ) from error
    for entity in entities:
        if not 0 <= entity.start < entity.end <= len(text):
            raise InputError(
                f"{where}: {entity} lies outside the text of {len(text)} characters; "
                "expected 0 <= start < end <= length, in characters."
            )
    return Example(text, entities, tuple(labels))
