"""What MNTP is worth: fine-tune a backbone on one set and print the F1 on its dev split.

`python -m tasks.mntp_proof configs/mntp_proof.yaml --backbone FOLDER --data DATA --out OUT`. All but the
backbone, its direction (`--causal`) and `--hidden-shift` is the same in every run, the order of rows too.
"""

import argparse
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from gliner_mt.build import build_labels
from gliner_mt.config import from_yaml
from gliner_mt.evaluation.ner import best_threshold, micro_f1_by_threshold
from gliner_mt.extractor import Extractor
from gliner_mt.formats.records import read_examples
from gliner_mt.model import SpanMatcher
from gliner_mt.new import NewModel, new_model
from gliner_mt.train.entities import Source, entity_rows
from gliner_mt.train.loop import Run
from gliner_mt.train.loop_config import LoopConfig
from gliner_mt.train.loss import matcher_loss
from gliner_mt.train.sampling import RowSampler, SamplingConfig
from gliner_mt.types import Example


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One run.

    Attributes:
        model: the model around the backbone.
        attention: how the backbone computes attention in training.
        dataset: a set of the data folder's `ner/`, with a train and a dev split.
        label: the one of its labels that is asked. With one alone, it does not matter what a causal decoder
            cannot see of a label behind its marker: the words are what is compared.
        dev_limit: sentences of the dev split that are scored.
        sampling: how rows are drawn.
        loop: how the weights are moved.
    """

    model: NewModel
    attention: str = "eager"
    dataset: str
    label: str
    dev_limit: int
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    loop: LoopConfig


def main() -> None:
    """Train and score as the configuration and the options say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--backbone", required=True, help="folder or hub id, in place of the config's")
    parser.add_argument("--causal", action="store_true", help="leave a decoder as it was trained")
    parser.add_argument("--hidden-shift", type=int, default=0, help="0 or 1, as in ModelConfig")
    parser.add_argument("--data", type=Path, required=True, help="folder with ner/")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    arguments = parser.parse_args()
    recipe = from_yaml(Recipe, arguments.config)
    model = replace(
        recipe.model,
        backbone=arguments.backbone,
        causal=arguments.causal,
        hidden_shift=arguments.hidden_shift,
    )
    train(replace(recipe, model=model), arguments.data, arguments.out)


def train(recipe: Recipe, data: Path, out: Path) -> None:
    """Train `recipe`; the F1 of the dev split, at every threshold and in percent, goes to `out/dev.jsonl`."""
    torch.manual_seed(recipe.loop.seed)
    config, model, tokenizer = new_model(recipe.model, attention=recipe.attention)
    labels = build_labels(config, tokenizer)
    sources = [Source(recipe.dataset, examples(data, recipe, "train"), 1.0)]
    rows = entity_rows(sources, labels, {}, recipe.sampling, config.max_width)
    sampler = RowSampler(rows, labels, recipe.sampling, seed=recipe.loop.seed)
    dev = {recipe.dataset: examples(data, recipe, "dev")[: recipe.dev_limit]}
    run = Run(model, model.encoders, sampler, matcher_loss, recipe.loop, out)
    run.resume()

    def after_save(step: int, trained: SpanMatcher) -> None:
        table = micro_f1_by_threshold(Extractor(config, trained, tokenizer), dev)
        scores = {threshold: round(100 * row[recipe.dataset], 1) for threshold, row in table.items()}
        best = best_threshold(table)
        line = {"step": step, "threshold": best, "f1": scores[best], "f1_at": scores}
        with (out / "dev.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")

    run.train(after_save)


def examples(data: Path, recipe: Recipe, split: str) -> list[Example]:
    """Return the examples of a split, each with the entities of the recipe's label alone."""
    found = read_examples(data / "ner" / f"{recipe.dataset}.{split}.jsonl.gz")
    return [
        Example(example.text, tuple(e for e in example.entities if e.label == recipe.label), (recipe.label,))
        for example in found
    ]


if __name__ == "__main__":
    main()
