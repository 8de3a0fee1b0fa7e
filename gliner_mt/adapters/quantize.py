"""Frozen backbones in 4 bits, for QLoRA."""

from collections.abc import Collection
from importlib.util import find_spec
from typing import cast

import torch
from torch import nn
from transformers import PreTrainedModel

from gliner_mt.errors import ConfigError


def quantize(encoder: PreTrainedModel, targets: Collection[str]) -> None:
    """Hold the linear layers named in `targets` as 4-bit NormalFloat, twice quantised.

    QLoRA, arXiv 2305.14314, section 3. They compute in bfloat16.

    Raises:
        ConfigError: no CUDA device, or no bitsandbytes.
    """
    device = next(encoder.parameters()).device
    lacks = [f"the model is on {device}, not on CUDA"] if device.type != "cuda" else []
    lacks += ["bitsandbytes is not installed"] if find_spec("bitsandbytes") is None else []
    if lacks:
        raise ConfigError(
            f"method 'qlora' needs a CUDA device and bitsandbytes, but {' and '.join(lacks)}. "
            "Install it with `pip install gliner_mt[qlora]` and load the model on CUDA, or use method 'lora'."
        )
    replace_linear(encoder, targets)


def replace_linear(encoder: PreTrainedModel, targets: Collection[str]) -> None:
    """Put 4-bit layers in the place of the linear layers that `targets` names."""
    from bitsandbytes.nn import Linear4bit, Params4bit

    for name, layer in list(encoder.named_modules()):
        if type(layer) is nn.Linear and name.rpartition(".")[2] in targets:
            few = Linear4bit(
                layer.in_features,
                layer.out_features,
                bias=layer.bias is not None,
                compute_dtype=torch.bfloat16,
                quant_type="nf4",
            )
            few.weight = Params4bit(layer.weight.data, requires_grad=False, quant_type="nf4")
            if layer.bias is not None:  # a copy, since bitsandbytes turns it into bfloat16 where it stands
                few.bias = nn.Parameter(layer.bias.detach().clone(), requires_grad=False)
            encoder.set_submodule(name, cast(nn.Module, few.to(layer.weight.device)))
    # PEFT makes layers for 4-bit weights only where a model says that it has them.
    encoder.is_loaded_in_4bit = True  # type: ignore[assignment]
