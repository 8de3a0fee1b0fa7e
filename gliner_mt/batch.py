"""Rows of sub-words as padded tensors, and batches under a token budget."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, final

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from gliner_mt.labels import Prompt
from gliner_mt.tokenization import EncodedWord

PADDING_GROUP = -1


@dataclass(frozen=True, slots=True)
class Row:
    """One window of a text with the labels asked of it."""

    prompt: Prompt
    words: Sequence[EncodedWord]

    def __len__(self) -> int:
        """Sub-words of the row, the tokenizer's suffix not counted."""
        return len(self.prompt.ids) + sum(len(word.ids) for word in self.words)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows padded to one length.

    *Shapes:* b rows, t sub-words, w words, c labels. `groups` is -1 on padding, else as in `Prompt`.
    `word_first`, `word_last`, `label_first`, `label_last` index sub-words, both inclusive. Labels that stand
    apart from the text are the rows of the batch `apart`, each once; `label_row` says which a text is asked.
    `raw`: labels whose vectors do not pass the label projection; None if there are none.
    """

    ids: Int[Tensor, "b t"]
    groups: Int[Tensor, "b t"]
    positions: Int[Tensor, "b t"] | None
    shapes: Int[Tensor, "b t"]
    word_first: Int[Tensor, "b w"]
    word_last: Int[Tensor, "b w"]
    n_words: Int[Tensor, " b"]
    label_first: Int[Tensor, "b c"]
    label_last: Int[Tensor, "b c"]
    n_labels: Int[Tensor, " b"]
    label_row: Int[Tensor, "b c"] | None = None
    apart: "Batch | None" = None
    raw: Bool[Tensor, "b c"] | None = None

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on `device`."""
        tensors = {field.name: getattr(self, field.name) for field in fields(self)}
        moved: dict[str, Any] = {name: x if x is None else x.to(device) for name, x in tensors.items()}
        return Batch(**moved)

    def rows(self, chosen: slice | Bool[Tensor, " b"]) -> "Batch":
        """Return some of the rows, padded as they are; labels that stand apart are all kept."""
        tensors = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "apart"}
        cut: dict[str, Any] = {name: x if x is None else x[chosen] for name, x in tensors.items()}
        return Batch(**cut, apart=self.apart)


@final
class Collator:
    """Turns rows into a `Batch`; `suffix` are the tokenizer's closing special tokens."""

    def __init__(self, pad_id: int, suffix: Sequence[int]) -> None:
        self._pad_id = pad_id
        self._suffix = list(suffix)

    def __call__(self, rows: Sequence[Row]) -> Batch:
        """Pad `rows` to the longest of them."""
        ids, groups, shapes, first, last = [], [], [], [], []
        for row in rows:
            row_first, row_last, row_shapes = [], [], [0] * len(row.prompt.ids)
            row_ids = list(row.prompt.ids)
            for word in row.words:
                row_first.append(len(row_ids))
                row_ids.extend(word.ids)
                row_shapes.extend([word.shape] * len(word.ids))
                row_last.append(len(row_ids) - 1)
            row_ids += self._suffix
            ids.append(row_ids)
            shapes.append(row_shapes)
            groups.append([*row.prompt.groups, *[0] * (len(row_ids) - len(row.prompt.ids))])
            first.append(row_first)
            last.append(row_last)
        label_row, apart = _apart([row.prompt.apart for row in rows])
        return Batch(
            ids=_padded(ids, self._pad_id),
            groups=_padded(groups, PADDING_GROUP),
            positions=_positions(rows, [len(row_ids) for row_ids in ids]),
            shapes=_padded(shapes, 0, width=max(len(row_ids) for row_ids in ids)),
            word_first=_padded(first, 0),
            word_last=_padded(last, 0),
            n_words=torch.tensor([len(row.words) for row in rows]),
            label_first=_padded([row.prompt.label_first for row in rows], 0),
            label_last=_padded([row.prompt.label_last for row in rows], 0),
            n_labels=torch.tensor([row.prompt.n_labels for row in rows]),
            label_row=label_row,
            apart=apart,
            raw=_raw([row.prompt for row in rows]),
        )


def label_batch(labels: Sequence[Sequence[int]]) -> Batch:
    """Return labels, sequences of sub-words with their special tokens, as a batch without words."""
    # Padding has the id 0, which every vocabulary has: no model sees it.
    return Collator(0, ())([Row(Prompt(tuple(ids), (0,) * len(ids), (), ()), ()) for ids in labels])


def token_budget_batches(lengths: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
    """Yield lists of indices into `lengths`, longest rows first, each at most `max_tokens` when padded.

    A row longer than the budget is a batch of its own.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > max_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _apart(
    rows: Sequence[Sequence[tuple[int, ...]]],
) -> tuple[Int[Tensor, "b c"], Batch] | tuple[None, None]:
    """Return which labels that stand apart are asked in each row, and the batch of them, if there are any."""
    place = {ids: index for index, ids in enumerate(dict.fromkeys(ids for row in rows for ids in row))}
    if not place:
        return None, None
    return _padded([[place[ids] for ids in row] for row in rows], 0), label_batch(list(place))


def _raw(prompts: Sequence[Prompt]) -> Bool[Tensor, "b c"] | None:
    if not any(prompt.raw for prompt in prompts):
        return None
    return _padded([[n in prompt.raw for n in range(prompt.n_labels)] for prompt in prompts], 0).bool()


def _positions(rows: Sequence[Row], lengths: Sequence[int]) -> Int[Tensor, "b t"] | None:
    positions = []
    for row, length in zip(rows, lengths, strict=True):
        prompt = row.prompt
        if prompt.positions is None:
            return None
        text = range(prompt.text_position, prompt.text_position + length - len(prompt.ids))
        positions.append([*prompt.positions, *text])
    return _padded(positions, 0)


def _padded(rows: Sequence[Sequence[int]], value: int, width: int = 0) -> Int[Tensor, "b n"]:
    width = max(width, *(len(row) for row in rows), 1)
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])
