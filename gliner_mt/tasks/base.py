"""What a task asks the engine, and what it gets back."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeVar, final, runtime_checkable

from gliner_mt.errors import InputError
from gliner_mt.tasks.parsing import check_threshold, line
from gliner_mt.types import Relation, Span

ResultT = TypeVar("ResultT", covariant=True)

DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class Label:
    """One thing to look for: its name in answers, the words the model reads, its own threshold if any."""

    name: str
    description: str | None = None
    threshold: float | None = None

    @property
    def prompt(self) -> str:
        """The words put to the model: the name, followed by the description if there is one."""
        return f"{self.name}: {self.description}" if self.description else self.name


@final
@dataclass(frozen=True, init=False, slots=True)
class RelationLabel:
    """A relation to look for between two spans, from head to tail.

    `head` and `tail` are the types that may stand there, one or several; none is any type. In a `symmetric`
    relation the order of the two does not count. In a mapping the key gives the name.
    """

    name: str
    description: str | None
    threshold: float | None
    head: tuple[str, ...]
    tail: tuple[str, ...]
    symmetric: bool

    def __init__(
        self,
        name: str = "",
        *,
        description: str | None = None,
        threshold: float | None = None,
        head: str | Sequence[str] = (),
        tail: str | Sequence[str] = (),
        symmetric: bool = False,
    ) -> None:
        if name:
            name = line(name, "relation")
        if threshold is not None:
            check_threshold(threshold, f"the threshold of relation {name!r}")
        if not isinstance(symmetric, bool):
            raise InputError(f"symmetric of relation {name!r} is {symmetric!r}; expected True or False.")
        heads, tails = _types(head, name, "head"), _types(tail, name, "tail")
        if symmetric and set(heads) != set(tails):
            raise InputError(
                f"relation {name!r} is symmetric, but its head is {heads} and its tail {tails}; "
                "give both the same types, or leave symmetric out."
            )
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "description", description or None)
        object.__setattr__(self, "threshold", threshold)
        object.__setattr__(self, "head", heads)
        object.__setattr__(self, "tail", tails)
        object.__setattr__(self, "symmetric", symmetric)

    @property
    def label(self) -> Label:
        """The relation as the model reads it."""
        return Label(self.name, self.description, self.threshold)

    def joins(self, head: str, tail: str) -> bool:
        """Say whether spans of these types may be head and tail; a span without a type fits everywhere."""
        return (not self.head or head in ("", *self.head)) and (not self.tail or tail in ("", *self.tail))


class Kind(str, Enum):
    """What is asked for. Models are surer of one than of another, and have a threshold for each."""

    ENTITIES = "entities"
    RELATIONS = "relations"
    ANSWERS = "answers"
    TUPLES = "tuples"


class Candidates(str, Enum):
    """Which spans are matched with the labels."""

    WORDS = "words"
    """Every span up to the model's width."""
    SENTENCES = "sentences"
    """Every sentence, however long."""
    WORDS_AND_SENTENCES = "words and sentences"
    """Both: what is asked for may be a few words, or a clause that no free span is wide enough for."""
    WHOLE = "whole"
    """The text as a whole."""
    GIVEN = "given"
    """The spans that the caller gives."""

    @property
    def free(self) -> bool:
        """Say whether spans of any words are among them."""
        return self in (Candidates.WORDS, Candidates.WORDS_AND_SENTENCES)


@dataclass(frozen=True, slots=True)
class GivenSpan:
    """A span of the text that the caller knows, in characters, end-exclusive; its type, "" for none."""

    start: int
    end: int
    label: str = ""


@dataclass(frozen=True, slots=True)
class PairQueries:
    """What is asked of pairs of spans.

    `threshold` holds for relations without their own; None takes the model's default. In each window, the
    `max_spans` best spans that any relation admits are paired: this bounds the cost. `link_threshold` holds
    for links, in models that ask first whether two spans are related at all; None takes that of the spans.
    `within_sentence` pairs spans of one sentence only.
    """

    labels: tuple[RelationLabel, ...]
    threshold: float | None = None
    max_spans: int = 64
    link_threshold: float | None = None
    kind: Kind = Kind.RELATIONS
    within_sentence: bool = False


@dataclass(frozen=True, slots=True)
class Queries:
    """What a task asks the engine.

    `candidates` says which spans are matched with the labels; `given` are those of `Candidates.GIVEN`.
    `nested` allows spans inside spans (never crossing ones); `multi_label` allows several labels on one
    span; with `by_label` overlaps are resolved for each label alone. `join_adjacent` makes one span of
    neighbours with the same label. `threshold` holds for labels without their own, and None takes the
    model's for this `kind`. `pairs` asks what holds between the spans found.
    """

    labels: tuple[Label, ...]
    threshold: float | None = None
    nested: bool = False
    multi_label: bool = False
    join_adjacent: bool = False
    by_label: bool = False
    candidates: Candidates = Candidates.WORDS
    given: tuple[GivenSpan, ...] = ()
    pairs: PairQueries | None = None
    kind: Kind = Kind.ENTITIES


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one window of a text says of the text as a whole: its words, and a logit for each label."""

    n_words: int
    logits: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """The engine's answer to `Queries`.

    `spans` passed their thresholds, in text order, overlaps resolved; `pairs` likewise, by head and tail.
    `evidence` has an entry for each window, if the whole text was asked about.
    """

    spans: list[Span]
    pairs: list[Relation]
    evidence: list[Evidence]


@runtime_checkable
class Task(Protocol[ResultT]):
    """Questions (`queries`) and the way to their typed answer (`result`); pure and frozen."""

    def queries(self) -> tuple[Queries, ...]:
        """Return what is asked, all in one pass over the text."""
        ...

    def result(self, found: Sequence[Found]) -> ResultT:
        """Turn what was found for each of the queries into the answer."""
        ...


def _types(types: str | Sequence[str], name: str, end: str) -> tuple[str, ...]:
    given = (types,) if isinstance(types, str) else types
    if not isinstance(given, Sequence) or isinstance(given, bytes):
        raise InputError(f"{end} of relation {name!r} is {types!r}; expected a type or a list of types.")
    return tuple(dict.fromkeys(line(one, f"{end} type") for one in given))
