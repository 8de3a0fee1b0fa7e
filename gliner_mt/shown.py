"""What is shown of a task's answer, whatever shows it: marks in the text, a table, things to count.

The terminal and the page differ only in how they draw these. A task is a row in `_KINDS`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeAlias

from gliner_mt.task_values import AnyTask
from gliner_mt.tasks import (
    DEFAULT_THRESHOLD,
    NER,
    QA,
    Classification,
    Label,
    OpenIE,
    Relations,
    Several,
    Summary,
)
from gliner_mt.tasks.openie import OBJECT, PLACE, PREDICATE, SUBJECT, TIME
from gliner_mt.tasks.summary import SUMMARY
from gliner_mt.types import Answer, ClassScore, Relation, Span, Triple

_DIGITS = 6
_ROLES = (SUBJECT, PREDICATE, OBJECT, TIME, PLACE)


@dataclass(frozen=True, slots=True)
class Tag:
    """A label, in its colour."""

    label: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the text in the colour of its label, if it has one; `tagged` with it, too."""

    span: Span
    tagged: bool = False


@dataclass(frozen=True, slots=True)
class Arrow:
    """A relation between the cells on its left and on its right; `both` ways if it is symmetric."""

    label: str
    both: bool


@dataclass(frozen=True, slots=True)
class Quiet:
    """What is said in passing."""

    text: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A score as a length."""

    score: float


Cell: TypeAlias = Piece | Tag | Arrow | Quiet | Bar | float | str | None


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table. `label` is the one of the legend that it stands for, if any: hidden with it."""

    cells: Sequence[Cell]
    label: str = ""

    @property
    def spans(self) -> list[Span]:
        """The pieces of the text in it."""
        return [cell.span for cell in self.cells if isinstance(cell, Piece)]


@dataclass(frozen=True, slots=True)
class Shown:
    """What one answer shows: spans to mark in the text, rows of a table, a label for each thing found."""

    marks: Sequence[Span]
    rows: Sequence[Row]
    found: Sequence[str]


@dataclass(frozen=True, slots=True)
class Entry:
    """A label of the legend, the tag that marks of it have in the text, and its description."""

    name: str
    tag: str
    description: str | None = None

    @property
    def title(self) -> str:
        """The name, after the tag if that is another word."""
        return self.name if self.tag in ("", self.name) else f"{self.tag} {self.name}"


@dataclass(frozen=True, slots=True)
class Kind:
    """How the answers of one kind of task are shown.

    `key` names them in JSON. Rows need the text around them (`in_context`) where it is too long to be shown
    whole. Answers that are `told_by_marks` need no table beside a marked text.
    """

    title: str
    key: str
    one: str
    many: str
    columns: Sequence[str]
    legend: Callable[[Any], Iterable[Entry]]
    show: Callable[[Any, Any], Shown]
    in_context: bool = False
    told_by_marks: bool = False

    def counted(self, count: int) -> str:
        """Say how many there are."""
        return f"1 {self.one}" if count == 1 else f"{count:,} {self.many}"


@dataclass(frozen=True, slots=True)
class Part:
    """What is shown of one task; `name` is the one it has among several."""

    name: str
    kind: Kind
    shown: Shown

    @property
    def columns(self) -> list[int]:
        """The columns that have something in them."""
        every = range(len(self.kind.columns))
        return [at for at in every if any(row.cells[at] is not None for row in self.shown.rows)]


def title(task: AnyTask) -> str:
    """Return a heading for the answers of a task."""
    return "Results" if isinstance(task, Several) else _KINDS[type(task)].title


def entries(task: AnyTask) -> list[Entry]:
    """Return the legend of a task; what several of them ask alike is in it once. Questions are numbered."""
    unique: dict[str, Entry] = {}
    questions = 0
    for _, one in _each(task):
        for entry in _KINDS[type(one)].legend(one):
            if entry.name in unique:
                continue
            if isinstance(one, QA):
                questions += 1
                entry = replace(entry, tag=f"Q{questions}")
            unique[entry.name] = entry
    return list(unique.values())


def parts(task: AnyTask, answer: Any) -> list[Part]:  # noqa: ANN401 - whatever the task answers
    """Return what is shown of an answer: one part, or one for each of several tasks."""
    found = []
    for path, one in _each(task):
        its_own = answer
        for name in path:
            its_own = its_own[name]
        kind = _KINDS[type(one)]
        found.append(Part(".".join(path), kind, kind.show(one, its_own)))
    return found


def marks(found: Iterable[Part]) -> list[Span]:
    """Return all that is marked in the text, in its order; what several parts mark alike, once."""
    return _unique(mark for part in found for mark in part.shown.marks)


def key(task: AnyTask) -> str:
    """Return the name of the task's answers in JSON."""
    return "results" if isinstance(task, Several) else _KINDS[type(task)].key


def plain(task: Any, answer: Any) -> Any:  # noqa: ANN401 - whatever the task answers, as JSON has it
    """Return an answer as plain values: the fields of its classes; questions stand beside their answers."""
    if isinstance(task, Several):
        return {name: plain(one, answer[name]) for name, one in task.tasks.items()}
    if isinstance(task, QA):
        both = zip(task.questions, answer, strict=True)
        return [{"question": question, "answers": _plain(answers)} for question, answers in both]
    return _plain(answer)


def _plain(value: Any) -> Any:  # noqa: ANN401 - a field of any answer
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return round(value, _DIGITS) if isinstance(value, float) else value


def _each(task: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:  # noqa: ANN401
    """Yield the tasks that several consist of, and the names that lead to them."""
    if not isinstance(task, Several):
        yield path, task
        return
    for name, one in task.tasks.items():
        yield from _each(one, (*path, name))


def _labels(labels: Iterable[Label]) -> list[Entry]:
    return [Entry(label.name, label.name, label.description) for label in labels]


def _characters(*spans: Span) -> Quiet:
    return Quiet(", ".join(f"{span.start}-{span.end}" for span in spans))


def _unique(spans: Iterable[Span]) -> list[Span]:
    """Return spans in the order of the text, each once."""
    by_place = {(span.start, -span.end, span.label): span for span in spans}
    return [by_place[place] for place in sorted(by_place)]


def _show_entities(_: NER, spans: Sequence[Span]) -> Shown:
    rows = [
        Row([Tag(span.label), Piece(replace(span, label="")), span.score, _characters(span)], span.label)
        for span in spans
    ]
    return Shown(spans, rows, [span.label for span in spans])


def _relation_legend(task: Relations) -> list[Entry]:
    given = dict.fromkeys(span.label for span in task.spans or () if span.label)
    types = [*_labels(task.entities), *(Entry(name, name) for name in given)]
    return [*types, *_labels(relation.label for relation in task.relations)]


def _show_relations(task: Relations, relations: Sequence[Relation]) -> Shown:
    both = {relation.name for relation in task.relations if relation.symmetric}
    rows = [
        Row(
            [
                Piece(one.head, tagged=True),
                Arrow(one.label, one.label in both),
                Piece(one.tail, tagged=True),
                one.score,
                _characters(one.head, one.tail),
            ],
            one.label,
        )
        for one in relations
    ]
    marks = _unique(end for one in relations for end in (one.head, one.tail))
    return Shown(marks, rows, [one.label for one in relations])


def _show_answers(task: QA, answers: Sequence[Sequence[Answer]]) -> Shown:
    rows: list[Row] = []
    marks: list[Span] = []
    for question, ranked in zip(task.questions, answers, strict=True):
        spans = [Span(one.start, one.end, one.text, question, one.score) for one in ranked]
        marks += spans
        if not spans:
            rows.append(Row([Tag(question), Quiet("the text does not say"), None, None], question))
        for rank, span in enumerate(spans):
            asked = None if rank else Tag(question)
            rows.append(Row([asked, Piece(span), span.score, _characters(span)], question))
    return Shown(_unique(marks), rows, [span.label for span in marks])


def _show_triples(_: OpenIE, triples: Sequence[Triple]) -> Shown:
    rows: list[Row] = []
    for one in triples:
        spans = dict(zip(_ROLES, (one.subject, one.predicate, one.object, one.time, one.place), strict=True))
        pieces = [span if span is None else Piece(replace(span, label=role)) for role, span in spans.items()]
        rows.append(Row((*pieces, one.score)))
    return Shown(_unique(span for row in rows for span in row.spans), rows, ["triple"] * len(rows))


def _show_sentences(_: Summary, sentences: Sequence[Span]) -> Shown:
    rows = [Row([Piece(span), span.score, _characters(span)]) for span in sentences]
    return Shown(sentences, rows, [span.label for span in sentences])


def _show_classes(task: Classification, classes: Sequence[ClassScore]) -> Shown:
    rows = [Row([one.label, Bar(one.score), one.score]) for one in classes]
    likely = [one.label for one in classes if one.score > DEFAULT_THRESHOLD]
    return Shown([], rows, likely if task.multi_label else [one.label for one in classes[:1]])


_KINDS: Mapping[type, Kind] = {
    NER: Kind(
        *("Entities", "spans", "span", "spans"),
        ("label", "text", "score", "characters"),
        lambda task: _labels(task.labels),
        _show_entities,
        in_context=True,
        told_by_marks=True,
    ),
    Relations: Kind(
        *("Relations", "relations", "relation", "relations"),
        ("head", "relation", "tail", "score", "characters"),
        _relation_legend,
        _show_relations,
        in_context=True,
    ),
    QA: Kind(
        *("Answers", "answers", "answer", "answers"),
        ("question", "answer", "score", "characters"),
        lambda task: (Entry(question, question) for question in task.questions),
        _show_answers,
        in_context=True,
    ),
    OpenIE: Kind(
        *("Triples", "triples", "triple", "triples"),
        (*_ROLES, "score"),
        lambda _: (Entry(role, role) for role in _ROLES),
        _show_triples,
    ),
    Summary: Kind(
        *("Key sentences", "summary", "sentence", "sentences"),
        ("sentence", "score", "characters"),
        lambda _: (Entry(SUMMARY.name, ""),),
        _show_sentences,
    ),
    Classification: Kind(
        *("Classes", "classes", "class", "classes"),
        ("class", "", "score"),
        lambda _: (),
        _show_classes,
    ),
}
