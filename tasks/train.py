"""Train a model: `python -m tasks.train configs/default_model.yaml --data DATA --out OUT [--start MODEL]`.

Goes on where an interrupted run with the same --out stopped.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from statistics import mean

import torch
import yaml

from gliner_mt.build import build_labels
from gliner_mt.checkpoint.native import load_model, save_model
from gliner_mt.config import from_mapping
from gliner_mt.errors import CheckpointError
from gliner_mt.evaluation.ner import best_threshold, micro_f1_by_threshold
from gliner_mt.extractor import Extractor
from gliner_mt.model import SpanMatcher
from gliner_mt.new import NewModel, new_model
from gliner_mt.train.loop import Run
from gliner_mt.train.loop_config import LoopConfig
from gliner_mt.train.loss import matcher_loss
from gliner_mt.train.sampling import RowSampler, SamplingConfig
from tasks.ner import dev_sets
from tasks.sources import ENTITIES, row_sources
from tasks.thresholds import calibrated


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One run: the parts of the model, what it is taught, how rows are drawn and weights moved.

    Attributes:
        model: the model to train; its backbone may be `package:NAME` for one in a Python package.
        shares: part of the rows that each task has (`tasks.sources`); all of them entities if none is given.
        attention: how the backbone computes attention in training. On CPUs in bf16 the backward pass of SDPA
            is several times slower than plain matrix products (eager).
        authored_share: share of passages written for this project in the rows of entities.
        dev_limit: sentences of each development set that every checkpoint is scored on.
        final_limit: sentences of each zero-shot set that the final model's threshold is chosen on; those of
            relations, answers and tuples on half as many of other development sets.
    """

    model: NewModel
    attention: str = "eager"
    shares: Mapping[str, float] = field(default_factory=lambda: {ENTITIES: 1.0})
    authored_share: float = 0.35
    dev_limit: int = 60
    final_limit: int = 500
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    loop: LoopConfig


def main() -> None:
    """Train as the configuration says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with ner/, authored/ and labels.json"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the run: its state and its model")
    parser.add_argument("--start", type=Path, help="folder of a model to go on from; parts it lacks are new")
    arguments = parser.parse_args()
    recipe = from_mapping(Recipe, yaml.safe_load(arguments.config.read_text("utf-8")), str(arguments.config))
    train(recipe, arguments.data, arguments.out, arguments.start)


def train(recipe: Recipe, data: Path, out: Path, start: Path | None = None) -> None:
    """Train `recipe` with the sets of `data`; the run's state and its latest model go to `out`."""
    torch.manual_seed(recipe.loop.seed)
    spec = replace(recipe.model, backbone=_backbone(recipe.model.backbone))
    config, model, tokenizer = new_model(spec, attention=recipe.attention)
    if start is not None:
        take_up(start, model)
    labels = build_labels(config, tokenizer)
    rows = row_sources(data, recipe.shares, recipe.authored_share, labels, recipe.sampling, config.max_width)
    sampler = RowSampler(rows, labels, recipe.sampling, seed=recipe.loop.seed)
    run = Run(model, model.encoders, sampler, matcher_loss, recipe.loop, out)
    run.resume()

    dev = dev_sets(data, recipe.dev_limit)

    def after_save(step: int, trained: SpanMatcher) -> None:
        save_model(out / "model", config, trained, tokenizer)
        table = micro_f1_by_threshold(Extractor(config, trained, tokenizer), dev)
        with (out / "dev.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps({"step": step, **summary(table, best_threshold(table))}) + "\n")

    run.train(after_save)
    finish(out, data, recipe.final_limit)


def take_up(start: Path, model: SpanMatcher) -> None:
    """Give `model` the weights of the one in `start`; the parts that it lacks stay new.

    Raises:
        CheckpointError: the model in `start` has parts that `model` lacks.
    """
    _, known, _ = load_model(start)
    unknown = model.load_state_dict(known.state_dict(), strict=False).unexpected_keys
    if unknown:
        raise CheckpointError(f"{start} has {', '.join(unknown)}, which the model to train lacks.")


def finish(out: Path, data: Path, limit: int) -> None:
    """Choose the default thresholds of `out/model`, and save it as float16 with its scores."""
    _, model, tokenizer = parts = load_model(out / "model")
    config, table = calibrated(*parts, data, limit)
    save_model(out / "model", config, model, tokenizer, torch.float16)
    scores = json.dumps({**summary(table, config.threshold), **config.kind_thresholds}, indent=2)
    (out / "scores.json").write_text(scores + "\n", encoding="utf-8")


def summary(table: Mapping[float, Mapping[str, float]], threshold: float) -> dict[str, float]:
    """Return the F1 of each set at a threshold and their mean, in percent."""
    scores = {name: round(100 * f1, 1) for name, f1 in table[threshold].items()}
    return {"threshold": threshold, "mean": round(mean(scores.values()), 1), **scores}


def _backbone(name: str) -> str:
    if not name.startswith("package:"):
        return name
    return str(files(name.removeprefix("package:")) / "model")


if __name__ == "__main__":
    main()
