"""Checks of values that callers give to tasks."""

import math

from gliner_mt.errors import InputError


def check_threshold(value: object, what: str) -> float:
    """Return `value` if it is a probability, else raise `InputError` naming `what`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 <= value <= 1.0:
        raise InputError(f"{what} is {value!r}; expected a number from 0 to 1, for example 0.5.")
    return float(value)


def own_threshold(value: object, what: str) -> float | None:
    """Return a threshold; None, or "auto", leaves it to the model. Raise `InputError` for anything else."""
    return None if value is None or value == "auto" else check_threshold(value, what)


def line(text: object, what: str) -> str:
    """Return `text` without the white space around it if it is one line, else raise naming `what` it is."""
    if not isinstance(text, str):
        raise InputError(f"{what} {text!r} is a {type(text).__name__}; expected a string.")
    if not text.strip():
        raise InputError(f"{what} {text!r} is blank; expected a name such as 'person'.")
    if "\n" in text or "\r" in text:
        raise InputError(f"{what} {text!r} has a line break; write it on one line.")
    return text.strip()


def at_least_one(value: object, what: str) -> int:
    """Return `value` if it is a whole number from 1 up, else raise `InputError` naming `what`."""
    if type(value) is not int or value < 1:
        raise InputError(f"{what} is {value!r}; expected a whole number, at least 1.")
    return value


def sigmoid(logit: float) -> float:
    """Return the probability of a logit."""
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else 1 - 1 / (1 + math.exp(logit))
