"""A reader of the pages that the package writes."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """Collects the texts, their marks and the rows of tables; checks that elements nest and load nothing."""

    VOID = frozenset({"meta", "input"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.marks: list[str | None] = []
        self.texts: list[str] = []
        self.rows: list[list[str]] = []
        self.row_classes: list[str] = []
        self.tags: set[str] = set()
        self.feed(html)
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attrs)
        if tag not in self.VOID:
            self.stack.append(tag)
        if tag == "mark":
            self.marks.append(dict(attrs).get("data-label"))
        if tag == "div" and dict(attrs).get("class") == "text":
            self.texts.append("")
        if tag == "tr":
            self.rows.append([])
            self.row_classes.append(dict(attrs).get("class") or "")
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.stack or "th" in self.stack:
            self.rows[-1][-1] += data
        elif "div" in self.stack and "table" not in self.stack:
            self.texts[-1] += data
