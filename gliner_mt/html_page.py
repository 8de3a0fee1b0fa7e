"""Results as one HTML page that needs nothing else: marked texts, tables, a legend, totals.

The page is written as results come. Its style follows the reader's light or dark setting; the boxes of the
legend hide labels without a script.
"""

from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import TextIO, final

from gliner_mt.html_style import style_sheet
from gliner_mt.render import SHOWN_WHOLE, Open, Result, in_context, one_line, visible, walk
from gliner_mt.shown import (
    Arrow,
    Bar,
    Cell,
    Entry,
    Part,
    Piece,
    Quiet,
    Row,
    Tag,
    entries,
    marks,
    parts,
    title,
)
from gliner_mt.task_values import AnyTask
from gliner_mt.types import Span


@final
class HtmlPage:
    """Writes the page to `file`, a document at a time; the legend has the labels of `task`."""

    def __init__(self, file: TextIO, task: AnyTask) -> None:
        self._file = file
        self._legend = {entry.name: entry for entry in entries(task)}
        self._classes = {name: f"l{at}" for at, name in enumerate(self._legend)}
        self._found: Counter[str] = Counter()
        self._texts = 0
        heading = title(task)
        self._put(_HEAD.format(title=heading, style=style_sheet(len(self._legend))))
        self._put(f"<header>\n<h1>{heading}</h1>\n")
        if self._legend:
            boxes = (_legend_box(entry, self._classes[name]) for name, entry in self._legend.items())
            self._put(f"<fieldset><legend>Labels shown</legend>\n{''.join(boxes)}</fieldset>\n")
        self._put(f"{_ONLY_FOUND}</header>\n<main>\n")

    def write(self, result: Result) -> None:
        """Write one document; of a long one first what was found in it, in its context."""
        found = parts(result.task, result.answer)
        self._texts += 1
        for part in found:
            self._found.update(part.shown.found)
        counts = [part.kind.counted(len(part.shown.found)) for part in found if part.shown.found]
        empty = "" if counts else ' class="empty"'
        said = ", ".join(counts) or "nothing found"
        self._put(f"<article{empty}>\n<h2>{_escaped(result.name)} <small>{said}</small></h2>\n")
        text = result.record.text
        if len(text) <= SHOWN_WHOLE or all(part.kind.told_by_marks for part in found):
            self._put_text(text, found)
            for part in found:
                self._put_part(part, "", needless=part.kind.told_by_marks)
        else:
            for part in found:
                self._put_part(part, text, needless=False)
            self._put(f"<details>\n<summary>The text, {len(text):,} characters</summary>\n")
            self._put_text(text, found)
            self._put("</details>\n")
        self._put("</article>\n")
        self._file.flush()

    def close(self) -> None:
        """Write the totals and the end of the page."""
        total = self._found.total()
        texts = "1 text" if self._texts == 1 else f"{self._texts:,} texts"
        self._put(f"</main>\n<footer>\n<h2>{total:,} found in {texts}</h2>\n")
        if total:
            self._put("<table>\n<thead><tr><th>Label</th><th>Found</th><th></th></tr></thead>\n<tbody>\n")
            most = max(self._found.values())
            for label, count in self._found.most_common():
                bar = f'<i class="{self._class(label)}" style="width:{100 * count / most:.1f}%"></i>'
                self._put(f"<tr><th>{_escaped(label)}</th><td>{count:,}</td><td>{bar}</td></tr>\n")
            self._put("</tbody>\n</table>\n")
        self._put("<p>Made with gliner_mt.</p>\n</footer>\n</body>\n</html>\n")
        self._file.flush()

    def _put(self, html: str) -> None:
        self._file.write(html)

    def _put_text(self, text: str, found: Sequence[Part]) -> None:
        self._put('<div class="text" dir="auto">')
        for piece in walk(text, marks(found)):
            if isinstance(piece, str):
                self._put(_escaped(piece))
            elif isinstance(piece, Open):
                self._put(self._opening(piece.span, tagged=piece.last))
            else:
                self._put("</mark>")
        self._put("</div>\n")

    def _put_part(self, part: Part, long_text: str, *, needless: bool) -> None:
        """Write the table of one task unless it is `needless`; rows of a `long_text` have their context."""
        if needless or not part.shown.rows:
            return
        if part.name:
            self._put(f"<h3>{_escaped(part.name)}</h3>\n")
        names = [part.kind.columns[at] for at in part.columns]
        heads = (f"<th{_NUMBER if name == 'score' else ''}>{name.capitalize()}</th>" for name in names)
        self._put(f'<div class="table"><table>\n<thead><tr>{"".join(heads)}</tr></thead>\n<tbody>\n')
        for row in part.shown.rows:
            self._put_row(row, part.columns, long_text if part.kind.in_context else "")
        self._put("</tbody>\n</table></div>\n")

    def _put_row(self, row: Row, columns: Sequence[int], long_text: str) -> None:
        css = f' class="{self._class(row.label)}"' if row.label else ""
        self._put(f"<tr{css}>{''.join(self._cell(row.cells[at]) for at in columns)}</tr>\n")
        if long_text and row.spans:
            pieces = (
                f"<b>{escape(piece)}</b>" if found else escape(piece)
                for piece, found in in_context(long_text, row.spans)
            )
            css = f"context {self._class(row.label)}" if row.label else "context"
            self._put(
                f'<tr class="{css}"><td colspan="{len(columns)}" dir="auto">{"".join(pieces)}</td></tr>\n'
            )

    def _cell(self, cell: Cell) -> str:
        css, shown = "", ""
        match cell:
            case Tag(label):
                entry = self._legend.get(label)
                title = _escaped(entry.title if entry else label)
                shown = f'<span class="tag {self._class(label)}">{title}</span>'
            case Piece(span, tagged):
                text = _escaped(one_line(span.text))
                shown = f"{self._opening(span, tagged=tagged)}{text}</mark>" if span.label else text
            case Arrow(label, both):
                shown = f'<span class="arrow{" both" if both else ""}">{_escaped(label)}</span>'
            case Quiet(text):
                ranges = (f"<span>{_escaped(one)}</span>" for one in text.split(", "))
                css, shown = "quiet", ", ".join(ranges)
            case Bar(score):
                css, shown = "bar", f'<i style="width:{100 * score:.1f}%"></i>'
            case float():
                css, shown = "number", f"{cell:.2f}"
            case str():
                shown = _escaped(cell)
        return f'<td dir="auto" class="{css}">{shown}</td>' if css else f'<td dir="auto">{shown}</td>'

    def _class(self, label: str) -> str:
        return self._classes.get(label, "other")

    def _opening(self, span: Span, *, tagged: bool) -> str:
        entry = self._legend.get(span.label)
        shown = _escaped(entry.tag if entry else span.label)
        tag = f' data-label="{shown}"' if tagged and shown else ""
        label = f"{_escaped(span.label)}, " if span.label else ""
        title = f"{label}score {span.score:.2f}, characters {span.start} to {span.end}"
        return f'<mark class="{self._class(span.label)}"{tag} title="{title}">'


def _escaped(text: str) -> str:
    return escape(visible(text))


def _legend_box(entry: Entry, css_class: str) -> str:
    described = f' title="{_escaped(entry.description)}"' if entry.description else ""
    box = f'<input type="checkbox" id="{css_class}" checked>'
    return f'<label class="{css_class}"{described}>{box}{_escaped(entry.title)}</label>\n'


_NUMBER = ' class="number"'
_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
"""

_ONLY_FOUND = (
    '<label class="only"><input type="checkbox" id="only">Hide texts in which nothing was found</label>\n'
)
