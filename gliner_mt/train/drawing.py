"""From annotated examples of the other tasks to questions: what is asked of a text is drawn anew each time.

Every draw asks for what is there and for what is not: relations that hold and others, questions that the text
answers and questions to other texts, the right classes and wrong ones.
"""

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Generic, TypeVar, final

from gliner_mt.labels import LabelEncoding
from gliner_mt.tasks import QA, Candidates, Classification, OpenIE, PairQueries, Queries, Summary
from gliner_mt.tasks.base import GivenSpan, Label, RelationLabel
from gliner_mt.tasks.openie import ARGUMENT, OBJECT, PLACE, PREDICATE, SUBJECT, TIME
from gliner_mt.tasks.relations import ANY_ENTITY
from gliner_mt.train.entities import wordings
from gliner_mt.train.examples import Chosen
from gliner_mt.train.questions import Question, QuestionRow, question_row, shortened
from gliner_mt.train.sampling import SamplingConfig
from gliner_mt.types import (
    ClassificationExample,
    Entity,
    GoldRelation,
    GoldTuple,
    Offsets,
    OpenIEExample,
    Part,
    QAExample,
    RelationExample,
    SummaryExample,
)

ExampleT = TypeVar("ExampleT")
Draw = Callable[[ExampleT, Random], Question]

_TYPES = 8
_ABSENT_TYPES = 2


@final
@dataclass(frozen=True, slots=True)
class TaskRows(Generic[ExampleT]):
    """Draws rows of the examples of a task other than entities, each put as a question by `draw`."""

    examples: Sequence[ExampleT]
    draw: Draw[ExampleT]
    weight: float
    labels: LabelEncoding
    config: SamplingConfig
    max_width: int

    def row(self, random: Random) -> QuestionRow:
        """Draw an example and what is asked of it."""
        question = self.draw(random.choice(self.examples), random)
        if question.queries.pairs is None:
            question = shortened(question, self.labels, self.config.prompt_tokens)
        return question_row(
            question,
            self.labels,
            row_tokens=self.config.question_tokens,
            max_width=self.max_width,
            random=random,
        )


@dataclass(frozen=True, slots=True)
class RelationNames:
    """What else a relation may be called, how it is worded from tail to head, and what it means."""

    aliases: tuple[str, ...] = ()
    inverse: tuple[str, ...] = ()
    symmetric: bool = False
    description: str = ""


@final
@dataclass(frozen=True, slots=True)
class DrawRelations:
    """Asks for relations and, where entities have types, for those; else the entities are given."""

    names: Mapping[str, RelationNames]
    config: SamplingConfig

    def __call__(self, example: RelationExample, random: Random) -> Question:
        """Return some of the relations that hold and of those that don't, in some wording."""
        found = {one.label for one in example.relations}
        absent = set(example.labels) - found
        asked = _some(found, absent, random.randint(2, self.config.max_labels), random)
        words = wordings(asked, example.labels, lambda label: self._word(label, random))
        worded = dict(zip(asked, words, strict=True))
        relations = tuple(
            self._turned(one, worded[one.label]) for one in example.relations if one.label in worded
        )
        labels = tuple(
            RelationLabel(wording, symmetric=self.names.get(label, RelationNames()).symmetric)
            for label, wording in worded.items()
        )
        if set(example.entity_labels) <= {ANY_ENTITY}:
            given = tuple(GivenSpan(one.start, one.end) for one in example.entities)
            queries = Queries((), candidates=Candidates.GIVEN, given=given, pairs=PairQueries(labels))
            return Question(example.text, queries, example.entities, relations)
        types = self._types(example, random)
        spans = tuple(one for one in example.entities if one.label in types)
        queries = Queries(tuple(map(Label, types)), pairs=PairQueries(labels))
        return Question(example.text, queries, spans, relations)

    def _types(self, example: RelationExample, random: Random) -> list[str]:
        found = {one.label for one in example.entities}
        absent = sorted(set(example.entity_labels) - found)
        types = random.sample(sorted(found), min(len(found), _TYPES))
        types += random.sample(absent, min(len(absent), random.randint(0, _ABSENT_TYPES)))
        random.shuffle(types)
        return types

    def _word(self, label: str, random: Random) -> str:
        names, chance = self.names.get(label), random.random()
        if names is None:
            return label
        if names.description and chance < self.config.described:
            return f"{label}: {names.description}"
        if chance > self.config.described + self.config.alias:
            return label
        others = names.inverse if names.inverse and random.random() < 0.5 else names.aliases
        return random.choice(others) if others else label

    def _turned(self, one: GoldRelation, wording: str) -> GoldRelation:
        if wording in self.names.get(one.label, RelationNames()).inverse:
            return GoldRelation(one.tail, one.head, wording)
        return GoldRelation(one.head, one.tail, wording)


@dataclass(frozen=True, slots=True)
class Questionnaire:
    """A text with all questions that are put to it."""

    text: str
    questions: tuple[QAExample, ...]


def questionnaires(examples: Iterable[QAExample]) -> list[Questionnaire]:
    """Put together the questions to each text."""
    by_text: dict[str, list[QAExample]] = defaultdict(list)
    for example in examples:
        by_text[example.text].append(example)
    return [Questionnaire(text, tuple(questions)) for text, questions in by_text.items()]


@final
@dataclass(frozen=True, slots=True)
class DrawQuestions:
    """Asks some of the questions to a text, and some of the questions `others` that it does not answer."""

    others: Sequence[str]
    config: SamplingConfig

    def __call__(self, example: Questionnaire, random: Random) -> Question:
        """Return questions with their answers."""
        most = random.randint(1, self.config.max_questions)
        chosen = random.sample(example.questions, min(len(example.questions), most))
        own = {one.question for one in example.questions}
        wanted = min(len(self.others), random.randint(0, self.config.foreign))
        foreign = [one for one in random.sample(self.others, wanted) if one not in own]
        answers = tuple(
            Entity(at.start, at.end, " ".join(one.question.split())) for one in chosen for at in one.answers
        )
        asked = list(dict.fromkeys([*(one.question for one in chosen), *foreign]))
        random.shuffle(asked)
        return Question(example.text, QA(asked).queries()[0], answers)


def asked_questions(
    examples: Sequence[QAExample], sampling: SamplingConfig
) -> tuple[list[Questionnaire], DrawQuestions]:
    """Return the texts of a set with their questions, and the draw that asks those of other texts as well."""
    others = sorted({one.question for one in examples})
    return questionnaires(examples), DrawQuestions(others, sampling)


def related_examples(examples: Sequence[RelationExample]) -> Sequence[RelationExample]:
    """Return the examples with two entities and more; all of them if there are none."""
    places = array("Q", (n for n, one in enumerate(examples) if len(one.entities) > 1))
    return Chosen(examples, places) if places else examples


def draw_tuples(example: OpenIEExample, random: Random) -> Question:
    """Ask for predicates and arguments, and for the role of each argument."""
    spans: dict[tuple[int, int, str], Entity] = {}

    def place(at: Offsets, label: str) -> Entity:
        return spans.setdefault((at.start, at.end, label), Entity(at.start, at.end, label))

    relations = []
    for one in example.tuples:
        if one.predicate.at is None:
            continue
        predicate = place(one.predicate.at, PREDICATE)
        relations += [
            GoldRelation(predicate, place(part.at, ARGUMENT), role)
            for role, part in roles(one)
            if part.at is not None
        ]
    return Question(example.text, OpenIE().queries()[0], tuple(spans.values()), tuple(relations))


def roles(one: GoldTuple) -> list[tuple[str, Part]]:
    """Return the role of each argument of a tuple, by the questions that they answer if there are any.

    Without a subject, the first argument before the predicate that answers what or whom is the subject: such
    is the subject of a passive clause.
    """
    found = [] if one.subject is None else [(SUBJECT, one.subject)]
    for part in one.arguments:
        role = _ROLES.get(part.question.lower().partition(" ")[0], OBJECT)
        before = part.at and one.predicate.at and part.at.end <= one.predicate.at.start
        if role == OBJECT and before and all(known != SUBJECT for known, _ in found):
            role = SUBJECT
        found.append((role, part))
    return found


_ROLES = {"when": TIME, "where": PLACE}


def draw_summary(example: SummaryExample, random: Random) -> Question:
    """Ask for the sentences that belong into a summary."""
    queries = Summary().queries()[0]
    label = queries.labels[0].name
    chosen = (example.sentences[index] for index in example.selected)
    return Question(example.text, queries, tuple(Entity(one.start, one.end, label) for one in chosen))


@final
@dataclass(frozen=True, slots=True)
class DrawClasses:
    """Asks for the right classes and some wrong ones."""

    config: SamplingConfig

    def __call__(self, example: ClassificationExample, random: Random) -> Question:
        """Return classes, the right ones among them."""
        gold = set(example.gold)
        wrong = random.sample(example.labels, min(len(example.labels), self.config.max_labels + len(gold)))
        asked = _some(gold, set(wrong) - gold, random.randint(2, self.config.max_labels), random)
        queries = Classification(asked, multi_label=True).queries()[0]
        return Question(example.text, queries, classes=tuple(one for one in asked if one in gold))


def _some(right: set[str], wrong: set[str], most: int, random: Random) -> list[str]:
    """Choose up to `most`: of the right ones first, then at least one of the wrong ones; in any order."""
    chosen = random.sample(sorted(right), min(len(right), most))
    left = max(most - len(chosen), 1)
    chosen += random.sample(sorted(wrong), min(len(wrong), left))
    random.shuffle(chosen)
    return chosen
