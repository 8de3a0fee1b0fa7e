"""Entities as annotation tools export them: Label Studio and Prodigy. Offsets are characters."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gliner_mt.formats.files import field, inside, string, strings
from gliner_mt.formats.items import Columns, LeftOut
from gliner_mt.formats.records import entities, offsets
from gliner_mt.types import Entity, Example, Offsets

LABEL_STUDIO = (
    "a task of Label Studio's JSON export: data {text} and annotations [{result [{type, value {start, end, "
    "labels}}]}]"
)
PRODIGY = "a task of Prodigy: text, spans [{start, end, label}] and answer"

_NOT_PLAIN = ("hypertextlabels", "paragraphlabels")


def label_studio_example(task: dict[str, Any], columns: Columns) -> Example | LeftOut:
    """Return the text of a task (JSON or JSON_MIN) with its spans.

    Of several annotations the one marked as ground truth counts, else the first that was not cancelled.
    Relations, choices and predictions are not read.
    """
    if "data" not in task:
        lists = [value for value in task.values() if isinstance(value, list)]
        values = [one for value in lists for one in value if isinstance(one, dict) and "labels" in one]
        text = field(task, columns.text, str)
        return Example(text, tuple(_spans(values, text)), ())
    # Exports of versions before 1.0 say "completions".
    annotations = field(task, "completions" if "completions" in task else "annotations", list)
    kept = [one for one in annotations if not one.get("was_cancelled")]
    if not kept:
        return LeftOut("not annotated")
    chosen = next((one for one in kept if one.get("ground_truth")), kept[0])
    text = _text(field(task, "data", dict), columns.text)
    return Example(text, tuple(_spans(list(_values(field(chosen, "result", list))), text)), ())


def prodigy_example(task: dict[str, Any], columns: Columns) -> Example | LeftOut:
    """Return a text with its spans. Tasks that were rejected or ignored say nothing of the whole text."""
    answer = task.get("answer", "accept")
    if answer != "accept":
        return LeftOut(f"answer is {answer!r}")
    text = field(task, columns.text, str)
    spans = field(task, "spans", list) if "spans" in task else []
    return Example(text, entities(spans, text, "spans"), ())


def _text(data: Mapping[str, Any], name: str) -> str:
    """Return the text of a task: the field `name` of its data, or the only string there."""
    found = [value for value in data.values() if isinstance(value, str)]
    if name not in data and len(found) == 1:
        return found[0]
    with inside("data"):
        return field(data, name, str)


def _values(result: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for number, region in enumerate(result):
        with inside(f"result[{number}]"):
            kind = region.get("type")
            if kind in _NOT_PLAIN:
                raise ValueError(f"type is {kind!r}, and only labels on plain text can be read")
            if kind == "labels":
                yield field(region, "value", dict)


def _spans(values: Sequence[Mapping[str, Any]], text: str) -> Iterator[Entity]:
    for number, value in enumerate(values):
        with inside(f"span {number}"):
            place = _place(value, text)
            for label in strings(value["labels"]):
                yield Entity(place.start, place.end, label)


def _place(value: Mapping[str, Any], text: str) -> Offsets:
    """Return where a span stands.

    Older exports count UTF-16 units, newer ones characters (Label Studio issues 1008 and 1347); the text of
    the span, in which a line break is written as a backslash and an n, tells them apart.
    """
    start, end = value["start"], value["end"]
    if "text" not in value:
        return offsets({"start": start, "end": end}, text)
    said = string(value["text"])
    for place in (Offsets(start, end), _of_utf16(start, end, text)):
        if said in (text[place.start : place.end], text[place.start : place.end].replace("\n", "\\n")):
            return offsets({"start": place.start, "end": place.end}, text)
    return offsets({"start": start, "end": end, "text": said}, text)


def _of_utf16(start: int, end: int, text: str) -> Offsets:
    units = text.encode("utf-16-le", "surrogatepass")
    before, through = (len(units[: 2 * at].decode("utf-16-le", "replace")) for at in (start, end))
    return Offsets(before, through)
