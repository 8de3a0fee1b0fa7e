"""Vocabularies of backbones: every sub-word needs a row of the embedding, new ones too."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import torch
from tokenizers import AddedToken, Tokenizer
from tokenizers.normalizers import Prepend
from tokenizers.normalizers import Sequence as NormalizerSequence
from torch import nn
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from gliner_mt.errors import CheckpointError


def read_pretrained_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Return the tokenizer that a Hugging Face folder holds.

    Raises:
        CheckpointError: it is broken, or of the slow kind.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # each kind of tokenizer fails in its own way
        raise CheckpointError(
            f"the tokenizer in {folder} cannot be read: {error}. Check that its files are complete; "
            "one that is a SentencePiece model needs `pip install sentencepiece protobuf`."
        ) from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        kind = type(tokenizer).__name__
        raise CheckpointError(f"the tokenizer in {folder} is a {kind}; expected one with a tokenizer.json.")
    return tokenizer


def check_vocabulary(
    tokenizer: Tokenizer, tokens: Mapping[str, int | None], n_rows: int, source: object
) -> None:
    """Check that what a tokenizer gives, and single `tokens` by name, are among the rows of an embedding.

    Raises:
        CheckpointError: an id is not; it would stop torch in the middle of a text.
    """
    for name, token in tokens.items():
        if token is not None and not 0 <= token < n_rows:
            raise CheckpointError(
                f"{name} of {source} is {token}, but its backbone embeds {n_rows} sub-words; expected 0 to "
                f"{n_rows - 1}. Config and weights must belong to the same model: fetch or save it again."
            )
    highest = max(tokenizer.get_vocab().values(), default=0)
    if highest >= n_rows:
        raise CheckpointError(
            f"the tokenizer of {source} has sub-words up to number {highest}, but its backbone embeds "
            f"{n_rows}. Use the tokenizer that the backbone was trained with, without tokens added since."
        )


def read_words_as_in_text(tokenizer: Tokenizer) -> None:
    """Make a tokenizer to which a word's space belongs read each word as one behind a space.

    Words are tokenised one by one here. Byte-level tokenizers and some of SentencePiece take such a word for
    the start of a text, or for the middle of a word, and give sub-words that the backbone has seldom seen.
    """
    given = tokenizer.normalizer
    if _reads_words_as_in_text(tokenizer):
        return
    tokenizer.normalizer = NormalizerSequence([Prepend(" "), *([] if given is None else [given])])
    if not _reads_words_as_in_text(tokenizer):
        tokenizer.normalizer = given


def _reads_words_as_in_text(tokenizer: Tokenizer) -> bool:
    text = tokenizer.encode("a a", add_special_tokens=False).ids
    return text == tokenizer.encode(["a", "a"], is_pretokenized=True, add_special_tokens=False).ids


@torch.no_grad()
def add_tokens(model: PreTrainedModel, tokenizer: Tokenizer, tokens: Sequence[str]) -> list[int]:
    """Return the ids of `tokens`, adding those that the vocabulary lacks to `tokenizer` and `model`.

    Their rows are drawn with the mean and the spread, dimension by dimension, of all others.
    """
    new = [token for token in dict.fromkeys(tokens) if tokenizer.token_to_id(token) is None]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in new])
    ids: dict[str, int] = {token: cast(int, tokenizer.token_to_id(token)) for token in tokens}
    rows = [ids[token] for token in new]
    if rows:
        weight = cast(nn.Embedding, model.get_input_embeddings()).weight
        mean, spread = weight.mean(0), weight.std(0)
        if max(rows) >= len(weight):
            model.resize_token_embeddings(max(rows) + 1, mean_resizing=False)
            weight = cast(nn.Embedding, model.get_input_embeddings()).weight
        weight[rows] = mean + spread * torch.randn_like(weight[rows])
    return [ids[token] for token in tokens]
