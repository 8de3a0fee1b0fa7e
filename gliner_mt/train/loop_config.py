"""How the weights are moved in training, as data."""

from dataclasses import dataclass

from gliner_mt.errors import ConfigError

_RANGES = {
    "lr_backbone": (0.0, 100.0),
    "lr_heads": (0.0, 100.0),
    "warmup": (0.0, 1.0),
    "weight_decay": (0.0, 100.0),
    "max_grad_norm": (1e-6, 1e6),
    "seed": (0, 2**32 - 1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopConfig:
    """How the weights are moved.

    Attributes:
        steps: optimizer steps in all.
        batch_tokens: sub-words of a batch at most, padding counted.
        accumulate: batches to a step. Several processes share them: a run is the same on one or on eight.
        lr_backbone: peak learning rate of the backbone.
        lr_heads: peak learning rate of everything else; a language model is all backbone.
        warmup: share of the steps in which rates rise from 0; they then fall linearly to 0.
        weight_decay: of matrices; vectors (biases, norms) have none.
        max_grad_norm: gradients are clipped to this norm.
        precision: `no`, `bf16` or `fp16`.
        checkpoint_layers: keep only the inputs of layers and compute the rest anew for the gradient: less
            memory, about a third more time.
        compile: compile the backbone's layers with this backend of torch.compile, such as `inductor`.
        ema: decay of an average of the weights, such as 0.999; the average is scored and saved.
        patience: checkpoints without a better score after which the run ends.
        save_every: steps between checkpoints.
        log_with: where else loss and score are logged, such as `tensorboard` or `wandb`.
        seed: of weights, sampling and dropout.
        deterministic: on GPUs too, take kernels that add in one order, and fail where there is none.
    """

    steps: int
    batch_tokens: int = 4096
    accumulate: int = 1
    lr_backbone: float = 1e-4
    lr_heads: float = 5e-4
    warmup: float = 0.05
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    precision: str = "bf16"
    checkpoint_layers: bool = False
    compile: str | None = None
    ema: float | None = None
    patience: int | None = None
    save_every: int = 250
    log_with: tuple[str, ...] = ()
    seed: int = 0
    deterministic: bool = False

    def __post_init__(self) -> None:
        if self.precision not in ("no", "bf16", "fp16"):
            raise ConfigError(f"precision is {self.precision!r}; expected 'no', 'bf16' or 'fp16'.")
        for name in ("steps", "batch_tokens", "accumulate", "save_every", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}; expected at least 1.")
        for name, (least, most) in _RANGES.items():
            if not least <= getattr(self, name) <= most:
                raise ConfigError(
                    f"{name} is {getattr(self, name)}; expected a number from {least} to {most}."
                )
        if self.ema is not None and not 0.0 < self.ema < 1.0:
            raise ConfigError(f"ema is {self.ema}; expected a decay between 0 and 1, such as 0.999.")
