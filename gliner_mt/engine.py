"""From a stream of texts to scored spans: windows, batches across texts, answers in order, bounded memory.

Windows of all texts in hand are sorted by adapter and by length and batched together; a text is answered as
soon as its own windows and those of the texts before it are scored. Spans are settled as a text is read:
beside the texts in hand, only answers are kept.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice
from pathlib import Path
from typing import final

from gliner_mt.adapters import Adapters
from gliner_mt.asking import (
    Asked,
    Reading,
    Together,
    asked_later,
    label_group,
    labels_asked,
    prompt_of,
    split,
)
from gliner_mt.batch import Collator, Row, token_budget_batches
from gliner_mt.config import Thresholds
from gliner_mt.errors import InputError
from gliner_mt.label_vectors import LabelVectors
from gliner_mt.labels import LabelEncoding, SeparateLabels
from gliner_mt.limits import Limits
from gliner_mt.model import SpanMatcher
from gliner_mt.prompted_pairs import PromptedPairs
from gliner_mt.prompting import PROMPTINGS, Prompting
from gliner_mt.scoring import Document, Job, Scorer
from gliner_mt.tasks import Found, Queries
from gliner_mt.tokenization import EncodedWord, WordTokenizer
from gliner_mt.windows import Window, plan_windows

# Words beyond the widest span that neighbouring windows share: spans near an edge are read in context.
_OVERLAP_MARGIN = 8
# Part of a window that its neighbour reads again if pairs are asked: those that lie in it are found.
_SHARED_FOR_PAIRS = 0.25
# How many batches of sub-words are read ahead, to be sorted by length.
_READ_AHEAD = 16

FUSED_TOGETHER = 256
"""Labels that read each other before they are matched (`fused`); more are asked in groups."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """How texts are read with one adapter, or by the base alone, and how their windows are scored."""

    readings: Sequence[Reading]
    scorer: Scorer


@final
class Engine:
    """Scores texts with a model, for the queries of any task."""

    def __init__(
        self,
        model: SpanMatcher,
        labels: LabelEncoding,
        limits: Limits,
        thresholds: Thresholds,
        name: str = "the model",
        prompting: Prompting = PROMPTINGS["labels"],
    ) -> None:
        self.model = model
        self.adapters = Adapters(model, name)
        self.prompting = prompting
        self.labels = labels
        self.limits = limits
        self._thresholds: dict[str | None, Thresholds] = {None: thresholds}
        self._collate = Collator(labels.tokenizer.pad_id, labels.tokenizer.suffix)
        self._label_vectors: dict[str | None, LabelVectors] = {}

    def thresholds(self, adapter: str | None) -> Thresholds:
        """Return those of an adapter; the base's (None) if it has none of its own."""
        return self._thresholds.get(adapter, self._thresholds[None])

    def calibrate(self, adapter: str | None, thresholds: Thresholds) -> None:
        """Give an adapter, or the base (None), thresholds of its own."""
        self._thresholds[adapter] = thresholds

    @property
    def overlap(self) -> int:
        """Words that neighbouring windows share."""
        return self.model.head.max_width + _OVERLAP_MARGIN

    def label_vectors(self, adapter: str | None) -> LabelVectors | None:
        """Let an adapter act and return its vectors of labels; None if labels have none before a text."""
        self.adapters.activate(adapter)
        if isinstance(self.labels, SeparateLabels) and adapter not in self._label_vectors:
            new = LabelVectors(self.model, self.labels, self.limits.batch_tokens)
            self._label_vectors[adapter] = new
        return self._label_vectors.get(adapter)

    def add_adapter(self, folder: Path, name: str) -> None:
        """Read an adapter folder, and the thresholds in it if there are any; see `Adapters.add`."""
        thresholds = self.adapters.add(folder, name)
        if thresholds is not None:
            self._thresholds[name] = thresholds

    def remove_adapter(self, name: str) -> None:
        """Forget an adapter, its thresholds and the vectors of labels that it made."""
        self.adapters.remove(name)
        self._thresholds.pop(name, None)
        self._label_vectors.pop(name, None)

    def answers(
        self, texts: Iterable[tuple[str, str | None]], queries: Sequence[Queries]
    ) -> Iterator[tuple[Found, ...]]:
        """Yield what is found in each text for each of the queries, in order.

        With each text comes the adapter that reads it, None being the base.
        """
        waiting: deque[Document] = deque()
        plan_of = cache(lambda adapter: self._plan(queries, adapter))
        steps = self._jobs(texts, queries, plan_of, waiting)
        while taken := list(_take(steps, self.limits.batch_tokens * _READ_AHEAD)):
            self._score(plan_of, list(chain.from_iterable(taken)))
            for document in waiting:
                document.settle()
            while waiting and waiting[0].read:
                yield waiting.popleft().found()

    def _plan(self, queries: Sequence[Queries], adapter: str | None) -> _Plan:
        thresholds = self.thresholds(adapter)
        asked, prompted = labels_asked(queries, thresholds), self._prompted_pairs(queries)
        scorer = Scorer(
            self.model, queries, asked, temperature=thresholds.temperature, prompted_pairs=prompted
        )
        return _Plan(self._readings(asked, queries, adapter), scorer)

    def _readings(
        self, asked: Sequence[Asked], queries: Sequence[Queries], adapter: str | None = None
    ) -> list[Reading]:
        vectors = self.label_vectors(adapter)
        return self._prompted(asked, queries) if vectors is None else [self._apart(asked, vectors)]

    def _apart(self, asked: Sequence[Asked], known: LabelVectors) -> Reading:
        """Return one reading of the bare text; its labels are scored in groups, to bound memory.

        Fused labels read each other: there, too, groups are made in the order of names.
        """
        size = FUSED_TOGETHER
        if self.model.fuser is None:
            words = max(self.limits.batch_tokens, self.limits.window_tokens)
            size = max(1, self.limits.logits // (words * self.model.head.logits_per_word))
        vectors = known.of([one.label.prompt for one in asked])
        groups = (
            label_group(asked, together, vectors[list(together.indices)])
            for together in split(asked, [1] * len(asked), size)
        )
        return Reading(self.labels.prompt([]), tuple(groups))

    def _prompted_pairs(self, queries: Sequence[Queries]) -> PromptedPairs | None:
        pattern = self.prompting.relation
        if pattern is None or not any(one.pairs for one in queries):
            return None
        room = self.limits.window_tokens // 2
        instruction = self.prompting.relation_instruction
        return PromptedPairs(
            self.model, self.labels, pattern, instruction, room=room, batch=self.limits.batch_tokens
        )

    def _prompted(self, asked: Sequence[Asked], queries: Sequence[Queries]) -> list[Reading]:
        """Read labels with the same instruction together, as far as half of a window holds them."""
        together: dict[str, dict[int, Asked]] = defaultdict(dict)
        for index, one in enumerate(asked):
            phrased = self.prompting.phrased(one, queries[one.query])
            if phrased is not None:
                together[phrased.instruction][index] = phrased
        return [
            reading for instruction, own in together.items() for reading in self._instructed(instruction, own)
        ]

    def _instructed(self, instruction: str, phrased: Mapping[int, Asked]) -> Iterator[Reading]:
        """Split labels that would fill more than half of a window; as few readings as that allows."""
        lead = tuple(self.labels.tokenizer.encode(instruction, self.limits.window_tokens))
        base, before = len(self.labels.prompt([]).ids), sum(len(word.ids) for word in lead)
        room, asked = self.limits.window_tokens // 2 - base - before, list(phrased.values())
        later = self.prompting.relation is not None
        sizes = [
            0 if later and one.of_pairs else len(prompt_of([one], self.labels).ids) - base for one in asked
        ]
        for one, size in zip(asked, sizes, strict=True):
            if size > room:
                taken, left = size + before, room + before
                raise InputError(
                    f"label {one.label.name!r} takes {taken} sub-words; labels may take {left}, half of a "
                    "window. Shorten it or its description, or load the model with a larger max_tokens."
                )
        places = list(phrased)
        for part in split(asked, sizes, room):
            repeated = frozenset(places[i] for i in part.repeated)
            own = Together(tuple(places[i] for i in part.indices), repeated)
            group = asked_later(phrased, own) if later else label_group(phrased, own)
            yield Reading(prompt_of([phrased[i] for i in group.indices], self.labels), (group,), lead)

    def _jobs(
        self,
        texts: Iterable[tuple[str, str | None]],
        queries: Sequence[Queries],
        plan_of: Callable[[str | None], _Plan],
        waiting: deque[Document],
    ) -> Iterator[list[Job]]:
        """Yield the jobs of each window, one for every reading, and at the end of each text an empty list.

        Documents enter `waiting` as they open.
        """
        shared = _SHARED_FOR_PAIRS if any(one.pairs for one in queries) else 0.0
        tokenizer = self.labels.tokenizer
        for text, adapter in texts:
            readings = plan_of(adapter).readings
            budget = self._text_budget(readings)
            known = tuple(self.prompting.collected(one, text, tokenizer) for one in queries)
            document = Document(text, known, adapter)
            waiting.append(document)
            for window, words in windows_of(text, tokenizer, budget, self.overlap, shared):
                document.windows.append(window)
                yield [self._job(document, words, reading) for reading in readings]
            document.read = True
            yield []

    def _job(self, document: Document, words: Sequence[EncodedWord], reading: Reading) -> Job:
        length = len(Row(reading.prompt, [*reading.lead, *words])) + len(self.labels.tokenizer.suffix)
        parts = tuple(one.parts(document.windows[-1]) for one in document.collected)
        return Job(document, len(document.windows) - 1, words, parts, reading, length)

    def _text_budget(self, readings: Sequence[Reading]) -> int:
        """Sub-words of text in a window beside the longest prompt."""
        before = max(max(reading.length, reading.prompt.text_position) for reading in readings)
        if any(group.later for reading in readings for group in reading.groups):  # in as much room, later
            before = max(before, self.limits.window_tokens // 2)
        return self.limits.window_tokens - before - len(self.labels.tokenizer.suffix)

    def _score(self, plan_of: Callable[[str | None], _Plan], jobs: Sequence[Job]) -> None:
        by_adapter: dict[str | None, list[Job]] = defaultdict(list)
        for job in jobs:
            by_adapter[job.document.adapter].append(job)
        device = next(self.model.parameters()).device
        for adapter, together in by_adapter.items():
            self.adapters.activate(adapter)
            for part in token_budget_batches([job.length for job in together], self.limits.batch_tokens):
                batch = [together[i] for i in part]
                rows = [Row(job.reading.prompt, [*job.reading.lead, *job.words]) for job in batch]
                plan_of(adapter).scorer.score(batch, self._collate(rows).to(device))


def windows_of(
    text: str, tokenizer: WordTokenizer, budget: int, overlap: int, shared: float = 0.0
) -> Iterator[tuple[Window, list[EncodedWord]]]:
    """Yield the windows of a text with their words; only the words of one window are kept."""
    held: deque[EncodedWord] = deque()
    held_from = 0

    def sizes() -> Iterator[tuple[int, bool]]:
        for word in tokenizer.encode(text, max_word_tokens=budget):
            held.append(word)
            yield len(word.ids), word.ends_sentence

    for window in plan_windows(sizes(), budget=budget, overlap=overlap, shared=shared):
        for _ in range(window.word_start - held_from):
            held.popleft()
        held_from = window.word_start
        yield window, list(islice(held, window.word_end - window.word_start))


def _take(steps: Iterator[list[Job]], tokens: int) -> Iterator[list[Job]]:
    """Yield steps until their jobs hold `tokens` sub-words."""
    for jobs in steps:
        yield jobs
        # Texts without words count too, so that a stream of them is answered as it comes.
        tokens -= 1 + sum(job.length for job in jobs)
        if tokens <= 0:
            return
