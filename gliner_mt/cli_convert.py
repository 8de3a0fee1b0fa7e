"""The command `gliner-mt convert`: annotated data of other tools as JSON lines to train on."""

import gzip
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, TextIO, cast, final

import typer
from rich.text import Text

from gliner_mt.console import Messages, reporting, standard_output
from gliner_mt.errors import InputError
from gliner_mt.formats.convert import (
    FORMATS,
    Format,
    detect,
    read_annotated,
    renamed,
    types_of,
    with_labels,
)
from gliner_mt.formats.files import numbered_lines
from gliner_mt.formats.items import Columns, LeftOut
from gliner_mt.formats.records import entity_record, qa_record
from gliner_mt.render import visible
from gliner_mt.types import Example, QAExample

_AUTO, _FILE, _TEXT = "auto", "file", "text"
_SHOWN_ERRORS = 10

CONVERT_HELP = """\
Turn annotated data into the JSON lines that training reads.

The format is told by what the file holds, or named with `--from`:

- `bio`: a word and its tag a line (CoNLL)
- `spacy`: `.spacy` files (`pip install gliner_mt[spacy]`), or JSON of texts with offsets
- `label-studio`, `prodigy`: what these tools export
- `gliner`: `tokenized_text` and `ner`
- `datasets`: saved folders and Parquet files (`pip install gliner_mt[parquet]`)
- `squad`: questions with answers
- `gliner-mt`: the format that is written

Offsets are characters of the text, and spans are kept as they are.
The exit code is 2 if anything could not be read.

```
gliner-mt convert export.json -o train.jsonl
gliner-mt convert train.conll -o train.jsonl.gz --rename PER=person --rename LOC=place
```
"""

Input = Annotated[Path, typer.Argument(metavar="FILE", help="A file, or a folder saved by datasets.")]
OutputFile = Annotated[
    str | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write here, .gz to pack it. Default: stdout."),
]
From = Annotated[str, typer.Option("--from", metavar="FORMAT", help="The format, see above.")]
LabelsFrom = Annotated[
    str | None,
    typer.Option(
        metavar="file|text|NAMES.txt",
        help="Which types count as annotated in each text: those that occur anywhere in the file, those of "
        "the text alone, or those of a list, one a line. Default: what the text states, else `file`, but "
        "`text` for gliner.",
    ),
]
Rename = Annotated[
    list[str] | None, typer.Option(metavar="OLD=NEW", help="Call a type otherwise. Repeatable.")
]
TextColumn = Annotated[str, typer.Option(metavar="NAME", help="Field of the text (JSON).")]
TokensColumn = Annotated[str, typer.Option(metavar="NAME", help="Column of the tokens (datasets).")]
TagsColumn = Annotated[str, typer.Option(metavar="NAME", help="Column of their tags (datasets).")]
KeepGoing = Annotated[bool, typer.Option("--keep-going", help="Leave out records that cannot be read.")]


@dataclass(frozen=True, slots=True)
class _Job:
    path: Path
    form: Format
    columns: Columns
    labels_from: str | None
    names: dict[str, str]
    keep_going: bool


@final
@dataclass(slots=True)
class _Counts:
    """What came of the records; `types` are those annotated, before they were renamed."""

    written: int = 0
    entities: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    broken: int = 0
    types: set[str] = field(default_factory=set)

    def lines(self) -> Iterator[str]:
        """Yield what to say at the end."""
        yield f"{self.written:,} texts, {self.entities.total():,} entities of {len(self.entities):,} types"
        for label, count in self.entities.most_common(5):
            yield f"  {count:,} {label}"
        for reason, count in self.left_out.items():
            yield f"left out: {count:,} ({reason})"
        if self.broken:
            yield f"left out: {self.broken:,} (could not be read)"


def convert(  # noqa: PLR0913 - one parameter an option
    source: Input,
    output: OutputFile = None,
    form: From = _AUTO,
    labels_from: LabelsFrom = None,
    rename: Rename = None,
    text_column: TextColumn = "text",
    tokens_column: TokensColumn = "tokens",
    tags_column: TagsColumn = "ner_tags",
    keep_going: KeepGoing = False,
) -> None:
    """Turn annotated data into the JSON lines that training reads."""
    with reporting() as messages:
        output = None if output == "-" else output
        if output is not None and os.path.realpath(output) == os.path.realpath(source):
            raise InputError(f"{source} is read; the result needs a file of its own.")
        columns = Columns(text_column, tokens_column, tags_column)
        job = _Job(source, _format(form, source, messages), columns, labels_from, _names(rename), keep_going)
        counts = _Counts()
        with _writing(output) as file:
            for record in _records(job, counts, messages):
                file.write(_json(record) + "\n")
            if not counts.written:
                raise InputError(f"{source} holds nothing to train on: {'; '.join(counts.lines())}.")
        for line in counts.lines():
            _say(messages, line)
        for name in sorted(job.names.keys() - counts.types):
            messages.warning(f"--rename: no type is called {name!r}.")


def format_named(name: str) -> Format | None:
    """Return the format that `--from` names; None for "auto": the file tells.

    Raises:
        InputError: there is none of that name.
    """
    if name != _AUTO and name not in FORMATS:
        raise InputError(f"--from is {name!r}; expected {_AUTO} or one of {', '.join(FORMATS)}.")
    return FORMATS.get(name)


def _format(name: str, path: Path, messages: Messages) -> Format:
    named = format_named(name)
    if named is not None:
        return named
    detected = detect(path)
    _say(messages, f"read as {detected.format.name}: {detected.reason}")
    return detected.format


def _names(rename: Sequence[str] | None) -> dict[str, str]:
    names = {}
    for pair in rename or ():
        old, _, new = pair.partition("=")
        if not old or not new.strip():
            raise InputError(f"--rename is {pair!r}; expected OLD=NEW, such as PER=person.")
        names[old] = new.strip()
    return names


def _labels(job: _Job) -> Sequence[str]:
    """Return the types that count as annotated in a text that does not state its own."""
    choice = job.labels_from or (_FILE if job.form.closed else _TEXT)
    if choice == _TEXT:
        return ()
    if choice == _FILE:
        return types_of(read_annotated(job.path, job.form, job.columns))
    return [line.strip() for _, line in numbered_lines(Path(choice)) if line.strip()]


def _records(job: _Job, counts: _Counts, messages: Messages) -> Iterator[dict[str, Any]]:
    labels = _labels(job)
    for item in read_annotated(job.path, job.form, job.columns):
        if isinstance(item, InputError):
            if not job.keep_going:
                raise item
            counts.broken += 1
            if counts.broken <= _SHOWN_ERRORS:
                messages.error(item)
        elif isinstance(item, LeftOut):
            counts.left_out[item.reason] += 1
        else:
            counts.written += 1
            yield _record(item, job, labels, counts)


def _record(item: Example | QAExample, job: _Job, labels: Sequence[str], counts: _Counts) -> dict[str, Any]:
    if not isinstance(item, Example):
        return qa_record(item)
    stated = item if job.labels_from is None else replace(item, labels=())
    labelled = with_labels(stated, labels)
    counts.types.update(labelled.labels)
    example = renamed(labelled, job.names)
    counts.entities.update(entity.label for entity in example.entities)
    return entity_record(example)


def _json(record: dict[str, Any]) -> str:
    line = json.dumps(record, ensure_ascii=False)
    try:
        line.encode("utf-8")
    except UnicodeEncodeError:  # a lone surrogate, which JSON can hold and UTF-8 cannot
        return json.dumps(record)
    return line


@contextmanager
def _writing(path: str | None) -> Iterator[TextIO]:
    """Open the output; a file has its name only once it is whole."""
    if path is None:
        yield standard_output()
        return
    part = f"{path}.part"
    try:
        with (
            cast(TextIO, gzip.open(part, "wt", encoding="utf-8", newline="\n"))
            if path.endswith(".gz")
            else open(part, "w", encoding="utf-8", newline="\n") as file
        ):
            yield file
        os.replace(part, path)
    finally:
        Path(part).unlink(missing_ok=True)


def _say(messages: Messages, line: str) -> None:
    messages.console.print(Text(visible(line)))
