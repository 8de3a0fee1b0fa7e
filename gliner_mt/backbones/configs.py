"""Configs of backbones: from plain values to a Hugging Face config and to a model of the right class."""

from collections.abc import Mapping
from typing import Any, cast

from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding, PretrainedConfig, PreTrainedModel

from gliner_mt.backbones.families import Family, Sliding, family_of
from gliner_mt.errors import ConfigError

# Of a saved config, what says how a model was run or stored rather than what it is.
_NOT_ARCHITECTURE = (
    "_attn_implementation",
    "_name_or_path",
    "architectures",
    "attn_implementation",
    "auto_map",
    "dtype",
    "gradient_checkpointing",
    "quantization_config",
    "torch_dtype",
    "transformers_version",
)


def backbone_values(values: Mapping[str, Any], *, causal: bool = False) -> dict[str, Any]:
    """Return what a `ModelConfig` keeps of a saved Hugging Face config, decoders made bidirectional.

    `is_causal=False` gives transformers' attention LLM2Vec's masks (arXiv 2404.05961, section 2.1); Mistral
    loses its window, as LLM2Vec has it. `causal` leaves a decoder as it was trained.

    Raises:
        ConfigError: `causal` for an encoder, or no model_type.
    """
    if not isinstance(values.get("model_type"), str):
        raise ConfigError("the config of the backbone has no model_type; expected one, such as 'bert'.")
    family = family_of(values["model_type"])
    kept = {key: value for key, value in values.items() if key not in _NOT_ARCHITECTURE}
    if not family.decoder:
        if causal:
            raise ConfigError(
                f"causal is true, but {family.name} is an encoder; expected false, or a decoder as llama is."
            )
        return kept
    kept |= {"is_causal": causal, "use_cache": False}
    if causal:
        return kept
    if family.sliding is Sliding.DROPPED:
        kept["sliding_window"] = None
    if kept.get("use_bidirectional_attention"):
        # Gemma 3's own switch (EmbeddingGemma) halves the window; |i - j| <= half is what it then sees.
        kept |= {"use_bidirectional_attention": False, "sliding_window": kept["sliding_window"] // 2}
    return kept


def backbone_config(values: Mapping[str, Any], *, causal: bool = False) -> PretrainedConfig:
    """Return the Hugging Face config that `values` describe; see `backbone_values`.

    Raises:
        ConfigError: a model type that transformers does not have, or a value that its config does not take.
    """
    plain = backbone_values(values, causal=causal)
    name = plain.pop("model_type")
    try:
        config = AutoConfig.for_model(name, **plain)
    except Exception as error:  # configs check their values, each in its own way
        reason = str(error).split(" Should contain one of")[0]
        raise ConfigError(f"the config of the {name} backbone cannot be used: {reason}.") from error
    for key in ("hidden_size", "vocab_size"):
        if type(getattr(config, key, None)) is not int:
            raise ConfigError(
                f"a {name} model cannot be a backbone: its config has no {key}. Expected a text encoder or "
                "decoder; of a model for images too, take the text part (such as gemma3_text)."
            )
    return config


def auto_class(family: Family, config: PretrainedConfig) -> type[AutoModel] | type[AutoModelForTextEncoding]:
    """Return the class that builds the bare model, without heads and without a second half.

    Raises:
        ConfigError: an encoder-decoder model whose encoder cannot be taken alone.
    """
    if family.encoder_of_two:
        return AutoModelForTextEncoding
    if config.is_encoder_decoder:
        raise ConfigError(
            f"{family.name} is an encoder-decoder model; expected an encoder, a decoder, or one of those "
            "whose encoder can be taken alone: t5, mt5, umt5."
        )
    return AutoModel


def without_wrapper(model: PreTrainedModel) -> PreTrainedModel:
    """Return the encoder inside a T5 encoder model, which holds its embedding twice; others as they are."""
    if family_of(model.config.model_type).encoder_of_two:
        return cast(PreTrainedModel, model.encoder)
    return model
