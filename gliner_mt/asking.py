"""Which labels are read together: those of all queries in one list, split where it is too long."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from gliner_mt.config import Thresholds
from gliner_mt.errors import InputError
from gliner_mt.labels import LabelEncoding, Prompt
from gliner_mt.tasks import Kind, Label, Queries
from gliner_mt.tokenization import EncodedWord

NEVER = 2.0
"""A threshold that no probability exceeds."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A label of one of the queries: its place among the query's labels, or its relations (`of_pairs`).

    `free` says that it is matched with every span up to the model's width. `words` stand for it in the
    prompt, and an `instruction` before the text. `link_threshold` is what the
    probability that two spans are related at all must exceed, of models that ask that first.
    """

    query: int
    index: int
    of_pairs: bool
    label: Label
    threshold: float
    free: bool
    words: str
    link_threshold: float = 0.0
    instruction: str = ""


@dataclass(frozen=True, slots=True)
class LabelGroup:
    """Labels that are scored together: which of those asked, and the thresholds of free spans.

    `repeated` are asked in another group, too, which answers for them; here they find spans to be related.
    `vectors` (c, d) are those of labels that stand apart; None where labels stand in the prompt. `later` are
    relations that are asked of the spans found, in prompts of their own.
    """

    indices: tuple[int, ...]
    thresholds: tuple[float, ...]
    repeated: frozenset[int] = frozenset()
    vectors: Float[Tensor, "c d"] | None = None
    later: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """One run of the backbone over a window: the prompt before the text, the labels that are then scored.

    `lead` are the words of an instruction, which are read before those of the window.
    """

    prompt: Prompt
    groups: tuple[LabelGroup, ...]
    lead: tuple[EncodedWord, ...] = ()

    @property
    def length(self) -> int:
        """Sub-words before the text."""
        return len(self.prompt.ids) + sum(len(word.ids) for word in self.lead)


class Together(NamedTuple):
    """Labels that fit together, by their places among those asked; see `LabelGroup`."""

    indices: tuple[int, ...]
    repeated: frozenset[int] = frozenset()


def labels_asked(queries: Sequence[Queries], thresholds: Thresholds) -> tuple[Asked, ...]:
    """Return the labels of all queries in their order, those of relations last in each.

    The first threshold that there is counts: the label's, the query's, those that are the model's.
    """

    def least(label: Label, given: float | None, kind: Kind) -> float:
        own = given if label.threshold is None else label.threshold
        return thresholds.of(kind, label.name) if own is None else own

    asked = []
    for number, one in enumerate(queries):
        free = one.candidates.free
        asked += [
            Asked(number, index, False, label, least(label, one.threshold, one.kind), free, label.prompt)
            for index, label in enumerate(one.labels)
        ]
        if one.pairs is not None:
            pairs, of_spans = one.pairs, thresholds.of(one.kind) if one.threshold is None else one.threshold
            link = of_spans if pairs.link_threshold is None else pairs.link_threshold
            for index, label in enumerate(relation.label for relation in pairs.labels):
                of_pairs = least(label, pairs.threshold, pairs.kind)
                asked.append(Asked(number, index, True, label, of_pairs, False, label.prompt, link))
    return tuple(asked)


def prompt_of(asked: Sequence[Asked], labels: LabelEncoding) -> Prompt:
    """Return the prompt of labels, in their order."""
    relations = [n for n, one in enumerate(asked) if one.of_pairs]
    return labels.prompt([one.words for one in asked], relations)


def split(asked: Sequence[Asked], sizes: Sequence[int], room: int) -> list[Together]:
    """Split labels of the given sizes into as few groups as the room allows.

    All together, they keep their order. Else groups are made in the order of names, so that the caller's
    order changes nothing where the label encoding has no order itself. Relations need the spans that they
    relate: each group with relations repeats the other labels of their query.
    """
    if sum(sizes) <= room:
        return [Together(tuple(range(len(asked))))]
    related = {one.query for one in asked if one.of_pairs}
    loose = [i for i, one in enumerate(asked) if one.query not in related]
    groups = [Together(tuple(part)) for part in _filled(asked, loose, sizes, room)]
    for query in sorted(related):
        ends = [i for i, one in enumerate(asked) if one.query == query and not one.of_pairs]
        relations = [i for i, one in enumerate(asked) if one.query == query and one.of_pairs]
        left = room - sum(sizes[i] for i in ends)
        if left < max(sizes[i] for i in relations):
            raise InputError(
                f"{len(ends)} types of spans leave no room for the relations between them: labels may take "
                f"{room} sub-words, half of a window. Ask fewer types, or load with a larger max_tokens."
            )
        for n, part in enumerate(_filled(asked, relations, sizes, left)):
            groups.append(Together((*ends, *part), frozenset(ends if n else ())))
    return groups


def label_group(
    asked: Sequence[Asked] | Mapping[int, Asked], together: Together, vectors: Tensor | None = None
) -> LabelGroup:
    """Return labels that fit together as a group to be scored."""
    thresholds = tuple(asked[i].threshold if asked[i].free else NEVER for i in together.indices)
    return LabelGroup(together.indices, thresholds, together.repeated, vectors)


def asked_later(asked: Mapping[int, Asked], together: Together) -> LabelGroup:
    """Return labels that fit together as a group, its relations to be asked later."""
    later = tuple(i for i in together.indices if asked[i].of_pairs)
    own = Together(tuple(i for i in together.indices if i not in later), together.repeated)
    return replace(label_group(asked, own), later=later)


def _filled(
    asked: Sequence[Asked], indices: Sequence[int], sizes: Sequence[int], room: int
) -> list[list[int]]:
    groups: list[list[int]] = []
    left = 0
    for index in sorted(indices, key=lambda i: asked[i].label.name):
        if not groups or sizes[index] > left:
            groups.append([])
            left = room
        groups[-1].append(index)
        left -= sizes[index]
    return groups
