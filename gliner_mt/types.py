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
