"""What fine-tuning mixes in, so that a model does not forget what it knows.

Beside the examples it reads other rows, in which it is to answer as it did before (Li & Hoiem, "Learning
without Forgetting", arXiv 1606.09282): passages that the package carries, with their labels, and the new
texts with labels of the passages.
"""

from collections.abc import Collection, Iterable, Sequence
from importlib.resources import files
from random import Random

from gliner_mt.formats.records import parse_example
from gliner_mt.types import Example

REPLAY_FILE = files("gliner_mt.train") / "replay.jsonl"

_LABELS = 24
"""Labels of a text, of which each row draws some."""


def replay_examples() -> list[Example]:
    """Return 399 short passages of many kinds, with some 1,200 labels; Apache-2.0, part of the package."""
    lines = REPLAY_FILE.read_text(encoding="utf-8").splitlines()
    return [parse_example(line, f"{REPLAY_FILE}, line {n}") for n, line in enumerate(lines, start=1)]


def with_other_labels(
    texts: Iterable[str], passages: Sequence[Example], own: Collection[str], seed: int
) -> list[Example]:
    """Return texts with labels of the passages but none of `own`; what is right of them is not said.

    A label is drawn as often as it occurs in the passages: everyday ones more often than rare ones.
    """
    random, taken = Random(seed), {label.casefold() for label in own}
    labels = [label for one in passages for label in one.labels if label.casefold() not in taken]
    return [Example(text, (), tuple(sorted(set(random.choices(labels, k=_LABELS))))) for text in texts]
