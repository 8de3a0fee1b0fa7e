"""The style of the page: colours of labels, for light and dark, and the sheet that uses them."""

from collections.abc import Mapping

_GOLDEN_ANGLE = 137.508  # degrees: neighbours in the legend get hues far apart, however many there are
_FIRST_HUE = 235.0

# Lightness and chroma (OKLCH) of a span's background, and of its label's tag. Text on both is `--ink` and
# `--on-tag`: at least 7:1 for every hue, which a test checks.
Theme = Mapping[str, str | tuple[float, float]]
LIGHT: Theme = {"mark": (0.91, 0.065), "tag": (0.39, 0.09), "ink": "#1c1c20", "on-tag": "#ffffff"}
DARK: Theme = {"mark": (0.36, 0.07), "tag": (0.84, 0.09), "ink": "#ececf0", "on-tag": "#141417"}


def hue(at: int) -> float:
    """Return the hue, in degrees, of the label at a place in the legend."""
    return (_FIRST_HUE + at * _GOLDEN_ANGLE) % 360


def style_sheet(n_labels: int) -> str:
    """Return the sheet for a legend of `n_labels`: `.l0` is its first label, and the box `#l0` shows it."""
    rules = [_CSS.replace("/*light*/", _variables(LIGHT)).replace("/*dark*/", _variables(DARK))]
    for at in range(n_labels):
        off = f"body:has(#l{at}:not(:checked))"
        rules.append(
            f".l{at}{{--hue:{hue(at):.1f}}}\n{off} mark.l{at}{{all:unset}}\n"
            f"{off} mark.l{at}::after{{content:none}}\n{off} tr.l{at}{{display:none}}\n"
        )
    return "".join(rules)


def _variables(theme: Theme) -> str:
    return "".join(f"--{name}:{_css_value(value)};" for name, value in theme.items())


def _css_value(value: str | tuple[float, float]) -> str:
    return " ".join(str(part) for part in value) if isinstance(value, tuple) else value


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
h2{display:flex;flex-wrap:wrap;justify-content:space-between;gap:0 1rem;

margin-block:0 .6rem;font-size:.86rem;font-weight:600;color:var(--quiet);overflow-wrap:anywhere}
small{font-size:inherit;font-weight:400}
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
h3{margin-block:1.3rem .2rem;font-size:.92rem}
.table{overflow-x:auto;margin-block:.9rem 0}
h3+.table{margin-block:0}
table{width:100%;border-collapse:collapse}
th,td{padding:.3rem .8rem .3rem 0;text-align:start;vertical-align:baseline;font-weight:400}
th:last-child,td:last-child{padding-inline-end:0}
thead th{color:var(--quiet);font-size:.8rem}
article tbody tr{border-top:1px solid var(--line)}
article td{font-size:.94rem;overflow-wrap:break-word}
td:has(.tag,[data-label]){min-width:9rem}
article .context{border-top:0}
.context td{padding-block:0 .6rem;color:var(--quiet);font-size:.86rem}
.context b{color:var(--ink);font-weight:500}
.quiet{color:var(--quiet);font-variant-numeric:tabular-nums}
.number{text-align:end;font-variant-numeric:tabular-nums}
.tag{padding:.14em .55em;border-radius:.45em;background:oklch(var(--mark) var(--hue));
-webkit-box-decoration-break:clone;box-decoration-break:clone}
.quiet span{white-space:nowrap}
.arrow{white-space:nowrap;font-weight:500;border-bottom:2px solid oklch(var(--tag) var(--hue))}
.arrow::after{content:" →"}
.arrow.both::before{content:"← "}
.bar{width:60%}
i{display:block;height:.7rem;border-radius:.35rem;background:oklch(var(--tag) var(--hue,270))}
details{margin-top:.9rem}
summary{cursor:pointer;color:var(--quiet);font-size:.86rem}
footer{padding-block:.5rem 3rem;color:var(--quiet);font-size:.9rem}
footer table{color:var(--ink)}
footer td:nth-child(2),footer th:nth-child(2){text-align:end;font-variant-numeric:tabular-nums}
footer td:last-child{width:70%}
@media print{header{position:static}details::details-content{content-visibility:visible;height:auto}
article{break-inside:avoid}body{background:none}
mark,mark::after,i,fieldset label{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""
