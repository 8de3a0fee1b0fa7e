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
from torch import Tensor

from gliner_mt.batch import Collator, Row, token_budget_batches
from gliner_mt.decode import Candidate, resolve_overlaps, uncrossed
from gliner_mt.errors import InputError
from gliner_mt.labels import LabelEncoding, Prompt
from gliner_mt.model import SpanMatcher
from gliner_mt.tasks import Label, Queries
from gliner_mt.tokenization import EncodedWord, WordTokenizer
from gliner_mt.types import Span
from gliner_mt.windows import Window, merge_windows, plan_windows

# Words beyond the widest span that neighbouring windows share: spans near an edge are read in context.
_OVERLAP_MARGIN = 8
# How many batches of sub-words are read ahead, to be sorted by length.
_READ_AHEAD = 16


@dataclass(frozen=True, slots=True)
class LabelGroup:
    """Labels that are asked together: their prompt, their indices in the queries, their thresholds."""

    prompt: Prompt
    indices: tuple[int, ...]
    thresholds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """What fits: sub-words of a window (prompt and special tokens included) and of a padded batch."""

    window_tokens: int
    batch_tokens: int


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
    group: LabelGroup
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

    @property
    def overlap(self) -> int:
        """Words that neighbouring windows share."""
        return self.model.head.max_width + _OVERLAP_MARGIN

    def spans(self, texts: Iterable[str], queries: Queries) -> Iterator[list[Span]]:
        """Yield the spans of each text, in order, overlaps resolved."""
        groups = self._label_groups(queries)
        waiting: deque[_Document] = deque()
        steps = self._jobs(texts, groups, waiting)
        while taken := list(_take(steps, self.limits.batch_tokens * _READ_AHEAD)):
            self._score(list(chain.from_iterable(taken)))
            for document in waiting:
                _settle(document, queries)
            while waiting and waiting[0].read:
                yield waiting.popleft().spans

    def _label_groups(self, queries: Queries) -> list[LabelGroup]:
        """Split labels that would fill more than half of a window; as few groups as that allows.

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
        return [self._label_group(queries, indices) for indices in groups]

    def _label_group(self, queries: Queries, indices: Sequence[int]) -> LabelGroup:
        labels = [queries.labels[i] for i in indices]
        default = self._threshold if queries.threshold is None else queries.threshold
        return LabelGroup(
            self.labels.prompt([label.prompt for label in labels]),
            tuple(indices),
            tuple(_threshold(label, default) for label in labels),
        )

    def _jobs(
        self, texts: Iterable[str], groups: Sequence[LabelGroup], waiting: deque[_Document]
    ) -> Iterator[list[_Job]]:
        """Yield the jobs of each window, one for every group, and at the end of each text an empty list.

        Documents enter `waiting` as they open.
        """
        budget = self._text_budget(groups)
        for text in texts:
            document = _Document(text)
            waiting.append(document)
            for window, words in windows_of(text, self.labels.tokenizer, budget, self.overlap):
                document.windows.append(window)
                yield [self._job(document, words, group) for group in groups]
            document.read = True
            yield []

    def _job(self, document: _Document, words: Sequence[EncodedWord], group: LabelGroup) -> _Job:
        length = len(Row(group.prompt, words)) + len(self.labels.tokenizer.suffix)
        return _Job(document, len(document.windows) - 1, words, group, length)

    def _text_budget(self, groups: Sequence[LabelGroup]) -> int:
        """Sub-words of text in a window beside the longest prompt."""
        before = max(max(len(group.prompt.ids), group.prompt.text_position) for group in groups)
        return self.limits.window_tokens - before - len(self.labels.tokenizer.suffix)

    def _score(self, jobs: Sequence[_Job]) -> None:
        for part in token_budget_batches([job.length for job in jobs], self.limits.batch_tokens):
            batch = [jobs[i] for i in part]
            for row, start, end, label, score in self._find(batch):
                _remember(batch[row], start, end, label, score)

    def _find(self, jobs: Sequence[_Job]) -> Iterator[tuple[int, int, int, int, float]]:
        device = next(self.model.parameters()).device
        batch = self._collate([Row(job.group.prompt, job.words) for job in jobs]).to(device)
        with torch.inference_mode():
            logits = self.model(batch).float()
            thresholds = _padded_thresholds([job.group.thresholds for job in jobs]).to(device)
            found = self.model.head.find(logits, batch.n_words, thresholds)
        return zip(*(column.tolist() for column in found), strict=True)


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
    document.found.append((job.window, Candidate(first, last, job.group.indices[label], score)))


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
