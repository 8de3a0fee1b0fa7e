"""From annotated examples to training rows: which texts, which labels, in which words.

What makes a zero-shot model generalise is the variety of questions. So each row draws its labels anew: those
found in it, some that are not (true negatives), under their own name, an alias or with a description.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple, final

import torch

from gliner_mt.batch import Collator, Row, token_budget_batches
from gliner_mt.errors import ConfigError
from gliner_mt.heads import Gold
from gliner_mt.labels import LabelEncoding
from gliner_mt.tokenization import EncodedWord, word_span
from gliner_mt.train.questions import TrainBatch
from gliner_mt.types import Example

_LOWER_CASE, _CAPITALS = 1, 4


@dataclass(frozen=True, slots=True)
class LabelNames:
    """Other names of a label, and a one-line description of it."""

    aliases: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingConfig:
    """How rows are drawn.

    Attributes:
        row_tokens: sub-words that a row is to have, prompt included; a text is cut at two thirds of them.
        packed: chance that a row holds several texts of its set under one prompt, up to half of `row_tokens`.
        max_labels: labels of a row at most; how many is drawn anew for each row.
        foreign: foreign labels at most that are added as negatives to a row.
        alias: chance that a label goes by an alias.
        described: chance that a label goes with its description.
        lower: chance that a row loses its capitals.
        upper: chance that a row is all capitals.
        rows_per_pool: rows that are drawn, sorted by length and batched together.
    """

    row_tokens: int = 192
    packed: float = 0.6
    max_labels: int = 16
    foreign: int = 3
    alias: float = 0.35
    described: float = 0.08
    lower: float = 0.12
    upper: float = 0.03
    rows_per_pool: int = 512

    def __post_init__(self) -> None:
        if self.max_labels < 2:
            raise ConfigError(f"max_labels is {self.max_labels}; expected at least 2.")
        for name in ("packed", "alias", "described", "lower", "upper"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected a chance from 0 to 1.")


@dataclass(frozen=True, slots=True)
class Source:
    """A set to draw from.

    `weight`: its share of the rows, relative to the others. `domain` tells which sets' labels are foreign to
    it. `packable`: its texts may share a row.
    """

    name: str
    examples: Sequence[Example]
    weight: float
    domain: str = ""
    packable: bool = True


class _Piece(NamedTuple):
    words: list[EncodedWord]
    entities: list[tuple[int, int, str]]
    labels: frozenset[str]


@final
class RowSampler:
    """Draws pools of training batches; pool n is the same in every run with the same seed."""

    def __init__(
        self,
        sources: Sequence[Source],
        labels: LabelEncoding,
        names: Mapping[str, LabelNames],
        config: SamplingConfig,
        *,
        max_width: int,
        seed: int,
    ) -> None:
        self._sources = list(sources)
        self._weights = [source.weight for source in sources]
        self._labels = labels
        self._names = names
        self._config = config
        self._max_width = max_width
        self._seed = seed
        self._collate = Collator(labels.tokenizer.pad_id, labels.tokenizer.suffix)
        self._foreign = self._foreign_labels()

    def pool(self, index: int, batch_tokens: int) -> list[TrainBatch]:
        """Return the batches of pool `index`, each at most `batch_tokens` sub-words when padded."""
        random = Random(f"{self._seed}/{index}")
        drawn = random.choices(self._sources, self._weights, k=self._config.rows_per_pool)
        rows = [self._row(source, random) for source in drawn]
        lengths = [len(row) for row, _ in rows]
        batches = [
            self._batch([rows[i] for i in part]) for part in token_budget_batches(lengths, batch_tokens)
        ]
        random.shuffle(batches)
        return batches

    def _row(self, source: Source, random: Random) -> tuple[Row, list[tuple[int, int, int]]]:
        piece = self._piece(source, random)
        asked = self._asked(source, piece, random)
        prompt = self._labels.prompt(self._wordings(asked, piece.labels, random))
        index = {label: i for i, label in enumerate(asked)}
        words = self._recased(piece.words, random)
        gold = [(start, end, index[label]) for start, end, label in piece.entities if label in index]
        return Row(prompt, words), gold

    def _piece(self, source: Source, random: Random) -> _Piece:
        """Draw one text, or several that were annotated with the same labels."""
        piece = self._encoded(random.choice(source.examples))
        if not source.packable or random.random() > self._config.packed:
            return piece
        room = self._config.row_tokens // 2
        words, entities = list(piece.words), list(piece.entities)
        for _ in range(6):
            other = self._encoded(random.choice(source.examples))
            if other.labels == piece.labels and _tokens(words) + _tokens(other.words) <= room:
                entities += [
                    (start + len(words), end + len(words), label) for start, end, label in other.entities
                ]
                words += other.words
        return _Piece(words, entities, piece.labels)

    def _encoded(self, example: Example) -> _Piece:
        words, room = [], self._config.row_tokens * 2 // 3
        for word in self._labels.tokenizer.encode(example.text, max_word_tokens=32):
            if (room := room - len(word.ids)) < 0:
                break
            words.append(word)
        entities = []
        unusable = set()
        for entity in example.entities:
            first, last = word_span(words, entity.start, entity.end)
            if first == last:
                continue
            if words[-1].end < entity.end or last - first > self._max_width:
                unusable.add(entity.label)  # the head cannot find it, and it is no true negative either
            entities.append((first, last, entity.label))
        return _Piece(words, entities, frozenset(example.labels) - unusable)

    def _asked(self, source: Source, piece: _Piece, random: Random) -> list[str]:
        """Choose the labels to ask: those that occur, some of the set's that do not, some foreign ones."""
        found = sorted({label for _, _, label in piece.entities} & piece.labels)
        absent = sorted(piece.labels - set(found))
        limit = random.randint(2, self._config.max_labels)
        positives = random.sample(found, min(len(found), limit))
        negatives = random.sample(
            absent, min(len(absent), max(limit - len(positives), 0 if positives else 1))
        )
        foreign = self._foreign[source.domain]
        wanted = min(random.randint(0, self._config.foreign), len(foreign))
        asked = dict.fromkeys([*positives, *negatives, *random.sample(foreign, wanted)])
        shuffled = list(asked)
        random.shuffle(shuffled)
        return shuffled

    def _wordings(self, asked: Sequence[str], annotated: Collection[str], random: Random) -> list[str]:
        """Word the labels asked: no two alike, and none like another label annotated in the text."""
        taken = {*asked, *annotated}
        wordings = []
        for label in asked:
            wording = self._wording(label, random)
            wordings.append(label if wording in taken else wording)
            taken.add(wording)
        return wordings

    def _wording(self, label: str, random: Random) -> str:
        names = self._names.get(label)
        if names is None:
            return label
        chance = random.random()
        if names.description and chance < self._config.described:
            return f"{label}: {names.description}"
        if names.aliases and chance < self._config.described + self._config.alias:
            return random.choice(names.aliases)
        return label

    def _recased(self, words: list[EncodedWord], random: Random) -> list[EncodedWord]:
        chance = random.random()
        if chance > self._config.lower + self._config.upper:
            return words
        shape = _LOWER_CASE if chance < self._config.lower else _CAPITALS
        return [word._replace(shape=shape) if word.shape <= 5 else word for word in words]

    def _batch(self, rows: Sequence[tuple[Row, list[tuple[int, int, int]]]]) -> TrainBatch:
        spans = [(i, *span) for i, (_, gold) in enumerate(rows) for span in gold]
        columns = torch.tensor(spans, dtype=torch.long).reshape(-1, 4).unbind(1)
        return TrainBatch(self._collate([row for row, _ in rows]), Gold(*columns))

    def _foreign_labels(self) -> dict[str, list[str]]:
        """Return for each domain labels of others that no set of its own, or of none, has: true negatives."""
        known: dict[str, set[str]] = defaultdict(set)
        for source in self._sources:
            known[source.domain].update(label for example in source.examples for label in example.labels)
        everyday = known.pop("", set())
        foreign: dict[str, list[str]] = {"": []}
        for domain, labels in known.items():
            own = {name for label in labels | everyday for name in (label, *self._aliases(label))}
            foreign[domain] = sorted(set().union(*known.values()) - own)
        return foreign

    def _aliases(self, label: str) -> tuple[str, ...]:
        return self._names[label].aliases if label in self._names else ()


def _tokens(words: Sequence[EncodedWord]) -> int:
    return sum(len(word.ids) for word in words)
