"""Results for terminals: the text with marks in colour, and tables of what was found."""

from collections.abc import Sequence
from typing import final

from rich import bar, box
from rich.console import Console, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from gliner_mt.render import SHOWN_WHOLE, Open, Result, in_context, one_line, visible, walk
from gliner_mt.shown import Arrow, Bar, Cell, Part, Piece, Quiet, Row, Tag, entries, marks, parts
from gliner_mt.task_values import AnyTask
from gliner_mt.types import Span

_BAR = 20
_INK = "#1b1b1f"
_COLOURS = (
    "#8fd3fe", "#ffc78a", "#a8e6a1", "#f7b2d9", "#d6c1ff", "#ffe27a",
    "#8ee5d8", "#ffb3a7", "#c9de8b", "#b8c9ff", "#e9c9a5", "#dcdcdc",
)  # fmt: skip


@final
class TerminalView:
    """Shows each text with what was found in colour, and tables; the labels of `task` decide the colours."""

    def __init__(self, console: Console, task: AnyTask) -> None:
        self._console = console
        self._coloured = console.color_system is not None and not console.no_color
        legend = entries(task)
        self._colours = {entry.name: _COLOURS[at % len(_COLOURS)] for at, entry in enumerate(legend)}
        self._tags = {entry.name: entry.tag for entry in legend}
        self._titles = {entry.name: entry.title for entry in legend}

    def write(self, result: Result) -> None:
        """Show one text."""
        text, found = result.record.text, parts(result.task, result.answer)
        if result.record.source != "text" or result.record.row is not None:
            title = Text(visible(result.name).replace("\n", "␊"), style="bold")
            self._console.print(Rule(title, align="left", style="dim"))
        whole = len(text) <= SHOWN_WHOLE
        if whole and text:
            self._console.print(self._highlighted(text, marks(found)))
        for part in found:
            if part.name:
                self._console.print(Text(visible(part.name), style="bold underline"))
            if part.shown.rows:
                self._console.print(self._table(part, "" if whole else text))
            else:
                self._console.print(Text("nothing found\n", style="dim"))

    def close(self) -> None:
        """Show nothing more."""

    def _highlighted(self, text: str, spans: Sequence[Span]) -> Text:
        shown = Text()
        inside: list[str] = []
        for piece in walk(text, spans):
            if isinstance(piece, str):
                shown.append(visible(piece), style=inside[-1] if inside else "")
            elif isinstance(piece, Open):
                inside.append(self._style(piece.span.label))
                shown.append("" if self._coloured else "[")
            else:
                style, tag = inside.pop(), visible(self._tags.get(piece.span.label, piece.span.label))
                if not self._coloured:
                    shown.append(f"]({tag})" if piece.last and tag else "]")
                elif piece.last and tag:
                    shown.append(f" {tag} ", style=f"bold {style} reverse")
        return shown

    def _style(self, label: str) -> str:
        return f"{_INK} on {self._colours.get(label, _COLOURS[-1])}"

    def _table(self, part: Part, long_text: str) -> Table:
        """Return the table of what was found; the rows of a `long_text` stand in their context."""
        table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False)
        for at in part.columns:
            name = part.kind.columns[at]
            if name in ("score", "characters"):
                table.add_column(name, justify="right", no_wrap=True)
            else:
                table.add_column(name, overflow="fold")
        with_context = part.kind.in_context and bool(long_text)
        if with_context:
            table.add_column("context", overflow="fold")
        for row in part.shown.rows:
            cells = [self._cell(row.cells[at]) for at in part.columns]
            table.add_row(*cells, *([_context(long_text, row)] if with_context else []))
        return table

    def _cell(self, cell: Cell) -> RenderableType:
        shown: RenderableType = ""
        match cell:
            case Tag(label):
                title = visible(self._titles.get(label, label))
                shown = Text(f" {title} " if self._coloured else title, self._style(label))
            case Piece(span, tagged):
                shown = self._piece(span, tagged=tagged)
            case Arrow(label, both):
                shown = Text(f"← {visible(label)} →" if both else f"{visible(label)} →")
            case Quiet(text):
                shown = Text(text, "dim")
            case Bar(score):
                shown = bar.Bar(1.0, 0.0, score, width=_BAR)
            case float():
                shown = Text(f"{cell:.2f}")
            case str():
                shown = Text(visible(cell))
        return shown

    def _piece(self, span: Span, *, tagged: bool) -> Text:
        coloured = span.label and self._coloured
        shown = Text(one_line(span.text), style=f"bold {self._style(span.label)}" if coloured else "bold")
        if tagged and span.label:
            shown.append(f" {visible(span.label)}", style="dim not bold")
        return shown


def _context(text: str, row: Row) -> Text:
    if not row.spans:
        return Text()
    return Text.assemble(
        *((piece, "bold" if found else "dim") for piece, found in in_context(text, row.spans))
    )
