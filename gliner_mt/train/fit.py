"""Fine-tuning in one call: examples in; the best weights, a folder to load and a report out."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, final

from accelerate import PartialState
from accelerate.utils import extract_model_from_parallel

from gliner_mt.adapters import Tuned
from gliner_mt.adapters.folder import ADAPTER
from gliner_mt.checkpoint.native import save_model
from gliner_mt.config import ModelConfig, Thresholds
from gliner_mt.model import SpanMatcher
from gliner_mt.tasks import Kind
from gliner_mt.tokenization import WordTokenizer
from gliner_mt.train.examples import ByTask, some_of
from gliner_mt.train.fit_config import FitConfig
from gliner_mt.train.fit_run import start_run
from gliner_mt.train.fit_sets import Base, Sets, check_model, show_odd
from gliner_mt.train.judging import DevLog, dev_score, measure, retained
from gliner_mt.train.report import FitReport, size_of

if TYPE_CHECKING:
    from gliner_mt.extractor import Extractor

MODEL, DEV = "model", "dev.jsonl"

_KINDS = {"relations": Kind.RELATIONS, "answer": Kind.ANSWERS}


class Fitted(NamedTuple):
    """What came of it: the trained model with its config, and the report."""

    config: ModelConfig
    model: SpanMatcher
    report: FitReport


def fit(base: Base, sets: Sets, config: FitConfig, out: Path, *, resume: bool, strict: bool) -> Fitted:
    """Fine-tune a copy of a model; the run, its report and the result go to `out`.

    Where Accelerate started several processes, the first one scores and writes.

    Raises:
        InputError: nothing to learn, or with `strict` anything odd; or `out` holds another run.
        ConfigError: a setting that the model cannot have.
    """
    check_model(base, sets)
    show_odd(base, sets, strict=strict)
    run, tuned, untrained = start_run(base, sets, config, out, resume=resume)
    log = DevLog(out / DEV)
    log.read(until=run.step if resume else -1)
    first = PartialState().is_main_process  # not before the run, which says how long processes wait
    score = _Scorer(base, {task: some_of(one, config.dev_limit) for task, one in sets.dev.items()}, log)
    kept = sets.retention if first else {}
    before = {name: measure(_extractor(base, untrained), examples) for name, examples in kept.items()}
    if first and not log.scores:
        score(0, untrained)
    started = time.monotonic()
    losses = run.train(score)
    seconds = time.monotonic() - started
    if sets.dev and not first:  # which has scored
        log.read(until=run.step)
    best = extract_model_from_parallel(run.best(), keep_fp32_wrapper=False)
    best_step = log.best_step(run.step)
    fitted = base.config.with_thresholds(_better(base.config.thresholds, log, best_step))
    final = base._replace(config=fitted)
    after = {name: measure(_extractor(final, best), examples) for name, examples in kept.items()}
    folder = out / (ADAPTER if tuned else MODEL)
    if first:
        _save(folder, fitted, best, base.tokenizer, tuned)
    PartialState().wait_for_everyone()
    report = FitReport(
        folder=folder,
        size=size_of(folder),
        method=base.tuning.method,
        n_trained=sum(p.numel() for p in best.parameters() if p.requires_grad),
        n_parameters=sum(p.numel() for p in base.model.parameters()),
        seconds=seconds,
        losses=tuple(losses),
        dev=tuple(log.scores),
        best_step=best_step,
        thresholds={Kind.ENTITIES.value: fitted.threshold, **fitted.kind_thresholds},
        retention=retained(before, after),
        checks=sets.checks,
    )
    if first:
        report.write(out)
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


def _extractor(base: Base, model: SpanMatcher) -> "Extractor":
    from gliner_mt.extractor import Extractor  # which imports this module when it is asked to fit

    return Extractor(base.config, model, base.tokenizer, name=base.name, max_tokens=base.window)


def _better(now: Thresholds, log: DevLog, best_step: int) -> Thresholds:
    """Return the thresholds with those that are better on the dev set: for entities, one for all labels."""
    best = next((one for one in log.scores if one.step == best_step), None)
    better = {} if best is None else best.better_thresholds
    kinds = {kind.value: better[task] for task, kind in _KINDS.items() if task in better}
    return replace(
        now,
        threshold=better.get("ner", now.threshold),
        kind_thresholds={**now.kind_thresholds, **kinds},
        label_thresholds={} if "ner" in better else now.label_thresholds,
    )


def _save(
    folder: Path, config: ModelConfig, model: SpanMatcher, tokenizer: WordTokenizer, tuned: Tuned | None
) -> None:
    if tuned is None:
        save_model(folder, config, model, tokenizer)
    else:
        tuned.save(folder, config.thresholds)
