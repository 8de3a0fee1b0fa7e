"""The table of backbone families. A family is a row of facts, not a class."""

import warnings
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

_SEVEN = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_BERT = ("query", "key", "value", "dense")
_OWN_FORM = "its attention has a form of its own, which leaves padding out on CPUs by itself"
_BUCKETS = "its attention adds a bias by the distance of places in the batch"


class Sliding(str, Enum):
    """What becomes of layers that see only `sliding_window` sub-words to either side.

    `BY_LAYER`: kept; the config's `layer_types` says which they are. `EVERY_LAYER`: kept; all of them, if the
    config sets a window. `DROPPED`: every layer sees everything, as LLM2Vec has it for Mistral.
    """

    NONE = "none"
    BY_LAYER = "by layer"
    EVERY_LAYER = "every layer"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Family:
    """What differs between backbones.

    `decoder`: trained to see earlier sub-words only, and made to see all (LLM2Vec, arXiv 2404.05961).
    `encoder_of_two`: the encoder of an encoder-decoder model; its decoder is left out.
    `lora`: names of the linear layers that adapters are put on. `embedding`: where sub-words get vectors.
    `limited_by`: the config key that must be true for a limit of positions to hold (None: it always does).
    `window`: the sub-words of a window of a backbone without a limit of positions.
    `reserved_positions`: positions at the start of the table that no token can have.
    `sliding`: what becomes of windows that layers see around each sub-word.
    `padding_mask_only`: takes no mask between pairs of sub-words, or counts positions itself; so no
    `parallel` labels.
    `unpackable`: why rows cannot run one behind the other without padding; None if they can.
    `assumed`: not from the table: the facts are guesses.
    """

    name: str
    lora: tuple[str, ...] = _BERT
    embedding: str = "embeddings.word_embeddings"
    decoder: bool = False
    encoder_of_two: bool = False
    limited_by: str | None = None
    window: int = 512
    reserved_positions: int = 0
    sliding: Sliding = Sliding.NONE
    padding_mask_only: bool = False
    unpackable: str | None = None
    assumed: bool = False


_DEBERTA = Family("deberta", limited_by="position_biased_input", padding_mask_only=True, unpackable=_OWN_FORM)
_T5 = Family(
    "t5",
    lora=("q", "k", "v", "o", "wi", "wi_0", "wi_1", "wo"),
    embedding="embed_tokens",
    encoder_of_two=True,
    padding_mask_only=True,
    unpackable=_BUCKETS,
)
_LLAMA = Family("llama", lora=_SEVEN, embedding="embed_tokens", decoder=True)

_FAMILIES = {
    family.name: family
    for family in (
        Family("bert"),
        Family("electra"),
        Family("roberta", reserved_positions=2),
        Family("xlm-roberta", reserved_positions=2),
        Family("camembert", reserved_positions=2),
        replace(_DEBERTA, lora=("in_proj", "dense"), unpackable=_BUCKETS),
        replace(_DEBERTA, name="deberta-v2", lora=("query_proj", "key_proj", "value_proj", "dense")),
        Family(
            "modernbert",
            lora=("Wqkv", "Wo", "Wi"),
            embedding="embeddings.tok_embeddings",
            sliding=Sliding.BY_LAYER,
        ),
        replace(_LLAMA, name="eurobert", decoder=False),
        _T5,
        replace(_T5, name="mt5"),
        replace(_T5, name="umt5"),
        _LLAMA,
        replace(_LLAMA, name="mistral", sliding=Sliding.DROPPED),
        replace(_LLAMA, name="qwen2", sliding=Sliding.BY_LAYER),
        replace(_LLAMA, name="qwen3", sliding=Sliding.BY_LAYER),
        replace(_LLAMA, name="gemma"),
        replace(_LLAMA, name="gemma2", sliding=Sliding.BY_LAYER),
        replace(_LLAMA, name="gemma3_text", sliding=Sliding.BY_LAYER),
        replace(
            _LLAMA,
            name="phi3",
            lora=("qkv_proj", "o_proj", "gate_up_proj", "down_proj"),
            sliding=Sliding.EVERY_LAYER,
        ),
        replace(_LLAMA, name="smollm3", sliding=Sliding.BY_LAYER),
        replace(_LLAMA, name="olmo2"),
        replace(_LLAMA, name="olmo3", sliding=Sliding.BY_LAYER),
        replace(_LLAMA, name="granite"),
        replace(_LLAMA, name="helium"),
    )
}


def family_of(model_type: str) -> Family:
    """Return the row of a Hugging Face `model_type`; one of assumptions if the table has none."""
    if model_type in _FAMILIES:
        return _FAMILIES[model_type]
    decoder = (
        model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        and model_type not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    )
    return Family(
        model_type,
        lora=("all-linear",),  # PEFT's word for every linear layer
        embedding="",
        decoder=decoder,
        reserved_positions=2,  # as RoBERTa's relatives have; two positions fewer harm no other
        padding_mask_only=True,
        unpackable="its family is not in the table",
        assumed=True,
    )


def families() -> tuple[Family, ...]:
    """Return the rows of the table."""
    return tuple(_FAMILIES.values())


def warn_if_assumed(family: Family) -> None:
    """Say what is assumed of a backbone whose family the table lacks."""
    if family.assumed:
        kind = "a decoder, which is made to see all sub-words" if family.decoder else "an encoder"
        warnings.warn(
            f"{family.name!r} is not in the table of backbone families. Assumed: that it is {kind}; that "
            "max_position_embeddings of its config, if there, is its longest input; that it takes a mask of "
            "padding only, so that labels stand in a prompt and rows are padded. "
            "Compare its answers with what you know of it.",
            stacklevel=3,
        )


def first_position(family: Family, config: Any) -> int:  # noqa: ANN401 - configs have no common typed base
    """Return the position id of a row's first sub-word: RoBERTa counts from behind its padding token's id."""
    if family.assumed or not family.reserved_positions:
        return family.reserved_positions
    return int(config.pad_token_id) + 1


def position_limit(family: Family, config: Any) -> int | None:  # noqa: ANN401 - configs have no common typed base
    """Return the most sub-words that a backbone takes, special tokens included; None if there is no limit."""
    if family.limited_by is not None and not getattr(config, family.limited_by):
        return None
    limit = getattr(config, "max_position_embeddings", None)
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") == "longrope":
        # Beyond it, positions are turned in another way, and those of all other texts in the batch too.
        limit = rope["original_max_position_embeddings"]
    return None if limit is None else int(limit) - first_position(family, config)


def longest_window(family: Family, config: Any) -> int:  # noqa: ANN401 - configs have no common typed base
    """Return the default sub-words of a window: as many as the backbone was made for, labels included."""
    return position_limit(family, config) or family.window


def local_reach(family: Family, config: Any) -> int | None:  # noqa: ANN401 - configs have no common typed base
    """Return the positions to either side that local layers see; None if every layer sees everything."""
    if family.sliding is Sliding.BY_LAYER and "sliding_attention" in config.layer_types:
        return int(config.sliding_window)
    if family.sliding is Sliding.EVERY_LAYER and config.sliding_window is not None:
        return int(config.sliding_window)
    return None
