"""What some hundred examples of a new domain are worth: F1, time, size, and what is forgotten for them.

python -m benchmarks.fine_tuning --data DATA [--config configs/ner_lora.yaml] [--sets cyner wnut17 bionlp13cg]

Each set's dev split is cut into up to 500 examples to learn from and up to 200 to choose the checkpoint by;
its test split gives the figures. The shipped model never learns from any split of these sets: here it is
adapted to them as a user would adapt it, to measure adaptation, and nothing of that is shipped.
"""

import argparse
from pathlib import Path
from random import Random

import torch

from gliner_mt import Extractor
from gliner_mt.formats.records import read_examples
from gliner_mt.train.recipe import read_recipe
from gliner_mt.types import Example
from tasks.ner import ZERO_SHOT, zero_shot_sets

_TRAIN, _DEV = 500, 200


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=Path("configs/ner_lora.yaml"))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change the config")
    parser.add_argument("--sets", nargs="+", choices=ZERO_SHOT, default=["cyner", "wnut17", "bionlp13cg"])
    parser.add_argument("--examples", type=int, default=_TRAIN, help="examples to learn from, at most")
    parser.add_argument("--limit", type=int, default=500, help="test sentences of each set, at most")
    parser.add_argument("--out", type=Path, default=Path("runs/fine_tuning"))
    arguments = parser.parse_args()
    recipe = read_recipe(arguments.config, arguments.set)
    print(f"{arguments.config}, {torch.get_num_threads()} threads")
    print(
        "| set | examples | F1 before | after | other sets before | after | minutes | adapter or model, MB |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name in arguments.sets:
        train, dev = _split(arguments.data, name, arguments.examples)
        report = Extractor.load(recipe.model).fit(
            train,
            dev,
            recipe.settings(len(train)),
            out=arguments.out / name,
            retention=zero_shot_sets(arguments.data, arguments.limit),
        )
        (own,) = (one for one in report.retention if one.name == name)
        others = [one for one in report.retention if one.name != name]
        before, after = (
            100 * sum(values) / len(others)
            for values in ([one.before for one in others], [one.after for one in others])
        )
        print(
            f"| {name} | {len(train)} | {100 * own.before:.1f} | {100 * own.after:.1f} | {before:.1f} "
            f"| {after:.1f} | {report.seconds / 60:.1f} | {report.size / 1e6:.1f} |",
            flush=True,
        )


def _split(data: Path, name: str, most: int) -> tuple[list[Example], list[Example]]:
    """Return examples to learn from and to choose a checkpoint by: a fifth of them, no more than 200."""
    examples = list(read_examples(data / "ner" / f"{name}.dev.jsonl.gz"))
    Random(0).shuffle(examples)
    n_dev = min(_DEV, len(examples) // 5)
    return examples[n_dev : n_dev + most], examples[:n_dev]


if __name__ == "__main__":
    main()
