"""Passages that carry every annotation at once: one JSON object a line."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gliner_mt.formats.files import expecting, json_lines, string, strings
from gliner_mt.formats.records import offsets, part, qa_example, relation_example
from gliner_mt.types import (
    Example,
    GoldTuple,
    Offsets,
    OpenIEExample,
    QAExample,
    RelationExample,
)

_FORM = (
    "an object with text, domain, entities, labels, relations, relation_labels, qa [{question, answers}], "
    "triples [{subject, predicate, object}], topics and perhaps key {start, end}"
)


@dataclass(frozen=True, slots=True)
class Passage:
    """One text with entities and relations, questions, triples, its topics, and perhaps its key sentence."""

    domain: str
    relations: RelationExample
    questions: tuple[QAExample, ...]
    triples: OpenIEExample
    topics: tuple[str, ...]
    key: Offsets | None

    @property
    def text(self) -> str:
        """The text itself."""
        return self.relations.text

    @property
    def entities(self) -> Example:
        """The entities alone."""
        return Example(self.text, self.relations.entities, self.relations.entity_labels)


def read_passages(path: Path) -> Iterator[Passage]:
    """Yield passages with all their annotations.

    Raises:
        InputError: no such file, or a record that is not of this form; the line is named.
    """
    for where, record in json_lines(path, _FORM):
        with expecting(where, _FORM):
            passage = _passage(record)
        yield passage


def _passage(record: Mapping[str, Any]) -> Passage:
    text = string(record["text"])
    return Passage(
        string(record["domain"]),
        relation_example(record, record["relation_labels"], record["labels"]),
        tuple(qa_example(text, question) for question in record["qa"]),
        OpenIEExample(text, tuple(_triple(triple, text) for triple in record["triples"])),
        strings(record["topics"]),
        offsets(record["key"], text) if "key" in record else None,
    )


def _triple(value: Mapping[str, Any], text: str) -> GoldTuple:
    return GoldTuple(
        part(value["predicate"], text), part(value["subject"], text), (part(value["object"], text),)
    )
