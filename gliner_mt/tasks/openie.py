"""Open information extraction: who does what to whom, when and where, whatever it is about."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import final

from gliner_mt.tasks.base import Found, Kind, Label, PairQueries, Queries, RelationLabel
from gliner_mt.tasks.parsing import own_threshold
from gliner_mt.types import Relation, Span, Triple

PREDICATE, ARGUMENT = "predicate", "argument"
SUBJECT, OBJECT, TIME, PLACE = "subject", "object", "time", "place"

_Place = tuple[int, int]


@final
@dataclass(frozen=True, init=False)
class OpenIE:
    """Find the tuples that a text states; answers `list[Triple]`, in the order of predicates.

    Predicates and arguments are spans of one sentence; a pair of them says in which role the argument is.
    Each subject of a predicate makes a triple with each of its objects; its best time and place go with all
    of them. A triple is as probable as its least probable part. `threshold` holds for roles,
    `span_threshold` for predicates and arguments (None or "auto": the model's).
    """

    threshold: float | None = None
    span_threshold: float | None = None

    def __init__(
        self, *, threshold: float | str | None = None, span_threshold: float | str | None = None
    ) -> None:
        object.__setattr__(self, "threshold", own_threshold(threshold, "threshold"))
        object.__setattr__(self, "span_threshold", own_threshold(span_threshold, "span_threshold"))

    def queries(self) -> tuple[Queries]:
        """Return predicates and arguments, and the roles that hold between them."""
        roles = tuple(
            RelationLabel(role, head=PREDICATE, tail=ARGUMENT) for role in (SUBJECT, OBJECT, TIME, PLACE)
        )
        return (
            Queries(
                (Label(PREDICATE), Label(ARGUMENT)),
                self.span_threshold,
                by_label=True,
                pairs=PairQueries(roles, self.threshold, kind=Kind.TUPLES, within_sentence=True),
                kind=Kind.TUPLES,
            ),
        )

    def result(self, found: Sequence[Found]) -> list[Triple]:
        """Assemble the triples of each predicate."""
        # An argument has one role with a predicate: the most probable.
        best: dict[_Place, dict[_Place, Relation]] = defaultdict(dict)
        for pair in found[0].pairs:
            arguments = best[pair.head.start, pair.head.end]
            place = (pair.tail.start, pair.tail.end)
            if place not in arguments or arguments[place].score < pair.score:
                arguments[place] = pair
        return [triple for arguments in best.values() for triple in _triples(list(arguments.values()))]


def _triples(arguments: Sequence[Relation]) -> list[Triple]:
    in_role: dict[str, list[Relation]] = {role: [] for role in (SUBJECT, OBJECT, TIME, PLACE)}
    for one in arguments:
        in_role[one.label].append(one)
    if not in_role[SUBJECT] and not in_role[OBJECT]:
        return []
    time, place = (max(in_role[role], key=lambda one: one.score, default=None) for role in (TIME, PLACE))
    subjects: Sequence[Relation | None] = in_role[SUBJECT] or (None,)
    objects: Sequence[Relation | None] = in_role[OBJECT] or (None,)
    predicate = arguments[0].head
    return [
        _triple(predicate, [subject, object_, time, place]) for subject, object_ in product(subjects, objects)
    ]


def _triple(predicate: Span, parts: Sequence[Relation | None]) -> Triple:
    subject, object_, time, place = (None if part is None else part.tail for part in parts)
    sure = [predicate.score, *(min(part.score, part.tail.score) for part in parts if part is not None)]
    return Triple(subject, predicate, object_, time, place, min(sure))
