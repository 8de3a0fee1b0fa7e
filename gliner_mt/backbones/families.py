"""The table of backbone families. A family is a row of facts, not a class."""

from dataclasses import dataclass
from typing import Any

from gliner_mt.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Family:
    """What differs between backbones.

    `limited_by`: the config key that must be true for a limit of positions to hold (None: it always does).
    `reserved_positions`: positions at the start of the table that no token can have.
    `window`: the sub-words of a window unless the caller or the checkpoint says otherwise.
    `sliding`: some layers see only a window around each sub-word.
    `mask_2d_only`: the model takes no mask between pairs of sub-words, so no `parallel` labels.
    """

    name: str
    limited_by: str | None = None
    window: int = 512
    reserved_positions: int = 0
    sliding: bool = False
    mask_2d_only: bool = False


_FAMILIES = {
    family.name: family
    for family in (
        Family("bert"),
        Family("electra"),
        Family("roberta", reserved_positions=2),
        Family("xlm-roberta", reserved_positions=2),
        Family("deberta", limited_by="position_biased_input", mask_2d_only=True),
        Family("deberta-v2", limited_by="position_biased_input", mask_2d_only=True),
        Family("modernbert", window=2048, sliding=True),
    )
}


def family_of(model_type: str) -> Family:
    """Return the row of a Hugging Face `model_type`.

    Raises:
        ConfigError: no such row.
    """
    if model_type not in _FAMILIES:
        known = ", ".join(sorted(_FAMILIES))
        raise ConfigError(f"backbone of type {model_type!r} is not supported; expected one of {known}.")
    return _FAMILIES[model_type]


def position_limit(family: Family, config: Any) -> int | None:  # noqa: ANN401 - configs have no common typed base
    """Return the most sub-words that a backbone takes, special tokens included; None if there is no limit."""
    if family.limited_by is not None and not getattr(config, family.limited_by):
        return None
    return int(config.max_position_embeddings) - family.reserved_positions


def longest_window(family: Family, config: Any) -> int:  # noqa: ANN401 - configs have no common typed base
    """Return the default sub-words of a window of this backbone, special tokens and prompt included."""
    return min(family.window, position_limit(family, config) or family.window)
