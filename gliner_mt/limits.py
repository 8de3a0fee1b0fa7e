"""How much is read at once: sub-words of a window, sub-words and logits of a batch."""

from dataclasses import dataclass

from gliner_mt.backbones.families import family_of, position_limit
from gliner_mt.config import ModelConfig
from gliner_mt.errors import InputError
from gliner_mt.model import SpanMatcher

_BATCH_TOKENS = {"cpu": 2_048}
_BATCH_TOKENS_ELSEWHERE = 32_768
_LOGITS = {"cpu": 1 << 25}
_LOGITS_ELSEWHERE = 1 << 28
_SMALLEST_WINDOW = 64


@dataclass(frozen=True, slots=True)
class Limits:
    """What fits: sub-words of a window (prompt included), sub-words and logits of a padded batch."""

    window_tokens: int
    batch_tokens: int
    logits: int = 1 << 25


def limits_of(config: ModelConfig, model: SpanMatcher, max_tokens: int | None = None) -> Limits:
    """Return what a model reads at once where it is; windows of `max_tokens`, None being the model's own.

    Raises:
        InputError: the model cannot read windows of `max_tokens`.
    """
    device = next(model.parameters()).device.type
    return Limits(
        window_tokens=config.max_tokens if max_tokens is None else _checked(max_tokens, config, model),
        batch_tokens=_BATCH_TOKENS.get(device, _BATCH_TOKENS_ELSEWHERE),
        logits=_LOGITS.get(device, _LOGITS_ELSEWHERE),
    )


def _checked(max_tokens: int, config: ModelConfig, model: SpanMatcher) -> int:
    least = max(_SMALLEST_WINDOW, 2 * config.text_position if config.labels == "parallel" else 0)
    encoder = model.backbone.model.config
    most = position_limit(family_of(encoder.model_type), encoder)
    if type(max_tokens) is not int or max_tokens < least or (most is not None and max_tokens > most):
        up_to = "" if most is None else f" and at most {most}"
        raise InputError(f"max_tokens is {max_tokens!r}; expected a whole number, at least {least}{up_to}.")
    return max_tokens
