"""Rows of examples of any task, and of what is replayed, each with its share."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gliner_mt.config import from_mapping
from gliner_mt.errors import ConfigError
from gliner_mt.labels import LabelEncoding
from gliner_mt.train.drawing import (
    Draw,
    DrawClasses,
    DrawRelations,
    TaskRows,
    asked_questions,
    draw_summary,
    draw_tuples,
    related_examples,
)
from gliner_mt.train.entities import Source, entity_rows
from gliner_mt.train.examples import ByTask
from gliner_mt.train.sampling import LabelNames, RowSource, SamplingConfig
from gliner_mt.types import Example

Names = Mapping[str, LabelNames]
_Drawn = tuple[Sequence[Any], Draw[Any]]
"""What the rows of a task are drawn from, and how."""


class Replay(NamedTuple):
    """Texts and labels, in sets, of which a teacher says what is right; their share of all rows."""

    sets: Sequence[Sequence[Example]]
    share: float


def row_sources(
    train: ByTask,
    replay: Replay,
    names: Names,
    labels: LabelEncoding,
    sampling: SamplingConfig,
    max_width: int,
) -> list[RowSource]:
    """Return the rows of each task, as many as it has examples, and those that are replayed.

    Texts stay where they are, but for questions: those to one text are put together in memory.
    """
    n_examples = sum(map(len, train.values()))
    own = 1.0 - replay.share
    entities = [
        Source("replay", examples, replay.share / len(replay.sets), packable=False, recalled=True)
        for examples in replay.sets
    ]
    sources: list[RowSource] = []
    for task, examples in train.items():
        share = own * len(examples) / n_examples
        if task == "ner":
            entities.append(Source("train", examples, share))
            continue
        drawn, draw = _DRAWS[task](examples, sampling)
        sources.append(TaskRows(drawn, draw, share, labels, sampling, max_width))
    return [*sources, *entity_rows(entities, labels, names, sampling, max_width)]


def read_names(path: Path) -> Names:
    """Return what else labels may be called: a JSON file, label → {aliases: [name], description: text}.

    Raises:
        ConfigError: the file cannot be read, or is not of this form.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"names is {path}, which cannot be read: {error}; expected a JSON file.") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds a {type(values).__name__}; expected an object, label → names.")
    named = {label: from_mapping(LabelNames, value, f"{path}: {label}") for label, value in values.items()}
    for label, names in named.items():
        for alias in names.aliases:
            if not isinstance(alias, str) or not alias.strip():
                raise ConfigError(f"{path}: {label}.aliases has {alias!r}; expected names.")
    return named


_DRAWS: Mapping[str, Callable[[Sequence[Any], SamplingConfig], _Drawn]] = {
    "relations": lambda examples, sampling: (related_examples(examples), DrawRelations({}, sampling)),
    "answer": asked_questions,
    "triples": lambda examples, _: (examples, draw_tuples),
    "summarize": lambda examples, _: (examples, draw_summary),
    "classify": lambda examples, sampling: (examples, DrawClasses(sampling)),
}
"""What the rows of each other task are drawn from, and how."""
