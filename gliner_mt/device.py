"""Where a model computes, and in which type of numbers, as users name them."""

import torch

from gliner_mt.config import nearest
from gliner_mt.errors import ConfigError

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def device_of(device: str | torch.device | None) -> torch.device:
    """Return the device of a name; None is CUDA if there is one. Raises ConfigError if it cannot be used."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f'device {str(device)!r} cannot be used: {reason} Expected "cpu", or a device this torch has.'
        ) from error


def dtype_of(dtype: str | torch.dtype | None) -> torch.dtype:
    """Return the type of a name; None is float32. Raises ConfigError for one that models are not held in."""
    if dtype is None:
        return torch.float32
    name = str(dtype).removeprefix("torch.")
    if name not in _DTYPES:
        raise ConfigError(f"dtype is {str(dtype)!r}{nearest(name, tuple(_DTYPES))}.")
    return _DTYPES[name]
