"""Annotated data of any known format, told apart by what it holds, as examples of this project."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from gliner_mt.errors import InputError
from gliner_mt.formats import annotators, conll, records, spacy_docs, squad, token_rows
from gliner_mt.formats.files import expecting
from gliner_mt.formats.indexed import ExampleFile
from gliner_mt.formats.items import Columns, Converted, Items
from gliner_mt.formats.json_stream import Records, holds_list, json_records, opening
from gliner_mt.formats.words import join_words
from gliner_mt.types import Example, QAExample

OURS = "gliner-mt"
_SEEN = 100  # records that are looked at to tell the format
_BIO = "a word and its tag a line, with a blank line after each sentence"
_SQUAD_KEYS = re.compile(r'"(paragraphs|qas)"\s*:')
_DEFAULT = Columns()


@dataclass(frozen=True, slots=True)
class Format:
    """A format of annotated data.

    `records` reads the records of a file, `parse` turns one into examples, `marks` says whether a JSON value
    is surely such a record. With `closed`, the types that occur in a file count as annotated in all its texts
    unless a text states its own.
    """

    name: str
    form: str
    records: Callable[[Path, Columns], Records]
    parse: Callable[[Any, Columns], Iterable[Converted]]
    marks: Callable[[Any], bool]
    closed: bool = True


@dataclass(frozen=True, slots=True)
class Detected:
    """A format, and what tells it."""

    format: Format
    reason: str


def read_annotated(path: Path, form: Format | None = None, columns: Columns = _DEFAULT) -> Items:
    """Yield what the records of a file hold, an `InputError` in the place of each that cannot be read.

    `form` is one of `FORMATS`; without it, the file tells. Examples have the `labels` that their record
    states, or none: see `with_labels`. An error after which the file cannot be read on is the last item.

    Raises:
        InputError: the format cannot be told.
    """
    form = form or detect(path).format
    try:
        for record in form.records(path, columns):
            yield from [record] if isinstance(record, InputError) else _parsed(form, *record, columns)
    except InputError as error:
        yield error


def _parsed(form: Format, where: str, value: object, columns: Columns) -> Sequence[Converted | InputError]:
    try:
        with expecting(where, form.form):
            return list(form.parse(value, columns))
    except InputError as error:
        return [error]


def types_of(items: Items) -> tuple[str, ...]:
    """Return the entity types that occur in examples, in alphabetical order."""
    examples = (item for item in items if isinstance(item, Example))
    return tuple(sorted({entity.label for example in examples for entity in example.entities}))


def with_labels(example: Example, labels: Sequence[str]) -> Example:
    """Return an example with the labels annotated in it: those it states, else `labels` and its entities'."""
    if example.labels:
        return example
    found = {entity.label for entity in example.entities}
    return replace(example, labels=tuple(sorted(found.union(labels))))


def renamed(example: Example, names: Mapping[str, str]) -> Example:
    """Return an example whose types are called as `names` says; others keep their names."""
    entities = (replace(one, label=names.get(one.label, one.label)) for one in example.entities)
    labels = dict.fromkeys(names.get(label, label) for label in example.labels)
    return replace(example, entities=tuple(entities), labels=tuple(labels))


def read_as_examples(path: Path, form: Format | None = None) -> Iterator[Example]:
    """Yield the texts with entities of a file of any known format, ready to train on.

    Raises:
        InputError: a record cannot be read, or is a question; it is named.
    """
    form = form or detect(path).format
    labels = types_of(read_annotated(path, form)) if form.closed else ()
    for item in read_annotated(path, form):
        if isinstance(item, InputError):
            raise item
        if isinstance(item, QAExample):
            raise InputError(f"{path} holds questions; expected texts with entities.")
        if isinstance(item, Example):
            yield with_labels(item, labels)


def open_examples(path: Path) -> Sequence[Example]:
    """Return the texts with entities of a file of any known format.

    Lines of this project's own format stay on disk (`ExampleFile`); others are held in memory.

    Raises:
        InputError: as `ExampleFile` and `read_as_examples` raise it.
    """
    form = detect(path).format
    if form.name == OURS and not holds_list(path):
        return ExampleFile(path, records.parse_example)
    return list(read_as_examples(path, form))


def detect(path: Path) -> Detected:
    """Tell the format of a file, or of a folder saved by `datasets`, from what it holds.

    Raises:
        InputError: it cannot be read, or is of no known format.
    """
    if path.is_dir():
        return Detected(FORMATS["datasets"], "a folder")
    head = opening(path)
    if head.startswith(token_rows.PARQUET):
        return Detected(FORMATS["datasets"], "a Parquet file")
    if head.startswith(spacy_docs.DOC_BIN):
        return Detected(FORMATS["spacy"], "a DocBin")
    text = head.decode("utf-8-sig", errors="ignore").lstrip()
    if text[:1] not in ("{", "["):
        return Detected(FORMATS["bio"], "no JSON")
    if text.startswith("{") and (key := _SQUAD_KEYS.search(text)):
        return Detected(FORMATS["squad"], f"a JSON object with {key[1]}")
    return _detected_by_records(path)


def _detected_by_records(path: Path) -> Detected:
    values = []
    broken = None
    for record in islice(json_records(path, "a record"), _SEEN):
        if isinstance(record, InputError):
            broken = broken or record
            continue
        where, value = record
        for form in FORMATS.values():
            if form.marks(value):
                return Detected(form, f"{where} is {form.form}")
        values.append(value)
    keys = list(values[0]) if values and isinstance(values[0], dict) else []
    what = f"its first record holds {', '.join(map(repr, keys)) or 'no fields'}"
    if broken is not None and not keys:
        what = str(broken).removeprefix(f"{path}, ").rstrip(".")
    raise InputError(f"{path} is of no known format: {what}; say which it is, one of {', '.join(FORMATS)}.")


def _has(*names: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and set(names) <= set(value)


def _never(value: object) -> bool:
    return False


def _is_ours(value: Any) -> bool:  # noqa: ANN401 (any JSON)
    return _has("text", "entities")(value) and (_first_is(value["entities"], dict) or "labels" in value)


def _is_spacy(value: Any) -> bool:  # noqa: ANN401 (any JSON)
    if isinstance(value, list):
        return len(value) == 2 and isinstance(value[0], str) and _has("entities")(value[1])
    return _has("paragraphs")(value) or (
        _has("text", "entities")(value) and _first_is(value["entities"], list)
    )


def _first_is(values: object, kind: type) -> bool:
    return isinstance(values, list) and bool(values) and isinstance(values[0], kind)


def _is_label_studio(value: object) -> bool:
    # The last is JSON_MIN, which repeats the data beside the annotation.
    return any(
        _has(*names)(value) for names in (("data", "annotations"), ("data", "completions"), ("annotator",))
    )


def _is_prodigy(value: object) -> bool:
    return any(_has("text", name)(value) for name in ("spans", "answer", "_input_hash"))


def _json(form: str) -> Callable[[Path, Columns], Records]:
    return lambda path, columns: json_records(path, form)


def _one(parse: Callable[[Any, Columns], Converted]) -> Callable[[Any, Columns], tuple[Converted]]:
    return lambda value, columns: (parse(value, columns),)


def _sentence_records(path: Path, columns: Columns) -> Records:
    return ((block[0][0], block) for block in conll.sentence_blocks(path))


def _sentence(block: Sequence[tuple[str, str]], columns: Columns) -> Iterator[Converted]:
    if sentence := conll.parse_sentence(block):
        words, tags = zip(*sentence, strict=True)
        yield conll.tagged_example(join_words(words), tags)


_FORMATS = (
    Format(
        OURS,
        records.ENTITIES,
        _json(records.ENTITIES),
        _one(lambda value, columns: records.entity_example(value)),
        _is_ours,
        closed=False,
    ),
    Format("bio", _BIO, _sentence_records, _sentence, _never),
    Format("spacy", spacy_docs.SPACY, spacy_docs.spacy_records, spacy_docs.spacy_examples, _is_spacy),
    Format(
        "label-studio",
        annotators.LABEL_STUDIO,
        _json(annotators.LABEL_STUDIO),
        _one(annotators.label_studio_example),
        _is_label_studio,
    ),
    Format(
        "prodigy",
        annotators.PRODIGY,
        _json(annotators.PRODIGY),
        _one(annotators.prodigy_example),
        _is_prodigy,
    ),
    Format(
        "gliner",
        token_rows.GLINER,
        _json(token_rows.GLINER),
        _one(token_rows.gliner_example),
        _has("tokenized_text"),
        closed=False,
    ),
    Format(
        "squad",
        squad.SQUAD,
        lambda path, columns: squad.squad_records(path),
        _one(lambda value, columns: squad.squad_example(value)),
        _never,
        closed=False,
    ),
    Format(
        "datasets",
        token_rows.DATASET,
        token_rows.dataset_rows,
        _one(token_rows.dataset_example),
        _has("tokens", "ner_tags"),
    ),
)
FORMATS: Mapping[str, Format] = {form.name: form for form in _FORMATS}
"""The formats that can be read, by name."""
