"""Plain values that cross the public interface. Offsets are characters, end-exclusive."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of the user's text with a label: `text[span.start:span.end] == span.text`."""

    start: int
    end: int
    text: str
    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Entity:
    """A gold annotation of a training or evaluation example."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class Example:
    """A text, its gold entities, and the labels that were annotated in it.

    A label in `labels` without an entity is a true negative; a label outside `labels` is unknown.
    """

    text: str
    entities: tuple[Entity, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """Two spans of the user's text and what holds between them, from `head` to `tail`."""

    head: Span
    tail: Span
    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Triple:
    """Who does what to whom, when and where, in spans of the user's text; all but the predicate may miss."""

    subject: Span | None
    predicate: Span
    object: Span | None
    time: Span | None
    place: Span | None
    score: float


@dataclass(frozen=True, slots=True)
class Answer:
    """A piece of the user's text that answers a question: `text[answer.start:answer.end] == answer.text`."""

    start: int
    end: int
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class ClassScore:
    """A class of a text and its score, 0 to 1."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class TextTuple:
    """A tuple in words alone, as scorers of Open IE compare them: arguments in order, the subject first."""

    predicate: str
    arguments: tuple[str, ...]
    score: float = 1.0


@dataclass(frozen=True, slots=True)
class Offsets:
    """The characters [start, end) of a text."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class GoldRelation:
    """An annotated relation, from `head` to `tail`."""

    head: Entity
    tail: Entity
    label: str


@dataclass(frozen=True, slots=True)
class RelationExample:
    """A text, its gold entities and relations, and the entity and relation types that were annotated in it.

    A type in `entity_labels` or `labels` that occurs nowhere is a true negative, any other type is unknown.
    """

    text: str
    entities: tuple[Entity, ...]
    relations: tuple[GoldRelation, ...]
    entity_labels: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QAExample:
    """A question to a text and its answers, of which any one is right. None: the text does not say."""

    text: str
    question: str
    answers: tuple[Offsets, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a gold tuple: its wording, and where it stands (None if that is not how the text words it).

    `question` is the question that it answers, where the set was annotated by questions (QA-SRL).
    """

    text: str
    at: Offsets | None = None
    question: str = ""


@dataclass(frozen=True, slots=True)
class GoldTuple:
    """An annotated tuple: a predicate, its subject, and its other arguments in order."""

    predicate: Part
    subject: Part | None
    arguments: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class OpenIEExample:
    """A text and its gold tuples."""

    text: str
    tuples: tuple[GoldTuple, ...]


@dataclass(frozen=True, slots=True)
class SummaryExample:
    """A text, its sentences, and the indices of those that belong into a summary.

    `summary` is a summary written by a person, and `query` what it was to be about; either may be empty.
    """

    text: str
    sentences: tuple[Offsets, ...]
    selected: tuple[int, ...]
    summary: str = ""
    query: str = ""


@dataclass(frozen=True, slots=True)
class ClassificationExample:
    """A text, all classes that it could have, and those that it has."""

    text: str
    labels: tuple[str, ...]
    gold: tuple[str, ...]


AnyExample = Example | RelationExample | QAExample | OpenIEExample | SummaryExample | ClassificationExample
"""An annotated example of any task."""
