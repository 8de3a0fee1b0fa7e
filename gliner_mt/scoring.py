"""From windows to what is known of their texts: spans, stated spans and pairs, scored in batches."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gliner_mt.asking import NEVER, Asked, LabelGroup, Reading
from gliner_mt.batch import Batch
from gliner_mt.collected import Collected, Part
from gliner_mt.decode import Candidate
from gliner_mt.heads import Spans
from gliner_mt.model import SpanMatcher
from gliner_mt.pairs import Pairs
from gliner_mt.prompted_pairs import Ask, PromptedPairs
from gliner_mt.related import Mention, Place, Related
from gliner_mt.tasks import Found, Queries
from gliner_mt.tokenization import EncodedWord
from gliner_mt.windows import Window

_InRow = dict[int, list[Candidate]]


@dataclass(slots=True)
class Document:
    """A text in hand: its windows so far, and what is known of it for each of the queries.

    `adapter`: that with which it is read; None is the base.
    """

    text: str
    collected: tuple[Collected, ...]
    adapter: str | None = None
    windows: list[Window] = field(default_factory=list)
    read: bool = False

    def settle(self) -> None:
        """Take up what no window to come can change."""
        for one in self.collected:
            one.settle(self.windows, read=self.read)

    def found(self) -> tuple[Found, ...]:
        """Return the answers, once the text is read."""
        return tuple(one.found(self.windows) for one in self.collected)


class Job(NamedTuple):
    """A window to be read, at its place among those of the document.

    `parts` are the stated spans that it holds, for each of the queries.
    """

    document: Document
    at: int
    words: Sequence[EncodedWord]
    parts: tuple[list[Part], ...]
    reading: Reading
    length: int

    @property
    def window(self) -> Window:
        """The words of the document that are read."""
        return self.document.windows[self.at]


class _Read(NamedTuple):
    """Windows as the model reads them, with a group of labels for each; `labels` (1 c d) are those of all."""

    jobs: Sequence[Job]
    groups: Sequence[LabelGroup]
    words: Float[Tensor, "b w d"]
    labels: Float[Tensor, "b c d"]
    n_words: Int[Tensor, " b"]


class _Block(NamedTuple):
    """The pairs that a query asks about in a row, and its relations; `columns` are their places.

    `others` are spans found there that are not paired, but known to a model that asks what is linked.
    """

    row: int
    related: Related
    asked: Sequence[Asked]
    columns: Sequence[int]
    mentions: Sequence[Mention]
    pairs: Sequence[tuple[int, int]]
    others: Sequence[Place]

    @property
    def share(self) -> int:
        return self.asked[0].index


@final
class Scorer:
    """Scores windows for some queries, and tells the documents what was found in them."""

    def __init__(
        self,
        model: SpanMatcher,
        queries: Sequence[Queries],
        asked: Sequence[Asked],
        *,
        temperature: float = 1.0,
        prompted_pairs: PromptedPairs | None = None,
    ) -> None:
        self._temperature = temperature
        self._model = model
        self._prompted_pairs = prompted_pairs
        self._queries = queries
        self._asked = asked

    @torch.inference_mode()
    def score(self, jobs: Sequence[Job], batch: Batch) -> None:
        """Read windows, `batch` being their rows, and match them with their labels, group by group."""
        words, prompted = self._model.read(batch)
        for groups in zip(*(job.reading.groups for job in jobs), strict=True):
            labels, n_labels = prompted, batch.n_labels
            if groups[0].vectors is not None:  # labels that stand apart are the same for all rows
                labels = groups[0].vectors[None]
                n_labels = torch.full_like(batch.n_words, len(groups[0].indices))
            fused = self._model.fuse(words, labels, batch.n_words, n_labels)
            read = _Read(jobs, groups, *fused, batch.n_words)
            found = self._free(read)
            self._stated(read)
            self._relate(read, found)

    def _free(self, read: _Read) -> list[_InRow]:
        """Find spans up to the head's width; return them for each row, by query."""
        found: list[_InRow] = [defaultdict(list) for _ in read.jobs]
        rows = read.groups if len(read.labels) > 1 else read.groups[:1]
        if all(threshold >= NEVER for group in rows for threshold in group.thresholds):
            return found
        head = self._model.head
        thresholds = _padded([group.thresholds for group in rows]).to(read.words.device)
        spans = head.find(self._calibrated(head(read.words, read.labels)), read.n_words, thresholds)
        for row, start, end, label, score in zip(*(column.tolist() for column in spans), strict=True):
            index, job = read.groups[row].indices[label], read.jobs[row]
            asked, lead = self._asked[index], len(job.reading.lead)
            if start < lead:  # words of an instruction are no candidates
                continue
            one = Candidate(start - lead, end - lead, asked.index, score)
            found[row][asked.query].append(one)
            if index not in read.groups[row].repeated:
                collected = job.document.collected[asked.query]
                collected.add_found(job.at, job.window.word_start, job.words, one)
        return found

    def _stated(self, read: _Read) -> None:
        """Score the stated spans with the labels that are asked of them."""
        places = [
            (row, query, part)
            for row, job in enumerate(read.jobs)
            for query in sorted({self._asked[index].query for index in read.groups[row].indices})
            for part in job.parts[query]
            if self._queries[query].labels
        ]
        if not places:
            return
        leads = [len(job.reading.lead) for job in read.jobs]
        words = [(row, part.word_start + leads[row], part.word_end + leads[row]) for row, _, part in places]
        spans = _spans(words, read.words)
        logits = self._calibrated(self._model.head.score(read.words, read.labels, spans)).tolist()
        for (row, query, part), of_span in zip(places, logits, strict=True):
            job, group = read.jobs[row], read.groups[row]
            for index, logit in zip(group.indices, of_span, strict=False):
                asked = self._asked[index]
                if asked.query == query and not asked.of_pairs and index not in group.repeated:
                    job.document.collected[query].add_stated(job.at, job.window, part, asked, logit)

    def _relate(self, read: _Read, found: Sequence[_InRow]) -> None:
        """Score pairs of the spans that were found or stated with the relations that are asked of them."""
        blocks = [block for row in range(len(read.jobs)) for block in self._blocks(read, row, found[row])]
        if self._prompted_pairs is not None:
            self._ask_pairs(read, blocks, self._prompted_pairs)
            return
        ends: list[tuple[int, int, int]] = []
        pairs: list[tuple[int, int, int]] = []
        for block in blocks:
            pairs += [(block.row, len(ends) + head, len(ends) + tail) for head, tail in block.pairs]
            ends += [(block.row, *one.place(0)) for one in block.mentions]
            ends += [(block.row, *place) for place in block.others]
        if not pairs:
            return
        device = read.words.device
        columns = torch.tensor(pairs, device=device).unbind(1)
        scores = self._model.relate(read.words, read.labels, _spans(ends, read.words), Pairs(*columns))
        if scores is None:
            raise TypeError("pairs were asked of a model that has no pair head")
        at = 0
        for block in blocks:
            of_block = slice(at, at + len(block.pairs))
            logits = self._calibrated(scores.logits[of_block, list(block.columns)]).cpu()
            links = None if scores.links is None else scores.links[of_block].float().cpu()
            _note(read.jobs[block.row], block, logits, links)
            at += len(block.pairs)

    def _ask_pairs(self, read: _Read, blocks: Sequence[_Block], prompted: PromptedPairs) -> None:
        for block in blocks:
            job = read.jobs[block.row]
            if block.pairs:
                spans = [one.place(0) for one in block.mentions]
                words = [one.words for one in block.asked]
                logits = prompted.logits(Ask(job.words, job.document.text, spans, block.pairs, words))
                _note(job, block, self._calibrated(logits), None)

    def _calibrated(self, logits: Tensor) -> Tensor:
        """Return the logits whose sigmoid is the score that people see."""
        return logits.float() if self._temperature == 1.0 else logits.float() / self._temperature

    def _blocks(self, read: _Read, row: int, found: _InRow) -> list[_Block]:
        job, blocks = read.jobs[row], []
        for query, collected in enumerate(job.document.collected):
            own = self._relations(query, read.groups[row])
            if collected.related is None or not own:
                continue
            mentions = collected.mentions(job.parts[query], found.get(query, []))
            ends = (at for at, word in enumerate(job.words) if word.ends_sentence)
            best, pairs = collected.related.propose(mentions, ends)
            columns, relations = zip(*own, strict=True)
            others: set[Place] = set()
            if self._model.links is not None:
                found_at = {(one.word_start, one.word_end) for one in found.get(query, [])}
                others = found_at - {one.place(0) for one in best}
            block = _Block(row, collected.related, relations, columns, best, pairs, sorted(others))
            collected.related.remember(job.at, job.window.word_start, block.share, best)
            blocks.append(block)
        return blocks

    def _relations(self, query: int, group: LabelGroup) -> list[tuple[int, Asked]]:
        """Return the relations of a query that a group asks, with their columns."""
        columns = enumerate(self._asked[index] for index in group.later or group.indices)
        return [(n, one) for n, one in columns if one.query == query and one.of_pairs]


def _note(job: Job, block: _Block, logits: Float[Tensor, "p r"], links: Float[Tensor, " p"] | None) -> None:
    """Note the pairs that pass the threshold of a relation; of symmetric ones, one for both directions."""
    places = {pair: n for n, pair in enumerate(block.pairs)}
    reverse = torch.tensor([places.get((tail, head), n) for (head, tail), n in places.items()]).long()
    labels = [block.related.queries.labels[one.index] for one in block.asked]
    symmetric = torch.tensor([label.symmetric for label in labels])
    scores = torch.where(symmetric, (logits + logits[reverse]) / 2, logits).sigmoid()
    thresholds = torch.tensor([one.threshold for one in block.asked])
    passed = scores > thresholds
    if links is not None:
        passed &= links[:, None] > torch.tensor([one.link_threshold for one in block.asked])
    for n, column in passed.nonzero().tolist():
        head, tail = (block.mentions[end] for end in block.pairs[n])
        label = labels[column]
        twice = label.symmetric and tail[:2] < head[:2]
        if label.joins(head.label, tail.label) and not twice:
            offset, label_index = job.window.word_start, block.asked[column].index
            score = scores[n, column].item()
            block.related.add(job.at, block.share, head.place(offset), tail.place(offset), label_index, score)


def _spans(places: Sequence[tuple[int, int, int]], like: Tensor) -> Spans:
    return Spans(*torch.tensor(places, device=like.device).unbind(1))


def _padded(rows: Sequence[Sequence[float]]) -> Float[Tensor, "b c"]:
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[NEVER] * (width - len(row))] for row in rows])
