"""Pretrained backbones: encoders, decoders made bidirectional, LLM2Vec checkpoints with their adapters."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from peft import PeftConfig, PeftModel
from peft.utils import get_peft_model_state_dict
from transformers import (
    AutoModelForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging

from gliner_mt.backbones.attention import built_with
from gliner_mt.backbones.configs import auto_class, backbone_config, backbone_values, without_wrapper
from gliner_mt.backbones.families import family_of, warn_if_assumed
from gliner_mt.backbones.selftest import check_bidirectional
from gliner_mt.backbones.vocabulary import check_vocabulary, read_pretrained_tokenizer
from gliner_mt.checkpoint.hub import resolve_pretrained
from gliner_mt.checkpoint.native import check_weights, read_json, read_weights
from gliner_mt.config import nearest
from gliner_mt.errors import CheckpointError, ConfigError

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
LLM2VEC_CONFIG = "llm2vec_config.json"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "*.model")
_LONGEST_CHAIN = 4
_UNDER_A_HEAD = "base_model.model.model."


@dataclass(frozen=True, slots=True)
class LoadedBackbone:
    """A pretrained backbone: the bare model in evaluation mode, its config's values, its tokenizer.

    `config` is what `ModelConfig.backbone` holds: plain values, `model_type` included. `tokenizer` is None
    where the files have none.
    """

    model: PreTrainedModel
    config: dict[str, Any]
    tokenizer: PreTrainedTokenizerFast | None


def load_backbone(  # noqa: PLR0913 - a source, and by name the exceptions to what it says of itself
    source: str | Path,
    *,
    attention: str | None = None,
    causal: bool = False,
    adapters: Sequence[str | Path] = (),
    base: str | Path | None = None,
    merge: bool = True,
    changes: Mapping[str, Any] | None = None,
    local_files_only: bool = False,
) -> LoadedBackbone:
    """Load a pretrained encoder or decoder without heads, its weights as float32.

    Decoders see all sub-words, as in LLM2Vec (arXiv 2404.05961, section 2), which a self-test proves.
    `source` may be an LLM2Vec checkpoint: an adapter without weights of its own. The base is the one that its
    adapter_config.json names, which may be such a checkpoint itself. Adapters are merged from the base up.

    Args:
        source: a folder or a hub id.
        attention: a name that transformers knows, such as "sdpa"; None leaves the choice to us.
        causal: leave a decoder as it is, for checkpoints that were trained so.
        adapters: adapters to put on top, folders or hub ids: LLM2Vec's SimCSE or supervised ones, say.
        base: a copy of the adapter's base, instead of the one that it names.
        merge: merge the last adapter too; else its layers stay beside the weights.
        changes: values of its config to change, such as dropout or RoPE scaling.
        local_files_only: never use the network.

    Raises:
        CheckpointError: files that are missing or do not fit together, a decoder that is not bidirectional.
        ConfigError: a model that cannot be a backbone, or `causal` for an encoder.
    """
    folder, chain = _base_and_adapters(source, base, local_files_only)
    chain += [resolve_pretrained(adapter, local_files_only=local_files_only) for adapter in adapters]
    values = backbone_values(_changed(_read_config(folder), changes or {}), causal=causal)
    config = backbone_config(values, causal=causal)
    kind = auto_class(family_of(config.model_type), config)
    model = without_wrapper(_read_model(kind, folder, config, attention))
    for index, adapter in enumerate(chain):
        model = _with_adapter(model, adapter, merge=merge or index + 1 < len(chain))
    warn_if_assumed(family_of(config.model_type))
    check_bidirectional(model, source)
    tokenizer = next(
        (read_pretrained_tokenizer(path) for path in [*chain[::-1], folder] if _has_tokenizer(path)), None
    )
    if tokenizer is not None:
        check_vocabulary(tokenizer.backend_tokenizer, {}, config.vocab_size, source)
    return LoadedBackbone(model.train(False), values, tokenizer)


def load_language_model(
    source: str | Path, *, attention: str | None = None, local_files_only: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Load a decoder with its language model head, as float32, and let it see all sub-words.

    Args:
        source: a folder or a hub id.
        attention: a name that transformers knows, such as "sdpa"; None leaves the choice to us.
        local_files_only: never use the network.

    Raises:
        CheckpointError: files that are missing or do not fit together, a decoder that is not bidirectional.
        ConfigError: an encoder.
    """
    folder = resolve_pretrained(source, local_files_only=local_files_only)
    config = backbone_config(_read_config(folder))
    family = family_of(config.model_type)
    if not family.decoder:
        raise ConfigError(
            f"{source} is an encoder ({family.name}), which sees both sides already; expected a language "
            "model, such as a llama."
        )
    model = _read_model(AutoModelForCausalLM, folder, config, attention)
    warn_if_assumed(family)
    check_bidirectional(cast(PreTrainedModel, model.base_model), source)
    tokenizer = read_pretrained_tokenizer(folder)
    check_vocabulary(tokenizer.backend_tokenizer, {}, config.vocab_size, source)
    return model, tokenizer


def _base_and_adapters(
    source: str | Path, base: str | Path | None, local_files_only: bool
) -> tuple[Path, list[Path]]:
    """Return the folder with the weights, and those of the adapters that lead to it, lowest first."""
    adapters: list[Path] = []
    folder = resolve_pretrained(source, local_files_only=local_files_only)
    while (folder / ADAPTER_CONFIG).is_file():
        if any(folder.glob("model*.safetensors")) or any(folder.glob("pytorch_model*.bin")):
            raise CheckpointError(
                f"{folder} holds both an adapter and whole weights, so what its base is cannot be known. "
                "Move the adapter into a folder of its own and give it in adapters."
            )
        if len(adapters) == _LONGEST_CHAIN:
            raise CheckpointError(
                f"{source} is an adapter of an adapter, and so on {_LONGEST_CHAIN} times; expected weights "
                "by then. Check base_model_name_or_path of each, or give base."
            )
        adapters.insert(0, folder)
        folder, base = _base_of(folder, base, local_files_only), None
    return folder, adapters


def _base_of(adapter: Path, base: str | Path | None, local_files_only: bool) -> Path:
    named = read_json(adapter / ADAPTER_CONFIG).get("base_model_name_or_path")
    if base is None and (adapter / LLM2VEC_CONFIG).is_file():
        # Its training names the first base, even where it started from one with MNTP's adapter merged.
        raise CheckpointError(
            f"{adapter} was saved by LLM2Vec as an adapter of {named}, but may stand on another adapter "
            "(MNTP's), without which its states are wrong. Load what it stands on and give this one in "
            "adapters; if it was trained on the bare model, give that as base."
        )
    wanted = base or named
    if not wanted or not isinstance(wanted, (str, Path)):
        raise CheckpointError(
            f"{adapter / ADAPTER_CONFIG} names no base (base_model_name_or_path is {named!r}), and an "
            "adapter has no weights of its own. Give base: the model that it was trained on."
        )
    # A name relative to the adapter's folder is no hub id.
    beside = adapter / wanted
    try:
        return resolve_pretrained(beside if beside.is_dir() else wanted, local_files_only=local_files_only)
    except CheckpointError as error:
        raise CheckpointError(
            f"{adapter} is an adapter of {wanted} and needs its weights, but {error} "
            "If you have a copy elsewhere, give its folder as base."
        ) from error


def _read_config(folder: Path) -> dict[str, Any]:
    values = read_json(folder / "config.json")
    if not isinstance(values.get("model_type"), str):
        raise CheckpointError(
            f"{folder / 'config.json'} has no model_type; expected the folder of a Hugging Face encoder or "
            "decoder. A saved gliner_mt model is no backbone: load it with Extractor.load."
        )
    return values


def _changed(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `values` of a config with `changes`; their keys must be ones that such configs have."""
    if changes:
        known = {**values, **backbone_config(values).to_dict()}
        for key in changes:
            if key not in known:
                raise ConfigError(f"the backbone's config has no key {key!r}{nearest(key, known)}.")
    return {**values, **changes}


def _read_model(
    kind: Any,  # noqa: ANN401 - the auto classes have no common typed base
    folder: Path,
    config: PretrainedConfig,
    attention: str | None,
) -> PreTrainedModel:
    checked = built_with(attention or "auto", config)
    try:
        with _quiet():
            model, report = kind.from_pretrained(
                folder,
                config=config,
                attn_implementation=attention or checked,
                dtype=torch.float32,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except Exception as error:  # files, sizes and names fail in ways of their own
        raise CheckpointError(
            f"the backbone in {folder} cannot be loaded: {error} "
            "Check that its files are complete and belong to one model."
        ) from error
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise CheckpointError(
            f"the weights in {folder} lack {len(missing)} tensors of a {config.model_type} model, such as "
            f"{', '.join(missing[:3])}. Check that config and weights belong to the same model."
        )
    return cast(PreTrainedModel, model)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from reporting the heads that are left out, as they should be, and its progress."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _with_adapter(model: PreTrainedModel, folder: Path, *, merge: bool) -> PreTrainedModel:
    weights = read_weights(folder / ADAPTER_WEIGHTS)
    # Most adapters were trained with the head on: names of layers then begin with the bare model's own.
    under_a_head = all(key.startswith(_UNDER_A_HEAD) for key in weights)
    if under_a_head:
        weights = {key.replace("model.model.", "model.", 1): tensor for key, tensor in weights.items()}
    try:
        config = PeftConfig.from_pretrained(str(folder))
        config.task_type = None  # the bare model has no head that a task could name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of keys that do not fit: they are checked below
            wrapped = PeftModel.from_pretrained(
                model,
                str(folder),
                config=config,
                is_trainable=False,
                key_mapping={r"^model\.": ""} if under_a_head else None,
            )
    except Exception as error:  # PEFT fails in many ways, few of them typed
        raise CheckpointError(f"the adapter in {folder} cannot be put on its base: {error}") from error
    # Left to itself, PEFT asks the hub whether the base's vocabulary has grown.
    expected = get_peft_model_state_dict(wrapped, save_embedding_layers=False)
    check_weights(expected, weights, folder)
    return cast(PreTrainedModel, wrapped.merge_and_unload() if merge else wrapped.get_base_model())


def _has_tokenizer(folder: Path) -> bool:
    return any(any(folder.glob(name)) for name in _TOKENIZER_FILES)
