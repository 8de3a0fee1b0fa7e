"""What the sets of every task have in common: where they come from, and how a folder of them is read."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Dataset:
    """A set of the data folder: source repository, licence, and the splits to train and to develop on."""

    source: str
    licence: str
    train: str = "train"
    dev: str = "dev"


Reader = Callable[[Path], Iterator[T]]


def training_sets(folder: Path, sets: Mapping[str, Dataset], reader: Reader[T]) -> dict[str, list[T]]:
    """Return all training examples of each set. Raises InputError if a file is missing or broken."""
    return {name: list(reader(folder / f"{name}.{dataset.train}.jsonl.gz")) for name, dataset in sets.items()}


def development_sets(
    folder: Path, sets: Mapping[str, Dataset], reader: Reader[T], limit: int
) -> dict[str, list[T]]:
    """Return up to `limit` development examples of each set, always the same ones.

    Raises InputError if a file is missing or broken.
    """
    found = {}
    for name, dataset in sets.items():
        examples = list(reader(folder / f"{name}.{dataset.dev}.jsonl.gz"))
        Random(0).shuffle(examples)
        found[name] = examples[:limit]
    return found
