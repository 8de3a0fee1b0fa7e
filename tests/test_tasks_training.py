"""A tiny model learns four examples of every task by heart, all in the same batches."""

from random import Random

import pytest
import torch
from tiny_models import tiny_config

from gliner_mt.batch import Collator
from gliner_mt.build import build_labels, build_model
from gliner_mt.extractor import Extractor
from gliner_mt.tasks import NER, QA, Classification, OpenIE, Relations, Summary
from gliner_mt.tokenization import WordTokenizer
from gliner_mt.train.loss import matcher_loss
from gliner_mt.train.questions import Question, QuestionRow, TrainBatch, question_batch, question_row
from gliner_mt.types import Entity, GoldRelation

TEXTS = (
    "ada met bob in london. one two three.",
    "four five six. bob sang for apple in paris.",
    "ada was born in new york. red green.",
    "west river. apple met ada in the north.",
)
ENTITIES = (
    {"ada": "person", "bob": "person", "london": "city"},
    {"bob": "person", "apple": "company", "paris": "city"},
    {"ada": "person", "new york": "city"},
    {"apple": "company", "ada": "person"},
)
RELATED = ([("ada", "london", "in")], [("bob", "apple", "for")], [("ada", "new york", "in")], [])
KEY = ("ada met bob in london.", "bob sang for apple in paris.", "ada was born in new york.", "west river.")
ANSWERS = ({"who met": "ada"}, {"who sang": "bob"}, {"born date": "new york"}, {})
CLASSES = ("blue", "river", "blue", "river")
TUPLES = (
    ("met", "ada", "bob"),
    ("sang", "bob", "apple"),
    ("born", "ada", "new york"),
    ("met", "apple", "ada"),
)

NER_TASK = NER(["person", "city", "company"])
RELATIONS = Relations(["in", "for"], ["person", "city", "company"])
QUESTIONS = ["who met", "who sang", "born date"]
CHOICE = Classification(["blue", "river"])


def entity(text: str, words: str, label: str) -> Entity:
    return Entity(text.index(words), text.index(words) + len(words), label)


def questions() -> list[Question]:
    made = []
    for n, text in enumerate(TEXTS):
        marked = {words: entity(text, words, label) for words, label in ENTITIES[n].items()}
        relations = tuple(GoldRelation(marked[head], marked[tail], label) for head, tail, label in RELATED[n])
        predicate, *arguments = TUPLES[n]
        verb, subject, object_ = (
            entity(text, predicate, "predicate"),
            *(entity(text, words, "argument") for words in arguments),
        )
        roles = (GoldRelation(verb, subject, "subject"), GoldRelation(verb, object_, "object"))
        answers = tuple(entity(text, words, question) for question, words in ANSWERS[n].items())
        made += [
            Question(text, NER_TASK.queries()[0], tuple(marked.values())),
            Question(text, RELATIONS.queries()[0], tuple(marked.values()), relations),
            Question(text, QA(QUESTIONS).queries()[0], answers),
            Question(text, OpenIE().queries()[0], (verb, subject, object_), roles),
            Question(text, Summary().queries()[0], (entity(text, KEY[n], "summary"),)),
            Question(text, CHOICE.queries()[0], classes=(CLASSES[n],)),
        ]
    return made


def rows_of_every_task(tokenizer: WordTokenizer) -> list[QuestionRow]:
    labels = build_labels(tiny_config(labels="parallel", pairs=True), tokenizer)
    return [question_row(one, labels, row_tokens=120, max_width=4, random=Random(0)) for one in questions()]


def make_batch_of_every_task(tokenizer: WordTokenizer) -> TrainBatch:
    return question_batch(rows_of_every_task(tokenizer), Collator(tokenizer.pad_id, tokenizer.suffix))


@pytest.mark.parametrize("head", ["marker", "boundary"])
def test_four_examples_of_every_task_are_learnt_by_heart(tokenizer: WordTokenizer, head: str) -> None:
    torch.manual_seed(0)
    config = tiny_config(labels="parallel", head=head, layers=1, pairs=True, pair_context=True)
    model, batch = build_model(config), make_batch_of_every_task(tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    losses = []
    for _ in range(300):
        loss = matcher_loss(model.train(), batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if losses[-1] < 0.02:
            break
    extractor = Extractor(config, model, tokenizer)
    for n, text in enumerate(TEXTS):
        assert {s.text: s.label for s in extractor.extract(text, NER_TASK)} == ENTITIES[n]
        found = extractor.extract(text, RELATIONS)
        assert [(r.head.text, r.tail.text, r.label) for r in found] == RELATED[n]
        answers = extractor.extract(text, QA(QUESTIONS))
        assert [[a.text for a in one] for one in answers] == [
            [ANSWERS[n][question]] if question in ANSWERS[n] else [] for question in QUESTIONS
        ]
        (triple,) = extractor.extract(text, OpenIE())
        assert triple.subject and triple.object
        assert (triple.predicate.text, triple.subject.text, triple.object.text) == TUPLES[n]
        assert [s.text for s in extractor.extract(text, Summary(max_sentences=1))] == [KEY[n]]
        assert extractor.extract(text, CHOICE)[0].label == CLASSES[n]


def test_a_symmetric_relation_is_right_both_ways_and_others_are_not(tokenizer: WordTokenizer) -> None:
    config = tiny_config(labels="parallel")
    task = Relations(["in"], ["person", "city"])
    text = TEXTS[0]
    ada, london = entity(text, "ada", "person"), entity(text, "london", "city")
    question = Question(text, task.queries()[0], (ada, london), (GoldRelation(ada, london, "in"),))
    row = question_row(
        question, build_labels(config, tokenizer), row_tokens=120, max_width=4, random=Random(0)
    )
    assert (row.n_free, row.stated.things, row.relations) == (2, [], range(2, 3))
    assert row.ends == [(0, 1), (4, 5)]
    assert dict(zip(row.pairs.things, row.pairs.right, strict=True)) == {(0, 1): {2}, (1, 0): set()}


def test_what_is_cut_off_is_neither_right_nor_wrong(tokenizer: WordTokenizer) -> None:
    config = tiny_config(labels="parallel")
    labels, text = build_labels(config, tokenizer), TEXTS[1]
    summary = Question(text, Summary().queries()[0], (entity(text, KEY[1], "summary"),))
    room = len(labels.prompt([summary.queries.labels[0].prompt]).ids) + 7
    rows = [question_row(summary, labels, row_tokens=room, max_width=4, random=Random(n)) for n in range(20)]
    judged = {(len(row.row.words), *row.stated.things, *map(len, row.stated.right)) for row in rows}
    # The key sentence comes second and alone fills a row; half a sentence is not judged.
    assert judged == {(7, (0, 7), 1), (7, (0, 4), 0), (4, (0, 4), 0)}
    row = rows[0]
    empty = question_row(
        Question("", CHOICE.queries()[0]), labels, row_tokens=50, max_width=4, random=Random(0)
    )
    assert empty.stated.things == []
    batch = question_batch([row, empty], Collator(tokenizer.pad_id, tokenizer.suffix))
    assert matcher_loss(build_model(config), batch).isfinite()
