"""The options of `gliner-mt`: their types, their help, and the values they are grouped into."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from gliner_mt.errors import InputError
from gliner_mt.sources import Reading, Source
from gliner_mt.tasks import NER


class Format(str, Enum):
    """How results are written."""

    table = "table"
    jsonl = "jsonl"
    json = "json"
    html = "html"


class InfoFormat(str, Enum):
    """How facts about a model are written."""

    table = "table"
    json = "json"


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Which model to load (None: the embedded one), and how."""

    model: str | None
    device: str | None = None
    dtype: str | None = None
    attention: str = "auto"
    max_tokens: int | None = None
    local_files_only: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """What to look for, as given: labels or a task file, and options that override the file's."""

    labels: Sequence[str] | None
    task: Path | None
    threshold: float | None
    nested: bool | None
    multi_label: bool | None


@dataclass(frozen=True, slots=True)
class Output:
    """Where results go: in `format` (None: nowhere) to `path` (None: stdout), and as a page to `html`."""

    format: Format | None
    path: str | None
    html: str | None


@dataclass(frozen=True, slots=True)
class Job:
    """All that one `extract` does."""

    sources: Sequence[Source | InputError]
    reading: Reading
    task: NER
    model: ModelChoice
    output: Output
    keep_going: bool


EXTRACT_HELP = """\
Find spans of text that your labels describe.

The input is one of:

- a text, in quotes
- files: .txt and .md (one text each), .jsonl, .csv and .parquet (a text a row, in `--text-column`)
- stdin: `-`, or nothing when something is piped in; one text, or with `--lines` one a line

A single input that is no file is a text; with `--text` it is one whatever it looks like.
Results are a table on a terminal and JSON lines in a pipe or a file.
The exit code is 2 if anything could not be read, 130 after Ctrl-C.

```
gliner-mt extract "Ada Lovelace lived in London." --labels person,city
gliner-mt extract notes/*.md --task task.yaml --html notes.html
gliner-mt extract mail.csv --text-column body -l product,price -o out.jsonl
zcat app.log.gz | gliner-mt extract --lines -l "host,error code" | head
```

A task file holds labels, their descriptions and thresholds:

```
labels:
  company: a business or firm
  price: {description: an amount of money, threshold: 0.3}
threshold: 0.5
```
"""

_INPUT, _TASK, _MODEL, _OUTPUT = "Input", "What to look for", "Model", "Output"

Inputs = Annotated[
    list[str] | None,
    typer.Argument(metavar="TEXT | FILES | -", help="A text, files, or stdin.", show_default=False),
]
Texts = Annotated[
    list[str] | None,
    typer.Option("--text", metavar="TEXT", help="A text. Repeatable.", rich_help_panel=_INPUT),
]
TextColumn = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="Column of the text in .jsonl, .csv, .parquet.", rich_help_panel=_INPUT
    ),
]
Lines = Annotated[
    bool, typer.Option("--lines", help="Each line of stdin, .txt, .md is a text.", rich_help_panel=_INPUT)
]
KeepGoing = Annotated[
    bool,
    typer.Option(
        "--keep-going", help="Leave out inputs and rows that cannot be read.", rich_help_panel=_INPUT
    ),
]
Labels = Annotated[
    list[str] | None,
    typer.Option("--labels", "-l", metavar="A,B,...", help="Labels. Repeatable.", rich_help_panel=_TASK),
]
TaskFile = Annotated[
    Path | None,
    typer.Option("--task", "-t", metavar="FILE", help="A task file, .yaml or .json.", rich_help_panel=_TASK),
]
Threshold = Annotated[
    float | None,
    typer.Option(metavar="0-1", help="Least score of a span. Default: the model's.", rich_help_panel=_TASK),
]
Nested = Annotated[
    bool | None,
    typer.Option("--nested/--no-nested", help="Allow spans inside spans.", rich_help_panel=_TASK),
]
MultiLabel = Annotated[
    bool | None,
    typer.Option(
        "--multi-label/--no-multi-label", help="Allow several labels a span.", rich_help_panel=_TASK
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", metavar="NAME|FOLDER", help="Default: the embedded model.", rich_help_panel=_MODEL
    ),
]
Device = Annotated[
    str | None, typer.Option(metavar="NAME", help="cpu, cuda, cuda:1, mps ...", rich_help_panel=_MODEL)
]
DType = Annotated[
    str | None, typer.Option(metavar="NAME", help="float32, bfloat16 or float16.", rich_help_panel=_MODEL)
]
Attention = Annotated[
    str, typer.Option(metavar="NAME", help="auto, packed, flash, sdpa or eager.", rich_help_panel=_MODEL)
]
MaxTokens = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Longest window in sub-words. Default: the model's.", rich_help_panel=_MODEL
    ),
]
Offline = Annotated[
    bool,
    typer.Option(
        "--local-files-only", help="Never download; use the disk and the cache.", rich_help_panel=_MODEL
    ),
]
FormatOption = Annotated[
    Format | None,
    typer.Option("--format", "-f", help="Default: table on a terminal, else jsonl.", rich_help_panel=_OUTPUT),
]
OutputFile = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write here; its suffix chooses the format.",
        rich_help_panel=_OUTPUT,
    ),
]
HtmlFile = Annotated[
    str | None,
    typer.Option(
        "--html",
        metavar="FILE",
        help="Write a page with highlighted spans; nothing else without --format or -o.",
        rich_help_panel=_OUTPUT,
    ),
]
InfoModel = Annotated[
    str | None, typer.Argument(metavar="MODEL", help="A name or a folder. Default: the embedded model.")
]
ADAPT_HELP = """\
Turn a decoder language model into an encoder.

It learns masked next-token prediction on your texts (LLM2Vec's recipe), both sides of a token in view.
The folder that results is a backbone like any other. A run that was interrupted goes on where it was.

```
gliner-mt adapt --config configs/mntp_llama.yaml --out encoder texts/*.jsonl.gz
```
"""

AdaptTexts = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FILES",
        help="Texts: .txt, .md or .jsonl, plain or .gz. Default: the config's.",
        show_default=False,
    ),
]
AdaptConfigFile = Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The recipe, .yaml.")]
AdaptOut = Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where the encoder goes.")]
AdaptModel = Annotated[
    str | None,
    typer.Option("--model", "-m", metavar="NAME", help="A folder or hub id in place of the config's."),
]
InfoFormatOption = Annotated[InfoFormat, typer.Option("--format", "-f", help="How to print it.")]
ShowVersion = Annotated[bool, typer.Option("--version", is_eager=True, help="Print the version and exit.")]
