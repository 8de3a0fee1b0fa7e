"""Fine-tuning in one call: examples in; the best weights, a folder to load and a report out."""

import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, final

import torch
from accelerate import PartialState
from accelerate.utils import extract_model_from_parallel
from rich.console import Console

from gliner_mt.adapters import Tuned, Tuning, prepare_tuning
from gliner_mt.backbones.families import family_of, position_limit
from gliner_mt.build import build_labels
from gliner_mt.checkpoint.native import save_model, write_whole
from gliner_mt.config import ModelConfig
from gliner_mt.errors import ConfigError, InputError
from gliner_mt.model import SpanMatcher
from gliner_mt.tasks import Kind
from gliner_mt.tokenization import WordTokenizer
from gliner_mt.train.begun import check_same, digest, digest_of
from gliner_mt.train.checks import Report, check_examples
from gliner_mt.train.examples import ByTask, Given, by_task, open_examples, some_of
from gliner_mt.train.judging import DevLog, dev_score, measure, retained
from gliner_mt.train.loop import LoopConfig, Run
from gliner_mt.train.loss import LossConfig, build_loss, matcher_loss
from gliner_mt.train.questions import TrainBatch
from gliner_mt.train.replay import replay_examples, with_other_labels
from gliner_mt.train.report import FitReport
from gliner_mt.train.rows import Replay, read_names, row_sources
from gliner_mt.train.run_folder import RunFolder
from gliner_mt.train.sampling import RowSampler, SamplingConfig
from gliner_mt.types import Example

if TYPE_CHECKING:
    from gliner_mt.extractor import Extractor

RUN, MODEL, ADAPTER, REPORT, DEV = "run", "model", "adapter", "report.json", "dev.jsonl"

_PASSES, _TEXTS_A_STEP = 8, 12
_FEWEST_STEPS, _MOST_STEPS = 60, 2_000
_CHECKPOINTS = 8
_FILE_WIDTH = 160  # columns of a table that is not on a terminal
_REPLAYED = 1_000  # examples of each task whose texts are replayed with other labels
_KINDS = {"relations": Kind.RELATIONS, "answer": Kind.ANSWERS}
_WHOLE = ("full", "frozen_backbone", "heads")


@dataclass(frozen=True, slots=True, kw_only=True)
class FitConfig:
    """How a model is fine-tuned.

    Attributes:
        tuning: what of the model is trained.
        loop: how the weights are moved; None: `default_loop`, by the method and the number of examples.
        sampling: how rows are drawn from the examples.
        loss: how wrong decisions are counted.
        replay: share of the rows in which the model is to answer as before, against forgetting
            (`train/replay.py`); 0 for a model that knows nothing yet.
        names: a JSON file of what else labels may be called: label → {aliases: [name], description: text}.
        dev_limit: examples of each task that a checkpoint is scored on, drawn at random; None is all.
    """

    tuning: Tuning = field(default_factory=Tuning)
    loop: LoopConfig | None = None
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    replay: float = 0.3
    names: str | None = None
    dev_limit: int | None = 500

    def __post_init__(self) -> None:
        if not 0.0 <= self.replay < 1.0:
            raise ConfigError(f"replay is {self.replay}; expected a share from 0 to less than 1.")
        if self.dev_limit is not None and self.dev_limit < 1:
            raise ConfigError(f"dev_limit is {self.dev_limit}; expected at least 1, or nothing for all.")


class Base(NamedTuple):
    """The model to fine-tune, and its name. `window`: sub-words that it reads at once."""

    config: ModelConfig
    model: SpanMatcher
    tokenizer: WordTokenizer
    name: str
    window: int


class Sets(NamedTuple):
    """What is learnt, what checkpoints are scored on, and what is not to be forgotten, by name."""

    train: ByTask
    dev: ByTask
    retention: Mapping[str, ByTask]


class Fitted(NamedTuple):
    """What came of it: the trained model with its config, and the report."""

    config: ModelConfig
    model: SpanMatcher
    report: FitReport


def read_sets(train: Given, dev: Given | None, retention: Mapping[str, Given] | None) -> Sets:
    """Return examples by task, each read once.

    Raises:
        InputError: a set without examples, or one that cannot be read.
    """
    return Sets(
        by_task(open_examples(train), "train"),
        {} if dev is None else by_task(open_examples(dev), "dev"),
        {name: by_task(open_examples(given), name) for name, given in (retention or {}).items()},
    )


def default_loop(tuning: Tuning, n_examples: int) -> LoopConfig:
    """Return a loop that suits the method: some eight passes over the examples, 60 to 2,000 steps.

    Rates are low enough for a model that knows something already: 2e-5 where its encoder is trained whole.
    """
    whole = tuning.method == "full"
    steps = min(max(_PASSES * n_examples // _TEXTS_A_STEP, _FEWEST_STEPS), _MOST_STEPS)
    return LoopConfig(
        steps=steps,
        batch_tokens=2048,
        lr_backbone=2e-5 if whole else 3e-4,
        lr_heads=1e-4 if whole else 3e-4,
        warmup=0.1,
        precision="bf16" if _has_bf16() else "no",
        patience=4,
        save_every=max(steps // _CHECKPOINTS, 10),
    )


def fit(base: Base, sets: Sets, config: FitConfig, out: Path, *, resume: bool, strict: bool) -> Fitted:
    """Fine-tune a copy of a model; the run, its report and the result go to `out`.

    Where Accelerate started several processes, the first one scores and writes.

    Raises:
        InputError: nothing to learn, or with `strict` anything odd; or `out` holds another run.
        ConfigError: a setting that the model cannot have.
    """
    _check_model(base, sets, config.tuning)
    config = replace(config, sampling=_fitting(config.sampling, base.model))
    checks = _checked(base, sets, config.sampling, strict=strict)
    run, tuned = _run(base, sets, config, out, resume=resume)
    log = DevLog(out / DEV)
    log.read(until=run.step if resume else -1)
    first = PartialState().is_main_process  # not before the run, which says how long processes wait
    score = _Scorer(base, {task: some_of(one, config.dev_limit) for task, one in sets.dev.items()}, log)
    kept = sets.retention if first else {}
    before = {name: measure(_extractor(base, base.model), examples) for name, examples in kept.items()}
    if first and not log.scores:
        score(0, base.model)
    started = time.monotonic()
    losses = run.train(score)
    seconds = time.monotonic() - started
    best = extract_model_from_parallel(run.best(), keep_fp32_wrapper=False)
    after = {name: measure(_extractor(base, best), examples) for name, examples in kept.items()}
    best_step = log.best_step(run.step)
    fitted = base.config if tuned else _with_thresholds(base.config, log, best_step)
    folder = out / (ADAPTER if tuned else MODEL)
    if first:
        _save(folder, fitted, best, base.tokenizer, tuned)
    PartialState().wait_for_everyone()
    report = FitReport(
        folder=folder,
        method=config.tuning.method,
        n_trained=sum(p.numel() for p in best.parameters() if p.requires_grad),
        n_parameters=sum(p.numel() for p in base.model.parameters()),
        size=sum(path.stat().st_size for path in folder.iterdir()),
        seconds=seconds,
        losses=tuple(losses),
        dev=tuple(log.scores),
        best_step=best_step,
        thresholds={Kind.ENTITIES.value: fitted.threshold, **fitted.kind_thresholds},
        retention=retained(before, after),
        checks=checks,
    )
    if first:
        write_whole(out / REPORT, lambda path: path.write_text(report.to_json() + "\n", encoding="utf-8"))
    return Fitted(fitted, best, report)


@final
@dataclass(frozen=True, slots=True)
class _Scorer:
    """Scores a model on the dev set, if there is one."""

    base: Base
    dev: ByTask
    log: DevLog

    def __call__(self, step: int, model: SpanMatcher) -> float | None:
        """Return the score of the model as it is after a step, and keep it."""
        if not self.dev:
            return None
        score = dev_score(step, measure(_extractor(self.base, model), self.dev))
        self.log.add(score)
        return score.score


def _check_model(base: Base, sets: Sets, tuning: Tuning) -> None:
    related = sorted({"relations", "triples"} & sets.train.keys())
    if related and base.model.pairs is None:
        raise InputError(
            f"train has examples of {' and '.join(related)}, and {base.name} cannot relate spans: its "
            "config has no pairs. Leave them out, or train a model that was made with pairs."
        )
    kinds = (torch.float32,) if tuning.method in _WHOLE else (torch.float32, torch.bfloat16)
    kind = next(base.model.parameters()).dtype
    if kind not in kinds:
        raise ConfigError(
            f"{base.name} is in {str(kind).removeprefix('torch.')}, too coarse for small steps; load it with "
            'dtype "float32", or in "bfloat16" for an adapter.'
        )


def _checked(base: Base, sets: Sets, sampling: SamplingConfig, *, strict: bool) -> Report | None:
    """Return what is odd in examples with entities; None if there are none."""
    train, dev = (list(_with_entities(some)) for some in (sets.train, sets.dev))
    if not train:
        return None
    report = check_examples(
        chain.from_iterable(train),
        base.tokenizer,
        max_width=base.config.max_width,
        dev=chain.from_iterable(dev),
        strict=strict,
        row_tokens=sampling.text_tokens,
    )
    if report.findings and os.environ.get("RANK", "0") == "0":
        Console(stderr=True, width=None if sys.stderr.isatty() else _FILE_WIDTH).print(report.table())
    if sets.train.keys() == {"ner"}:
        report.require()
    _check_lengths(base, report.labels)
    return report


def _check_lengths(base: Base, names: Iterable[str]) -> None:
    labels, room = build_labels(base.config, base.tokenizer), base.window // 2
    for name in names:
        taken = len(labels.prompt([name]).ids)
        if taken > room:
            raise InputError(
                f"label {name!r} takes {taken} sub-words; labels may take {room}, half of a window. "
                "Shorten it."
            )


def _with_entities(examples: ByTask) -> Iterator[Iterable[Example]]:
    if "ner" in examples:
        yield examples["ner"]
    if "relations" in examples:
        yield (Example(one.text, one.entities, one.entity_labels) for one in examples["relations"])


def _prepared(base: Base, tuning: Tuning) -> tuple[SpanMatcher, Tuned | None]:
    """Return a copy of the model, ready to train. It shares the weights that stay as they are."""
    on_it = next(base.model.parameters()).device.type == _place().type
    stays = on_it and torch.accelerator.device_count() < 2
    frozen = base.model.encoders.parameters() if stays and tuning.method != "full" else ()
    model = deepcopy(base.model, {id(parameter): parameter for parameter in frozen})
    return model, prepare_tuning(model, base.config, tuning, base.name)


def _teacher(base: Base, replay: float) -> SpanMatcher | None:
    """Return the model as it was, where the copy is trained; None if nothing is replayed."""
    if not replay:
        return None
    place = _place()
    on_it = next(base.model.parameters()).device.type == place.type
    return base.model if on_it else deepcopy(base.model).to(place)


def _place() -> torch.device:
    return torch.accelerator.current_accelerator() or torch.device("cpu")


def _run(
    base: Base, sets: Sets, config: FitConfig, out: Path, *, resume: bool
) -> tuple[Run[SpanMatcher, TrainBatch], Tuned | None]:
    """Return the run in `out`, taken up if it is to be, and what saves an adapter if it trains one."""
    if RunFolder(out / RUN).latest() is not None and not resume:
        raise InputError(f"{out} holds a run; resume it, or choose another folder.")
    loop = config.loop or default_loop(config.tuning, sum(map(len, sets.train.values())))
    if os.environ.get("RANK", "0") == "0":
        own = {"model": digest(base.model), "train": digest_of(sets.train), "dev": digest_of(sets.dev)}
        check_same(out / RUN, own | {"settings": asdict(replace(config, loop=loop))}, resume=resume)
    torch.manual_seed(loop.seed)  # what is added to a model is random at first
    model, tuned = _prepared(base, config.tuning)
    loss = partial(matcher_loss, loss=build_loss(config.loss), teacher=_teacher(base, config.replay))
    run = Run(model, model.encoders, _sampler(base, sets, config, loop.seed), loss, loop, out / RUN)
    if resume:
        run.resume()
    return run, tuned


def _sampler(base: Base, sets: Sets, config: FitConfig, seed: int) -> RowSampler:
    labels = build_labels(base.config, base.tokenizer)
    names = {} if config.names is None else read_names(Path(config.names))
    replay = Replay(_replayed(sets.train, seed) if config.replay else [], config.replay)
    width = base.config.max_width
    rows = row_sources(sets.train, replay, names, labels, config.sampling, width)
    return RowSampler(rows, labels, config.sampling, seed=seed)


def _replayed(train: ByTask, seed: int) -> list[list[Example]]:
    """Return what is replayed: passages, and some texts of the examples with labels of the passages."""
    passages = replay_examples()
    own = {label for one in some_of(train.get("ner", ()), _REPLAYED) for label in one.labels}
    texts = (one.text for examples in train.values() for one in some_of(examples, _REPLAYED))
    return [passages, with_other_labels(texts, passages, own, seed)]


def _fitting(sampling: SamplingConfig, model: SpanMatcher) -> SamplingConfig:
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


def _extractor(base: Base, model: SpanMatcher) -> "Extractor":
    from gliner_mt.extractor import Extractor  # which imports this module when it is asked to fit

    return Extractor(base.config, model, base.tokenizer, name=base.name, max_tokens=base.window)


def _with_thresholds(config: ModelConfig, log: DevLog, best_step: int) -> ModelConfig:
    """Return the config with the thresholds that are better on the dev set."""
    best = next((one for one in log.scores if one.step == best_step), None)
    better = {} if best is None else best.better_thresholds
    kinds = {kind.value: better[task] for task, kind in _KINDS.items() if task in better}
    return replace(
        config,
        threshold=better.get("ner", config.threshold),
        kind_thresholds={**config.kind_thresholds, **kinds},
    )


def _save(
    folder: Path, config: ModelConfig, model: SpanMatcher, tokenizer: WordTokenizer, tuned: Tuned | None
) -> None:
    if tuned is None:
        save_model(folder, config, model, tokenizer)
    else:
        tuned.save(folder)


def _has_bf16() -> bool:
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
