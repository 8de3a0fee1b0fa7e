"""The replay set: passages that fine-tuning mixes in, so that a model does not forget what it knows.

Learning from old examples beside the new ones is rehearsal (Robins 1995, "Catastrophic forgetting, rehearsal
and pseudorehearsal"). `tasks/replay.py` of the repository chooses them.
"""

from importlib.resources import files

from gliner_mt.formats.records import parse_example
from gliner_mt.types import Example

REPLAY_FILE = files("gliner_mt.train") / "replay.jsonl"


def replay_examples() -> list[Example]:
    """Return 399 short passages of many kinds, with some 1,200 labels; Apache-2.0, part of the package."""
    lines = REPLAY_FILE.read_text(encoding="utf-8").splitlines()
    return [parse_example(line, f"{REPLAY_FILE}, line {n}") for n, line in enumerate(lines, start=1)]
