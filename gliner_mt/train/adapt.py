"""From a decoder language model to an encoder of text: `gliner-mt adapt`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from gliner_mt.backbones.families import family_of, position_limit
from gliner_mt.backbones.loading import load_language_model
from gliner_mt.errors import ConfigError, InputError
from gliner_mt.train.loop import Run
from gliner_mt.train.loop_config import LoopConfig
from gliner_mt.train.mntp import Masker, MaskingConfig, NextTokenModel, mntp_loss
from gliner_mt.train.texts import PackedTexts, TextFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraSettings:
    """Low-rank adapters on all linear layers of the decoder (LoRA, arXiv 2106.09685, section 4.1).

    Attributes:
        rank: rank of each adapter.
        alpha: an adapter counts `alpha / rank` times.
        dropout: of its input, in training.
    """

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.05

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ConfigError(f"lora.rank is {self.rank}; expected 1 or more, or lora: null for all weights.")
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"lora.dropout is {self.dropout}; expected 0 or more, less than 1.")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptConfig:
    """How a decoder is adapted.

    Attributes:
        model: the decoder, a folder or a hub id.
        texts: files of texts: .txt, .md or .jsonl, each plain or gzipped (.gz).
        text_column: the key of the text in .jsonl files.
        length: tokens of a sequence.
        masking: which tokens are masked.
        lora: the adapters that are trained; None: all weights are.
        attention: how attention is computed, a name of transformers; None leaves the choice to us.
        loop: how the weights are moved, all at `lr_backbone`.
    """

    model: str
    texts: tuple[str, ...] = ()
    text_column: str = "text"
    length: int = 512
    masking: MaskingConfig = field(default_factory=MaskingConfig)
    lora: LoraSettings | None = field(default_factory=LoraSettings)
    attention: str | None = None
    loop: LoopConfig

    def __post_init__(self) -> None:
        if self.length < 2:
            raise ConfigError(f"length is {self.length}; expected at least 2 tokens.")


def adapt(config: AdaptConfig, out: Path, *, local_files_only: bool = False) -> list[float]:
    """Teach a decoder to use both sides of a token, by masked next-token prediction; return each step's loss.

    `out` becomes a folder that `load_backbone` and AutoModel read: the decoder, bidirectional, without its
    language model head, and the tokenizer. `out/adapter` has the adapters alone, `out/run` the state of the
    run: an interrupted one goes on from there.

    Raises:
        CheckpointError: files that are missing or do not fit together.
        ConfigError: a model that is no decoder, a mask that is not in the vocabulary, sequences too long.
        InputError: no text, too little, or a file that cannot be read.
    """
    if not config.texts:
        raise InputError("there is no text to learn from; give files, .txt, .md or .jsonl, plain or gzipped.")
    model, tokenizer = load_language_model(
        config.model, attention=config.attention, local_files_only=local_files_only
    )
    limit = position_limit(family_of(model.config.model_type), model.config)
    if limit is not None and config.length > limit:
        raise ConfigError(f"length is {config.length}; {config.model} reads {limit} tokens at most.")
    source = PackedTexts(
        TextFiles([Path(text) for text in config.texts], config.text_column),
        tokenizer,
        _masker(config.masking, tokenizer),
        length=config.length,
        seed=config.loop.seed,
    )
    torch.manual_seed(config.loop.seed)
    decoder = cast(PreTrainedModel, model.base_model)
    adapted = None if config.lora is None else _put_adapters(model, decoder, config.lora)
    learner = NextTokenModel(model)
    run = Run(learner, learner, source, mntp_loss, config.loop, out / "run")
    run.resume()
    losses = run.train(lambda step, trained: None)
    if adapted is not None:
        adapted.save_pretrained(str(out / "adapter"))
        decoder = cast(PreTrainedModel, adapted.merge_and_unload())
    decoder.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return losses


def _masker(config: MaskingConfig, tokenizer: PreTrainedTokenizerFast) -> Masker:
    mask_id = tokenizer.get_vocab().get(config.token)
    if mask_id is None:
        raise ConfigError(
            f"masking.token is {config.token!r}, which is not in the vocabulary; expected one of its tokens, "
            "and a rare one, such as '▁_' or 'Ġ_' where '_' alone is not one."
        )
    return Masker(config, mask_id=mask_id, vocabulary=len(tokenizer), kept=tokenizer.all_special_ids)


def _put_adapters(model: PreTrainedModel, decoder: PreTrainedModel, settings: LoraSettings) -> PeftModel:
    """Put adapters on the decoder inside `model`, as LLM2Vec lays them out, and freeze everything else."""
    targets = family_of(decoder.config.model_type).lora
    lora = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=targets[0] if targets == ("all-linear",) else list(targets),
    )
    model.requires_grad_(False)
    adapted = cast(PeftModel, get_peft_model(decoder, lora))
    setattr(model, model.base_model_prefix, adapted)
    return adapted
