"""Write what the README's commands print into the README, and draw its picture: `python docs/refresh.py`.

A block of Python, or a `gliner-mt` command, is run if a block of text follows it: that is its output. Python
blocks share one namespace, as if they were one script; all models are the embedded one.
"""

import io
import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text
from typer.testing import CliRunner

from gliner_mt import NER, Extractor
from gliner_mt.cli import app
from gliner_mt.render import Result
from gliner_mt.sources import Record
from gliner_mt.terminal import TerminalView

ROOT = Path(__file__).parents[1]
README, PICTURE = ROOT / "README.md", ROOT / "docs" / "output.svg"

_BLOCK = re.compile(
    r"^```(?P<language>python|sh)\n(?P<code>.*?)^```\n(?:\n?```text\n(?P<output>.*?)^```\n)?", re.M | re.S
)

PICTURE_TEXT = (
    "Lewis Hamilton won the British Grand Prix at Silverstone on Sunday for Mercedes. "
    "A day later Apple unveiled the new iPhone in Cupertino, California, from $799."
)
PICTURE_LABELS = ("person", "company", "city", "product", "price", "date", "event")
_COLUMNS = 88
# Without the fonts that rich would fetch: pictures on a web page may not load anything.
_SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">
<style>
.{unique_id}-matrix {{font:{char_height}px/{line_height}px ui-monospace,Menlo,Consolas,monospace}}
.{unique_id}-title {{font:bold 18px sans-serif}}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x},{terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


@dataclass(frozen=True, slots=True)
class Block:
    """Code of the README. `output` is what it prints, and where that stands: None if it is not to be run."""

    language: str
    code: str
    output: str | None
    place: tuple[int, int]


def blocks(markdown: str) -> Iterator[Block]:
    """Yield the blocks of Python and of commands."""
    for match in _BLOCK.finditer(markdown):
        yield Block(match["language"], match["code"], match["output"], match.span("output"))


def run(block: Block, namespace: dict[str, Any]) -> str:
    """Run a block and return what it prints; names that Python defines stay in `namespace`."""
    if block.language == "python":
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec(compile(block.code, str(README), "exec"), namespace)
        return printed.getvalue()
    program, *arguments = shlex.split(block.code.replace("\\\n", " "))
    if program != "gliner-mt":
        raise ValueError(f"the README shows the output of {program!r}; only that of gliner-mt can be made.")
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    if result.exit_code:
        raise RuntimeError(f"{block.code}ended with {result.exit_code}: {result.stderr}")
    # Editors strip spaces from the ends of lines.
    return "".join(f"{line.rstrip()}\n" for line in result.stdout.strip("\n").splitlines())


def refreshed(markdown: str) -> str:
    """Return `markdown` with all outputs as they are now."""
    namespace: dict[str, Any] = {}
    done, parts = 0, []
    for block in blocks(markdown):
        if block.language == "sh" and block.output is None:
            continue
        printed = run(block, namespace)
        if block.output is not None:
            start, end = block.place
            parts += [markdown[done:start], printed]
            done = end
    return "".join([*parts, markdown[done:]])


def picture() -> str:
    """Return the terminal's view of a command and its answer, as SVG."""
    task = NER(PICTURE_LABELS)
    spans = Extractor.load().extract(PICTURE_TEXT, task)
    console = Console(
        record=True, width=_COLUMNS, force_terminal=True, color_system="truecolor", file=io.StringIO()
    )
    labels = ",".join(PICTURE_LABELS)
    console.print(Text.assemble(("$ ", "dim"), "gliner-mt extract news.txt --labels ", (labels, "bold")))
    TerminalView(console, task).write(Result(Record(PICTURE_TEXT, "news.txt"), task, spans))
    svg = console.export_svg(title="gliner-mt", code_format=_SVG, unique_id="t")
    return "".join(f"{line.strip()}\n" for line in svg.splitlines() if line.strip())


if __name__ == "__main__":
    README.write_text(refreshed(README.read_text(encoding="utf-8")), encoding="utf-8")
    PICTURE.write_text(picture(), encoding="utf-8")
