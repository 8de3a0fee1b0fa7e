"""The table of backbone families. A family is a row of facts, not a class."""

from dataclasses import dataclass
from typing import Any

from gliner_mt.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Family:
    """What differs between backbones.

    `longest`: the config key that holds the most positions a model takes, None if it has no such limit.
    `reserved_positions`: positions at the start of the table that no token can have.
    `window`: the sub-words of a window unless the caller or the checkpoint says otherwise.
    `mask_2d_only`: the model takes no mask between pairs of sub-words, so no `parallel` labels.
    """

    name: str
    longest: str | None
    window: int = 512
    reserved_positions: int = 0
    mask_2d_only: bool = False


_FAMILIES = {
    family.name: family
    for family in (
        Family("bert", "max_position_embeddings"),
        Family("electra", "max_position_embeddings"),
        Family("roberta", "max_position_embeddings", reserved_positions=2),
        Family("xlm-roberta", "max_position_embeddings", reserved_positions=2),
        Family("deberta", None, mask_2d_only=True),
        Family("deberta-v2", None, mask_2d_only=True),
        Family("modernbert", "max_position_embeddings", window=2048),
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


def longest_window(family: Family, config: Any) -> int:  # noqa: ANN401 - configs have no common typed base
    """Return the default sub-words of a window of this backbone, special tokens and prompt included."""
    if family.longest is None:
        return family.window
    return min(family.window, getattr(config, family.longest) - family.reserved_positions)
