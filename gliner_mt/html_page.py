"""Results as one HTML page that needs nothing else: highlighted spans, a legend, totals.

The page is written as results come. Its style follows the reader's light or dark setting; the boxes of the
legend hide labels without a script.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import TextIO, final

from gliner_mt.render import Open, Result, visible, walk
from gliner_mt.tasks import Label
from gliner_mt.types import Span

_GOLDEN_ANGLE = 137.508  # degrees: neighbours in the legend get hues far apart, however many there are
_FIRST_HUE = 235.0

# Lightness and chroma (OKLCH) of a span's background, and of its label's tag. Text on both is `--ink` and
# `--on-tag`: at least 7:1 for every hue, which a test checks.
Theme = Mapping[str, str | tuple[float, float]]
LIGHT: Theme = {"mark": (0.91, 0.065), "tag": (0.39, 0.09), "ink": "#1c1c20", "on-tag": "#ffffff"}
DARK: Theme = {"mark": (0.36, 0.07), "tag": (0.84, 0.09), "ink": "#ececf0", "on-tag": "#141417"}


@final
class HtmlPage:
    """Writes the page to `file`, a document at a time; `labels` are the labels asked for."""

    def __init__(self, file: TextIO, labels: Sequence[Label], title: str = "Entities") -> None:
        self._file = file
        self._classes = {label.name: f"l{at}" for at, label in enumerate(labels)}
        self._found: Counter[str] = Counter()
        self._texts = 0
        self._put(_HEAD.format(title=escape(title), style=_style(len(labels))))
        self._put(f"<header>\n<h1>{escape(visible(title))}</h1>\n<fieldset><legend>Labels shown</legend>\n")
        for label in labels:
            self._put(_legend_entry(label, self._classes[label.name]))
        self._put(f"</fieldset>\n{_ONLY_FOUND}</header>\n<main>\n")

    def write(self, result: Result) -> None:
        """Write one document."""
        self._texts += 1
        self._found.update(span.label for span in result.spans)
        count = len(result.spans)
        found = "nothing found" if not count else "1 span" if count == 1 else f"{count:,} spans"
        empty = "" if count else ' class="empty"'
        self._put(
            f"<article{empty}>\n<h2>{_escaped(result.name)} <small>{found}</small></h2>\n"
            '<div class="text" dir="auto">'
        )
        for piece in walk(result.record.text, result.spans):
            if isinstance(piece, str):
                self._put(_escaped(piece))
            elif isinstance(piece, Open):
                self._put(self._opening(piece.span, tagged=piece.last))
            else:
                self._put("</mark>")
        self._put("</div>\n</article>\n")
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

    def _class(self, label: str) -> str:
        return self._classes.get(label, "other")

    def _opening(self, span: Span, *, tagged: bool) -> str:
        label = _escaped(span.label)
        tag = f' data-label="{label}"' if tagged else ""
        title = f"{label}, score {span.score:.2f}, characters {span.start} to {span.end}"
        return f'<mark class="{self._class(span.label)}"{tag} title="{title}">'


def hue(at: int) -> float:
    """Return the hue, in degrees, of the label at a place in the legend."""
    return (_FIRST_HUE + at * _GOLDEN_ANGLE) % 360


def _escaped(text: str) -> str:
    return escape(visible(text))


def _legend_entry(label: Label, css_class: str) -> str:
    title = f' title="{_escaped(label.description)}"' if label.description else ""
    box = f'<input type="checkbox" id="{css_class}" checked>'
    return f'<label class="{css_class}"{title}>{box}{_escaped(label.name)}</label>\n'


def _style(n_labels: int) -> str:
    rules = [_CSS.replace("/*light*/", _variables(LIGHT)).replace("/*dark*/", _variables(DARK))]
    for at in range(n_labels):
        off = f"body:has(#l{at}:not(:checked)) mark.l{at}"
        rules.append(f".l{at}{{--hue:{hue(at):.1f}}}\n{off}{{all:unset}}\n{off}::after{{content:none}}\n")
    return "".join(rules)


def _variables(theme: Theme) -> str:
    return "".join(f"--{name}:{_css_value(value)};" for name, value in theme.items())


def _css_value(value: str | tuple[float, float]) -> str:
    return " ".join(str(part) for part in value) if isinstance(value, tuple) else value


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

_CSS = """\
:root{color-scheme:light dark;--page:#f5f4f1;--card:#fff;--line:#dedcd6;--quiet:#5c5c66;/*light*/}
@media (prefers-color-scheme:dark){
:root{--page:#131316;--card:#1c1c21;--line:#33333b;--quiet:#a5a5b0;/*dark*/}
}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:17px/1.6 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
header,main,footer{padding:0 1.25rem}
header>*,article,footer>*{max-width:52rem;margin-inline:auto}
header{position:sticky;top:0;z-index:1;padding-block:.8rem .7rem;background:var(--page);
border-bottom:1px solid var(--line)}
h1{margin-block:0 .4rem;font-size:1.15rem;letter-spacing:-.01em}
fieldset{display:flex;flex-wrap:wrap;gap:.4rem;margin-block:0;padding:0;border:0;max-height:30vh;overflow:auto}
legend{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
label{cursor:pointer;font-size:.86rem}
fieldset label{padding:.1rem .65rem .1rem .45rem;border-radius:1rem;font-weight:500;
background:oklch(var(--mark) var(--hue))}
fieldset label:has(:not(:checked)){background:none;box-shadow:inset 0 0 0 1px var(--line);color:var(--quiet)}
label:focus-within{outline:2px solid currentColor;outline-offset:1px}
input{margin:0 .35em 0 0;vertical-align:-.1em;accent-color:oklch(var(--tag) var(--hue,270))}
body .only{display:none;margin-top:.5rem;color:var(--quiet)}
body:has(.empty) .only{display:block}
body:has(#only:checked) .empty{display:none}
article{margin-block:1.25rem;padding:1rem 1.4rem 1.3rem;background:var(--card);
border:1px solid var(--line);border-radius:.8rem;content-visibility:auto;contain-intrinsic-size:auto 10rem}
h2{display:flex;justify-content:space-between;gap:1rem;margin-block:0 .6rem;font-size:.86rem;font-weight:600;
color:var(--quiet);overflow-wrap:anywhere}
small{font-size:inherit;font-weight:400;white-space:nowrap}
.text{line-height:2.15;white-space:pre-wrap;overflow-wrap:anywhere}
.empty .text{color:var(--quiet)}
mark{padding:.16em .3em;border-radius:.4em;color:inherit;unicode-bidi:isolate;
background:oklch(var(--mark) var(--hue));-webkit-box-decoration-break:clone;box-decoration-break:clone}
mark:has(mark){padding-block:.42em}
mark mark{box-shadow:0 0 0 1.5px var(--card)}
mark[data-label]::after{content:attr(data-label);margin-inline-start:.45em;padding:.14em .5em;
border-radius:.45em;font-size:.66em;font-weight:600;letter-spacing:.02em;white-space:nowrap;vertical-align:.12em;
color:var(--on-tag);background:oklch(var(--tag) var(--hue))}
.other{--hue:0}
footer{padding-block:.5rem 3rem;color:var(--quiet);font-size:.9rem}
table{width:100%;border-collapse:collapse;color:var(--ink)}
th,td{padding:.25rem .8rem .25rem 0;text-align:start;font-weight:400;white-space:nowrap}
thead th{color:var(--quiet)}
td:nth-child(2),th:nth-child(2){text-align:end;font-variant-numeric:tabular-nums}
td:last-child{width:70%}
i{display:block;height:.7rem;border-radius:.35rem;background:oklch(var(--tag) var(--hue))}
@media print{header{position:static}article{break-inside:avoid}body{background:none}
mark,mark::after,i,fieldset label{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""
