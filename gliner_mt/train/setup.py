"""What a run needs before its first step: Accelerate as it was launched, and the backbone as it is to run."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, DistributedType, InitProcessGroupKwargs
from accelerate.state import AcceleratorState, PartialState
from accelerate.tracking import get_available_trackers
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from gliner_mt.backbones.attention import PACKED, built_with
from gliner_mt.errors import ConfigError

_LONGEST_WAIT = timedelta(hours=12)  # of processes for the one that scores a checkpoint


def make_accelerator(precision: str, log_with: Sequence[str], folder: Path) -> Accelerator:
    """Return Accelerate's handle of this process; how many there are, and where, is the launcher's choice.

    Raises:
        ConfigError: a tracker that is not installed.
    """
    installed = [tracker.value for tracker in get_available_trackers()]
    for tracker in log_with:
        if tracker not in installed:
            raise ConfigError(
                f"log_with has {tracker!r}, which is not installed; expected one of {installed}, or "
                f"pip install {tracker}."
            )
    # Else the whole process keeps the precision of its first run, and of FSDP the name without the settings.
    in_parts = PartialState._shared_state.get("distributed_type") is DistributedType.FSDP
    AcceleratorState._reset_state(reset_partial_state=in_parts)
    return Accelerator(
        mixed_precision=precision,
        step_scheduler_with_optimizer=False,
        log_with=list(log_with) or None,
        project_dir=folder,
        kwargs_handlers=[
            # A batch without relations does not use the head that relates spans.
            DistributedDataParallelKwargs(find_unused_parameters=True),
            InitProcessGroupKwargs(timeout=_LONGEST_WAIT),
        ],
    )


def prepare_parts(
    accelerator: Accelerator, backbone: nn.Module, *, batches: int, max_grad_norm: float
) -> None:
    """Fill in what FSDP or DeepSpeed want to know and a user need not say.

    FSDP: the layers of `backbone`, each a part of its own. DeepSpeed, which adds up and clips the gradient
    itself: the `batches` of a process to a step, and the norm.
    """
    if accelerator.distributed_type is DistributedType.FSDP:
        plugin = accelerator.state.fsdp_plugin
        names = {type(layer).__name__ for layer in _layers(backbone)}
        plugin.transformer_cls_names_to_wrap = plugin.transformer_cls_names_to_wrap or sorted(names)
    else:
        accelerator.gradient_accumulation_steps = batches
        accelerator.state.deepspeed_plugin.deepspeed_config |= {
            "train_micro_batch_size_per_gpu": 1,  # counted in batches, whatever their rows
            "gradient_accumulation_steps": batches,
            "gradient_clipping": max_grad_norm,
        }


def prepare_backbone(backbone: nn.Module, *, checkpoint_layers: bool, backend: str | None) -> None:
    """Let encoders of `backbone` keep little for the gradient, or have their layers compiled by `backend`.

    What is compiled reads batches padded: then one graph serves all lengths.

    Raises:
        ConfigError: an encoder that cannot, or a backend that is not known.
    """
    if backend is not None and backend not in torch.compiler.list_backends(None):
        known = ", ".join(torch.compiler.list_backends())
        raise ConfigError(f"compile is {backend!r}; expected a backend of torch.compile: {known}.")
    for encoder in _pretrained(backbone):
        if checkpoint_layers:
            try:
                encoder.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            except ValueError as error:
                raise ConfigError(f"checkpoint_layers is true, but: {error} Leave it out.") from error
        if backend is not None:
            if encoder.config._attn_implementation == PACKED:  # compiled anew for each number of lengths
                encoder.set_attn_implementation(built_with("auto", encoder.config) or "sdpa")
            for layer in _layers(encoder):  # all of one kind are compiled once
                layer.compile(backend=backend, dynamic=True)


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    return (layer for layer in module.modules() if isinstance(layer, GradientCheckpointingLayer))


def _pretrained(module: nn.Module) -> Iterator[PreTrainedModel]:
    if isinstance(module, PreTrainedModel):
        yield module
        return
    for child in module.children():
        yield from _pretrained(child)
