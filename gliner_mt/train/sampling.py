"""Draws training batches from weighted sources of rows; rows of any tasks meet in one batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol, final

from gliner_mt.batch import Collator, Row, token_budget_batches
from gliner_mt.errors import ConfigError
from gliner_mt.labels import LabelEncoding
from gliner_mt.train.questions import QuestionRow, TrainBatch, question_batch

_LOWER_CASE, _CAPITALS = 1, 4
_LEAST = {
    "row_tokens": 8,
    "question_tokens": 8,
    "max_labels": 2,
    "max_questions": 1,
    "foreign": 0,
    "rows_per_pool": 1,
}


@dataclass(frozen=True, slots=True)
class LabelNames:
    """Other names of a label, and a one-line description of it."""

    aliases: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingConfig:
    """How rows are drawn.

    Attributes:
        row_tokens: sub-words that a row of entities is to have, prompt included; texts of more than two
            thirds of that are read in parts, another one each time.
        question_tokens: sub-words that a row of another task may have, prompt included; questions and classes
            take three quarters of that at most.
        packed: chance that a row holds several texts of its set under one prompt, up to half of `row_tokens`.
        max_labels: labels of a row at most; how many is drawn anew for each row.
        max_questions: questions of a row at most that were put to its text.
        foreign: foreign labels or questions at most that are added as negatives to a row.
        alias: chance that a label goes by an alias; a relation, half of the time by its inverse.
        described: chance that a label goes with its description.
        lower: chance that a row loses its capitals.
        upper: chance that a row is all capitals.
        rows_per_pool: rows that are drawn, sorted by length and batched together.
    """

    row_tokens: int = 192
    question_tokens: int = 288
    packed: float = 0.6
    max_labels: int = 16
    max_questions: int = 5
    foreign: int = 3
    alias: float = 0.35
    described: float = 0.08
    lower: float = 0.12
    upper: float = 0.03
    rows_per_pool: int = 512

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected at least {least}.")
        for name in ("packed", "alias", "described", "lower", "upper"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected a chance from 0 to 1.")

    @property
    def text_tokens(self) -> int:
        """Sub-words of the text in a row of entities at most."""
        return self.row_tokens * 2 // 3

    @property
    def prompt_tokens(self) -> int:
        """Sub-words of the questions or classes in a row at most; the rest is for the text."""
        return self.question_tokens * 3 // 4


class RowSource(Protocol):
    """Where rows come from; `weight` is its share of the rows, relative to the others."""

    @property
    def weight(self) -> float:
        """The share of the rows, relative to the other sources."""
        ...

    def row(self, random: Random) -> QuestionRow:
        """Draw a row; all that is random comes from `random`."""
        ...


@final
class RowSampler:
    """Draws pools of training batches; pool n is the same in every run with the same seed."""

    def __init__(
        self, sources: Sequence[RowSource], labels: LabelEncoding, config: SamplingConfig, *, seed: int
    ) -> None:
        self._sources = list(sources)
        self._weights = [source.weight for source in sources]
        self._collate = Collator(labels.tokenizer.pad_id, labels.tokenizer.suffix)
        self._config = config
        self._seed = seed

    def pool(self, index: int, batch_tokens: int) -> list[TrainBatch]:
        """Return the batches of pool `index`, each at most `batch_tokens` sub-words when padded."""
        random = Random(f"{self._seed}/{index}")
        drawn = random.choices(self._sources, self._weights, k=self._config.rows_per_pool)
        rows = [self._recased(source.row(random), random) for source in drawn]
        lengths = [len(one.row) for one in rows]
        batches = [
            question_batch([rows[i] for i in part], self._collate)
            for part in token_budget_batches(lengths, batch_tokens)
        ]
        random.shuffle(batches)
        return batches

    def _recased(self, row: QuestionRow, random: Random) -> QuestionRow:
        chance = random.random()
        if chance > self._config.lower + self._config.upper:
            return row
        shape = _LOWER_CASE if chance < self._config.lower else _CAPITALS
        words = [word._replace(shape=shape) if word.shape <= 5 else word for word in row.row.words]
        return row._replace(row=Row(row.row.prompt, words))
