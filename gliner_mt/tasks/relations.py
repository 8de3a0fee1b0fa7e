"""Relations: what holds between entities that are found, or between spans that the caller gives."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from gliner_mt.errors import InputError
from gliner_mt.tasks.base import (
    Candidates,
    Found,
    GivenSpan,
    Label,
    PairQueries,
    Queries,
    RelationLabel,
)
from gliner_mt.tasks.labels import LabelSpec, parse_labels
from gliner_mt.tasks.parsing import at_least_one, line, own_threshold
from gliner_mt.types import Entity, Relation, Span

RelationSpec = Sequence[str | RelationLabel] | Mapping[str, str | tuple[str, str] | RelationLabel]
SpanSpec = Sequence[Span | Entity | GivenSpan | tuple[int, int] | tuple[int, int, str]]

ANY_ENTITY = "entity"


@final
@dataclass(frozen=True, init=False)
class Relations:
    """Find relations between entities; answers `list[Relation]`, in the order of heads, then of tails.

    `relations` is a list of names or of `RelationLabel`, or a mapping from names to descriptions, to (type of
    head, type of tail), or to a `RelationLabel`. `entities` are the types to look for, as in `NER`; None
    takes those that the relations name, or "entity" if they name none. `spans` are given instead of found,
    in characters: (start, end), (start, end, type), or spans of any task. They belong to one text, so
    `extract` it. `threshold` is what a relation's probability must exceed, `entity_threshold` an entity's
    (None or "auto": the model's). `max_spans` best spans of a window are paired. Some models ask first
    whether two spans are linked at all; `link_threshold` is what that probability must exceed (None or
    "auto": as for entities).
    """

    relations: tuple[RelationLabel, ...]
    entities: tuple[Label, ...] = ()
    spans: tuple[GivenSpan, ...] | None = None
    threshold: float | None = None
    entity_threshold: float | None = None
    max_spans: int = 64
    link_threshold: float | None = None

    def __init__(
        self,
        relations: RelationSpec,
        entities: LabelSpec | None = None,
        *,
        spans: SpanSpec | None = None,
        threshold: float | str | None = None,
        entity_threshold: float | str | None = None,
        max_spans: int = 64,
        link_threshold: float | str | None = None,
    ) -> None:
        if entities is not None and spans is not None:
            raise InputError("entities and spans are both given; give types to look for, or known spans.")
        parsed = _relations(relations)
        types = _entity_types(parsed, entities) if spans is None else ()
        known = None if spans is None else tuple(_given(span) for span in spans)
        _check_types(parsed, types, known)
        object.__setattr__(self, "relations", parsed)
        object.__setattr__(self, "entities", types)
        object.__setattr__(self, "spans", known)
        object.__setattr__(self, "threshold", own_threshold(threshold, "threshold"))
        object.__setattr__(self, "entity_threshold", own_threshold(entity_threshold, "entity_threshold"))
        object.__setattr__(self, "link_threshold", own_threshold(link_threshold, "link_threshold"))
        object.__setattr__(self, "max_spans", at_least_one(max_spans, "max_spans"))

    def queries(self) -> tuple[Queries]:
        """Return the types of entities, or the spans given, and the relations between them."""
        pairs = PairQueries(self.relations, self.threshold, self.max_spans, self.link_threshold)
        if self.spans is None:
            return (Queries(self.entities, self.entity_threshold, pairs=pairs),)
        return (Queries((), candidates=Candidates.GIVEN, given=self.spans, pairs=pairs),)

    def result(self, found: Sequence[Found]) -> list[Relation]:
        """Return the relations as they are."""
        return found[0].pairs


def _relations(relations: RelationSpec) -> tuple[RelationLabel, ...]:
    if isinstance(relations, Mapping):
        parsed = [_named(name, value) for name, value in relations.items()]
    elif isinstance(relations, Sequence) and not isinstance(relations, (str, bytes)):
        parsed = [_listed(one) for one in relations]
    else:
        raise InputError(f"relations is {relations!r}; expected a list of names or a mapping from names.")
    if not parsed:
        raise InputError('relations is empty; expected at least one, for example ["works for"].')
    unique: dict[str, RelationLabel] = {}
    for relation in parsed:
        if unique.setdefault(relation.name, relation) != relation:
            raise InputError(
                f"relation {relation.name!r} is given twice, and not alike; give it once, with all its types."
            )
    if len(unique) < len(parsed):
        warnings.warn("relations given more than once were merged", stacklevel=3)
    return tuple(unique.values())


def _listed(relation: object) -> RelationLabel:
    if not isinstance(relation, RelationLabel):
        return RelationLabel(line(relation, "relation"))
    line(relation.name, "relation")
    return relation


def _named(name: object, value: object) -> RelationLabel:
    checked = line(name, "relation")
    if isinstance(value, RelationLabel):
        if value.name not in ("", checked):
            raise InputError(f"relation {checked!r} maps to one named {value.name!r}; give one name only.")
        return RelationLabel(
            checked,
            description=value.description,
            threshold=value.threshold,
            head=value.head,
            tail=value.tail,
            symmetric=value.symmetric,
        )
    if isinstance(value, str):
        return RelationLabel(checked, description=" ".join(value.split()))
    if isinstance(value, Sequence) and len(value) == 2:
        return RelationLabel(checked, head=value[0], tail=value[1])
    raise InputError(
        f"relation {checked!r} maps to {value!r}; expected a description, (type of head, type of tail), "
        "or a RelationLabel."
    )


def _entity_types(relations: Sequence[RelationLabel], entities: LabelSpec | None) -> tuple[Label, ...]:
    if entities is not None:
        return parse_labels(entities)
    named = dict.fromkeys(name for one in relations for name in (*one.head, *one.tail))
    return tuple(Label(name) for name in named or (ANY_ENTITY,))


def _check_types(
    relations: Sequence[RelationLabel], entities: Sequence[Label], spans: Sequence[GivenSpan] | None
) -> None:
    if spans is None:
        known = {label.name for label in entities}
    else:
        known = {span.label for span in spans}
        if "" in known or not known:  # a span without a type may be of any
            return
    for relation in relations:
        for name in (*relation.head, *relation.tail):
            if name not in known:
                raise InputError(
                    f"relation {relation.name!r} names the type {name!r}, which is not asked for; "
                    f"expected one of {', '.join(sorted(known))}. Add it to the entities."
                )


def _given(span: object) -> GivenSpan:
    if isinstance(span, (Span, Entity, GivenSpan)):
        given = GivenSpan(span.start, span.end, span.label)
    elif isinstance(span, Sequence) and not isinstance(span, (str, bytes)) and len(span) in (2, 3):
        given = GivenSpan(span[0], span[1], span[2] if len(span) == 3 else "")
    else:
        raise InputError(f"span {span!r} is none; expected (start, end) or (start, end, type).")
    whole = type(given.start) is int and type(given.end) is int and isinstance(given.label, str)
    if not whole or not 0 <= given.start < given.end:
        raise InputError(f"span {span!r} is none; expected characters, 0 <= start < end, and a type if any.")
    return given
