"""Train a small LLaMA as a causal language model: `python -m tasks.causal_lm CONFIG --data DATA --out OUT`.

It gives `gliner-mt adapt` a decoder to start from where none can be downloaded. The tokenizer, a byte-level
BPE, is trained on the same texts. Goes on where an interrupted run with the same --out stopped.
"""

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Generator, Tensor
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from gliner_mt.config import from_yaml
from gliner_mt.train.data import read_texts
from gliner_mt.train.loop import Run
from gliner_mt.train.loop_config import LoopConfig
from gliner_mt.train.texts import PackedTexts

PAD, BOS = "<pad>", "<s>"
_HELD_OUT = 64  # one text of so many
_DEV_BATCHES = 8  # of 2,048 tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One run.

    Attributes:
        texts: files of texts, as paths within the data folder.
        vocabulary: tokens of the vocabulary.
        hidden_size, intermediate_size, layers, heads: of the LLaMA; its embeddings are tied.
        positions: longest input.
        length: tokens of a training sequence.
        attention: how attention is computed.
        loop: how the weights are moved; a language model is all backbone.
    """

    texts: tuple[str, ...]
    vocabulary: int = 8192
    hidden_size: int = 320
    intermediate_size: int = 864
    layers: int = 6
    heads: int = 5
    positions: int = 512
    length: int = 256
    attention: str = "sdpa"
    loop: LoopConfig


def main() -> None:
    """Train as the configuration says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder that the texts' paths start from")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run: its state and its model")
    arguments = parser.parse_args()
    train(from_yaml(Recipe, arguments.config), arguments.data, arguments.out)


def train(recipe: Recipe, data: Path, out: Path) -> None:
    """Train `recipe` with the texts of `data`; state, model and dev perplexity go to `out`."""
    texts = [text for name in recipe.texts for text in read_texts(data / name)]
    held_out = texts[::_HELD_OUT]
    del texts[::_HELD_OUT]
    tokenizer = train_tokenizer(texts, recipe.vocabulary)
    torch.manual_seed(recipe.loop.seed)
    model = new_model(recipe, tokenizer)
    source = PackedTexts(texts, tokenizer, ids_only, length=recipe.length, seed=recipe.loop.seed)
    dev = PackedTexts(held_out, tokenizer, ids_only, length=recipe.length, seed=0).pool(0, 2048)
    dev = dev[:_DEV_BATCHES]
    run = Run(model, model, source, next_token_loss, recipe.loop, out)
    run.resume()

    def after_save(step: int, trained: LlamaForCausalLM) -> None:
        trained.save_pretrained(out / "model")
        tokenizer.save_pretrained(out / "model")
        with (out / "dev.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps({"step": step, "perplexity": round(perplexity(trained, dev), 2)}) + "\n")

    run.train(after_save)


def train_tokenizer(texts: Sequence[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer, by which a word at the start of a text is the same as elsewhere."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, BOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    bos_id = tokenizer.token_to_id(BOS)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, bos_id)]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, pad_token=PAD, bos_token=BOS
    )


def new_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Return the recipe's LLaMA, untrained."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden_size,
        intermediate_size=recipe.intermediate_size,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        max_position_embeddings=recipe.positions,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=None,
    )
    model = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
        config, attn_implementation=recipe.attention
    )
    return cast(LlamaForCausalLM, model)


def ids_only(ids: Tensor, random: Generator) -> Tensor:
    """Return the ids: a causal model needs no more."""
    return ids


def next_token_loss(model: LlamaForCausalLM, ids: Tensor) -> Tensor:
    """Return the mean cross-entropy of every token but the first, given those before it."""
    loss: Tensor = model(input_ids=ids, labels=ids, use_cache=False).loss
    return loss


@torch.no_grad()
def perplexity(model: LlamaForCausalLM, batches: Sequence[Tensor]) -> float:
    """Return the perplexity of a token, over batches of sequences of one length."""
    model.train(False)
    losses = [next_token_loss(model, ids) * len(ids) for ids in batches]
    return math.exp(float(sum(losses)) / sum(map(len, batches)))


if __name__ == "__main__":
    main()
