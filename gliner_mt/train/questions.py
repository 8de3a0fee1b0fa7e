"""Rows that carry their own question, so that batches mix the tasks: what is asked, and what is right."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import NamedTuple

import torch
from torch import Tensor

from gliner_mt.asking import labels_asked, prompt_of
from gliner_mt.batch import Batch, Collator, Row
from gliner_mt.collected import Stated
from gliner_mt.config import Thresholds
from gliner_mt.heads import Gold, Spans
from gliner_mt.labels import LabelEncoding
from gliner_mt.model import Beside
from gliner_mt.pairs import Pairs
from gliner_mt.related import Mention, Place, Related
from gliner_mt.stated import sentences
from gliner_mt.tasks import Candidates, Queries
from gliner_mt.tokenization import EncodedWord, WordTokenizer, word_span
from gliner_mt.train.excerpts import excerpt
from gliner_mt.types import Entity, GoldRelation, Offsets

_NO_MATTER = Thresholds()


@dataclass(frozen=True, slots=True)
class Question:
    """A text, what a task asks of it (`queries` of the task, one of them), and the right answers.

    `spans` carry labels of the queries: entities, answers (the label is the question), key sentences. They
    are also the ends of the `relations`; where none holds between two of them, that is right as well.
    `classes` are those of the text as a whole.
    """

    text: str
    queries: Queries
    spans: tuple[Entity, ...] = ()
    relations: tuple[GoldRelation, ...] = ()
    classes: tuple[str, ...] = ()


class Judged(NamedTuple):
    """Things to score in a row, and for each the places of the right labels among those of the row."""

    things: list[Place]
    right: list[set[int]]


class QuestionRow(NamedTuple):
    """A question ready for the model. Labels of free spans come first, those of relations last.

    `gold` are free spans (word_start, word_end, label); `stated` spans are judged on `stated_labels`; `pairs`
    of the spans `ends` on `relations`. `recalled`: not `gold` but a teacher judges free spans.
    """

    row: Row
    n_free: int
    gold: list[tuple[int, int, int]]
    stated: Judged
    stated_labels: range
    ends: list[Place]
    pairs: Judged
    relations: range
    recalled: bool = False


class Targets(NamedTuple):
    """What is right beside the free spans: (n c) 0 or 1, and which of it is asked.

    `n_free` (b,): how many labels of each row are matched with free spans.
    """

    asked: Beside
    n_free: Tensor
    stated: Tensor
    stated_asked: Tensor
    pairs: Tensor
    pairs_asked: Tensor


class TrainBatch(NamedTuple):
    """A batch with its gold spans; `targets` are those of stated spans and pairs, if it asks of any.

    `recalled` (b,): rows whose free spans are judged by a teacher; None if there are none.
    """

    batch: Batch
    gold: Gold
    targets: Targets | None = None
    recalled: Tensor | None = None


def shortened(question: Question, labels: LabelEncoding, most: int) -> Question:
    """Leave out the last questions or classes where they take more than `most` sub-words; one stays."""
    asked = question.queries.labels
    n = len(asked)
    while n > 1 and len(labels.prompt([label.prompt for label in asked[:n]]).ids) > most:
        n -= 1
    if n == len(asked):
        return question
    left = {label.name for label in asked[:n]}
    return replace(
        question,
        queries=replace(question.queries, labels=asked[:n]),
        spans=tuple(one for one in question.spans if one.label in left),
        classes=tuple(name for name in question.classes if name in left),
    )


def question_row(
    question: Question, labels: LabelEncoding, *, row_tokens: int, max_width: int, random: Random
) -> QuestionRow:
    """Return a question as a row of up to `row_tokens` sub-words, of which a long text has a part."""
    queries = question.queries
    asked = labels_asked((queries,), _NO_MATTER)
    prompt = prompt_of(asked, labels)
    room = row_tokens - len(prompt.ids)
    gold = [_hull(one) for one in question.relations] or question.spans
    part = excerpt(question.text, gold, labels.tokenizer, room, random)
    question = _read_from(question, part.start)
    words = words_within(question.text[: part.end - part.start], labels.tokenizer, room)
    place = {label.name: n for n, label in enumerate(queries.labels)}
    marked = [(word_span(words, one.start, one.end), one) for one in question.spans]
    marked = [
        (at, one) for at, one in marked if at[0] < at[1] and 0 <= one.start and one.end <= words[-1].end
    ]
    free = queries.candidates.free
    ends, pairs = _pairs(question, marked, len(queries.labels))
    return QuestionRow(
        row=Row(prompt, words),
        n_free=len(queries.labels) if free else 0,
        gold=[(*at, place[one.label]) for at, one in marked if free and at[1] - at[0] <= max_width],
        stated=_stated(question, words, place, labels.tokenizer),
        stated_labels=range(0 if queries.candidates is Candidates.WORDS else len(queries.labels)),
        ends=ends,
        pairs=pairs,
        relations=range(len(queries.labels), len(asked)),
    )


def question_batch(rows: Sequence[QuestionRow], collate: Collator) -> TrainBatch:
    """Return rows of any tasks as one batch."""
    batch = collate([one.row for one in rows])
    spans = [(n, *span) for n, one in enumerate(rows) for span in one.gold]
    stated = [(n, *place) for n, one in enumerate(rows) for place in one.stated.things]
    ends = [(n, *place) for n, one in enumerate(rows) for place in one.ends]
    pairs, before = [], 0
    for n, one in enumerate(rows):
        pairs += [(n, before + head, before + tail) for head, tail in one.pairs.things]
        before += len(one.ends)
    width = int(batch.n_labels.max())
    targets = Targets(
        Beside(Spans(*_columns(stated, 3)), Spans(*_columns(ends, 3)), Pairs(*_columns(pairs, 3))),
        torch.tensor([one.n_free for one in rows]),
        *_judged(rows, width, lambda one: (one.stated, one.stated_labels)),
        *_judged(rows, width, lambda one: (one.pairs, one.relations)),
    )
    recalled = torch.tensor([one.recalled for one in rows]) if any(one.recalled for one in rows) else None
    return TrainBatch(batch, Gold(*_columns(spans, 4)), targets, recalled)


def words_within(text: str, tokenizer: WordTokenizer, room: int) -> list[EncodedWord]:
    """Return the first words of a text, as many as have `room` sub-words."""
    words = []
    for word in tokenizer.encode(text, max_word_tokens=room):
        room -= len(word.ids)
        if room < 0:
            break
        words.append(word)
    return words


def _hull(one: GoldRelation) -> Offsets:
    return Offsets(min(one.head.start, one.tail.start), max(one.head.end, one.tail.end))


def _read_from(question: Question, start: int) -> Question:
    """Return a question put to its text without the first characters; what is right there has no place."""

    def moved(one: Entity) -> Entity:
        return Entity(one.start - start, one.end - start, one.label)

    return replace(
        question,
        text=question.text[start:],
        spans=tuple(map(moved, question.spans)),
        relations=tuple(
            GoldRelation(moved(one.head), moved(one.tail), one.label) for one in question.relations
        ),
    )


def _stated(
    question: Question, words: Sequence[EncodedWord], place: Mapping[str, int], tokenizer: WordTokenizer
) -> Judged:
    """Return the sentences, or the whole text, that the words hold."""
    queries = question.queries
    judged = Judged([], [])
    if queries.candidates is Candidates.WHOLE and words:
        return Judged([(0, len(words))], [{place[name] for name in question.classes}])
    if queries.candidates not in (Candidates.SENTENCES, Candidates.WORDS_AND_SENTENCES):
        return judged
    for one in sentences(question.text, tokenizer):
        if one.words[1] > len(words):
            break
        judged.things.append(one.words)
        judged.right.append({place[span.label] for span in question.spans if _is_most(span, one)})
    return judged


def _is_most(span: Entity, sentence: Stated) -> bool:
    """Say whether a span holds at least half of a sentence: where sentences end, annotators differ."""
    shared = min(span.end, sentence.end) - max(span.start, sentence.start)
    return 2 * shared >= sentence.end - sentence.start


def _pairs(
    question: Question, marked: Sequence[tuple[Place, Entity]], first: int
) -> tuple[list[Place], Judged]:
    """Return the spans that may be related, and their pairs; labels of relations begin at `first`."""
    pairs = question.queries.pairs
    if pairs is None:
        return [], Judged([], [])
    mentions, proposed = Related(pairs).propose([Mention(*at, one.label, 1.0) for at, one in marked])
    places = {(one.start, one.end): at for at, one in marked}
    right: dict[tuple[Place, Place], set[int]] = defaultdict(set)
    labels = {label.name: (first + n, label.symmetric) for n, label in enumerate(pairs.labels)}
    for one in question.relations:
        head, tail = (places.get((end.start, end.end)) for end in (one.head, one.tail))
        if head is not None and tail is not None:
            label, symmetric = labels[one.label]
            right[head, tail].add(label)
            if symmetric:
                right[tail, head].add(label)
    ends = [one.place(0) for one in mentions]
    return ends, Judged(proposed, [right[ends[head], ends[tail]] for head, tail in proposed])


def _judged(
    rows: Sequence[QuestionRow], width: int, of: Callable[[QuestionRow], tuple[Judged, range]]
) -> tuple[Tensor, Tensor]:
    """Return for each thing of the rows which labels are right, and which are asked."""
    right, asked = [], []
    for row in rows:
        judged, labels = of(row)
        for one in judged.right:
            right.append([float(label in one) for label in range(width)])
            asked.append([label in labels for label in range(width)])
    size = len(right), width  # not -1: in a batch of texts without labels the width is 0
    return torch.tensor(right).reshape(size), torch.tensor(asked, dtype=torch.bool).reshape(size)


def _columns(rows: Sequence[tuple[int, ...]], width: int) -> tuple[Tensor, ...]:
    return torch.tensor(rows, dtype=torch.long).reshape(-1, width).unbind(1)
