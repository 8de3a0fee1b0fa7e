"""Small tokenizers of the kinds that published models have, the same in every run.

The trainers of `tokenizers` break ties at random. Here a vocabulary is counted: all characters,
then the most frequent runs of characters, short ones first.
"""

import math
from collections import Counter
from collections.abc import Iterable

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertTokenizer, DebertaV2Tokenizer, PreTrainedTokenizerFast

_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_NAMES = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), _SPECIAL, strict=True))
_LONGEST_PIECE = 12


def make_tokenizer(kind: str, texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer as models of type `kind` have it, its vocabulary taken from `texts`."""
    return _KINDS.get(kind, _byte_level)(texts, vocab_size)


def _pieces(words: Iterable[str], inside: str = "") -> Counter[str]:
    """Count runs of characters, best first; one that does not start its word gets the prefix `inside`."""
    counts: Counter[str] = Counter()
    lengths: dict[str, int] = {}
    for word in words:
        for start in range(len(word)):
            for end in range(start + 1, min(len(word), start + _LONGEST_PIECE) + 1):
                piece = inside * (start > 0) + word[start:end]
                counts[piece] += 1
                lengths[piece] = end - start
    order = sorted(counts, key=lambda piece: (lengths[piece] > 1, -counts[piece], lengths[piece], piece))
    return Counter({piece: counts[piece] for piece in order})


def _words(tokenizer: Tokenizer, texts: Iterable[str]) -> list[str]:
    normalize = tokenizer.normalizer.normalize_str if tokenizer.normalizer else str
    return [word for text in texts for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normalize(text))]


def _word_piece(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pieces = [*_SPECIAL, *_pieces(_words(tokenizer, texts), inside="##")]
    return BertTokenizer(vocab={piece: index for index, piece in enumerate(pieces[:vocab_size])})


def _unigram(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    return DebertaV2Tokenizer(vocab=_scored(texts, vocab_size, _SPECIAL))


def _unigram_sentences(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer that knows a start and an end of text but leaves them out, as transformers 5 may."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    tokenizer = Tokenizer(models.Unigram(_scored(texts, vocab_size, special), unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    names = dict(zip(("bos_token", "pad_token", "eos_token", "unk_token"), special, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def _scored(texts: Iterable[str], vocab_size: int, special: list[str]) -> list[tuple[str, float]]:
    """Return pieces with the logarithms of their probabilities, special ones first."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    pieces = list(_pieces(_words(tokenizer, texts)).items())[: vocab_size - len(special)]
    total = sum(count for _, count in pieces)
    return [*((name, 0.0) for name in special), *((piece, math.log(n / total)) for piece, n in pieces)]


def _byte_level(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    frequent = [piece for piece in _pieces(_words(tokenizer, texts)) if len(piece) > 1]
    pieces = [*_SPECIAL, *alphabet, *frequent[: vocab_size - len(_SPECIAL)]]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    # A piece is merged from any two that the vocabulary has.
    merges = [
        (piece[:cut], piece[cut:])
        for piece in pieces[len(_SPECIAL) :]
        for cut in range(1, len(piece))
        if piece[:cut] in vocabulary and piece[cut:] in vocabulary
    ]
    tokenizer.model = models.BPE(vocabulary, merges)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **_NAMES)


_KINDS = {
    "bert": _word_piece,
    "electra": _word_piece,
    "deberta-v2": _unigram,
    "xlm-roberta": _unigram_sentences,
}
