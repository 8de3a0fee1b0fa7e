"""The format of this project: one JSON object a line; offsets are characters, end-exclusive.

Every reader raises `InputError` for a file that cannot be read and for a record that is not of its form, with
the number of the line.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from gliner_mt.errors import InputError
from gliner_mt.formats.files import (
    expecting,
    field,
    index,
    inside,
    json_lines,
    json_object,
    names,
    not_blank,
    numbered_lines,
    string,
    strings,
)
from gliner_mt.types import (
    AnyExample,
    ClassificationExample,
    Entity,
    Example,
    GoldRelation,
    GoldTuple,
    Offsets,
    OpenIEExample,
    Part,
    QAExample,
    RelationExample,
    SummaryExample,
)

ENTITIES = "an object with text, entities [{start, end, label}] and perhaps labels [name]"
_RELATIONS = (
    "an object with text, entities [{start, end, label}] and relations [{head, tail, label}], "
    "head and tail being indices into entities"
)
_QUESTION = "an object with text, question and answers [{start, end}]"
_TUPLES = "an object with text and tuples [{subject, predicate, arguments}] of {start, end} or {text}"
_SUMMARY = "an object with text and sentences [{start, end, selected}]"
_CLASSES = "an object with text, labels (all classes) and gold (those that the text has)"
_ANY = "an object with text and entities, relations, question, tuples, sentences or gold (docs/data.md)"

ExampleT = TypeVar("ExampleT")


def read_examples(path: Path) -> Iterator[Example]:
    """Yield texts with entities.

    A record holds `text`, `entities` and `labels`, the types annotated in this text; without `labels`, those
    of its entities.
    """
    for number, line in numbered_lines(path):
        if line.strip():
            yield parse_example(line, f"{path}, line {number}")


def parse_example(line: str, where: str) -> Example:
    """Return the text with entities of one JSON line, which stands at `where`."""
    record = json_object(line, where, ENTITIES)
    with expecting(where, ENTITIES):
        return entity_example(record)


def entity_record(example: Example) -> dict[str, Any]:
    """Return the record of a text with entities, as `read_examples` reads it."""
    marks = [{"start": one.start, "end": one.end, "label": one.label} for one in example.entities]
    return {"text": example.text, "entities": marks, "labels": list(example.labels)}


def qa_record(example: QAExample) -> dict[str, Any]:
    """Return the record of a question, as `read_questions` reads it."""
    places = [{"start": answer.start, "end": answer.end} for answer in example.answers]
    return {"text": example.text, "question": example.question, "answers": places}


def read_relations(path: Path) -> Iterator[RelationExample]:
    """Yield texts with relations.

    A record holds `text`, `entities`, `relations` (`head` and `tail` are indices into `entities`), `labels`
    (the relation types annotated in this text) and `entity_labels`; without these, the types that occur.
    """
    return _read(path, _RELATIONS, _related)


def read_questions(path: Path) -> Iterator[QAExample]:
    """Yield records with `text`, `question` and `answers`, any of which is right; there may be none."""
    return _read(path, _QUESTION, _asked)


def read_tuples(path: Path) -> Iterator[OpenIEExample]:
    """Yield texts with tuples of Open IE.

    A record holds `text` and `tuples` of `subject` (or null), `predicate` and `arguments` (a list), each with
    `start` and `end`, or with `text` alone where it is not worded as in the text, and perhaps a `question`.
    """
    return _read(path, _TUPLES, _tuples)


def read_summaries(path: Path) -> Iterator[SummaryExample]:
    """Yield texts with their key sentences.

    A record holds `text` and `sentences`, each with `selected`; perhaps a `summary` and the `query` that it
    was to answer. Sentences of no characters are left out.
    """
    return _read(path, _SUMMARY, _summary_example)


def read_classes(path: Path) -> Iterator[ClassificationExample]:
    """Yield records with `text`, `labels` (all classes) and `gold` (the classes of this text)."""
    return _read(path, _CLASSES, _classified)


def parse_any(line: str, where: str) -> AnyExample:
    """Return the example of one JSON line, of any task: its fields tell which."""
    record = json_object(line, where, _ANY)
    for name, (form, parse) in _TASKS.items():
        if name in record:
            with expecting(where, form):
                return parse(record)
    raise InputError(f"{where}: it has {', '.join(record) or 'no fields'}; expected {_ANY}.")


def is_other_task(record: Mapping[str, Any]) -> bool:
    """Say whether a record looks like one of a task other than entities."""
    return "text" in record and any(needed <= record.keys() for needed in _MARKS)


def _read(path: Path, form: str, parse: Callable[[Mapping[str, Any]], ExampleT]) -> Iterator[ExampleT]:
    for where, record in json_lines(path, form):
        with expecting(where, form):
            example = parse(record)
        yield example


def offsets(value: Mapping[str, Any], text: str) -> Offsets:
    """Return the place that an object names. Raises ValueError if it lies outside, or if `text` differs."""
    start, end = (field(value, name, int) for name in ("start", "end"))
    if not 0 <= start < end <= len(text):
        size = len(text.encode("utf-8", "surrogatepass"))
        counted = f", which has {size} bytes: count characters" if len(text) < end <= size else ""
        raise ValueError(f"[{start}, {end}) is no place in a text of {len(text)} characters{counted}")
    if "text" in value and value["text"] != text[start:end]:
        raise ValueError(f"[{start}, {end}) is {text[start:end]!r}, not {value['text']!r}")
    return Offsets(start, end)


def entity_example(record: Mapping[str, Any]) -> Example:
    """Return a record's text and entities, with the types given or else with those that occur."""
    text = field(record, "text", str)
    found = entities(field(record, "entities", list), text)
    with inside("labels"):
        labels = strings(record.get("labels") or [])
    return Example(text, found, labels or tuple(sorted({entity.label for entity in found})))


def entities(values: Sequence[Mapping[str, Any]], text: str, name: str = "entities") -> tuple[Entity, ...]:
    """Return a record's entities, its field `name`. Raises ValueError if one lies outside the text."""
    found = []
    for number, value in enumerate(values):
        with inside(f"{name}[{number}]"):
            place = offsets(value, text)
            found.append(Entity(place.start, place.end, field(value, "label", str)))
    return tuple(found)


def relation_example(record: Mapping[str, Any], labels: object, entity_labels: object) -> RelationExample:
    """Return a record's entities and relations, with the types given or else with those that occur."""
    text = string(record["text"])
    found = entities(record["entities"], text)
    relations = tuple(
        GoldRelation(
            found[index(relation["head"], len(found))],
            found[index(relation["tail"], len(found))],
            not_blank(relation["label"]),
        )
        for relation in record["relations"]
    )
    return RelationExample(
        text,
        found,
        relations,
        names(entity_labels or sorted({entity.label for entity in found})),
        names(labels or sorted({relation.label for relation in relations})),
    )


def _related(record: Mapping[str, Any]) -> RelationExample:
    return relation_example(record, record.get("labels"), record.get("entity_labels"))


def _asked(record: Mapping[str, Any]) -> QAExample:
    return qa_example(string(record["text"]), record)


def qa_example(text: str, value: Mapping[str, Any]) -> QAExample:
    """Return a question to `text` with its answers."""
    return QAExample(
        text, not_blank(value["question"]), tuple(offsets(answer, text) for answer in value["answers"])
    )


def _tuples(record: Mapping[str, Any]) -> OpenIEExample:
    text = string(record["text"])
    return OpenIEExample(text, tuple(gold_tuple(item, text) for item in record["tuples"]))


def gold_tuple(value: Mapping[str, Any], text: str) -> GoldTuple:
    """Return a tuple about `text`."""
    subject = value["subject"]
    return GoldTuple(
        part(value["predicate"], text),
        None if subject is None else part(subject, text),
        tuple(part(argument, text) for argument in value["arguments"]),
    )


def part(value: Mapping[str, Any], text: str) -> Part:
    """Return a part of a tuple: a place in `text`, or words alone."""
    question = string(value.get("question", ""))
    if "start" not in value:
        return Part(string(value["text"]), question=question)
    at = offsets(value, text)
    return Part(text[at.start : at.end], at, question)


def _summary_example(record: Mapping[str, Any]) -> SummaryExample:
    text = string(record["text"])
    sentences = [sentence for sentence in record["sentences"] if sentence["start"] != sentence["end"]]
    chosen = [sentence["selected"] for sentence in sentences]
    if not all(isinstance(value, bool) for value in chosen):
        raise TypeError("selected is not true or false")
    return SummaryExample(
        text,
        tuple(offsets(sentence, text) for sentence in sentences),
        tuple(number for number, value in enumerate(chosen) if value),
        string(record.get("summary", "")),
        string(record.get("query", "")),
    )


def _classified(record: Mapping[str, Any]) -> ClassificationExample:
    labels, gold = names(record["labels"]), strings(record["gold"])
    if not set(gold) <= set(labels):
        raise ValueError(f"gold {sorted(set(gold) - set(labels))} is not among the labels")
    if not labels:
        raise ValueError("labels is empty, and has to hold all classes")
    return ClassificationExample(string(record["text"]), labels, gold)


_TASKS: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], AnyExample]]] = {
    "relations": (_RELATIONS, _related),
    "question": (_QUESTION, _asked),
    "tuples": (_TUPLES, _tuples),
    "sentences": (_SUMMARY, _summary_example),
    "gold": (_CLASSES, _classified),
    "entities": (ENTITIES, entity_example),
}
"""How a record is read, by the field that only records of its task have; entities are there beside others."""
_MARKS = ({"relations", "entities"}, {"question", "answers"}, {"tuples"}, {"sentences"}, {"gold", "labels"})
