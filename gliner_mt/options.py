"""The options of `gliner-mt`: their types, their help, and the values they are grouped into."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


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
    str | None,
    typer.Option(
        metavar="0-1|auto",
        help="Least score. Default: the task's, else (auto) the model's.",
        rich_help_panel=_TASK,
    ),
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
RelationNames = Annotated[
    list[str] | None,
    typer.Option(
        "--relations",
        "-r",
        metavar="A,B:HEAD>TAIL,...",
        help="Relations, with types if they have some. Repeatable.",
        rich_help_panel=_TASK,
    ),
]
Entities = Annotated[
    list[str] | None,
    typer.Option(
        "--entities",
        "--labels",
        "-l",
        metavar="A,B,...",
        help="Types of entities to relate. Default: those that relations name. Repeatable.",
        rich_help_panel=_TASK,
    ),
]
EntityThreshold = Annotated[
    str | None,
    typer.Option(metavar="0-1|auto", help="The same of an entity.", rich_help_panel=_TASK),
]
SpanThreshold = Annotated[
    str | None,
    typer.Option(
        metavar="0-1|auto",
        help="The same of a predicate or an argument.",
        rich_help_panel=_TASK,
    ),
]
Questions = Annotated[
    list[str] | None,
    typer.Option("--question", "-q", metavar="TEXT", help="A question. Repeatable.", rich_help_panel=_TASK),
]
Top = Annotated[
    int | None,
    typer.Option(metavar="N", help="Most answers to a question. Default: 3.", rich_help_panel=_TASK),
]
MaxSentences = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Most sentences. Default: 3, or as many as the words allow.", rich_help_panel=_TASK
    ),
]
MaxWords = Annotated[int | None, typer.Option(metavar="N", help="Most words in all.", rich_help_panel=_TASK)]
Classes = Annotated[
    list[str] | None,
    typer.Option(
        "--classes",
        "--labels",
        "-c",
        "-l",
        metavar="A,B,...",
        help="Classes. Repeatable.",
        rich_help_panel=_TASK,
    ),
]
MultiClass = Annotated[
    bool | None,
    typer.Option(
        "--multi-label/--no-multi-label",
        help="A text may have any number of classes; each is scored alone.",
        rich_help_panel=_TASK,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", metavar="NAME|FOLDER", help="Default: the embedded model.", rich_help_panel=_MODEL
    ),
]
Adapter = Annotated[
    str | None,
    typer.Option(
        "--adapter",
        "-a",
        metavar="NAME|FOLDER",
        help="An adapter of the model, to answer with.",
        rich_help_panel=_MODEL,
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
        help="Write a page with marked texts; nothing else without --format or -o.",
        rich_help_panel=_OUTPUT,
    ),
]


@dataclass(frozen=True, slots=True)
class InputOptions:
    """Which texts to read, and how."""

    inputs: Inputs = None
    text: Texts = None
    text_column: TextColumn = "text"
    lines: Lines = False
    keep_going: KeepGoing = False


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Which model to load (None: the embedded one), and how."""

    model: Model = None
    adapter: Adapter = None
    device: Device = None
    dtype: DType = None
    attention: Attention = "auto"
    max_tokens: MaxTokens = None
    local_files_only: Offline = False


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """How results are written, and where."""

    format: FormatOption = None
    output: OutputFile = None
    html: HtmlFile = None


InfoModel = Annotated[
    str | None, typer.Argument(metavar="MODEL", help="A name or a folder. Default: the embedded model.")
]
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
