"""A residual network for `docs/networks.md`: gates on the inputs and on the neurons inside of each block."""

import torch
from torch import Tensor, nn

from pruning_core import Pruner


class Block(nn.Module):
    """x + W₂ g σ(norm(W₁ x)): the neurons between the two layers can go, the way around them stays as wide as it is."""

    def __init__(self, width: int, keep: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.norm = nn.BatchNorm1d(width)
        self.neurons = Pruner(width, keep)
        self.second = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.neurons(torch.relu(self.norm(self.first(x)))))


def make(inputs: int, classes: int, keep: int, width: int = 64) -> nn.Module:
    """The network: `inputs` and `classes` come from the data, `keep` is `data.keep`, `width` is searched."""
    return nn.Sequential(
        Pruner(inputs, keep, name="inputs"),
        nn.Linear(inputs, width),
        nn.ReLU(),
        Block(width, width // 4),
        Block(width, width // 4),
        nn.Linear(width, classes),
    )
