"""What fine-tuning begins with: a model, and examples that are read and checked before the first step."""

import sys
import warnings
from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

import torch
from rich.console import Console

from gliner_mt.adapters import Tuning
from gliner_mt.adapters.folder import AdapterFolder
from gliner_mt.backbones.families import family_of, position_limit
from gliner_mt.build import build_labels
from gliner_mt.config import ModelConfig
from gliner_mt.errors import ConfigError, InputError
from gliner_mt.model import SpanMatcher
from gliner_mt.render import FILE_WIDTH
from gliner_mt.tokenization import WordTokenizer
from gliner_mt.train.begun import digest_of
from gliner_mt.train.checks import Checks, Report
from gliner_mt.train.examples import ByTask, Chosen, Given, by_task, open_examples
from gliner_mt.train.processes import speaks
from gliner_mt.train.sampling import SamplingConfig
from gliner_mt.types import AnyExample, Example, RelationExample

_WHOLE = ("full", "frozen_backbone", "heads")


class Base(NamedTuple):
    """The model to fine-tune, and its name. `window`: sub-words that it reads at once.

    `tuning`: what of it is trained. `start`: the adapter that training goes on from; its thresholds are those
    of `config`.
    """

    config: ModelConfig
    model: SpanMatcher
    tokenizer: WordTokenizer
    name: str
    window: int
    tuning: Tuning
    start: AdapterFolder | None


class Sets(NamedTuple):
    """What is learnt, what checkpoints are scored on, and what is not to be forgotten, by name.

    `checks`: what is odd in what is learnt; None if it has no examples with entities.
    """

    train: ByTask
    dev: ByTask
    retention: Mapping[str, ByTask]
    checks: Report | None


def read_sets(
    base: Base,
    train: Given,
    dev: Given | None,
    retention: Mapping[str, Given] | None,
    sampling: SamplingConfig,
) -> Sets:
    """Return examples by task, checked for `base` where they have entities; each is read once.

    Raises:
        InputError: a set without examples, or one that cannot be read, or none of its questions can be asked.
    """
    sampling = fitting(sampling, base.model)
    checks = Checks(base.tokenizer, base.config.max_width, row_tokens=sampling.text_tokens)
    judged = {} if dev is None else by_task(open_examples(dev), "dev", checking(checks.read_dev))
    learnt = by_task(open_examples(train), "train", checking(checks.read_train))
    held = {name: by_task(open_examples(given), name) for name, given in (retention or {}).items()}
    report = checks.report()
    told = digest_of(learnt) if held and speaks() else None
    for name, examples in held.items():
        if told is not None and digest_of(examples) == told:
            warnings.warn(
                f"retention set {name!r} is the training set, which cannot show what is forgotten",
                stacklevel=3,
            )
    room = min(base.window // 2, sampling.prompt_tokens)
    learnt, judged = _asked(learnt, "train", base, room), _asked(judged, "dev", base, base.window // 2)
    return Sets(learnt, judged, held, report if report.n_train else None)


def _asked(examples: ByTask, what: str, base: Base, room: int) -> ByTask:
    """Return examples without the questions that take more than `room` sub-words, which are told."""
    questions = examples.get("answer")
    if questions is None:
        return examples
    labels = build_labels(base.config, base.tokenizer)
    fits = (len(labels.prompt([one.question]).ids) <= room for one in questions)
    places = array("Q", (n for n, good in enumerate(fits) if good))
    if len(places) == len(questions):
        return examples
    too_long = f"{len(questions) - len(places):,} questions of {what} take more than {room} sub-words"
    if not places:
        raise InputError(f"all {too_long}; shorten them.")
    if speaks():
        warnings.warn(f"{too_long} and are left out", stacklevel=4)
    return {**examples, "answer": Chosen(questions, places)}


def checking(check: Callable[[int, Example], None]) -> Callable[[int, AnyExample], None]:
    """Return what passes examples with entities, of whatever task, on to `check`."""

    def seen(number: int, one: AnyExample) -> None:
        if isinstance(one, RelationExample):
            check(number, Example(one.text, one.entities, one.entity_labels))
        elif isinstance(one, Example):
            check(number, one)

    return seen


def fitting(sampling: SamplingConfig, model: SpanMatcher) -> SamplingConfig:
    """Return the settings with rows no longer than the backbone takes: labels as long as one, and a text."""
    encoder = model.backbone.model.config
    limit = position_limit(family_of(encoder.model_type), encoder)
    if limit is None:
        return sampling
    return replace(
        sampling,
        row_tokens=min(sampling.row_tokens, limit * 3 // 5),
        question_tokens=min(sampling.question_tokens, limit),
    )


def check_model(base: Base, sets: Sets) -> None:
    """Raise an error unless the model can be trained on these examples in this way.

    Raises:
        InputError: examples of a task that the model cannot do.
        ConfigError: weights too coarse for what is trained.
    """
    related = sorted({"relations", "triples"} & sets.train.keys())
    if related and base.model.pairs is None:
        raise InputError(
            f"train has examples of {' and '.join(related)}, and {base.name} cannot relate spans: its "
            "config has no pairs. Leave them out, or train a model that was made with pairs."
        )
    kinds = (torch.float32,) if base.tuning.method in _WHOLE else (torch.float32, torch.bfloat16)
    kind = next(base.model.parameters()).dtype
    if kind not in kinds:
        raise ConfigError(
            f"{base.name} is in {str(kind).removeprefix('torch.')}, too coarse for small steps; load it with "
            'dtype "float32", or in "bfloat16" for an adapter.'
        )


def show_odd(base: Base, sets: Sets, *, strict: bool) -> None:
    """Show what is odd in the examples; stop if nothing can be learnt, with `strict` if anything is odd."""
    report = sets.checks
    if report is None:
        return
    if strict:
        report.require(strict=True)
    if report.findings and speaks():
        Console(stderr=True, width=None if sys.stderr.isatty() else FILE_WIDTH).print(report.table())
    if sets.train.keys() == {"ner"}:
        report.require()
    _check_lengths(base, report.labels)


def _check_lengths(base: Base, names: Iterable[str]) -> None:
    labels, room = build_labels(base.config, base.tokenizer), base.window // 2
    for name in names:
        taken = len(labels.prompt([name]).ids)
        if taken > room:
            raise InputError(
                f"label {name!r} takes {taken} sub-words; labels may take {room}, half of a window. "
                "Shorten it."
            )
