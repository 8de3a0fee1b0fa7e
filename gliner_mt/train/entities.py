"""Rows of entities: which texts, which labels, in which words.

What makes a zero-shot model generalise is the variety of questions. So each row draws its labels anew: those
found in it, some that are not (true negatives), under their own name, an alias or with a description.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple, final

from gliner_mt.batch import Row
from gliner_mt.labels import LabelEncoding
from gliner_mt.tokenization import EncodedWord, word_span
from gliner_mt.train.excerpts import excerpt
from gliner_mt.train.questions import Judged, QuestionRow, words_within
from gliner_mt.train.sampling import LabelNames, SamplingConfig
from gliner_mt.types import Example

_TRIES = 20


@dataclass(frozen=True, slots=True)
class Source:
    """A set to draw from.

    `weight`: its share of the rows, relative to the others. `domain` tells which sets' labels are foreign to
    it. `packable`: its texts may share a row. `recalled`: a teacher says what is right, not the examples.
    """

    name: str
    examples: Sequence[Example]
    weight: float
    domain: str = ""
    packable: bool = True
    recalled: bool = False


class _Piece(NamedTuple):
    words: list[EncodedWord]
    entities: list[tuple[int, int, str]]
    labels: frozenset[str]


def entity_rows(
    sources: Sequence[Source],
    labels: LabelEncoding,
    names: Mapping[str, LabelNames],
    config: SamplingConfig,
    max_width: int,
) -> list["EntityRows"]:
    """Return the rows of each source; they know each other's labels, for true negatives."""
    foreign = _foreign_labels(sources, names)
    return [
        EntityRows(source, labels, names, config, max_width, foreign[source.domain]) for source in sources
    ]


@final
@dataclass(frozen=True, slots=True)
class EntityRows:
    """Draws rows of a source. `foreign` are labels of other sources that are true negatives in its texts."""

    source: Source
    labels: LabelEncoding
    names: Mapping[str, LabelNames]
    config: SamplingConfig
    max_width: int
    foreign: Sequence[str]

    @property
    def weight(self) -> float:
        """The source's own."""
        return self.source.weight

    def row(self, random: Random) -> QuestionRow:
        """Draw a text, or several, and what is asked of it."""
        piece = self._piece(random)
        asked = self._asked(piece, random)
        words = self._wordings(asked, piece.labels, random)
        prompt = self.labels.prompt(words)
        while len(prompt.ids) > self.config.row_tokens and len(asked) > 1:
            asked.pop()
            prompt = self.labels.prompt(words[: len(asked)])
        index = {label: i for i, label in enumerate(asked)}
        gold = [(start, end, index[label]) for start, end, label in piece.entities if label in index]
        nothing = Judged([], [])
        row, recalled = Row(prompt, piece.words), self.source.recalled
        return QuestionRow(row, len(asked), gold, nothing, range(0), [], nothing, range(0), recalled)

    def _piece(self, random: Random) -> _Piece:
        """Draw one text, or several that were annotated with the same labels."""
        piece = self._drawn(random)
        if not self.source.packable or random.random() > self.config.packed:
            return piece
        room = self.config.row_tokens // 2
        words, entities = list(piece.words), list(piece.entities)
        for _ in range(6):
            other = self._drawn(random)
            if other.labels == piece.labels and _tokens(words) + _tokens(other.words) <= room:
                entities += [
                    (start + len(words), end + len(words), label) for start, end, label in other.entities
                ]
                words += other.words
        return _Piece(words, entities, piece.labels)

    def _example(self, random: Random) -> Example:
        """Draw an example of which something is asked: others teach nothing."""
        drawn = (random.choice(self.source.examples) for _ in range(_TRIES))
        return next((one for one in drawn if one.labels), self.source.examples[0])

    def _drawn(self, random: Random) -> _Piece:
        """Draw a text, or a part of one that a row cannot hold."""
        example = self._example(random)
        tokenizer, room = self.labels.tokenizer, self.config.text_tokens
        part = excerpt(example.text, example.entities, tokenizer, room, random)
        words = words_within(example.text[part.start : part.end], tokenizer, room)
        entities = []
        unusable = set()
        for entity in example.entities:
            first, last = word_span(words, entity.start - part.start, entity.end - part.start)
            if first == last:
                continue
            if entity.start < part.start or part.end < entity.end or last - first > self.max_width:
                unusable.add(entity.label)  # the head cannot find it, and it is no true negative either
            entities.append((first, last, entity.label))
        return _Piece(words, entities, frozenset(example.labels) - unusable)

    def _asked(self, piece: _Piece, random: Random) -> list[str]:
        """Choose the labels to ask: those that occur, some of the set's that do not, some foreign ones."""
        found = sorted({label for _, _, label in piece.entities} & piece.labels)
        absent = sorted(piece.labels - set(found))
        limit = random.randint(2, self.config.max_labels)
        positives = random.sample(found, min(len(found), limit))
        negatives = random.sample(
            absent, min(len(absent), max(limit - len(positives), 0 if positives else 1))
        )
        wanted = min(random.randint(0, self.config.foreign), len(self.foreign))
        asked = dict.fromkeys([*positives, *negatives, *random.sample(self.foreign, wanted)])
        shuffled = list(asked)
        random.shuffle(shuffled)
        return shuffled

    def _wordings(self, asked: Sequence[str], annotated: Collection[str], random: Random) -> list[str]:
        return wordings(asked, annotated, lambda label: self._wording(label, random))

    def _wording(self, label: str, random: Random) -> str:
        names = self.names.get(label)
        if names is None:
            return label
        chance = random.random()
        if names.description and chance < self.config.described:
            return f"{label}: {names.description}"
        if names.aliases and chance < self.config.described + self.config.alias:
            return random.choice(names.aliases)
        return label


def wordings(asked: Sequence[str], annotated: Collection[str], word: Callable[[str], str]) -> list[str]:
    """Word the labels asked: no two alike, and none like another label annotated in the text."""
    taken = {*asked, *annotated}
    worded = []
    for label in asked:
        wording = word(label)
        worded.append(label if wording in taken else wording)
        taken.add(wording)
    return worded


def _tokens(words: Sequence[EncodedWord]) -> int:
    return sum(len(word.ids) for word in words)


def _foreign_labels(sources: Sequence[Source], names: Mapping[str, LabelNames]) -> dict[str, list[str]]:
    """Return for each domain labels of others that no set of its own, or of none, has: true negatives."""
    domains = {source.domain for source in sources}
    if len(domains - {""}) < 2:  # there are no others, and sets may be too large to be read for nothing
        return {domain: [] for domain in domains}
    known: dict[str, set[str]] = defaultdict(set)
    for source in sources:
        known[source.domain].update(label for example in source.examples for label in example.labels)
    everyday = known.pop("", set())
    foreign: dict[str, list[str]] = {"": []}
    for domain, labels in known.items():
        own = {
            name for label in labels | everyday for name in (label, *names.get(label, LabelNames()).aliases)
        }
        foreign[domain] = sorted(set().union(*known.values()) - own)
    return foreign
