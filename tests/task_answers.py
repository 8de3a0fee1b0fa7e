"""A task of each kind with an answer, for tests of how answers are shown."""

from dataclasses import fields, is_dataclass
from typing import Any

from gliner_mt.render import Result
from gliner_mt.sources import Record
from gliner_mt.task_values import AnyTask
from gliner_mt.tasks import NER, QA, Classification, OpenIE, RelationLabel, Relations, Several, Summary
from gliner_mt.types import Answer, ClassScore, Relation, Span, Triple

TEXT = "Ada met Bob in London. It rained. Bob works for Acme."
FILLER = "Nothing else happened that day. " * 100


def span(text: str, label: str = "", score: float = 0.9, at: int = 0) -> Span:
    """Return the first occurrence of `text` from `at` on."""
    start = TEXT.index(text, at)
    return Span(start, start + len(text), text, label, score)


def shifted(value: Any, by: int) -> Any:  # noqa: ANN401 - any answer
    """Return an answer whose text starts `by` characters later."""
    if isinstance(value, list):
        return [shifted(one, by) for one in value]
    if isinstance(value, dict):
        return {name: shifted(one, by) for name, one in value.items()}
    if not is_dataclass(value):
        return value
    changed = {field.name: shifted(getattr(value, field.name), by) for field in fields(value)}
    return type(value)(
        **{name: one + by if name in ("start", "end") else one for name, one in changed.items()}
    )


def answer(text: str, score: float = 0.9) -> Answer:
    found = span(text, score=score)
    return Answer(found.start, found.end, found.text, score)


PEOPLE = NER({"person": "a <human>", "city": ""})
JOBS = Relations(
    {
        "works for": ("person", "company"),
        "knows": RelationLabel(head="person", tail="person", symmetric=True),
    }
)
ASKED = QA(["Where did they meet?", "Who was it?", "What did it cost?"])
FACTS = OpenIE()
GIST = Summary(max_sentences=1)
TOPIC = Classification(["weather", "people"])

ANSWERS: dict[str, tuple[AnyTask, Any]] = {
    "spans": (PEOPLE, [span("Ada", "person"), span("Bob", "person"), span("London", "city")]),
    "relations": (
        JOBS,
        [
            Relation(span("Ada", "person"), span("Bob", "person"), "knows", 0.8),
            Relation(span("Bob", "person", at=30), span("Acme", "company"), "works for", 0.7),
        ],
    ),
    "answers": (ASKED, [[answer("London")], [answer("Ada", 0.8), answer("Bob", 0.6)], []]),
    "triples": (
        FACTS,
        [
            Triple(
                span("Ada", "argument"), span("met", "predicate"), span("Bob", "argument"), None,
                span("London", "argument"), 0.75,
            ),
            Triple(None, span("works for", "predicate"), span("Acme", "argument"), None, None, 0.6),
        ],
    ),
    "summary": (GIST, [span("Ada met Bob in London.", "summary")]),
    "classes": (TOPIC, [ClassScore("people", 0.8), ClassScore("weather", 0.2)]),
}  # fmt: skip
ANSWERS["results"] = (
    Several(who=PEOPLE, jobs=JOBS, inner=Several(asked=ASKED, about=TOPIC), gist=GIST),
    {
        "who": ANSWERS["spans"][1],
        "jobs": ANSWERS["relations"][1],
        "inner": {"asked": ANSWERS["answers"][1], "about": ANSWERS["classes"][1]},
        "gist": ANSWERS["summary"][1],
    },
)

NOTHING: dict[str, Any] = {
    "spans": [], "relations": [], "answers": [[], [], []], "triples": [], "summary": [], "classes": [],
    "results": {
        "who": [], "jobs": [], "inner": {"asked": [[], [], []], "about": []}, "gist": [],
    },
}  # fmt: skip


def result(key: str, *, long: bool = False) -> Result:
    """Return the answer of a kind, to a short text or to a long one with the short one inside."""
    task, found = ANSWERS[key]
    if not long:
        return Result(Record(TEXT, "a.txt"), task, found)
    return Result(Record(FILLER + TEXT + FILLER, "a.txt"), task, shifted(found, len(FILLER)))
