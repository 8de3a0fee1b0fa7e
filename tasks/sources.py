"""What teaches a model all tasks: rows of every set, and the share that each task has of them."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from gliner_mt.formats import read_passages
from gliner_mt.formats.passages import Passage
from gliner_mt.labels import LabelEncoding
from gliner_mt.train.drawing import (
    Draw,
    DrawClasses,
    DrawQuestions,
    DrawRelations,
    Questionnaire,
    TaskRows,
    asked_questions,
    draw_summary,
    draw_tuples,
    questionnaires,
    related_examples,
)
from gliner_mt.train.entities import entity_rows
from gliner_mt.train.sampling import RowSource, SamplingConfig
from gliner_mt.types import (
    ClassificationExample,
    Entity,
    GoldTuple,
    Offsets,
    OpenIEExample,
    Part,
    QAExample,
    SummaryExample,
)
from tasks import classification, ner, openie, qa, relations, summarization

ENTITIES = "entities"

_Set = tuple[Sequence[Any], Draw[Any], float]
"""Examples, how they are put as questions, and a factor of their weight."""
_Sets = tuple[list[_Set], list[_Set]]
"""The public sets of a task, and the written passages."""

_SENTENCE = re.compile(r"\S.*?(?:[.!?](?=\s)|\n|$)", re.DOTALL)
_AUXILIARIES = re.compile(
    r"\b(?:(?:is|are|was|were|be|been|being|has|have|had|having|will|would|can|could|may|might|must|shall|should|"
    r"do|does|did|not)\s+)+$"
)
_WRITTEN = 0.5
"""Share of the written passages in the rows of each task: they cover most kinds of text."""


def row_sources(
    data: Path,
    shares: Mapping[str, float],
    authored_share: float,
    labels: LabelEncoding,
    sampling: SamplingConfig,
    max_width: int,
) -> list[RowSource]:
    """Return the rows of every set of the tasks in `shares`, which gives each task's part of all rows.

    Within a task the weight of a set grows with the root of its size; `authored_share` is that of the written
    passages among rows of entities.
    """
    entities = ner.training_sources(data, authored_share)
    scale = shares[ENTITIES] / sum(one.weight for one in entities)
    entities = [replace(one, weight=one.weight * scale) for one in entities]
    sources: list[RowSource] = []
    sources += entity_rows(entities, labels, ner.label_names(data), sampling, max_width)
    passages = list(read_passages(data / "authored" / "authored.train.jsonl.gz"))
    for task, share in shares.items():
        if task == ENTITIES:
            continue
        sets, written = _TASKS[task](data, passages, sampling)
        for group, part in ((sets, 1 - _WRITTEN), (written, _WRITTEN)):
            weights = [factor * math.sqrt(len(examples)) for examples, _, factor in group]
            sources += [
                TaskRows(examples, draw, share * part * weight / sum(weights), labels, sampling, max_width)
                for (examples, draw, _), weight in zip(group, weights, strict=True)
            ]
    return sources


def _relations(data: Path, passages: Sequence[Passage], sampling: SamplingConfig) -> _Sets:
    draw = DrawRelations(relations.relation_names(data), sampling)
    sets: list[_Set] = []
    for name, examples in relations.training_examples(data).items():
        sets.append((related_examples(examples), draw, _FACTORS.get(name, 1.0)))
    return sets, [([one.relations for one in passages if one.relations.labels], draw, 1.0)]


def _questions(data: Path, passages: Sequence[Passage], sampling: SamplingConfig) -> _Sets:
    sets: list[_Set] = []
    for name, examples in qa.training_examples(data).items():
        sets.append((*asked_questions(examples, sampling), _FACTORS.get(name, 1.0)))
    roles = _role_questions(openie.training_examples(data)["qasrl_gold"])
    sets.append((questionnaires(roles), DrawQuestions((), sampling), 1.0))
    templates = json.loads((data / "labels.json").read_text(encoding="utf-8"))["templates"]["entity"]
    written = [question for one in passages for question in one.questions]
    typed = [_type_questions(one, templates, Random(n)) for n, one in enumerate(passages)]
    return sets, [
        (*asked_questions(written, sampling), 2.0),
        (typed, DrawQuestions((), sampling), 1.0),
    ]


def _tuples(data: Path, passages: Sequence[Passage], sampling: SamplingConfig) -> _Sets:
    sets = openie.training_examples(data)
    chosen: list[_Set] = [
        ([_with_auxiliaries(one) for one in sets[name]], draw_tuples, 1.0)
        for name in ("oie2016_wiki", "qasrl_gold")
    ]
    sentences = [one for passage in passages for one in _sentences_of(passage.triples)]
    return chosen, [(sentences, draw_tuples, 1.0)]


def _summaries(data: Path, passages: Sequence[Passage], sampling: SamplingConfig) -> _Sets:
    sets: list[_Set] = []
    for name, examples in summarization.training_examples(data).items():
        sets.append((examples, draw_summary, _FACTORS.get(name, 1.0)))
    keyed = [SummaryExample(one.text, (one.key,), (0,)) for one in passages if one.key]
    return sets, [(keyed, draw_summary, 1.0)]


def _classes(data: Path, passages: Sequence[Passage], sampling: SamplingConfig) -> _Sets:
    draw = DrawClasses(sampling)
    sets: list[_Set] = [
        (examples, draw, _FACTORS.get(name, 1.0))
        for name, examples in classification.training_examples(data).items()
    ]
    topics = tuple(sorted({topic for one in passages for topic in one.topics}))
    domains = tuple(sorted({one.domain for one in passages}))
    by_topic = [ClassificationExample(one.text, topics, one.topics) for one in passages if one.topics]
    by_domain = [ClassificationExample(one.text, domains, (one.domain,)) for one in passages]
    return sets, [(by_topic, draw, 2.0), (by_domain, draw, 1.0)]


_TASKS = {
    "relations": _relations,
    "questions": _questions,
    "tuples": _tuples,
    "summaries": _summaries,
    "classes": _classes,
}

# Sets of one narrow kind, or of many clauses that are hard to tell apart, weigh less than their size says.
_FACTORS = {
    "materials_syntheses": 0.5,
    "semeval2010_task8": 0.6,
    "wet_lab_protocols": 0.5,
    "cuad_qa": 0.5,
    "qmsum_query_spans": 0.3,
    "clinc150": 0.7,
    "subjectivity": 0.5,
}


def _role_questions(examples: Sequence[OpenIEExample]) -> Iterator[QAExample]:
    """Yield the questions of QA-SRL with the arguments that answer them."""
    for example in examples:
        for one in example.tuples:
            for part in one.arguments:
                if part.question and part.at:
                    yield QAExample(example.text, part.question, (part.at,))


def _type_questions(passage: Passage, templates: Sequence[str], random: Random) -> Questionnaire:
    """Return a passage with its types of entities put as questions; absent ones have no answer."""
    by_label: dict[str, list[Entity]] = {label: [] for label in passage.relations.entity_labels}
    for one in passage.relations.entities:
        by_label.setdefault(one.label, []).append(one)
    return Questionnaire(
        passage.text,
        tuple(
            QAExample(
                passage.text,
                random.choice(templates).format(label=label),
                tuple(Offsets(one.start, one.end) for one in found),
            )
            for label, found in by_label.items()
        ),
    )


def _with_auxiliaries(example: OpenIEExample) -> OpenIEExample:
    """Widen predicates to the auxiliaries before them: these sets mark verbs alone, as in "was [born]"."""
    return OpenIEExample(example.text, tuple(_widened(one, example.text) for one in example.tuples))


def _widened(one: GoldTuple, text: str) -> GoldTuple:
    at = one.predicate.at
    before = None if at is None else _AUXILIARIES.search(text, 0, at.start)
    if at is None or before is None:
        return one
    return replace(one, predicate=Part(text[before.start() : at.end], Offsets(before.start(), at.end)))


def _sentences_of(example: OpenIEExample) -> Iterator[OpenIEExample]:
    """Yield the sentences that hold whole tuples: passages have tuples for some of their sentences only."""
    for match in _SENTENCE.finditer(example.text):
        tuples = [
            moved for one in example.tuples if (moved := _moved(one, Offsets(match.start(), match.end())))
        ]
        if tuples:
            yield OpenIEExample(match.group(), tuple(tuples))


def _moved(one: GoldTuple, sentence: Offsets) -> GoldTuple | None:
    def inside(part: Part) -> Part | None:
        if part.at is None or part.at.start < sentence.start or sentence.end < part.at.end:
            return None
        return replace(part, at=Offsets(part.at.start - sentence.start, part.at.end - sentence.start))

    parts = [one.predicate, *([] if one.subject is None else [one.subject]), *one.arguments]
    predicate, *others = (inside(part) for part in parts)
    if predicate is None or None in others:
        return None
    kept = [part for part in others if part is not None]
    subject = None if one.subject is None else kept.pop(0)
    return GoldTuple(predicate, subject, tuple(kept))
