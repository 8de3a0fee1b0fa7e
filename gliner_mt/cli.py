"""The command `gliner-mt`: `extract` finds spans, `info` describes a model, `adapt` makes a backbone."""

import json
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from gliner_mt import __version__
from gliner_mt import options as opt
from gliner_mt.cli_eval import EVAL_HELP, evaluate
from gliner_mt.config import from_yaml
from gliner_mt.console import Interrupts, Messages, Screen, progress_bar, reporting, standard_output
from gliner_mt.errors import InputError
from gliner_mt.html_page import HtmlPage
from gliner_mt.options import Asked, Format, InfoFormat, Job, ModelChoice, Output
from gliner_mt.render import JsonArray, JsonLines, Result, Sink, TerminalView, visible
from gliner_mt.sources import Reading, Record, Records, Source, find_sources, read_sources
from gliner_mt.task_files import load_task, task_from_dict, task_to_dict
from gliner_mt.tasks import NER, Label, check_threshold

if TYPE_CHECKING:
    from gliner_mt.extractor import Extractor

_FILE_WIDTH = 100  # columns of a table that is not on a terminal
_FORMAT_OF_SUFFIX = {
    "": Format.jsonl,
    ".jsonl": Format.jsonl,
    ".json": Format.json,
    ".html": Format.html,
    ".htm": Format.html,
    ".txt": Format.table,
}

app = typer.Typer(
    help="Find what you ask for in text, with labels in plain language.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line."""
    app(prog_name="gliner-mt")


@app.callback(invoke_without_command=True)
def _gliner_mt(version: opt.ShowVersion = False) -> None:
    if version:
        typer.echo(f"gliner-mt {__version__}")
        raise typer.Exit


@app.command(help=opt.EXTRACT_HELP)
def extract(  # noqa: PLR0913 - one parameter an option; they are grouped at once
    inputs: opt.Inputs = None,
    text: opt.Texts = None,
    text_column: opt.TextColumn = "text",
    lines: opt.Lines = False,
    keep_going: opt.KeepGoing = False,
    labels: opt.Labels = None,
    task: opt.TaskFile = None,
    threshold: opt.Threshold = None,
    nested: opt.Nested = None,
    multi_label: opt.MultiLabel = None,
    model: opt.Model = None,
    device: opt.Device = None,
    dtype: opt.DType = None,
    attention: opt.Attention = "auto",
    max_tokens: opt.MaxTokens = None,
    local_files_only: opt.Offline = False,
    format_: opt.FormatOption = None,
    output: opt.OutputFile = None,
    html: opt.HtmlFile = None,
) -> None:
    """Find the spans of texts and files that labels describe."""
    with reporting() as messages:
        job = Job(
            sources=_sources(inputs or [], text or []),
            reading=Reading(text_column, lines),
            task=_task(Asked(labels, task, threshold, nested, multi_label)),
            model=ModelChoice(model, device, dtype, attention, max_tokens, local_files_only),
            output=_output(format_, output, html),
            keep_going=keep_going,
        )
        _check_outputs(job)
        _run(job, messages)


@app.command()
def info(
    model: opt.InfoModel = None,
    format_: opt.InfoFormatOption = InfoFormat.table,
    local_files_only: opt.Offline = False,
) -> None:
    """Tell a model's architecture, labels mode, limits and size."""
    with reporting() as messages:
        with _loading(messages, model):
            facts = load_extractor(ModelChoice(model, local_files_only=local_files_only)).info()
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


@app.command(help=opt.ADAPT_HELP)
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


def load_extractor(choice: ModelChoice) -> "Extractor":
    """Load a model; torch comes with it, and not before."""
    from gliner_mt.extractor import Extractor

    return Extractor.load(
        choice.model,
        device=choice.device,
        dtype=choice.dtype,
        attention=choice.attention,
        max_tokens=choice.max_tokens,
        local_files_only=choice.local_files_only,
    )


def _sources(inputs: Sequence[str], texts: Sequence[str]) -> list[Source | InputError]:
    sources = find_sources(inputs, texts, sys.stdin.buffer, piped=not sys.stdin.isatty())
    if not sources:
        raise InputError("nothing to read; give a text in quotes, files, or pipe a text in.")
    return sources


def _task(asked: Asked) -> NER:
    if asked.labels and asked.task:
        raise InputError(
            "--labels and --task are both given; put the labels into the task file, or leave it out."
        )
    if asked.task:
        task = load_task(asked.task)
        if not isinstance(task, NER):
            raise InputError(f"{asked.task} is a task of {type(task).__name__}; expected one of entities.")
    elif asked.labels:
        names = [name.strip() for given in asked.labels for name in given.split(",") if name.strip()]
        if not names:
            raise InputError("--labels is empty; expected names such as person,city.")
        task = NER(names)
    else:
        raise InputError("nothing to look for; give --labels person,city or --task FILE.")
    if asked.threshold is not None:
        check_threshold(asked.threshold, "--threshold")
    given = {"threshold": asked.threshold, "nested": asked.nested, "multi_label": asked.multi_label}
    changed = {key: value for key, value in given.items() if value is not None}
    return cast(NER, task_from_dict(task_to_dict(task) | changed))


def _output(format_: Format | None, path: str | None, html: str | None) -> Output:
    path = None if path == "-" else path
    if format_ is None and path is not None:
        suffix = os.path.splitext(path)[1].lower()
        if suffix not in _FORMAT_OF_SUFFIX:
            known = ", ".join(filter(None, _FORMAT_OF_SUFFIX))
            raise InputError(f"no format goes with the suffix of {path}; expected {known}, or give --format.")
        format_ = _FORMAT_OF_SUFFIX[suffix]
    if format_ is None and html is None:
        format_ = Format.table if sys.stdout.isatty() else Format.jsonl
    return Output(format_, path, html)


def _check_outputs(job: Job) -> None:
    """Refuse to write over an input, or two outputs into one file, before anything is opened."""
    taken = [source.path for source in job.sources if isinstance(source, Source) and source.path]
    for path in filter(None, (job.output.path, job.output.html)):
        if any(os.path.realpath(path) == os.path.realpath(other) for other in taken):
            raise InputError(f"{path} is given twice; results need a file of their own.")
        taken.append(path)


def _run(job: Job, messages: Messages) -> None:
    with _loading(messages, job.model.model):
        extractor = load_extractor(job.model)
    texts = found = 0
    with ExitStack() as stack:
        interrupts = stack.enter_context(Interrupts())
        sinks = _open_sinks(job, stack)
        advance = stack.enter_context(_progress(job, messages))
        for result in _results(extractor, job, messages):
            with interrupts.held():
                for sink in sinks:
                    sink.write(result)
            advance(result.record.size)
            texts += 1
            found += len(result.spans)
    files = [path for path in (job.output.path, job.output.html) if path]
    if files:
        messages.note(f"wrote {' and '.join(files)}: {found:,} spans in {texts:,} texts")


def _results(extractor: "Extractor", job: Job, messages: Messages) -> Iterator[Result]:
    """Yield results in the order of the inputs; the extractor reads ahead as far as it likes."""
    waiting: deque[Record] = deque()
    records = _readable(read_sources(job.sources, job.reading), messages, keep_going=job.keep_going)

    def texts() -> Iterator[str]:
        for record in records:
            waiting.append(record)
            yield record.text

    for spans in extractor.extract_many(texts(), job.task):
        yield Result(waiting.popleft(), spans)


def _readable(records: Records, messages: Messages, *, keep_going: bool) -> Iterator[Record]:
    """Yield what could be read and say what could not; end there unless told to keep going."""
    for record in records:
        if isinstance(record, Record):
            yield record
            continue
        messages.error(record)
        if not keep_going:
            return


def _open_sinks(job: Job, stack: ExitStack) -> list[Sink]:
    """Open the outputs; `stack` ends and closes them, also after an error or Ctrl-C."""
    sinks: list[Sink] = []
    if job.output.format is not None:
        sinks.append(_sink(job.output.format, _open(job.output.path, stack), job.task.labels))
    if job.output.html is not None:
        sinks.append(HtmlPage(_open(job.output.html, stack), job.task.labels))
    for sink in sinks:
        stack.callback(sink.close)
    return sinks


def _open(path: str | None, stack: ExitStack) -> TextIO:
    if path is None:
        return standard_output()
    try:
        return stack.enter_context(Path(path).open("w", encoding="utf-8", newline="\n"))
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}.") from error


def _sink(format_: Format, file: TextIO, labels: Sequence[Label]) -> Sink:
    if format_ is Format.jsonl:
        return JsonLines(file)
    if format_ is Format.json:
        return JsonArray(file)
    if format_ is Format.html:
        return HtmlPage(file, labels)
    console = Screen(file=file, highlight=False, width=None if file.isatty() else _FILE_WIDTH)
    return TerminalView(console, [label.name for label in labels])


def _loading(messages: Messages, model: str | None) -> AbstractContextManager[object]:
    """Show that a model on disk is being loaded; a download has a bar of its own."""
    if messages.console.is_terminal and (model is None or os.path.isdir(model)):
        return messages.console.status("loading the model")
    return nullcontext()


def _progress(job: Job, messages: Messages) -> AbstractContextManager[Callable[[int], None]]:
    """Show a bar if files are read and results do not themselves pass by on the terminal."""
    on_screen = job.output.format is not None and job.output.path is None and sys.stdout.isatty()
    sources = [source for source in job.sources if isinstance(source, Source)]
    if on_screen or not messages.console.is_terminal or not any(source.path for source in sources):
        return nullcontext(lambda size: None)
    sizes = [source.size for source in sources]
    total = None if None in sizes else sum(filter(None, sizes))
    return progress_bar(messages.console, total)
