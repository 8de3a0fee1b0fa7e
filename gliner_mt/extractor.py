"""The object that users hold: load a model, ask it about texts, save it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeVar, final

import torch

from gliner_mt.adapters.folder import FILES as ADAPTER_FILES
from gliner_mt.adapters.folder import copy_adapter, name_of, read_adapter
from gliner_mt.adapters.several import paired
from gliner_mt.build import build_labels
from gliner_mt.calibration import FLOOR, Calibration, calibrate, decisions_of
from gliner_mt.checkpoint.hub import push, resolve_adapter
from gliner_mt.checkpoint.load import load_checkpoint
from gliner_mt.checkpoint.native import save_model
from gliner_mt.config import ModelConfig, Thresholds
from gliner_mt.engine import Engine
from gliner_mt.errors import InputError
from gliner_mt.evaluation.ner import predict
from gliner_mt.facts import PAIR_TASKS, TASKS, model_facts
from gliner_mt.limits import limits_of
from gliner_mt.model import SpanMatcher
from gliner_mt.prompting import PROMPTINGS
from gliner_mt.tasks import Kind, LabelSpec, Queries, Task, parse_labels
from gliner_mt.tokenization import WordTokenizer

if TYPE_CHECKING:
    from gliner_mt.train.examples import Given
    from gliner_mt.train.fit_config import FitConfig
    from gliner_mt.train.report import FitReport

ResultT = TypeVar("ResultT")


@final
class Extractor:
    """Finds what a task asks for, in texts of any length.

    Make one with `Extractor.load()`. It is not thread-safe; give each thread its own.
    """

    def __init__(
        self,
        config: ModelConfig,
        model: SpanMatcher,
        tokenizer: WordTokenizer,
        *,
        name: str = "model",
        max_tokens: int | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._name = name
        self._limits = limits_of(config, model, max_tokens)
        self._set_up(config, model.eval())

    def _set_up(self, config: ModelConfig, model: SpanMatcher) -> None:
        """Take a model and its thresholds; what is known of those before is forgotten, adapters too."""
        self._config = config
        labels, prompting = build_labels(config, self._tokenizer), PROMPTINGS[config.prompts]
        self._engine = Engine(model, labels, self._limits, config.thresholds, self._name, prompting)
        self._in_use: str | None = None

    @classmethod
    def load(  # noqa: PLR0913 - each is a choice of its own, by name
        cls,
        model: str | Path | None = None,
        *,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        attention: str = "auto",
        max_tokens: int | None = None,
        adapter: str | Path | None = None,
        prompts: str | None = None,
        local_files_only: bool = False,
    ) -> "Extractor":
        """Load a model: None is the one in the package; else a folder, or an id on the Hugging Face hub.

        Args:
            model: a folder in our format or a published GLiNER's, or a hub id.
            device: where to compute, such as "cpu" or "cuda:0"; None takes CUDA if there is one.
            dtype: "float32" (None), "bfloat16" or "float16".
            attention: "auto", "packed" (no padding), "flash" (packed, with flash-attn), "sdpa" or "eager".
            max_tokens: sub-words of a window, labels included; None takes the model's own.
            adapter: an adapter of the model, a folder or hub id, to be used from the start (`add_adapter`).
            prompts: how tasks are asked: as "labels" alone, or in the prompts of "multitask" checkpoints;
                None takes the model's own way.
            local_files_only: never use the network.

        Raises:
            CheckpointError: no such model, or one that is broken.
            ConfigError: a device, dtype or attention that is not to be had, or a model of unknown make.
        """
        config, matcher, tokenizer = load_checkpoint(
            model, device=device, dtype=dtype, attention=attention, local_files_only=local_files_only
        )
        config = config if prompts is None else replace(config, prompts=prompts)
        name = "embedded model" if model is None else str(model)
        extractor = cls(config, matcher, tokenizer, name=name, max_tokens=max_tokens)
        if adapter is not None:
            extractor.use(extractor.add_adapter(adapter, local_files_only=local_files_only))
        return extractor

    @property
    def thresholds(self) -> Thresholds:
        """The temperature and the thresholds now: those of the adapter in use, else the model's."""
        return self._engine.thresholds(self._in_use)

    def threshold(self, kind: Kind) -> float:
        """Return what the probability of an answer of this kind must exceed where a task does not say."""
        return self.thresholds.of(kind)

    def extract(self, text: str, task: Task[ResultT]) -> ResultT:
        """Return the task's answer for one text of any length.

        Raises:
            InputError: `text` is no string, or the task asks what the model cannot take.
        """
        if not isinstance(text, str):
            raise InputError(
                f"extract was given a {type(text).__name__}; expected one string. "
                "For several texts call extract_many; decode bytes first."
            )
        asked = self._asked(task)
        return task.result(next(self._engine.answers([(text, self._in_use)], asked)))

    def extract_many(
        self, texts: Iterable[str], task: Task[ResultT], *, adapters: Iterable[str | None] | None = None
    ) -> Iterator[ResultT]:
        """Yield the task's answer for each text, in order; texts are read ahead in bounded measure.

        `adapters` names the adapter of each text (None: the base alone), as lazily as the texts come. Without
        it all are read with the one that is in use now. Texts of one adapter that are read ahead together are
        scored together; each gets the answer that it would get alone, up to the rounding of floats.

        Raises:
            InputError: `texts` is one string, or one of them is none; or the task gives spans of one text; or
                `adapters` names one that there is not, or is not as many as the texts.
        """
        if isinstance(texts, (str, bytes)):
            raise InputError(
                f"extract_many was given one {type(texts).__name__}; expected an iterable of strings. "
                "For one text call extract."
            )
        if not isinstance(texts, Iterable):
            raise InputError(
                f"extract_many was given a {type(texts).__name__}; expected an iterable of strings."
            )
        asked = self._asked(task)
        if any(one.given for one in asked):
            raise InputError("the task has spans of one text; ask it with extract, text by text.")
        in_use = self._in_use
        rows = (
            ((text, in_use) for text in _strings(texts))
            if adapters is None
            else paired(_strings(texts), adapters, self._engine.adapters.check)
        )
        return map(task.result, self._engine.answers(rows, asked))

    def _asked(self, task: Task[ResultT]) -> tuple[Queries, ...]:
        if isinstance(task, type) or not isinstance(task, Task):
            raise InputError(f'task is {task!r}; expected a task such as NER(["person", "city"]).')
        queries = task.queries()
        relates = self._engine.model.pairs is not None or self._engine.prompting.relation is not None
        if not relates and any(one.pairs for one in queries):
            raise InputError(
                f"{type(task).__name__} relates pairs of spans, and {self._name} cannot: its config has no "
                f"pairs. Expected a model that was trained on relations; this one takes {', '.join(TASKS)}."
            )
        return queries

    def encode_labels(self, labels: LabelSpec, path: str | Path | None = None) -> None:
        """Compute the vectors of labels ahead, for models that read labels apart from the text (bi-encoders).

        They are kept in memory, so that no text waits for them. With `path` they are kept in that file, too:
        what it holds already is read instead of computed, what it lacks is added to it.

        Args:
            labels: names, or names with descriptions, as `NER` takes them; thresholds do not matter.
            path: a file for the vectors of this model's labels.

        Raises:
            InputError: the model reads labels beside the text, or a label cannot be used.
            CheckpointError: the file is none of label vectors, or another model's.
        """
        vectors = self._engine.label_vectors(self._in_use)
        if vectors is None:
            raise InputError(
                f"{self._name} reads labels beside each text (labels {self._config.labels!r}), so a label "
                "has no vector before there is a text. Leave the call out; expected a model with labels "
                "'separate' or 'fused', where it saves time."
            )
        prompts = [label.prompt for label in parse_labels(labels)]
        if path is None:
            vectors.of(prompts)
        else:
            vectors.keep(prompts, Path(path).expanduser())

    def calibrate(self, dev: "Given", *, beta: float = 1.0, least: int = 30) -> Calibration:
        """Fit scores and thresholds to annotated examples, and use them from here on.

        Logits are divided by one temperature, so that scores tell the chance of being right. The threshold
        of entities becomes the best for the F-measure, as does that of each label with `least` annotated
        spans; those of other kinds move with the temperature, and let the same through. With an adapter in
        use, all this is the adapter's (`save_adapter` keeps it), else the model's (`save` does). Thresholds
        that callers give come first.

        Args:
            dev: examples that the model was not trained on, or a file of them; 200 or more.
            beta: how much more recall counts than precision.
            least: annotated spans that a label needs for a threshold of its own.

        Raises:
            InputError: no annotated span was found; or a `beta` that is not above 0.
        """
        from gliner_mt.train.examples import entity_examples

        examples, current = entity_examples(dev, "dev"), self.thresholds
        decisions, n_gold = decisions_of(examples, predict(self, examples, threshold=FLOOR))
        fitted = calibrate(
            decisions, n_gold, beta=beta, least=least, current=current, n_examples=len(examples)
        )
        self._engine.calibrate(self._in_use, fitted.thresholds)
        return fitted

    @property
    def adapters(self) -> tuple[str, ...]:
        """The names of the adapters that are loaded, in the order in which they were added."""
        return self._engine.adapters.names

    def add_adapter(
        self, adapter: str | Path, name: str | None = None, *, local_files_only: bool = False
    ) -> str:
        """Load an adapter, a folder or hub id, beside those there are; `use` it later. Return its name.

        It brings its temperature and thresholds; one that has none takes the model's. Without a name it goes
        by that of its folder, one in `adapter` by that of the folder above: the run that trained it.

        Raises:
            CheckpointError: no such adapter, a broken one, or one of another base.
            InputError: the name is taken.
        """
        folder = resolve_adapter(adapter, ADAPTER_FILES, local_files_only=local_files_only)
        known_as = name_of(adapter) if name is None else name
        self._engine.add_adapter(folder, known_as)
        return known_as

    def remove_adapter(self, name: str) -> None:
        """Forget an adapter; if it is in use, the base alone is from now on."""
        self._engine.remove_adapter(name)
        self._in_use = None if self._in_use == name else self._in_use

    def use(self, name: str | None) -> None:
        """Answer with an adapter from now on, or with the base alone (None).

        Raises:
            InputError: there is no adapter of that name, or another one is merged.
        """
        self._engine.adapters.check(name)
        self._in_use = name

    def merge(self, name: str) -> None:
        """Use an adapter and make it part of the weights: as fast as the base, until `unmerge`.

        Meanwhile neither the base nor other adapters can be used.

        Raises:
            InputError: as in `use`.
        """
        self._engine.adapters.merge(name)
        self._in_use = name

    def unmerge(self) -> None:
        """Undo `merge`: the base's weights are the very same again. The adapter stays in use."""
        self._engine.adapters.unmerge()

    def save_adapter(self, name: str, path: str | Path) -> None:
        """Write an adapter to a folder, with the temperature and the thresholds that it has now.

        Raises:
            InputError: there is no adapter of that name.
            CheckpointError: the folder that it was loaded from is gone.
        """
        source = self._engine.adapters.folder(name)
        copy_adapter(source, Path(path).expanduser(), self._engine.thresholds(name))

    def push_adapter(self, name: str, repository: str, *, private: bool = True) -> str:
        """Put an adapter, as `save_adapter` writes it, on the Hugging Face hub; return where it can be seen.

        `repository` is `owner/name`.

        Raises:
            CheckpointError: the hub cannot be reached, or does not let you write there.
            InputError: there is no adapter of that name.
        """
        with TemporaryDirectory() as folder:
            self.save_adapter(name, folder)
            return push(Path(folder), repository, ADAPTER_FILES, private=private)

    def fit(  # noqa: PLR0913 - each is a choice of its own, by name
        self,
        train: "Given",
        dev: "Given | None" = None,
        config: "FitConfig | None" = None,
        *,
        out: str | Path,
        start: str | None = None,
        retention: "Mapping[str, Given] | None" = None,
        resume: bool = False,
        strict: bool = False,
    ) -> "FitReport":
        """Fine-tune on examples of any tasks, and answer with the best weights from then on.

        An adapter is trained beside the weights, and is then in use under the name of `out`; with the method
        `full` the weights themselves change. Thresholds change with them, the adapter's or the model's, where
        others are better on `dev` by half a point. Until training is done, the extractor stays as it is,
        whatever happens.

        Args:
            train: examples (`gliner_mt.types`), tasks freely mixed, or a file of them, which stays on disk.
            dev: the same, to score checkpoints by: the best is kept, and training ends when none gets better.
            config: what is trained, and how; None: a LoRA adapter, some eight passes.
            out: the folder of the run, its report, and what `Extractor.load` takes: `model` or `adapter`.
            start: the name of an adapter that training goes on from; it stays as it is. What is trained, and
                at which ranks, is its own affair: `config.tuning` is None, or says the same.
            retention: sets by name on which the report compares the figures of before with those of after.
            resume: go on from the last checkpoint in `out`.
            strict: stop before the first step if anything in `train` is odd (`report.checks`).

        Raises:
            InputError: no examples, or odd ones if `strict`; `out` holds a run, or its name an adapter; there
                is no adapter `start`.
            ConfigError: a setting that this model cannot have, or that `start` does not.
            TrainingError: the loss is no number, or a row does not fit into memory.
            KeyboardInterrupt: after Ctrl-C, when a checkpoint is written.
        """
        # They import this module.
        from gliner_mt.train.fit import fit
        from gliner_mt.train.fit_config import FitConfig, chosen_tuning
        from gliner_mt.train.fit_sets import Base, read_sets

        config, folder = config or FitConfig(), Path(out).expanduser()
        adapter = None if start is None else read_adapter(self._engine.adapters.folder(start))
        tuning = chosen_tuning(config.tuning, adapter)
        name, whole = folder.resolve().name, tuning.method == "full"
        if name in self.adapters or (whole and self.adapters):
            there = ", ".join(self.adapters)
            raise InputError(f"the model has the adapters {there}: call remove_adapter, or change `out`.")
        model = self._engine.adapters.merged_copy(None)
        known = self._config.with_thresholds(self._engine.thresholds(start))
        window = self._limits.window_tokens
        base = Base(known, model, self._tokenizer, self._name, window, tuning, adapter)
        sets = read_sets(base, train, dev, retention, config.sampling)
        fitted = fit(base, sets, config, folder, resume=resume, strict=strict)
        if whole:
            model.load_state_dict(fitted.model.state_dict())
            self._set_up(fitted.config, model)
        else:
            self.use(self.add_adapter(fitted.report.folder, name))
        return fitted.report

    def save(self, path: str | Path) -> None:
        """Write the model to a folder, in our format; an adapter in use is merged into its weights."""
        model = self._engine.adapters.merged_copy(self._in_use)
        save_model(Path(path), self._config_now(), model, self._tokenizer)

    def _config_now(self) -> ModelConfig:
        return self._config.with_thresholds(self.thresholds)

    def info(self) -> dict[str, str]:
        """Return facts about the model, for people."""
        engine = self._engine
        adapters = [f"{one} (in use)" if one == self._in_use else one for one in self.adapters]
        relates = engine.model.pairs is not None or engine.prompting.relation is not None
        return {
            "model": self._name,
            **model_facts(self._config_now(), engine.model),
            "tasks": ", ".join((*TASKS, *PAIR_TASKS) if relates else TASKS),
            "window": f"{engine.limits.window_tokens} sub-words, labels included",
            **({"adapters": ", ".join(adapters)} if adapters else {}),
        }


def _strings(texts: Iterable[str]) -> Iterator[str]:
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"text {index} is a {type(text).__name__}; expected a string.")
        yield text
