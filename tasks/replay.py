"""Choose the replay set of the package: `python -m tasks.replay` writes `gliner_mt/train/replay.jsonl`.

Some of the passages written for this project (`tasks/written/`), which fine-tuning mixes in so that a model
keeps what it knows: as many of each file, those first that add most labels to the ones chosen before.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from gliner_mt.formats.records import entity_record, read_examples
from gliner_mt.train.replay import REPLAY_FILE
from gliner_mt.types import Example
from tasks.ner import WRITTEN

_OF_EACH_FILE = 57
_LONGEST = 600  # characters: what is read again and again should be short


def main() -> None:
    """Write the replay set."""
    chosen = choose([list(read_examples(path)) for path in sorted(WRITTEN.glob("*.jsonl"))], _OF_EACH_FILE)
    lines = (json.dumps(entity_record(one), ensure_ascii=False) + "\n" for one in chosen)
    Path(str(REPLAY_FILE)).write_text("".join(lines), encoding="utf-8")


def choose(files: Iterable[Sequence[Example]], of_each: int) -> list[Example]:
    """Return `of_each` passages of each file, chosen for the labels that they add."""
    known: set[str] = set()
    chosen = []
    for examples in files:
        left = [one for one in examples if len(one.text) <= _LONGEST]
        for _ in range(min(of_each, len(left))):
            best = max(left, key=lambda one: len({entity.label for entity in one.entities} - known))
            left.remove(best)
            known.update(best.labels)
            chosen.append(best)
    return chosen


if __name__ == "__main__":
    main()
