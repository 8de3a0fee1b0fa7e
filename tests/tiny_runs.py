"""A run that takes milliseconds: a net with dropout, and batches of random numbers."""

from pathlib import Path

import torch
from torch import Tensor, nn

from gliner_mt.train.loop import Run
from gliner_mt.train.loop_config import LoopConfig

PLAIN = LoopConfig(steps=8, save_every=3, precision="no", lr_backbone=1e-2, lr_heads=3e-2, accumulate=2)


class Net(nn.Module):
    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.first = nn.Linear(4, width)
        self.dropout = nn.Dropout(0.3)
        self.last = nn.Linear(width, 1)

    def forward(self, rows: Tensor) -> Tensor:
        out: Tensor = self.last(self.dropout(self.first(rows).tanh()))
        return out[:, 0]


class Numbers:
    """Pools of three batches of four rows."""

    def pool(self, index: int, batch_tokens: int) -> list[Tensor]:
        random = torch.Generator().manual_seed(index)
        return list(torch.randn(3, 4, 4, generator=random))


def squared_error(model: nn.Module, rows: Tensor) -> Tensor:
    error: Tensor = (model(rows) - rows.sum(1)).square().mean()
    return error


def tiny_run(folder: Path, config: LoopConfig = PLAIN, seed: int = 0) -> tuple[Net, Run[Net, Tensor]]:
    torch.manual_seed(seed)
    net = Net()
    return net, Run(net, net.first, Numbers(), squared_error, config, folder)


def nothing(step: int, model: nn.Module) -> None:
    """Do nothing after a checkpoint."""
