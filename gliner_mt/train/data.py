"""Plain texts from files, plain or gzipped."""

import json
from collections.abc import Iterator
from pathlib import Path

from gliner_mt.errors import InputError
from gliner_mt.formats.files import numbered_lines


def read_texts(path: Path, column: str = "text") -> Iterator[str]:
    """Yield the texts of a file, plain or gzipped: a `.txt` or `.md` is one, a `.jsonl` has one in each line.

    Raises:
        InputError: no such file, one of another kind, or a line without a text; the line is named.
    """
    kind = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if kind in (".txt", ".md"):
        yield "".join(line for _, line in numbered_lines(path))
        return
    if kind != ".jsonl":
        raise InputError(f"{path} is no .txt, .md or .jsonl file, nor one of them gzipped; convert it.")
    for number, line in numbered_lines(path):
        if line.strip():
            yield _text(line, column, f"{path}, line {number}")


def _text(line: str, column: str, where: str) -> str:
    try:
        text = json.loads(line)[column]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(f"{where}: {error!r}; expected an object with a text in {column!r}.") from error
    if not isinstance(text, str):
        raise InputError(f"{where}: {column!r} holds {text!r}; expected a string.")
    return text
