"""What moves the weights: AdamW in groups, and the learning rate over the steps."""

from torch import nn
from torch.optim import AdamW, Optimizer


def make_optimizer(
    model: nn.Module, backbone: nn.Module, *, lr_backbone: float, lr_heads: float, weight_decay: float
) -> Optimizer:
    """Return AdamW (arXiv 1711.05101) over the weights that are trained.

    Weights of `backbone` have a rate of their own; vectors (biases, norms) have no decay.
    """
    of_the_backbone = {id(parameter) for parameter in backbone.parameters()}
    groups = []
    for of_backbone, rate in ((True, lr_backbone), (False, lr_heads)):
        for is_matrix, decay in ((True, weight_decay), (False, 0.0)):
            parameters = [
                p
                for p in model.parameters()
                if (id(p) in of_the_backbone) is of_backbone
                and (p.dim() > 1) is is_matrix
                and p.requires_grad
            ]
            if parameters:
                groups.append({"params": parameters, "lr": rate, "weight_decay": decay})
    return AdamW(groups, betas=(0.9, 0.98), fused=True)


def rate_at(step: int, *, steps: int, warmup: float) -> float:
    """Return the share of the peak rate: it rises over a share `warmup` of the steps, then falls to 0."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    return max(0.0, (steps - step) / max(1, steps - rising))
