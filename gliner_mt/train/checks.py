"""What is odd in annotated data, counted and shown before the first step is paid for."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from operator import itemgetter
from typing import Any, final

from rich import box
from rich.table import Table
from rich.text import Text

from gliner_mt.errors import InputError
from gliner_mt.render import visible
from gliner_mt.text import word_places
from gliner_mt.tokenization import WordTokenizer
from gliner_mt.types import Entity, Example

_AROUND = 24  # characters shown on each side of a span
_LONGEST = 60  # characters of a span that are shown
_SHOWN = 3

_Place = tuple[int, int]
"""Characters [start, end) of a word."""
_START, _END = itemgetter(0), itemgetter(1)


class Problem(str, Enum):
    """What can be odd. The value says what it is; `effect` says what comes of it."""

    NO_EXAMPLES = "no examples"
    NO_ENTITIES = "no entities"
    ONE_LABEL = "only one label is annotated"
    NO_WORDS = "text without words"
    OUTSIDE = "span outside its text"
    OFF_WORDS = "span not on word edges"
    NO_WORD = "span without a word"
    TOO_WIDE = "span wider than the head reads"
    DUPLICATE = "span marked twice"
    OVERLAP = "span overlaps another"
    BAD_LABEL = "label that is blank or has a line break"
    NO_LABELS = "text without labels"
    UNLISTED = "label not among those annotated in its text"
    UNSEEN = "label of the dev set that training never sees"
    LEAKED = "text of the training set that is in the dev set too"
    DEV_EMPTY = "dev set without entities"
    LONG = "text longer than a row"

    @property
    def effect(self) -> str:
        """What comes of it, and how to mend it."""
        return _EFFECTS[self]

    @property
    def fatal(self) -> bool:
        """Whether nothing can be learnt, asked or judged so."""
        return self in (Problem.NO_EXAMPLES, Problem.NO_ENTITIES, Problem.BAD_LABEL, Problem.DEV_EMPTY)

    @property
    def odd(self) -> bool:
        """Whether there is anything to mend."""
        return self is not Problem.LONG


_EFFECTS = {
    Problem.NO_EXAMPLES: "nothing to train on: name a file with examples",
    Problem.NO_ENTITIES: "nothing to train on: examples need entities",
    Problem.ONE_LABEL: "nothing to tell it from: add labels that do not occur to `labels`, or other sets",
    Problem.NO_WORDS: "teaches nothing: leave it out",
    Problem.OUTSIDE: "cannot be learnt: count characters of this text, end-exclusive",
    Problem.OFF_WORDS: "is learnt as the words that it touches: mend it if those are not meant",
    Problem.NO_WORD: "cannot be learnt: leave it out",
    Problem.TOO_WIDE: "its label is not asked of this text: cut the span, or raise max_width of a new model",
    Problem.DUPLICATE: "counts once: leave it out",
    Problem.OVERLAP: "flat answers can hold only one of them: ask with nested or multi_label, or choose one",
    Problem.BAD_LABEL: "cannot be asked for: name it, on one line",
    Problem.NO_LABELS: "nothing is asked of it: name what was looked for in it in `labels`",
    Problem.UNLISTED: "is not asked of this text: add it to `labels`",
    Problem.UNSEEN: "its F1 is zero-shot: add examples of it, or leave it out of the dev set",
    Problem.LEAKED: "dev scores flatter: take it out of one of them",
    Problem.DEV_EMPTY: "no checkpoint is better than another: add texts with entities, or give no dev set",
    Problem.LONG: "is read in parts, another one each time: nothing to mend, but it takes more steps",
}


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A place in the data: characters before a span, the span, those after it, and its label."""

    where: str
    before: str = ""
    marked: str = ""
    after: str = ""
    label: str = ""

    def __str__(self) -> str:
        if not (self.before or self.marked or self.after):
            return f"{self.where}: {self.label}"
        span = f"[{self.marked}]" if self.label or self.marked else ""
        return f"{self.where}: {self.before}{span}{self.after}{f' ({self.label})' if self.label else ''}"


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem, how often it was met, and the first places."""

    problem: Problem
    count: int
    shown: tuple[Excerpt, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What was checked, and what was found.

    `labels` says how many entities each label of the training set has; 0 for one that was annotated and
    occurs nowhere.
    """

    n_train: int
    n_dev: int
    n_entities: int
    labels: Mapping[str, int]
    findings: tuple[Finding, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self) | {
            "findings": [
                {"problem": one.problem.name.lower(), "what": one.problem.value, "effect": one.problem.effect}
                | {"count": one.count, "shown": [asdict(excerpt) for excerpt in one.shown]}
                for one in self.findings
            ]
        }

    def table(self) -> Table:
        """Return it as a table for a terminal: a row for each problem."""
        table = Table(
            box=box.SIMPLE,
            pad_edge=False,
            title=f"{self.n_train:,} examples, {self.n_entities:,} entities of {len(self.labels):,} labels; "
            f"{self.n_dev:,} dev examples",
        )
        for name in ("count", "what", "effect", "for example"):
            table.add_column(name, overflow="fold", justify="right" if name == "count" else "left")
        for one in self.findings:
            places = Text("\n".join(visible(str(excerpt)) for excerpt in one.shown))
            table.add_row(f"{one.count:,}", one.problem.value, one.problem.effect, places)
        return table

    def require(self, *, strict: bool = False) -> None:
        """Stop where nothing can be learnt; with `strict`, where anything is odd.

        Raises:
            InputError: it names the problems, with their first places.
        """
        found = [one for one in self.findings if one.problem.fatal or (strict and one.problem.odd)]
        if found:
            raise InputError("; ".join(_said(one) for one in found))


def check_examples(
    train: Iterable[Example],
    tokenizer: WordTokenizer,
    *,
    max_width: int,
    dev: Iterable[Example] = (),
    nested: bool = False,
    strict: bool = False,
    row_tokens: int | None = None,
) -> Report:
    """Return what is odd in a training set and in the dev set that goes with it.

    Offsets are taken as they are; nothing is changed. Each set is read once, and only counts, labels and the
    first places are kept (of the dev set also a number for each text). `max_width` is the widest span of the
    head, in words. Without `nested`, spans that overlap count as odd; with it, only spans that cross.
    Texts of more than `row_tokens` sub-words are counted, if it is given; they are not odd.

    Raises:
        InputError: with `strict`, anything is odd.
    """
    checks = Checks(tokenizer, max_width, nested=nested, row_tokens=row_tokens)
    for number, example in enumerate(dev, start=1):
        checks.read_dev(number, example)
    for number, example in enumerate(train, start=1):
        checks.read_train(number, example)
    report = checks.report()
    if strict:
        report.require(strict=True)
    return report


@final
class Checks:
    """What is known of the data so far, where it is read example by example; see `check_examples`.

    An example comes with its number in its set, from 1. The whole of the dev set comes first.
    """

    def __init__(
        self,
        tokenizer: WordTokenizer,
        max_width: int,
        *,
        nested: bool = False,
        row_tokens: int | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._max_width = max_width
        self._nested = nested
        self._row_tokens = row_tokens
        self._counts: Counter[Problem] = Counter()
        self._shown: dict[Problem, list[Excerpt]] = {}
        self._n_train = self._n_dev = 0
        self._labels: Counter[str] = Counter()
        self._dev_labels: Counter[str] = Counter()
        self._dev_first: dict[str, Excerpt] = {}
        self._dev_texts: set[int] = set()

    def read_dev(self, number: int, example: Example) -> None:
        """Check an example of the dev set."""
        self._n_dev += 1
        where = f"dev, example {number:,}"
        self._check(example, where)
        self._dev_texts.add(hash(example.text))
        self._dev_labels.update(entity.label for entity in example.entities)
        for entity in example.entities:
            if entity.label not in self._dev_first:
                self._dev_first[entity.label] = _excerpt(where, example.text, entity)

    def read_train(self, number: int, example: Example) -> None:
        """Check an example of the training set."""
        self._n_train += 1
        where = f"train, example {number:,}"
        places = self._check(example, where)
        if self._row_tokens is not None and self._is_long(example.text, places, self._row_tokens):
            self._add(Problem.LONG, _opening(where, example.text))
        for label in example.labels:
            self._labels.setdefault(label, 0)
        self._labels.update(entity.label for entity in example.entities)
        if hash(example.text) in self._dev_texts:
            self._add(Problem.LEAKED, _opening(where, example.text))

    def report(self) -> Report:
        """Return what was found in all that was read."""
        if not self._n_train:
            self._add(Problem.NO_EXAMPLES)
        elif not self._labels.total():
            self._add(Problem.NO_ENTITIES)
        elif len(self._labels) == 1:
            self._add(Problem.ONE_LABEL, Excerpt("train", label=next(iter(self._labels))))
        for label, first in self._dev_first.items():
            if label not in self._labels and self._n_train:
                self._add(Problem.UNSEEN, first, self._dev_labels[label])
        if self._n_dev and not self._dev_labels:
            self._add(Problem.DEV_EMPTY)
        findings = (
            Finding(problem, self._counts[problem], tuple(self._shown[problem]))
            for problem in Problem
            if problem in self._counts
        )
        n_entities = self._labels.total()
        return Report(self._n_train, self._n_dev, n_entities, dict(self._labels), tuple(findings))

    def _add(self, problem: Problem, place: Excerpt | None = None, times: int = 1) -> None:
        self._counts[problem] += times
        shown = self._shown.setdefault(problem, [])
        if place is not None and len(shown) < _SHOWN:
            shown.append(place)

    def _check(self, example: Example, where: str) -> list[_Place]:
        """Check an example of either set; return the places of its words."""
        places = list(word_places(example.text))
        if not any(self._seen(example.text, [place]) for place in places):
            self._add(Problem.NO_WORDS, _opening(where, example.text))
        if not example.labels:
            self._add(Problem.NO_LABELS, _opening(where, example.text))
        for label in example.labels:
            if not _can_be_asked(label):
                self._add(Problem.BAD_LABEL, Excerpt(where, label=repr(label)))
        for entity in example.entities:
            for problem in (*self._place(entity, example.text, places), *_label(entity, example.labels)):
                self._add(problem, _excerpt(where, example.text, entity))
        for problem, entity in _company(example.entities, nested=self._nested):
            self._add(problem, _excerpt(where, example.text, entity))
        return places

    def _place(self, entity: Entity, text: str, places: Sequence[_Place]) -> Iterator[Problem]:
        if not 0 <= entity.start < entity.end <= len(text):
            yield Problem.OUTSIDE
            return
        first = bisect_right(places, entity.start, key=_END)
        words = self._seen(text, places[first : bisect_left(places, entity.end, first, key=_START)])
        if not words:
            yield Problem.NO_WORD
            return
        if (words[0][0], words[-1][1]) != (entity.start, entity.end):
            yield Problem.OFF_WORDS
        if len(words) > self._max_width:
            yield Problem.TOO_WIDE

    def _seen(self, text: str, places: Sequence[_Place]) -> list[_Place]:
        """Return the places of those words that have sub-words, as `WordTokenizer.encode` yields them."""
        return [place for place, known in zip(places, self._ids(text, places), strict=True) if known]

    def _ids(self, text: str, places: Sequence[_Place]) -> list[tuple[int, ...]]:
        return self._tokenizer.words([text[start:end] for start, end in places])

    def _is_long(self, text: str, places: Sequence[_Place], room: int) -> bool:
        if len(text) <= room:
            return False
        return len(places) > room or sum(map(len, self._ids(text, places))) > room


def _can_be_asked(label: str) -> bool:
    return bool(label.strip()) and "\n" not in label and "\r" not in label


def _label(entity: Entity, labels: Sequence[str]) -> Iterator[Problem]:
    if not _can_be_asked(entity.label):
        yield Problem.BAD_LABEL
    elif entity.label not in labels:
        yield Problem.UNLISTED


def _company(entities: Sequence[Entity], *, nested: bool) -> Iterator[tuple[Problem, Entity]]:
    """Yield the entities that one before them, by start and then the longest first, stands against."""
    seen: set[Entity] = set()
    ends: list[int] = []
    for entity in sorted(entities, key=lambda one: (one.start, -one.end)):
        ends = [end for end in ends if end > entity.start]
        if entity in seen:
            yield Problem.DUPLICATE, entity
            continue
        if any(end < entity.end for end in ends) if nested else ends:
            yield Problem.OVERLAP, entity
        seen.add(entity)
        ends.append(entity.end)


def _excerpt(where: str, text: str, entity: Entity) -> Excerpt:
    start, end = max(entity.start, 0), max(entity.end, 0)
    marked = text[start:end]
    if len(marked) > _LONGEST:
        marked = f"{marked[: _LONGEST // 2]}…{marked[-_LONGEST // 2 :]}"
    before = text[max(0, start - _AROUND) : start]
    return Excerpt(where, before, marked, text[end : end + _AROUND], entity.label)


def _opening(where: str, text: str) -> Excerpt:
    return Excerpt(where, after=text[:_LONGEST])


def _said(finding: Finding) -> str:
    places = "; ".join(map(str, finding.shown))
    shown = f" ({places})" if places else ""
    return f"{finding.problem.value}: {finding.count:,}{shown}; {finding.problem.effect}"
