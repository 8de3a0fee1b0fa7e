"""From a stream of texts to scored spans: windows, batches across texts, answers in order, bounded memory.

Windows of all texts in hand are sorted by length and batched together; a text is answered as soon as its own
windows and those of the texts before it are scored. Spans are settled as a text is read: beside the texts in
hand, only answers are kept.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor

from gliner_mt.batch import Collator, Row, token_budget_batches
from gliner_mt.decode import Candidate, join_adjacent, resolve_overlaps, uncrossed
from gliner_mt.errors import InputError
from gliner_mt.heads import Found
from gliner_mt.label_vectors import LabelVectors
from gliner_mt.labels import LabelEncoding, Prompt, SeparateLabels
from gliner_mt.model import SpanMatcher
from gliner_mt.tasks import Label, Queries
from gliner_mt.tokenization import EncodedWord, WordTokenizer
from gliner_mt.types import Span
from gliner_mt.windows import Window, merge_windows, plan_windows

# Words beyond the widest span that neighbouring windows share: spans near an edge are read in context.
_OVERLAP_MARGIN = 8
# How many batches of sub-words are read ahead, to be sorted by length.
_READ_AHEAD = 16

FUSED_TOGETHER = 256
"""Labels that read each other before they are matched (`fused`); more are asked in groups."""


@dataclass(frozen=True, slots=True)
class LabelGroup:
    """Labels that are scored together: their indices in the queries, their thresholds.

    `vectors` (c, d) are those of labels that stand apart; None where labels stand in the prompt.
    """

    indices: tuple[int, ...]
    thresholds: tuple[float, ...]
    vectors: Float[Tensor, "c d"] | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """One run of the backbone over a window: the prompt before the text, the labels that are then scored."""

    prompt: Prompt
    groups: tuple[LabelGroup, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """What fits: sub-words of a window (prompt included), sub-words and logits of a padded batch."""

    window_tokens: int
    batch_tokens: int
    logits: int = 1 << 25


@dataclass(slots=True)
class _Document:
    """A text in hand: its windows so far, the spans settled, and what was found behind them.

    `found` pairs the index of a window with a candidate; `starts` and `ends` give its characters.
    """

    text: str
    windows: list[Window] = field(default_factory=list)
    found: list[tuple[int, Candidate]] = field(default_factory=list)
    starts: dict[int, int] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)
    read: bool = False


class _Job(NamedTuple):
    document: _Document
    window: int
    words: Sequence[EncodedWord]
    reading: Reading
    length: int


@final
class Engine:
    """Scores texts with a model, for the queries of any task."""

    def __init__(self, model: SpanMatcher, labels: LabelEncoding, limits: Limits, threshold: float) -> None:
        self.model = model
        self.labels = labels
        self.limits = limits
        self._threshold = threshold
        self._collate = Collator(labels.tokenizer.pad_id, labels.tokenizer.suffix)
        self.label_vectors: LabelVectors | None = None
        if isinstance(labels, SeparateLabels):
            self.label_vectors = LabelVectors(model, labels, limits.batch_tokens)

    @property
    def overlap(self) -> int:
        """Words that neighbouring windows share."""
        return self.model.head.max_width + _OVERLAP_MARGIN

    def spans(self, texts: Iterable[str], queries: Queries) -> Iterator[list[Span]]:
        """Yield the spans of each text, in order, overlaps resolved."""
        if self.label_vectors is None:
            readings = self._prompted(queries)
        else:
            readings = [self._apart(queries, self.label_vectors)]
        waiting: deque[_Document] = deque()
        steps = self._jobs(texts, readings, waiting)
        while taken := list(_take(steps, self.limits.batch_tokens * _READ_AHEAD)):
            self._score(list(chain.from_iterable(taken)))
            for document in waiting:
                _settle(document, queries)
            while waiting and waiting[0].read:
                done = waiting.popleft()
                yield join_adjacent(done.spans, done.text) if queries.join_adjacent else done.spans

    def _apart(self, queries: Queries, known: LabelVectors) -> Reading:
        """Return one reading of the bare text; its labels are scored in groups, to bound memory.

        Fused labels read each other: there, too, groups are made in the order of names.
        """
        order = list(range(len(queries.labels)))
        if self.model.fuser is None:
            words = max(self.limits.batch_tokens, self.limits.window_tokens)
            size = max(1, self.limits.logits // (words * self.model.head.logits_per_word))
        else:
            size = FUSED_TOGETHER
            if len(order) > size:
                order.sort(key=lambda i: queries.labels[i].name)
        vectors = known.of([queries.labels[i].prompt for i in order])
        groups = (
            self._label_group(queries, order[at : at + size], vectors[at : at + size])
            for at in range(0, len(order), size)
        )
        return Reading(self.labels.prompt([]), tuple(groups))

    def _prompted(self, queries: Queries) -> list[Reading]:
        """Split labels that would fill more than half of a window; as few readings as that allows.

        Groups are made in the order of names, so that the caller's order of labels changes nothing where the
        label encoding has no order itself.
        """
        room = self.limits.window_tokens // 2
        base = len(self.labels.prompt([]).ids)
        sizes = [len(self.labels.prompt([label.prompt]).ids) - base for label in queries.labels]
        for label, size in zip(queries.labels, sizes, strict=True):
            if base + size > room:
                raise InputError(
                    f"label {label.name!r} takes {size} sub-words; labels may take {room - base}, half of a "
                    "window. Shorten it or its description, or load the model with a larger max_tokens."
                )
        order = list(range(len(sizes)))
        if base + sum(sizes) > room:
            order.sort(key=lambda i: queries.labels[i].name)
        groups: list[list[int]] = [[]]
        used = base
        for index in order:
            if used + sizes[index] > room:
                groups.append([])
                used = base
            groups[-1].append(index)
            used += sizes[index]
        return [
            Reading(
                self.labels.prompt([queries.labels[i].prompt for i in indices]),
                (self._label_group(queries, indices),),
            )
            for indices in groups
        ]

    def _label_group(
        self, queries: Queries, indices: Sequence[int], vectors: Tensor | None = None
    ) -> LabelGroup:
        default = self._threshold if queries.threshold is None else queries.threshold
        thresholds = tuple(_threshold(queries.labels[i], default) for i in indices)
        return LabelGroup(tuple(indices), thresholds, vectors)

    def _jobs(
        self, texts: Iterable[str], readings: Sequence[Reading], waiting: deque[_Document]
    ) -> Iterator[list[_Job]]:
        """Yield the jobs of each window, one for every reading, and at the end of each text an empty list.

        Documents enter `waiting` as they open.
        """
        budget = self._text_budget(readings)
        for text in texts:
            document = _Document(text)
            waiting.append(document)
            for window, words in windows_of(text, self.labels.tokenizer, budget, self.overlap):
                document.windows.append(window)
                yield [self._job(document, words, reading) for reading in readings]
            document.read = True
            yield []

    def _job(self, document: _Document, words: Sequence[EncodedWord], reading: Reading) -> _Job:
        length = len(Row(reading.prompt, words)) + len(self.labels.tokenizer.suffix)
        return _Job(document, len(document.windows) - 1, words, reading, length)

    def _text_budget(self, readings: Sequence[Reading]) -> int:
        """Sub-words of text in a window beside the longest prompt."""
        before = max(max(len(reading.prompt.ids), reading.prompt.text_position) for reading in readings)
        return self.limits.window_tokens - before - len(self.labels.tokenizer.suffix)

    def _score(self, jobs: Sequence[_Job]) -> None:
        for part in token_budget_batches([job.length for job in jobs], self.limits.batch_tokens):
            batch = [jobs[i] for i in part]
            for groups, found in self._find(batch):
                for row, start, end, label, score in zip(*(x.tolist() for x in found), strict=True):
                    _remember(batch[row], start, end, groups[row].indices[label], score)

    @torch.inference_mode()
    def _find(self, jobs: Sequence[_Job]) -> Iterator[tuple[Sequence[LabelGroup], Found]]:
        """Yield what is found in the rows, with the first label group of each, then with the second …."""
        device = next(self.model.parameters()).device
        batch = self._collate([Row(job.reading.prompt, job.words) for job in jobs]).to(device)
        words, prompted = self.model.read(batch)
        for groups in zip(*(job.reading.groups for job in jobs), strict=True):
            labels, n_labels, asked = prompted, batch.n_labels, groups
            if groups[0].vectors is not None:  # labels that stand apart are the same for all rows
                labels, n_labels, asked = (
                    groups[0].vectors[None],
                    torch.full_like(batch.n_words, len(groups[0].indices)),
                    groups[:1],
                )
            logits = self.model.match(words, labels, batch.n_words, n_labels).float()
            thresholds = _padded_thresholds([group.thresholds for group in asked]).to(device)
            yield groups, self.model.head.find(logits, batch.n_words, thresholds)


def windows_of(
    text: str, tokenizer: WordTokenizer, budget: int, overlap: int
) -> Iterator[tuple[Window, list[EncodedWord]]]:
    """Yield the windows of a text with their words; only the words of one window are kept."""
    held: deque[EncodedWord] = deque()
    held_from = 0

    def sizes() -> Iterator[tuple[int, bool]]:
        for word in tokenizer.encode(text, max_word_tokens=budget):
            held.append(word)
            yield len(word.ids), word.ends_sentence

    for window in plan_windows(sizes(), budget=budget, overlap=overlap):
        for _ in range(window.word_start - held_from):
            held.popleft()
        held_from = window.word_start
        yield window, list(islice(held, window.word_end - window.word_start))


def _take(steps: Iterator[list[_Job]], tokens: int) -> Iterator[list[_Job]]:
    """Yield steps until their jobs hold `tokens` sub-words."""
    for jobs in steps:
        yield jobs
        # Texts without words count too, so that a stream of them is answered as it comes.
        tokens -= 1 + sum(job.length for job in jobs)
        if tokens <= 0:
            return


def _remember(job: _Job, start: int, end: int, label: int, score: float) -> None:
    document = job.document
    offset = document.windows[job.window].word_start
    first, last = offset + start, offset + end
    document.starts[first] = job.words[start].start
    document.ends[last] = job.words[end - 1].end
    document.found.append((job.window, Candidate(first, last, label, score)))


def _settle(document: _Document, queries: Queries) -> None:
    """Make spans of the candidates that no window to come can change, and forget all others before them.

    A later window starts after the last one: it holds no span that starts up to there, and finds none. Up to
    a word that no candidate crosses, overlaps are resolved as they would be on the whole text.
    """
    last = document.windows[-1] if document.windows else Window(0, 0)
    known = last.word_end if document.read else last.word_start + 1
    owned = merge_windows(document.windows, [pair for pair in document.found if pair[1].word_start < known])
    until = uncrossed(owned, known)
    settled = [one for one in owned if one.word_end <= until]
    for one in resolve_overlaps(settled, nested=queries.nested, multi_label=queries.multi_label):
        start, end = document.starts[one.word_start], document.ends[one.word_end]
        label = queries.labels[one.label].name
        document.spans.append(Span(start, end, document.text[start:end], label, one.score))
    document.found = [pair for pair in document.found if pair[1].word_start >= until]
    document.starts = {one.word_start: document.starts[one.word_start] for _, one in document.found}
    document.ends = {one.word_end: document.ends[one.word_end] for _, one in document.found}


def _threshold(label: Label, default: float) -> float:
    return default if label.threshold is None else label.threshold


def _padded_thresholds(rows: Sequence[Sequence[float]]) -> Tensor:
    """Return thresholds (b, c); a padded label has one that no probability exceeds."""
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[2.0] * (width - len(row))] for row in rows])
