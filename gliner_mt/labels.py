"""How labels meet the text: laid out before it, in one sequence, or apart, for an encoder of their own.

`PromptLabels` is GLiNER's prompt, in which labels stand one after the other; in `JointLabels` relations
follow the types of spans. `ParallelLabels` lays every label at the same positions, out of sight of the other
labels, so that their order changes nothing. `SeparateLabels` are sequences of their own, without the text.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import final

from tokenizers import Tokenizer

from gliner_mt.errors import InputError
from gliner_mt.tokenization import WordTokenizer


@dataclass(frozen=True, slots=True)
class Prompt:
    """Labels as sub-words, ready to stand before a text or, as `apart`, to be read by themselves.

    `ids`: sub-words, the tokenizer's own prefix included. `positions`: their position ids, and
    `text_position` that of the first sub-word of the text; None leaves counting to the backbone.
    `groups`: 0 for sub-words that see everything, n for those of the n-th label, which see themselves and
    group 0. `label_first`, `label_last`: the sub-words, both inclusive, whose mean stands for each label.
    `apart`: each label as a sequence of its own, special tokens included, if it is not among `ids`. `raw`:
    places of the labels whose vectors do not pass the label projection.
    """

    ids: tuple[int, ...]
    groups: tuple[int, ...]
    label_first: tuple[int, ...]
    label_last: tuple[int, ...]
    positions: tuple[int, ...] | None = None
    text_position: int = 0
    apart: tuple[tuple[int, ...], ...] = ()
    raw: frozenset[int] = frozenset()

    @property
    def n_labels(self) -> int:
        """How many labels are asked."""
        return len(self.apart) or len(self.label_first)


class LabelEncoding(ABC):
    """Lays labels out before a text, or apart from it."""

    @abstractmethod
    def prompt(self, labels: Sequence[str], relations: Collection[int] = ()) -> Prompt:
        """Return the layout of `labels`, in their order; those at the places `relations` are of pairs."""

    @property
    @abstractmethod
    def tokenizer(self) -> WordTokenizer:
        """The tokenizer of text and labels."""


@final
class PromptLabels(LabelEncoding):
    """`prefix <<ENT>> label <<ENT>> label … <<SEP>> text` (GLiNER, arXiv 2311.08526, section 2).

    The vector of `<<ENT>>` stands for its label; with `marker_is_label=False`, the first sub-word behind it.
    """

    def __init__(
        self, tokenizer: WordTokenizer, marker_id: int, separator_id: int, *, marker_is_label: bool = True
    ) -> None:
        self._tokenizer = tokenizer
        self._marker_id = marker_id
        self._separator_id = separator_id
        self._offset = 0 if marker_is_label else 1

    @property
    def tokenizer(self) -> WordTokenizer:
        """The tokenizer of text and labels."""
        return self._tokenizer

    def prompt(self, labels: Sequence[str], relations: Collection[int] = ()) -> Prompt:
        """Return the layout of `labels`, in their order, those of relations like the others."""
        prefix = self._tokenizer.prefix
        blocks = [(self._marker_id, *ids) for ids in self._tokenizer.words(labels)]
        ids = (*prefix, *chain.from_iterable(blocks), self._separator_id)
        starts = list(accumulate((len(block) for block in blocks), initial=len(prefix)))[:-1]
        at = tuple(start + self._offset for start in starts)
        return Prompt(ids=ids, groups=(0,) * len(ids), label_first=at, label_last=at)


@final
class JointLabels(LabelEncoding):
    """`prefix <<ENT>> type … <<SEP>> <<REL>> relation … <<SEP>> text` (GLiNER-relex).

    As in `PromptLabels`, a marker's vector stands for its label, or that of the sub-word behind it. Relations
    have a marker of their own, `relation_marker_id`, and their vectors do not pass the label projection.
    """

    def __init__(
        self,
        tokenizer: WordTokenizer,
        marker_id: int,
        relation_marker_id: int,
        separator_id: int,
        *,
        marker_is_label: bool = True,
    ) -> None:
        self._tokenizer = tokenizer
        self._marker_id = marker_id
        self._relation_marker_id = relation_marker_id
        self._separator_id = separator_id
        self._offset = 0 if marker_is_label else 1

    @property
    def tokenizer(self) -> WordTokenizer:
        """The tokenizer of text and labels."""
        return self._tokenizer

    def prompt(self, labels: Sequence[str], relations: Collection[int] = ()) -> Prompt:
        """Return the layout of `labels`; places are those in `labels`, wherever a label stands."""
        words, raw = self._tokenizer.words(labels), frozenset(relations)
        ids, at = list(self._tokenizer.prefix), [0] * len(labels)
        for marker, places in (
            (self._marker_id, [n for n in range(len(labels)) if n not in raw]),
            (self._relation_marker_id, sorted(raw)),
        ):
            for place in places:
                at[place] = len(ids) + self._offset
                ids += (marker, *words[place])
            ids.append(self._separator_id)
        first = tuple(at)
        return Prompt(tuple(ids), (0,) * len(ids), label_first=first, label_last=first, raw=raw)


@final
class ParallelLabels(LabelEncoding):
    """`prefix (<marker> label)… <sep> text`, every label at position 1, the text from `text_position` on.

    A label sees itself, the prefix, the separator and the text; the text sees everything. Scores are then
    the same for every order of labels. The mean over marker and label sub-words stands for the label.
    """

    def __init__(
        self, tokenizer: WordTokenizer, marker_id: int, separator_id: int, text_position: int
    ) -> None:
        self._tokenizer = tokenizer
        self._marker_id = marker_id
        self._separator_id = separator_id
        self._text_position = text_position

    @property
    def tokenizer(self) -> WordTokenizer:
        """The tokenizer of text and labels."""
        return self._tokenizer

    def prompt(self, labels: Sequence[str], relations: Collection[int] = ()) -> Prompt:
        """Return the layout of `labels`, in their order, those of relations like the others."""
        prefix = self._tokenizer.prefix
        blocks = [(self._marker_id, *ids) for ids in self._tokenizer.words(labels)]
        starts = tuple(accumulate((len(block) for block in blocks), initial=len(prefix)))
        longest = self._text_position - 1
        label_positions = [min(len(prefix) + i, longest - 1) for block in blocks for i in range(len(block))]
        return Prompt(
            ids=(*prefix, *chain.from_iterable(blocks), self._separator_id),
            groups=(
                *(0 for _ in prefix),
                *(n for n, block in enumerate(blocks, start=1) for _ in block),
                0,
            ),
            label_first=starts[:-1],
            label_last=tuple(start - 1 for start in starts[1:]),
            positions=(*range(len(prefix)), *label_positions, longest),
            text_position=self._text_position,
        )


@final
class SeparateLabels(LabelEncoding):
    """Labels as sequences of their own, for the label encoder of a bi-encoder; the text has no prompt.

    `label_tokenizer` makes the sequences, its special tokens included; the label encoder reads up to
    `longest` sub-words (None: any number).
    """

    def __init__(self, tokenizer: WordTokenizer, label_tokenizer: Tokenizer, longest: int | None) -> None:
        label_tokenizer.no_truncation()
        label_tokenizer.no_padding()
        self._tokenizer = tokenizer
        self.label_tokenizer = label_tokenizer
        self._longest = longest

    @property
    def tokenizer(self) -> WordTokenizer:
        """The tokenizer of the text."""
        return self._tokenizer

    def prompt(self, labels: Sequence[str], relations: Collection[int] = ()) -> Prompt:
        """Return what stands before a text, and `labels` apart, in their order.

        Raises:
            InputError: a label is longer than the label encoder reads.
        """
        prefix = self._tokenizer.prefix
        # Lone surrogates, which Python strings may hold, are no text to the Rust library.
        readable = [label.encode("utf-8", "replace").decode("utf-8") for label in labels]
        apart = tuple(tuple(one.ids) for one in self.label_tokenizer.encode_batch(readable))
        for label, ids in zip(labels, apart, strict=True):
            if self._longest is not None and len(ids) > self._longest:
                raise InputError(
                    f"label {label!r} takes {len(ids)} sub-words; the label encoder reads {self._longest}. "
                    "Shorten it or its description."
                )
        return Prompt(prefix, (0,) * len(prefix), (), (), apart=apart)
