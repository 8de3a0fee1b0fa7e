"""A fine-tuning as a file: the model, its examples and its settings, in YAML, with values changed by key."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate import PartialState

from gliner_mt.adapters import Tuning
from gliner_mt.config import from_mapping, nearest, read_yaml
from gliner_mt.errors import ConfigError, InputError
from gliner_mt.extractor import Extractor
from gliner_mt.formats.convert import FORMATS
from gliner_mt.new import NewModel, new_model
from gliner_mt.train.examples import open_examples
from gliner_mt.train.fit import MODEL
from gliner_mt.train.fit_config import FitConfig, default_loop
from gliner_mt.train.loop_config import LoopConfig
from gliner_mt.train.loss import LossConfig
from gliner_mt.train.report import FitReport, size_of
from gliner_mt.train.sampling import SamplingConfig

AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """A fine-tuning of a model.

    Attributes:
        model: a folder or hub id; None is the embedded model.
        adapter: an adapter of the model, a folder or hub id, that training goes on from.
        new: a model to be made new around a pretrained backbone, in place of `model`.
        dtype: the type of the model's weights: `float32` (None), or `bfloat16` for adapters of large models.
        train: the file of examples to learn from.
        dev: that by which checkpoints are scored.
        form: the format of both, of `gliner-mt convert`; `auto`: they tell.
        retention: files, by name, on which the figures before and after are compared.
        loop: what differs from the loop that suits the method and the number of examples, by the names of
            `LoopConfig`.
        replay: as in `FitConfig`; None: its default, and 0 for a `new` model, which knows nothing.
        tuning, sampling, loss, names, dev_limit: as in `FitConfig`.
    """

    model: str | None = None
    adapter: str | None = None
    new: NewModel | None = None
    dtype: str | None = None
    train: str | None = None
    dev: str | None = None
    form: str = AUTO
    retention: Mapping[str, str] = field(default_factory=dict)
    tuning: Tuning | None = None
    loop: Mapping[str, Any] = field(default_factory=dict)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    replay: float | None = None
    names: str | None = None
    dev_limit: int | None = 500

    def __post_init__(self) -> None:
        for name in ("model", "adapter"):
            if getattr(self, name) is not None and self.new is not None:
                raise ConfigError(f"{name} and new are both given; expected one of them, or neither.")
        if self.new is not None and self.replay:
            raise ConfigError(
                f"replay is {self.replay} of a new model, which knows nothing to be kept; leave it out, or 0."
            )
        if self.form != AUTO and self.form not in FORMATS:
            raise ConfigError(f"form is {self.form!r}{nearest(self.form, (AUTO, *FORMATS))}.")
        self.settings(1)

    def settings(self, n_examples: int) -> FitConfig:
        """Return the settings for so many examples."""
        loop = asdict(default_loop(self.tuning or Tuning(), n_examples)) | dict(self.loop)
        return FitConfig(
            tuning=self.tuning,
            loop=from_mapping(LoopConfig, loop, "loop"),
            sampling=self.sampling,
            loss=self.loss,
            replay=self._replay(),
            names=self.names,
            dev_limit=self.dev_limit,
        )

    def _replay(self) -> float:
        if self.replay is None:
            return FitConfig().replay if self.new is None else 0.0
        return self.replay


def read_recipe(path: Path, changes: Iterable[str] = ()) -> TrainConfig:
    """Return the recipe of a YAML file, with `changes`, each `key.key=value`, the value being YAML too.

    Raises:
        ConfigError: the file cannot be read, or a key or value is not one of a recipe.
    """
    values = read_yaml(path)
    for change in changes:
        key, sign, value = change.partition("=")
        if not key or not sign:
            raise ConfigError(f"--set is {change!r}; expected KEY=VALUE, such as loop.steps=300.")
        _set(values, key.split("."), _value(value))
    return from_mapping(TrainConfig, values, str(path))


def _set(values: dict[str, Any], keys: list[str], value: object) -> None:
    for key in keys[:-1]:
        if not isinstance(values.get(key), dict):
            values[key] = {}
        values = values[key]
    values[keys[-1]] = value


def _value(text: str) -> object:
    try:
        value: object = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    if isinstance(value, str):
        try:
            return float(value)  # YAML takes 2e-4 for a word
        except ValueError:
            return value
    return value


def run_recipe(
    config: TrainConfig, out: Path, *, resume: bool, strict: bool, local_files_only: bool = False
) -> FitReport:
    """Fine-tune as a recipe says; the result goes to `out`.

    A model that was made new is saved whole, an adapter merged into it: there is no other copy of its base.

    Raises:
        InputError: no examples, or as `Extractor.fit` raises it.
        CheckpointError, ConfigError: a model that cannot be loaded, made or trained so.
    """
    if config.train is None:
        raise InputError("there is nothing to learn from; give train, a file of examples.")
    form = FORMATS.get(config.form)
    train = open_examples(config.train, form)
    dev = None if config.dev is None else open_examples(config.dev, form)
    settings = config.settings(len(train))
    extractor = _extractor(config, settings, local_files_only=local_files_only)
    report = extractor.fit(
        train,
        dev,
        settings,
        out=out,
        start=next(iter(extractor.adapters), None),
        retention=config.retention,
        resume=resume,
        strict=strict,
    )
    if config.new is None or not extractor.adapters:
        return report
    first, folder = PartialState().is_main_process, out / MODEL
    if first:
        extractor.save(folder)
    PartialState().wait_for_everyone()
    report = replace(report, folder=folder, size=size_of(folder))
    if first:
        report.write(out)
    return report


def _extractor(config: TrainConfig, settings: FitConfig, *, local_files_only: bool) -> Extractor:
    place = os.environ.get("LOCAL_RANK") if torch.cuda.is_available() else None
    device = None if place is None else f"cuda:{place}"  # each of several processes has a GPU of its own
    if config.new is None:
        return Extractor.load(
            config.model,
            device=device,
            dtype=config.dtype,
            adapter=config.adapter,
            local_files_only=local_files_only,
        )
    torch.manual_seed(0 if settings.loop is None else settings.loop.seed)
    parts = new_model(config.new, local_files_only=local_files_only)
    return Extractor(*parts, name=config.new.backbone)
