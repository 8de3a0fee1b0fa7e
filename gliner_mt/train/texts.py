"""Plain text for language models: read lazily, tokenized, packed into sequences of one length."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Generic, TypeVar, final

import torch
from jaxtyping import Int
from torch import Generator, Tensor
from transformers import PreTrainedTokenizerBase

from gliner_mt.errors import InputError
from gliner_mt.train.data import read_texts

BatchT = TypeVar("BatchT")
_SEQUENCES_PER_POOL = 16384
_TEXTS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class TextFiles:
    """The texts of files, read anew whenever they are gone through; `column` holds them in `.jsonl` files."""

    paths: Sequence[Path]
    column: str = "text"

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(read_texts(path, self.column) for path in self.paths)


@final
class PackedTexts(Generic[BatchT]):
    """Draws batches of sequences of `length` tokens from texts, over and over.

    Texts follow each other without padding; a sequence may hold the end of one and the start of the next.
    Pool n is the n-th run of sequences, shuffled; it is the same in every run with the same seed. `prepare`
    makes a batch of ids (b, length), with the random numbers of its pool.
    """

    def __init__(
        self,
        texts: Iterable[str],
        tokenizer: PreTrainedTokenizerBase,
        prepare: Callable[[Int[Tensor, "b t"], Generator], BatchT],
        *,
        length: int,
        seed: int,
    ) -> None:
        self._texts = texts
        self._tokenizer = tokenizer
        self._prepare = prepare
        self._length = length
        self._seed = seed
        self._next_pool = 0
        self._pools = self._all_pools()

    def pool(self, index: int, batch_tokens: int) -> list[BatchT]:
        """Return the batches of pool `index`, each at most `batch_tokens` tokens, but one sequence at least.

        Raises:
            InputError: a file that cannot be read, or texts that do not fill a sequence.
        """
        if index < self._next_pool:
            self._next_pool, self._pools = 0, self._all_pools()
        while self._next_pool <= index:  # a run that is taken up again passes over what it had read
            pool = next(self._pools)
            self._next_pool += 1
        random = torch.Generator().manual_seed(self._seed * 1_000_003 + index)
        ids = torch.tensor(pool)[torch.randperm(len(pool), generator=random)]
        parts = torch.split(ids, max(1, batch_tokens // self._length))
        return [self._prepare(part, random) for part in parts]

    def _all_pools(self) -> Iterator[list[list[int]]]:
        """Yield pools without end; the tokens left at the end of the texts are dropped."""
        while True:
            tokens = chain.from_iterable(self._encoded())
            sequence = list(islice(tokens, self._length))
            if len(sequence) < self._length:
                raise InputError(
                    f"the texts have {len(sequence)} tokens in all and fill no sequence of {self._length}; "
                    "give more text, or a smaller length."
                )
            sequences = chain([sequence], self._cut(tokens))
            while pool := list(islice(sequences, _SEQUENCES_PER_POOL)):
                yield pool

    def _cut(self, tokens: Iterator[int]) -> Iterator[list[int]]:
        while len(sequence := list(islice(tokens, self._length))) == self._length:
            yield sequence

    def _encoded(self) -> Iterator[list[int]]:
        texts = iter(self._texts)
        while some := list(islice(texts, _TEXTS_AT_ONCE)):
            yield from self._tokenizer(some, return_attention_mask=False, verbose=False)["input_ids"]
