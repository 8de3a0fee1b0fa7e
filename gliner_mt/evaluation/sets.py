"""Annotated sets in files of this project's format, and what is measured on them for each task."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Generic, TypeVar, final

from gliner_mt.errors import InputError
from gliner_mt.evaluation.classification import evaluate_classification
from gliner_mt.evaluation.ner import evaluate_ner
from gliner_mt.evaluation.openie import evaluate_openie
from gliner_mt.evaluation.qa import evaluate_qa
from gliner_mt.evaluation.relations import (
    evaluate_given,
    evaluate_one_pair,
    evaluate_relations,
    has_one_pair,
)
from gliner_mt.evaluation.result import Result
from gliner_mt.evaluation.summary import evaluate_summary
from gliner_mt.formats import read_classes, read_questions, read_relations, read_summaries, read_tuples
from gliner_mt.formats.records import read_examples
from gliner_mt.types import RelationExample

if TYPE_CHECKING:
    from gliner_mt.extractor import Extractor

T = TypeVar("T")

Evaluate = Callable[["Extractor", Sequence[T], str, float | None], Result]

_SUFFIXES = (".jsonl.gz", ".jsonl")


@final
@dataclass(frozen=True, slots=True)
class Evaluation(Generic[T]):
    """How a task's examples are read, and what is measured on them, in order."""

    reader: Callable[[Path], Iterator[T]]
    measures: Callable[[Sequence[T]], Sequence[Evaluate[T]]]

    def read(self, path: Path, limit: int | None) -> list[T]:
        """Return the examples of a file, or `limit` of them drawn at random, always the same ones.

        Raises:
            InputError: no such file, a broken one, or one without examples.
        """
        examples = list(self.reader(path))
        if not examples:
            raise InputError(f"{path} holds no examples; expected one JSON object a line.")
        if limit is not None:
            Random(0).shuffle(examples)
        return examples[:limit]


def _relation_measures(examples: Sequence[RelationExample]) -> Sequence[Evaluate[RelationExample]]:
    return [evaluate_one_pair] if has_one_pair(examples) else [evaluate_relations, evaluate_given]


EVALUATIONS: Mapping[str, Evaluation[Any]] = {
    "ner": Evaluation(read_examples, lambda _: [evaluate_ner]),
    "relations": Evaluation(read_relations, _relation_measures),
    "answer": Evaluation(read_questions, lambda _: [evaluate_qa]),
    "triples": Evaluation(read_tuples, lambda _: [evaluate_openie]),
    "summarize": Evaluation(read_summaries, lambda _: [evaluate_summary]),
    "classify": Evaluation(read_classes, lambda _: [evaluate_classification]),
}
"""What is measured for each task, by the name of its command."""


def find_sets(data: Path, split: str) -> dict[str, Path]:
    """Return the files to evaluate on, by the names of their sets: `data` itself, or its files of a split.

    Raises:
        InputError: there are none.
    """
    if data.is_file():
        return {_stem(data): data}
    if not data.is_dir():
        raise InputError(f"there is no file or folder {data}; expected one with annotated examples.")
    files = sorted(path for path in data.iterdir() if path.name.endswith(_SUFFIXES))
    found = {
        stem.removesuffix(f".{split}"): path for path in files if (stem := _stem(path)).endswith(f".{split}")
    }
    if not found:
        splits = ", ".join(sorted({Path(_stem(path)).suffix[1:] for path in files} - {""}))
        there = f"its splits are {splits}" if splits else "it has no .jsonl or .jsonl.gz files"
        raise InputError(f"{data} has no files of the split {split!r}, NAME.{split}.jsonl.gz; {there}.")
    return found


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".jsonl")
