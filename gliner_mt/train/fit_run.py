"""The run of a fine-tuning: a copy of the model, what of it is trained, its rows, its teacher."""

import warnings
from collections.abc import Container
from copy import deepcopy
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from gliner_mt.adapters import Tuned, prepare_tuning
from gliner_mt.build import build_labels
from gliner_mt.errors import InputError
from gliner_mt.model import SpanMatcher
from gliner_mt.train.begun import check_same, digest, digest_of, digest_of_adapter
from gliner_mt.train.examples import ByTask, some_of
from gliner_mt.train.fit_config import FitConfig, default_loop
from gliner_mt.train.fit_sets import Base, Sets, fitting
from gliner_mt.train.loop import Run
from gliner_mt.train.loss import build_loss, matcher_loss
from gliner_mt.train.processes import speaks
from gliner_mt.train.questions import TrainBatch
from gliner_mt.train.replay import replay_examples, with_other_labels
from gliner_mt.train.rows import Names, Replay, read_names, row_sources
from gliner_mt.train.run_folder import RunFolder
from gliner_mt.train.sampling import RowSampler
from gliner_mt.types import Example

RUN = "run"

_REPLAYED = 1_000  # examples of each task whose texts are replayed with other labels


class Started(NamedTuple):
    """The run; what saves an adapter if it trains one; the model as it was before the first step."""

    run: Run[SpanMatcher, TrainBatch]
    tuned: Tuned | None
    untrained: SpanMatcher


def start_run(base: Base, sets: Sets, config: FitConfig, out: Path, *, resume: bool) -> Started:
    """Return the run in `out`, taken up if it is to be."""
    folder = RunFolder(out / RUN)
    if folder.latest() is not None and not resume:
        raise InputError(f"{out} holds a run; resume it, or choose another folder.")
    loop = config.loop or default_loop(base.tuning, sum(map(len, sets.train.values())))
    if speaks():
        own = {
            "model": digest(base.model),
            "adapter to go on from": digest_of_adapter(base.start),
            "train": digest_of(sets.train),
            "dev": digest_of(sets.dev),
            "settings": asdict(replace(config, tuning=base.tuning, loop=loop)),
        }
        check_same(folder.path, own, resume=resume)
    torch.manual_seed(loop.seed)  # what is added to a model is random at first
    model = _copied(base.model, base)
    tuned, untrained = prepare_tuning(model, base.config, base.tuning, base.name), base.model
    if tuned is not None and base.start is not None:
        tuned.start_from(base.start)
        untrained = _copied(model, base).eval()
    teacher = _teacher(untrained) if config.replay else None
    loss = partial(matcher_loss, loss=build_loss(config.loss), teacher=teacher)
    run = Run(model, model.encoders, _sampler(base, sets, config, loop.seed), loss, loop, out / RUN)
    if resume:
        run.resume()
    return Started(run, tuned, untrained)


def _copied(model: SpanMatcher, base: Base) -> SpanMatcher:
    """Return a copy of the base, perhaps prepared; it shares those of the base's weights that stay."""
    stays = _is_in_place(base.model) and torch.accelerator.device_count() < 2
    frozen = base.model.encoders.parameters() if stays and base.tuning.method != "full" else ()
    return deepcopy(model, {id(parameter): parameter for parameter in frozen})


def _teacher(untrained: SpanMatcher) -> SpanMatcher:
    """Return the model as it was, where the copy is trained."""
    return untrained if _is_in_place(untrained) else deepcopy(untrained).to(_place())


def _is_in_place(model: SpanMatcher) -> bool:
    return next(model.parameters()).device.type == _place().type


def _place() -> torch.device:
    """Return where models are trained."""
    return torch.accelerator.current_accelerator() or torch.device("cpu")


def _sampler(base: Base, sets: Sets, config: FitConfig, seed: int) -> RowSampler:
    labels = build_labels(base.config, base.tokenizer)
    names = _names(config.names, {} if sets.checks is None else sets.checks.labels)
    replay = Replay(_replayed(sets.train, seed) if config.replay else [], config.replay)
    sampling, width = fitting(config.sampling, base.model), base.config.max_width
    rows = row_sources(sets.train, replay, names, labels, sampling, width)
    return RowSampler(rows, labels, sampling, seed=seed)


def _names(path: str | None, known: Container[str]) -> Names:
    """Return what else labels may be called; labels that are not `known` are told."""
    names = {} if path is None else read_names(Path(path))
    unknown = [label for label in names if label not in known]
    if unknown and speaks():
        warnings.warn(
            f"{path} names {len(unknown):,} labels that no example has, such as {unknown[0]!r}", stacklevel=5
        )
    return names


def _replayed(train: ByTask, seed: int) -> list[list[Example]]:
    """Return what is replayed: passages, and some texts of the examples with labels of the passages."""
    passages = replay_examples()
    own = {label for one in some_of(train.get("ner", ()), _REPLAYED) for label in one.labels}
    texts = (one.text for examples in train.values() for one in some_of(examples, _REPLAYED))
    return [passages, with_other_labels(texts, passages, own, seed)]
