"""Relations without a pair head: a model is asked for the tails of each head, in words of their own."""

from collections.abc import Sequence
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor

from gliner_mt.batch import Collator, Row, token_budget_batches
from gliner_mt.heads import Spans
from gliner_mt.labels import LabelEncoding
from gliner_mt.model import SpanMatcher
from gliner_mt.related import Place
from gliner_mt.tokenization import EncodedWord


class Ask(NamedTuple):
    """Pairs of spans of a window and the relations asked of them: head and tail index `spans`, its words."""

    words: Sequence[EncodedWord]
    text: str
    spans: Sequence[Place]
    pairs: Sequence[tuple[int, int]]
    relations: Sequence[str]


@final
class PromptedPairs:
    """Scores pairs by asking where the spans of `pattern`, filled with a head's text and a relation, are.

    A pair's logit is that of the tail's span. All relations of all heads are asked, as many at once as `room`
    sub-words hold beside the instruction; heads that are worded alike are one.
    """

    def __init__(
        self,
        model: SpanMatcher,
        labels: LabelEncoding,
        pattern: str,
        instruction: str,
        *,
        room: int,
        batch: int,
    ) -> None:
        self._model = model
        self._labels = labels
        self._pattern = pattern
        self._lead = list(labels.tokenizer.encode(instruction, max_word_tokens=room))
        frame = len(labels.prompt([]).ids) + sum(len(word.ids) for word in self._lead)
        self._room = max(1, room - frame)
        self._batch = batch
        self._collate = Collator(labels.tokenizer.pad_id, labels.tokenizer.suffix)

    def logits(self, ask: Ask) -> Float[Tensor, "p r"]:
        """Return the logits of pairs with each relation."""
        heads = {head: self._text(ask, ask.spans[head]) for head, _ in ask.pairs}
        texts = list(dict.fromkeys(heads[head] for head in sorted(heads, key=lambda n: ask.spans[n])))
        asked = [(text, n) for n in range(len(ask.relations)) for text in texts]
        groups = self._groups([self._label(text, ask.relations[n]) for text, n in asked])
        rows = [Row(self._labels.prompt(labels), [*self._lead, *ask.words]) for labels in groups]
        tails = sorted({tail for _, tail in ask.pairs})
        scores = self._scores(rows, [ask.spans[tail] for tail in tails])
        column = {one: n for n, one in enumerate(asked)}
        place = {tail: n for n, tail in enumerate(tails)}
        pairs = [[column[heads[head], n] for n in range(len(ask.relations))] for head, _ in ask.pairs]
        return scores[torch.tensor([place[tail] for _, tail in ask.pairs])[:, None], torch.tensor(pairs)]

    def _text(self, ask: Ask, place: Place) -> str:
        return " ".join(ask.text[ask.words[place[0]].start : ask.words[place[1] - 1].end].split())

    def _label(self, head: str, relation: str) -> str:
        """Return the label of a head and a relation; of a head that is too long, as many words as fit."""
        words = head.split()
        while len(words) > 1 and self._size(self._filled(" ".join(words), relation)) > self._room:
            words = words[: len(words) // 2]
        return self._filled(" ".join(words), relation)

    def _filled(self, head: str, relation: str) -> str:
        return self._pattern.format(head=head, relation=relation)

    def _size(self, label: str) -> int:
        return len(self._labels.prompt([label]).ids) - len(self._labels.prompt([]).ids)

    def _groups(self, labels: Sequence[str]) -> list[list[str]]:
        """Split labels, in their order, into as many as fit."""
        groups: list[list[str]] = []
        left = 0
        for label in labels:
            size = self._size(label)
            if not groups or size > left:
                groups.append([])
                left = self._room
            groups[-1].append(label)
            left -= size
        return groups

    @torch.inference_mode()
    def _scores(self, rows: Sequence[Row], tails: Sequence[Place]) -> Float[Tensor, "t c"]:
        """Return the logits of the tails with the labels of all rows, one after the other."""
        device = next(self._model.parameters()).device
        lead, parts = len(self._lead), [torch.empty(0)] * len(rows)
        for numbers in token_budget_batches([len(row) for row in rows], self._batch):
            batch = self._collate([rows[n] for n in numbers]).to(device)
            words, labels = self._model.read(batch)
            places = [(n, start + lead, end + lead) for n in range(len(numbers)) for start, end in tails]
            spans = Spans(*torch.tensor(places, device=device).unbind(1))
            logits = self._model.head.score(words, labels, spans).float().cpu()
            for n, of_row in zip(numbers, torch.split(logits, len(tails)), strict=True):
                parts[n] = of_row[:, : rows[n].prompt.n_labels]
        return torch.cat(parts, dim=1)
