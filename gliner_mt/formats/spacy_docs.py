"""Entities as spaCy keeps them: `.spacy` files (DocBin), and the JSON forms of its training data."""

import zlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gliner_mt.errors import InputError
from gliner_mt.formats.conll import TAG, tagged_example
from gliner_mt.formats.files import field, inside, string
from gliner_mt.formats.items import Columns, LeftOut
from gliner_mt.formats.json_stream import Records, json_records, opening
from gliner_mt.formats.records import entities
from gliner_mt.formats.words import join_words, placed_words
from gliner_mt.types import Entity, Example

if TYPE_CHECKING:
    from spacy.tokens import Doc

SPACY = (
    'a .spacy file, or JSON of [text, {"entities": [[start, end, label]]}], of {text, entities} or of '
    "{paragraphs [{sentences [{tokens [{orth, ner}]}]}]}"
)
DOC_BIN = b"x\x9c"  # how one starts: it is packed by zlib
NOT_ANNOTATED = LeftOut("no entities annotated")
_UNKNOWN = "-"
_SPANS = "sc"  # the group that spaCy's span categorizer learns from


def spacy_records(path: Path, columns: Columns) -> Records:
    """Yield the documents of a `.spacy` file, or the records of a JSON file.

    Raises:
        InputError: they cannot be read, or spaCy is needed and not there.
    """
    yield from _docs(path) if opening(path).startswith(DOC_BIN) else json_records(path, SPACY)


def spacy_examples(record: Any, columns: Columns) -> Iterator[Example | LeftOut]:  # noqa: ANN401 (a Doc or JSON)
    """Yield the texts of a record with their entities."""
    if isinstance(record, list):
        text, annotations = record
        yield _example(string(text), field(annotations, "entities", list))
    elif not isinstance(record, dict):
        yield _doc_example(record)
    elif "paragraphs" in record:
        for number, paragraph in enumerate(field(record, "paragraphs", list)):
            with inside(f"paragraphs[{number}]"):
                yield _paragraph_example(paragraph)
    else:
        yield _example(field(record, columns.text, str), field(record, "entities", list))


def _docs(path: Path) -> Records:
    try:
        from spacy.tokens import DocBin
        from spacy.vocab import Vocab
    except ImportError:
        raise InputError(f"{path} needs spaCy to be read: pip install gliner_mt[spacy]") from None
    try:
        docs = DocBin().from_disk(path).get_docs(Vocab())
        for number, doc in enumerate(docs, start=1):
            yield f"{path}, doc {number}", doc
    except (OSError, zlib.error, ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(f"{path}: {error}; expected {SPACY}.") from error


def _doc_example(doc: "Doc") -> Example | LeftOut:
    """Return a document with its entities and the spans of its group "sc"."""
    if not doc.has_annotation("ENT_IOB") and _SPANS not in doc.spans:
        return NOT_ANNOTATED
    spans = chain(doc.ents, doc.spans.get(_SPANS, ()))
    found = dict.fromkeys(Entity(span.start_char, span.end_char, span.label_) for span in spans)
    return Example(doc.text, tuple(found), ())


def _example(text: str, spans: list[Any]) -> Example:
    values = []
    for number, value in enumerate(spans):
        with inside(f"entities[{number}]"):
            values.append(dict(zip(("start", "end", "label"), value[:3], strict=True)))
    return Example(text, entities(values, text), ())


def _paragraph_example(paragraph: dict[str, Any]) -> Example | LeftOut:
    """Return the text of spaCy 2's JSON: `raw` if it is there, else its tokens joined by spaces."""
    tokens = [token for sentence in field(paragraph, "sentences", list) for token in sentence["tokens"]]
    words = [field(token, "orth", str) for token in tokens]
    tags = [string(token.get("ner", _UNKNOWN)) for token in tokens]
    if set(tags) <= {_UNKNOWN}:
        return NOT_ANNOTATED
    for tag in tags:
        if tag != _UNKNOWN and not TAG.fullmatch(tag):
            raise ValueError(f"ner is {tag!r}, which is no tag such as O or B-person")
    raw = paragraph.get("raw")
    joined = join_words(words) if raw is None else placed_words(words, string(raw))
    return tagged_example(joined, ["O" if tag == _UNKNOWN else tag for tag in tags])
