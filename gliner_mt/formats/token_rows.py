"""Entities on tokens in JSON or Arrow: GLiNER's own format, and sets of the library `datasets`.

The text is the tokens joined by single spaces, and offsets are characters of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gliner_mt.errors import InputError
from gliner_mt.formats.conll import TAG, tagged_example
from gliner_mt.formats.files import expecting, field, index, inside, json_file, json_value, string, strings
from gliner_mt.formats.items import Columns
from gliner_mt.formats.json_stream import Records, json_records, opening
from gliner_mt.formats.words import join_words
from gliner_mt.types import Entity, Example

if TYPE_CHECKING:
    import pyarrow as pa

GLINER = "an object with tokenized_text [word] and ner [[first word, last word, label]]"
DATASET = "a row with a list of tokens and a list of as many tags, names such as B-person or their numbers"

PARQUET = b"PAR1"  # how the files start
_SAVED = "a folder saved by datasets, with state.json and the Arrow files that it names"
_ROWS = 1_000


def gliner_example(record: dict[str, Any], columns: Columns) -> Example:
    """Return a text with its spans, whose last word is included.

    The types annotated in it are `ner_labels`, `ner_negatives` and those that occur, if one of the two is
    there.
    """
    joined = join_words(field(record, "tokenized_text", list))
    found = []
    for number, value in enumerate(field(record, "ner", list)):
        with inside(f"ner[{number}]"):
            first, last, label = value
            place = joined.characters(first, last + 1)
            found.append(Entity(place.start, place.end, string(label)))
    stated = [strings(record[name]) for name in ("ner_labels", "ner_negatives") if name in record]
    labels = {entity.label for entity in found}.union(*stated) if stated else ()
    return Example(joined.text, tuple(found), tuple(sorted(labels)))


@dataclass(frozen=True, slots=True)
class TaggedRow:
    """A row, and the tags that its numbers stand for; none if they are spelt out."""

    values: Any
    names: tuple[str, ...] = ()


def dataset_example(row: TaggedRow, columns: Columns) -> Example:
    """Return a row's tokens as a text with the entities that its tags mark."""
    tags = field(row.values, columns.tags, list)
    with inside(columns.tags):
        if row.names:
            tags = [row.names[index(tag, len(row.names))] for tag in tags]
        for tag in tags:
            if not TAG.fullmatch(string(tag)):
                raise ValueError(f"{tag!r} is no tag such as O or B-person")
    labels = {tag[2:] for tag in row.names if tag != "O"}
    return tagged_example(join_words(field(row.values, columns.tokens, list)), tags, tuple(sorted(labels)))


def dataset_rows(path: Path, columns: Columns) -> Records:
    """Yield the rows of a folder saved by `datasets`, of a Parquet file, or of JSON lines.

    Raises:
        InputError: they cannot be read, or pyarrow is needed and not there.
    """
    if not path.is_dir() and not opening(path).startswith(PARQUET):
        for record in json_records(path, DATASET):
            yield record if isinstance(record, InputError) else (record[0], TaggedRow(record[1]))
        return
    try:
        import pyarrow as pa
    except ImportError:
        raise InputError(f"{path} needs pyarrow to be read: pip install gliner_mt[parquet]") from None
    number = 0
    try:
        for batch in _saved_batches(path) if path.is_dir() else _parquet_batches(path):
            names = _tag_names(batch.schema, columns, str(path))
            for row in batch.select([columns.tokens, columns.tags]).to_pylist():
                number += 1
                yield f"{path}, row {number}", TaggedRow(row, names)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{path}, after row {number}: {error}; expected {_SAVED}, or a Parquet file."
        ) from error


def _saved_batches(folder: Path) -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa

    if (folder / "dataset_dict.json").is_file():
        splits = json_file(folder / "dataset_dict.json", _SAVED).get("splits", [])
        one = folder / splits[0] if splits else folder / "train"
        raise InputError(f"{folder} holds the splits {', '.join(splits)}; give one of them, such as {one}.")
    if not (folder / "state.json").is_file():
        raise InputError(f"{folder} is a folder; expected a file, or {_SAVED}.")
    state = json_file(folder / "state.json", _SAVED)
    with expecting(str(folder / "state.json"), _SAVED):
        files = [field(one, "filename", str) for one in field(state, "_data_files", list)]
    for name in files:
        with pa.memory_map(str(folder / name)) as source, pa.ipc.open_stream(source) as reader:
            yield from reader


def _parquet_batches(path: Path) -> "Iterator[pa.RecordBatch]":
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(batch_size=_ROWS)


def _tag_names(schema: "pa.Schema", columns: Columns, where: str) -> tuple[str, ...]:
    """Return the tags that a column's numbers stand for, as `datasets` writes them into the schema."""
    for column, option in ((columns.tokens, "--tokens-column"), (columns.tags, "--tags-column")):
        if column not in schema.names:
            present = ", ".join(schema.names)
            raise InputError(f"{where}: no column {column!r}; it has: {present}. Choose one with {option}.")
    features = json_value((schema.metadata or {}).get(b"huggingface", b"{}").decode(), where, "features")
    names = _class_names(features.get("info", {}).get("features", {}).get(columns.tags))
    if all(TAG.fullmatch(name) for name in names):
        return names
    # Types alone, without B- and I-: neighbours of one type are one entity.
    return tuple(name if name == "O" else f"I-{name}" for name in names)


def _class_names(feature: object) -> tuple[str, ...]:
    """Return the names of a feature's classes: a list of classes is written in several ways."""
    if isinstance(feature, list) and feature:
        return _class_names(feature[0])
    if isinstance(feature, dict):
        return tuple(feature["names"]) if "names" in feature else _class_names(feature.get("feature"))
    return ()
