"""The command `gliner-mt`: a command for each task, `info` describes a model, `adapt` makes a backbone."""

import inspect
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from gliner_mt import __version__, command_help
from gliner_mt import options as opt
from gliner_mt.cli_calibrate import CALIBRATE_HELP, calibrate
from gliner_mt.cli_convert import CONVERT_HELP, convert
from gliner_mt.cli_eval import EVAL_HELP, evaluate
from gliner_mt.cli_train import TRAIN_HELP, train
from gliner_mt.config import from_yaml
from gliner_mt.console import Messages, Screen, reporting, standard_output
from gliner_mt.jobs import make_job, run
from gliner_mt.options import InfoFormat, InputOptions, ModelChoice, OutputOptions
from gliner_mt.render import visible
from gliner_mt.task_options import ANY, asked_task, names, overridden, relation_labels
from gliner_mt.task_values import AnyTask
from gliner_mt.tasks import NER, QA, Classification, OpenIE, Relations, Summary

if TYPE_CHECKING:
    from gliner_mt.extractor import Extractor

OptionsT = TypeVar("OptionsT", InputOptions, ModelChoice, OutputOptions)

app = typer.Typer(
    help="Find what you ask for in text, with labels in plain language.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


app.command(help=CONVERT_HELP)(convert)
app.command(help=TRAIN_HELP)(train)


def main() -> None:
    """Run the command line."""
    app(prog_name="gliner-mt")


@app.callback(invoke_without_command=True)
def _gliner_mt(version: opt.ShowVersion = False) -> None:
    if version:
        typer.echo(f"gliner-mt {__version__}")
        raise typer.Exit


def _asks(help_text: str) -> Callable[[Callable[..., AnyTask]], Callable[..., AnyTask]]:
    """Make a command of a function from options to a task.

    The command takes these options and those of all such commands: what to read, the model, the output.
    """

    def register(make_task: Callable[..., AnyTask]) -> Callable[..., AnyTask]:
        own = list(inspect.signature(make_task).parameters.values())

        def command(**given: Any) -> None:  # noqa: ANN401 - typer gives what the signature below says
            with reporting() as messages:
                task = make_task(**{one.name: given[one.name] for one in own})
                job = make_job(task, _grouped(InputOptions, given), _grouped(OutputOptions, given))
                choice = _grouped(ModelChoice, given)
                with _loading(messages, choice):
                    extractor = load_extractor(choice)
                run(job, extractor, messages)

        parameters = [
            *_options(InputOptions),
            *own,
            *_options(ModelChoice),
            *_options(OutputOptions),
        ]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        app.command(make_task.__name__, help=help_text)(command)
        return make_task

    return register


def _options(group: type[OptionsT]) -> Iterator[inspect.Parameter]:
    for field in fields(group):
        yield inspect.Parameter(
            field.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=field.default, annotation=field.type
        )


def _grouped(group: type[OptionsT], given: dict[str, Any]) -> OptionsT:
    return group(**{field.name: given[field.name] for field in fields(group)})


@_asks(command_help.EXTRACT)
def extract(
    labels: opt.Labels = None,
    task: opt.TaskFile = None,
    threshold: opt.Threshold = None,
    nested: opt.Nested = None,
    multi_label: opt.MultiLabel = None,
) -> AnyTask:
    """Find spans that labels describe, or do what a task file says."""
    stated = (lambda: NER(names(labels, "--labels"))) if labels else None
    asked = asked_task(stated, task, ANY, "--labels person,city")
    return overridden(asked, {"threshold": threshold, "nested": nested, "multi_label": multi_label})


@_asks(command_help.RELATIONS)
def relations(
    relations: opt.RelationNames = None,
    entities: opt.Entities = None,
    task: opt.TaskFile = None,
    threshold: opt.Threshold = None,
    entity_threshold: opt.EntityThreshold = None,
) -> AnyTask:
    """Find relations between entities."""

    def stated() -> Relations:
        return Relations(relation_labels(relations), names(entities, "--entities") or None)

    given = stated if relations or entities else None
    asked = asked_task(given, task, (Relations,), "--relations 'works for:person>company'")
    return overridden(asked, {"threshold": threshold, "entity_threshold": entity_threshold})


@_asks(command_help.ANSWER)
def answer(
    question: opt.Questions = None,
    task: opt.TaskFile = None,
    threshold: opt.Threshold = None,
    top: opt.Top = None,
) -> AnyTask:
    """Answer questions with words of the text."""
    stated = (lambda: QA(question)) if question else None
    asked = asked_task(stated, task, (QA,), "--question 'Who signed?'")
    return overridden(asked, {"threshold": threshold, "top": top})


@_asks(command_help.TRIPLES)
def triples(
    task: opt.TaskFile = None, threshold: opt.Threshold = None, span_threshold: opt.SpanThreshold = None
) -> AnyTask:
    """Find who does what to whom."""
    asked = asked_task(None if task else OpenIE, task, (OpenIE,), "")
    return overridden(asked, {"threshold": threshold, "span_threshold": span_threshold})


@_asks(command_help.SUMMARIZE)
def summarize(
    max_sentences: opt.MaxSentences = None,
    max_words: opt.MaxWords = None,
    task: opt.TaskFile = None,
    threshold: opt.Threshold = None,
) -> AnyTask:
    """Choose the key sentences."""
    asked = asked_task(None if task else Summary, task, (Summary,), "")
    given = {"max_sentences": max_sentences, "max_words": max_words, "threshold": threshold}
    return overridden(asked, given)


@_asks(command_help.CLASSIFY)
def classify(
    classes: opt.Classes = None,
    multi_label: opt.MultiClass = None,
    task: opt.TaskFile = None,
    threshold: opt.Threshold = None,
) -> AnyTask:
    """Say which classes a text belongs to."""

    def stated() -> Classification:
        return Classification(names(classes, "--classes"), multi_label=bool(multi_label))

    asked = asked_task(
        stated if classes else None, task, (Classification,), "--classes complaint,question,praise"
    )
    return overridden(asked, {"multi_label": multi_label, "threshold": threshold})


@app.command()
def info(
    model: opt.InfoModel = None,
    adapter: opt.Adapter = None,
    format_: opt.InfoFormatOption = InfoFormat.table,
    local_files_only: opt.Offline = False,
) -> None:
    """Tell a model's architecture, tasks, labels mode, limits and size."""
    with reporting() as messages:
        choice = ModelChoice(model, adapter, local_files_only=local_files_only)
        with _loading(messages, choice):
            facts = load_extractor(choice).info()
        out = standard_output(errors="replace")
        if format_ is InfoFormat.json:
            out.write(json.dumps(facts, ensure_ascii=False, indent=2) + "\n")
            return
        table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
        table.add_column(style="bold cyan", no_wrap=True)
        table.add_column(overflow="fold")
        for name, fact in facts.items():
            table.add_row(Text(visible(name)), Text(visible(fact)))
        Screen(file=out).print(table)


@app.command(help=command_help.ADAPT)
def adapt(
    config: opt.AdaptConfigFile,
    out: opt.AdaptOut,
    texts: opt.AdaptTexts = None,
    model: opt.AdaptModel = None,
    local_files_only: opt.Offline = False,
) -> None:
    """Turn a decoder language model into an encoder."""
    with reporting() as messages:
        from gliner_mt.train.adapt import AdaptConfig
        from gliner_mt.train.adapt import adapt as adapt_decoder

        recipe = from_yaml(AdaptConfig, config)
        recipe = replace(recipe, texts=tuple(texts or recipe.texts), model=model or recipe.model)
        adapt_decoder(recipe, out, local_files_only=local_files_only)
        messages.note(f"wrote {out}")


app.command("eval", help=EVAL_HELP)(evaluate)
app.command(help=CALIBRATE_HELP)(calibrate)


def load_extractor(choice: ModelChoice) -> "Extractor":
    """Load a model; torch comes with it, and not before."""
    from gliner_mt.extractor import Extractor

    return Extractor.load(
        choice.model,
        device=choice.device,
        dtype=choice.dtype,
        attention=choice.attention,
        max_tokens=choice.max_tokens,
        adapter=choice.adapter,
        local_files_only=choice.local_files_only,
    )


def _loading(messages: Messages, choice: ModelChoice) -> AbstractContextManager[object]:
    """Show that a model on disk is being loaded; a download has a bar of its own."""
    on_disk = all(name is None or os.path.isdir(name) for name in (choice.model, choice.adapter))
    if messages.console.is_terminal and on_disk:
        return messages.console.status("loading the model")
    return nullcontext()
