"""What every command that asks a task does: read texts, ask, write answers as they come."""

import os
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from gliner_mt.console import Interrupts, Messages, Screen, progress_bar, standard_output
from gliner_mt.errors import InputError
from gliner_mt.html_page import HtmlPage
from gliner_mt.options import Format, InputOptions, OutputOptions
from gliner_mt.render import JsonArray, JsonLines, Result, Sink
from gliner_mt.shown import Kind, parts
from gliner_mt.sources import Reading, Record, Records, Source, find_sources, read_sources
from gliner_mt.task_values import AnyTask
from gliner_mt.terminal import TerminalView

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


@dataclass(frozen=True, slots=True)
class Output:
    """Where results go: in `format` (None: nowhere) to `path` (None: stdout), and as a page to `html`."""

    format: Format | None
    path: str | None
    html: str | None

    @property
    def files(self) -> list[str]:
        """The files that are written."""
        return [path for path in (self.path, self.html) if path]


@dataclass(frozen=True, slots=True)
class Job:
    """Texts to read, the task to ask of each, and where the answers go."""

    sources: Sequence[Source | InputError]
    reading: Reading
    task: AnyTask
    output: Output
    keep_going: bool


def make_job(task: AnyTask, inputs: InputOptions, outputs: OutputOptions) -> Job:
    """Check the inputs and outputs of a command, before a model is loaded or a file is opened.

    Raises:
        InputError: there is nothing to read, or an output has no format or a name that is taken.
    """
    sources = find_sources(
        inputs.inputs or [], inputs.text or [], sys.stdin.buffer, piped=not sys.stdin.isatty()
    )
    if not sources:
        raise InputError("nothing to read; give a text in quotes, files, or pipe a text in.")
    output = _output(outputs)
    taken = [source.path for source in sources if isinstance(source, Source) and source.path]
    for path in output.files:
        if any(os.path.realpath(path) == os.path.realpath(other) for other in taken):
            raise InputError(f"{path} is given twice; results need a file of their own.")
        taken.append(path)
    return Job(sources, Reading(inputs.text_column, inputs.lines), task, output, inputs.keep_going)


def _output(options: OutputOptions) -> Output:
    format_, path = options.format, None if options.output == "-" else options.output
    if format_ is None and path is not None:
        suffix = os.path.splitext(path)[1].lower()
        if suffix not in _FORMAT_OF_SUFFIX:
            known = ", ".join(filter(None, _FORMAT_OF_SUFFIX))
            raise InputError(f"no format goes with the suffix of {path}; expected {known}, or give --format.")
        format_ = _FORMAT_OF_SUFFIX[suffix]
    if format_ is None and options.html is None:
        format_ = Format.table if sys.stdout.isatty() else Format.jsonl
    return Output(format_, path, options.html)


def run(job: Job, extractor: "Extractor", messages: Messages) -> None:
    """Ask the task of each text, in order; every answer is written as soon as it is there."""
    n_texts = 0
    found: Counter[Kind] = Counter()
    with ExitStack() as stack:
        interrupts = stack.enter_context(Interrupts())
        sinks = _open_sinks(job, stack)
        advance = stack.enter_context(_progress(job, messages))
        for result in _results(extractor, job, messages):
            with interrupts.held():
                for sink in sinks:
                    sink.write(result)
            advance(result.record.size)
            n_texts += 1
            for part in parts(job.task, result.answer):
                found[part.kind] += len(part.shown.found)
    if job.output.files:
        counts = ", ".join(kind.counted(count) for kind, count in found.items()) or "nothing"
        texts = "1 text" if n_texts == 1 else f"{n_texts:,} texts"
        messages.note(f"wrote {' and '.join(job.output.files)}: {counts} in {texts}")


def _results(extractor: "Extractor", job: Job, messages: Messages) -> Iterator[Result]:
    """Yield results in the order of the inputs; the extractor reads ahead as far as it likes."""
    waiting: deque[Record] = deque()
    records = _readable(read_sources(job.sources, job.reading), messages, keep_going=job.keep_going)

    def texts() -> Iterator[str]:
        for record in records:
            waiting.append(record)
            yield record.text

    answers = _answer_one if any(one.given for one in job.task.queries()) else _answer_all
    for answer in answers(extractor, texts(), job.task):
        yield Result(waiting.popleft(), job.task, answer)


def _answer_all(extractor: "Extractor", texts: Iterator[str], task: AnyTask) -> Iterator[Any]:
    return extractor.extract_many(texts, task)


def _answer_one(extractor: "Extractor", texts: Iterator[str], task: AnyTask) -> Iterator[Any]:
    """Ask a task with given spans, which are of one text."""
    given = list(islice(texts, 2))
    if len(given) > 1:
        raise InputError("the task gives spans, which belong to one text; expected a single text.")
    yield from (extractor.extract(text, task) for text in given)


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
        sinks.append(_sink(job.output.format, _open(job.output.path, stack), job.task))
    if job.output.html is not None:
        sinks.append(HtmlPage(_open(job.output.html, stack), job.task))
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


def _sink(format_: Format, file: TextIO, task: AnyTask) -> Sink:
    if format_ is Format.jsonl:
        return JsonLines(file)
    if format_ is Format.json:
        return JsonArray(file)
    if format_ is Format.html:
        return HtmlPage(file, task)
    return TerminalView(
        Screen(file=file, highlight=False, width=None if file.isatty() else _FILE_WIDTH), task
    )


def _progress(job: Job, messages: Messages) -> AbstractContextManager[Callable[[int], None]]:
    """Show a bar if files are read and results do not themselves pass by on the terminal."""
    on_screen = job.output.format is not None and job.output.path is None and sys.stdout.isatty()
    sources = [source for source in job.sources if isinstance(source, Source)]
    if on_screen or not messages.console.is_terminal or not any(source.path for source in sources):
        return nullcontext(lambda size: None)
    sizes = [source.size for source in sources]
    total = None if None in sizes else sum(filter(None, sizes))
    return progress_bar(messages.console, total)
