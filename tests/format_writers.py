"""Examples written as other tools write them."""

import json
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st
from texts import any_text

from gliner_mt.formats.records import entity_record
from gliner_mt.formats.words import join_words
from gliner_mt.types import Entity, Example

Writer = Callable[[Path, list[Example]], Path]
LABELS = ("city", "person")
TAGS = ["O", "B-person", "I-person", "B-city", "I-city"]
ADA = Example("Ada Lovelace saw Paris", (Entity(0, 12, "person"), Entity(17, 22, "city")), LABELS)
WOW = Example("# wow", (), LABELS)


def spread(draw: Any, count: int) -> list[tuple[int, int, str]]:  # noqa: ANN401 (hypothesis)
    """Draw ranges of `count` things that do not overlap, with a label each."""
    cuts = sorted(draw(st.sets(st.integers(0, count), max_size=6)))
    return [(a, b, draw(st.sampled_from(LABELS))) for a, b in pairwise(cuts) if draw(st.booleans())]


@st.composite
def free_examples(draw: Any) -> Example:  # noqa: ANN401 (hypothesis)
    """Draw any text with spans at any of its characters."""
    text = draw(any_text)
    return Example(text, tuple(Entity(*one) for one in spread(draw, len(text))), LABELS)


@st.composite
def word_examples(draw: Any) -> Example:  # noqa: ANN401 (hypothesis)
    """Draw words joined by spaces, with spans of whole words."""
    letters = st.characters(exclude_categories=("Cs",), exclude_characters=" \t\r\n")
    words = draw(st.lists(st.text(letters, min_size=1, max_size=4), min_size=1, max_size=8))
    joined = join_words(words)
    places = [(joined.characters(a, b), label) for a, b, label in spread(draw, len(words))]
    return Example(joined.text, tuple(Entity(at.start, at.end, label) for at, label in places), LABELS)


def words_of(example: Example) -> tuple[list[str], list[tuple[int, int, str]]]:
    """Return the words of an example, and its spans as first word, last word and label."""
    words = example.text.split(" ")
    starts = [at.start for at in join_words(words).words]
    return words, [
        (starts.index(e.start), example.text[: e.end].count(" "), e.label) for e in example.entities
    ]


def tags_of(example: Example) -> list[str]:
    words, spans = words_of(example)
    tags = ["O"] * len(words)
    for first, last, label in spans:
        tags[first : last + 1] = [f"B-{label}", *[f"I-{label}"] * (last - first)]
    return tags


def as_lines(record: Callable[[Example], Any], path: Path, examples: list[Example]) -> Path:
    path.write_text("\n".join(json.dumps(record(one)) for one in examples) + "\n", encoding="utf-8")
    return path


def as_list(record: Callable[[Example], Any], path: Path, examples: list[Example]) -> Path:
    path.write_text(json.dumps([record(one) for one in examples], indent=1), encoding="utf-8")
    return path


def spans_of(example: Example) -> list[dict[str, Any]]:
    return [{"start": e.start, "end": e.end, "label": e.label} for e in example.entities]


def task_of_label_studio(example: Example) -> dict[str, Any]:
    result = [
        {
            "type": "labels",
            "from_name": "label",
            "value": {
                "start": e.start,
                "end": e.end,
                "text": example.text[e.start : e.end].replace("\n", "\\n"),
                "labels": [e.label],
            },
        }
        for e in example.entities
    ]
    return {"id": 1, "data": {"text": example.text}, "annotations": [{"result": result}], "predictions": []}


def task_of_prodigy(example: Example) -> dict[str, Any]:
    return {"text": example.text, "spans": spans_of(example), "answer": "accept", "_input_hash": 1}


def tuple_of_spacy(example: Example) -> list[Any]:
    return [example.text, {"entities": [[e.start, e.end, e.label] for e in example.entities]}]


def record_of_gliner(example: Example) -> dict[str, Any]:
    words, spans = words_of(example)
    return {"tokenized_text": words, "ner": [list(span) for span in spans]}


def row_of_datasets(example: Example) -> dict[str, Any]:
    return {"id": "0", "tokens": example.text.split(" "), "ner_tags": tags_of(example)}


def columns(path: Path, examples: list[Example]) -> Path:
    sentences = [
        "".join(f"{word}\t{tag}\n" for word, tag in zip(one.text.split(" "), tags_of(one), strict=True))
        for one in examples
    ]
    path.write_bytes("\n".join(["-DOCSTART- O\n", *sentences]).encode())
    return path


def table_of(examples: list[Example], names: list[str]) -> pa.Table:
    """Return the table that `datasets` makes of tokens and of tags that are classes."""
    feature = {"feature": {"names": names, "_type": "ClassLabel"}, "_type": "Sequence"}
    info = {"info": {"features": {"ner_tags": feature}}}
    rows = [row_of_datasets(one) for one in examples]
    rows = [row | {"ner_tags": [names.index(tag) for tag in row["ner_tags"]]} for row in rows]
    table = pa.Table.from_pylist(rows) if rows else pa.table({"tokens": [], "ner_tags": []})
    return table.replace_schema_metadata({"huggingface": json.dumps(info)})


def parquet(path: Path, examples: list[Example]) -> Path:
    pq.write_table(table_of(examples, TAGS), path)
    return path


def saved(path: Path, examples: list[Example], names: list[str] = TAGS) -> Path:
    """Write a folder as `Dataset.save_to_disk` does (checked against datasets 5.2)."""
    folder = path.with_suffix(".saved")
    folder.mkdir(exist_ok=True)
    table = table_of(examples, names)
    with pa.OSFile(str(folder / "data.arrow"), "wb") as out, pa.ipc.new_stream(out, table.schema) as stream:
        stream.write_table(table)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data.arrow"}]}))
    return folder


ON_CHARACTERS: dict[str, Writer] = {
    "gliner-mt": partial(as_lines, entity_record),
    "spacy": partial(as_lines, tuple_of_spacy),
    "spacy-list": partial(as_list, tuple_of_spacy),
    "label-studio": partial(as_list, task_of_label_studio),
    "prodigy": partial(as_lines, task_of_prodigy),
}
ON_WORDS: dict[str, Writer] = {
    "bio": columns,
    "gliner": partial(as_list, record_of_gliner),
    "gliner-lines": partial(as_lines, record_of_gliner),
    "datasets": partial(as_lines, row_of_datasets),
}
ARROW: dict[str, Writer] = {"parquet": parquet, "saved": saved}
FORMS = {"parquet": "datasets", "saved": "datasets", "spacy-list": "spacy", "gliner-lines": "gliner"}
WRITERS = {**ON_CHARACTERS, **ON_WORDS, **ARROW}
