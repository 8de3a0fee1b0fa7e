"""The command `gliner-mt eval`: how good a model is on annotated examples."""

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from enum import Enum
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from gliner_mt.console import Messages, Screen, reporting, standard_output
from gliner_mt.errors import InputError
from gliner_mt.model_options import Device, Model, Offline
from gliner_mt.render import FILE_WIDTH, visible
from gliner_mt.task_options import threshold_given

if TYPE_CHECKING:
    from gliner_mt.evaluation import Result
    from gliner_mt.metrics import F1, Interval

EVAL_HELP = """\
Measure a model on annotated examples.

TASK is ner, relations, answer, triples, summarize or classify. `--data` is a file in this project's format
(`docs/data.md`), .jsonl or .jsonl.gz, or a folder: then all its files of one split, NAME.SPLIT.jsonl.gz.
Figures are those that are published for the task, in percent, with 95 % bootstrap intervals over examples.
The exit code is 2 if a file cannot be read.

```
gliner-mt eval ner --data mine.dev.jsonl
gliner-mt eval answer --data DATA/qa --split dev --limit 200 -m runs/mine/model -o answers.json
```
"""


class EvalTask(str, Enum):
    """What is measured, by the name of its command."""

    ner = "ner"
    relations = "relations"
    answer = "answer"
    triples = "triples"
    summarize = "summarize"
    classify = "classify"


class EvalFormat(str, Enum):
    """How figures are printed."""

    table = "table"
    json = "json"


_Task = Annotated[EvalTask, typer.Argument(metavar="TASK", help="What to measure.", show_default=False)]
_Data = Annotated[
    Path, typer.Option("--data", "-d", metavar="FILE|FOLDER", help="Annotated examples.", show_default=False)
]
_Split = Annotated[str, typer.Option(metavar="NAME", help="Which files of a folder.")]
_Limit = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="At most so many examples of each file, drawn at random."),
]
_Threshold = Annotated[
    str,
    typer.Option(metavar="0-1|auto", help="Least score of an answer; auto: the model's."),
]
_Adapter = Annotated[
    str | None,
    typer.Option("--adapter", "-a", metavar="NAME|FOLDER", help="An adapter of the model, to answer with."),
]
_Format = Annotated[EvalFormat, typer.Option("--format", "-f", help="What to print.")]
_Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the figures here, too, as JSON.")
]


def evaluate(  # noqa: PLR0913 - one parameter an option
    task: _Task,
    data: _Data,
    split: _Split = "dev",
    limit: _Limit = None,
    threshold: _Threshold = "auto",
    model: Model = None,
    adapter: _Adapter = None,
    device: Device = None,
    local_files_only: Offline = False,
    format_: _Format = EvalFormat.table,
    output: _Output = None,
) -> None:
    """Measure a model on annotated examples."""
    with reporting() as messages:
        from gliner_mt.evaluation.sets import EVALUATIONS, find_sets

        if output is not None and (output.is_dir() or not output.parent.is_dir()):
            raise InputError(f"cannot write {output}; expected a file in a folder that is there.")
        at = threshold_given(threshold, "--threshold")
        evaluation = EVALUATIONS[task.value]
        sets = {name: evaluation.read(path, limit) for name, path in find_sets(data, split).items()}
        with _doing(messages, "loading the model"):
            from gliner_mt.extractor import Extractor

            extractor = Extractor.load(
                model, adapter=adapter, device=device, local_files_only=local_files_only
            )
        results = []
        for name, examples in sets.items():
            for measure in evaluation.measures(examples):
                with _doing(messages, f"{name}: {len(examples):,} examples"):
                    results.append(measure(extractor, examples, name, at))
        report = {
            "model": extractor.info()["model"],
            "adapter": adapter,
            "data": str(data),
            "results": [one.as_dict() for one in results],
        }
        _print(report, results, format_)
        if output is not None:
            output.write_text(_json(report), encoding="utf-8")
            messages.note(f"wrote {output}")


def _doing(messages: Messages, what: str) -> AbstractContextManager[object]:
    return messages.console.status(visible(what)) if messages.console.is_terminal else nullcontext()


def _json(report: dict[str, Any]) -> str:
    return json.dumps(report, ensure_ascii=False, indent=2) + "\n"


def _print(report: dict[str, Any], results: Sequence["Result"], format_: EvalFormat) -> None:
    out = standard_output(errors="replace")
    if format_ is EvalFormat.json:
        out.write(_json(report))
        return
    screen = Screen(file=out, highlight=False, width=None if out.isatty() else FILE_WIDTH)
    for table in tables(results):
        screen.print(table)


def tables(results: Sequence["Result"]) -> Iterator[Table]:
    """Yield a table for each kind of figures; after that, if there is but one result, one of its types."""

    def kind(result: "Result") -> tuple[str, ...]:
        return (result.task, *result.figures)

    for (task, *figures), alike in groupby(sorted(results, key=kind), kind):
        table = Table(box=box.SIMPLE_HEAD, title=f"{task}, %", title_justify="left", pad_edge=False)
        table.add_column("set", overflow="fold")
        for name in ("examples", "threshold", *figures, "best"):
            table.add_column(name, justify="right")
        for result in alike:
            table.add_row(
                Text(visible(result.dataset)),
                f"{result.n_examples:,}",
                _threshold(result),
                *(_percent(figure) for figure in result.figures.values()),
                _best(result),
            )
        yield table
    if len(results) == 1 and results[0].types:
        yield _types(results[0])


def _types(result: "Result") -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("type", overflow="fold")
    for name in ("F1", "precision", "recall", "annotated", "predicted"):
        table.add_column(name, justify="right")
    for name, one in sorted(result.types.items(), key=lambda item: -_annotated(item[1])):
        ratios = (f"{100 * value:.1f}" for value in (one.f1, one.precision, one.recall))
        table.add_row(Text(visible(name)), *ratios, f"{_annotated(one):,}", f"{one.tp + one.fp:,}")
    return table


def _annotated(counts: "F1") -> int:
    return counts.tp + counts.fn


def _percent(figure: "Interval") -> str:
    return f"{100 * figure.value:.1f} ({100 * figure.low:.1f}-{100 * figure.high:.1f})"


def _threshold(result: "Result") -> str:
    """Return what answers had to exceed, and how many labels have a threshold of their own."""
    own = f" ({len(result.label_thresholds)} own)" if result.label_thresholds else ""
    return "" if result.threshold is None else f"{result.threshold:.2f}{own}"


def _best(result: "Result") -> str:
    """Return the best first figure at any threshold, and that threshold."""
    best = result.best_threshold
    return "" if best is None else f"{100 * result.sweep[best]:.1f} at {best:.2f}"
