"""The default network: gated inputs and a few hidden layers.

A network of your own is any function that takes the trial's configuration, the number of features and the number of
classes and returns an `nn.Module` with at least one `Pruner`; hand it to `train` as `network`.
"""

from collections.abc import Callable
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from pruning_core.config import TrialConfig
from pruning_core.pruner import Pruner

NetworkFactory = Callable[[TrialConfig, int, int], nn.Module]


class GatedMLP(nn.Module):
    """Linear layers with ReLU between them, behind a `Pruner` on the inputs.

    The gates multiply the first layer's weights instead of the batch: (x g) W^T = x (g W)^T, which spares a product
    with the size of the batch and its gradient.

    Args:
        features: F = N, the gated inputs.
        classes: C.
        keep: n.
        hidden: widths of the hidden layers; none makes a linear classifier.
        initial_weight: w_0.
    """

    def __init__(self, features: int, classes: int, keep: int, hidden: tuple[int, ...], initial_weight: float) -> None:
        super().__init__()
        self.pruner = Pruner(features, keep, initial_weight)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise((features, *hidden, classes)))

    def forward(self, x_BF: Tensor) -> Tensor:
        first = self.layers[0]
        assert isinstance(first, nn.Linear)
        h_BH = functional.linear(x_BF, first.weight * self.pruner.gates(), first.bias)
        for layer in self.layers[1:]:
            h_BH = layer(functional.relu(h_BH))
        return h_BH


def gated_mlp(config: TrialConfig, features: int, classes: int) -> nn.Module:
    """The default network of a configuration (`hidden`, `keep`, `initial_weight`)."""
    return GatedMLP(features, classes, config.keep, config.hidden, config.initial_weight)
