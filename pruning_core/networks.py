"""The default network: gated inputs and a few hidden layers.

A network of your own is any function that takes the trial's configuration, the number of features and the number of
classes and returns an `nn.Module` with at least one `Pruner`; hand it to `train` as `network`. It needs a `forward`
only: `stacked_forward` below is a shortcut for the network that most searches train.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from pruning_core.pruner import Pruner

if TYPE_CHECKING:
    from pruning_core.config import TrialConfig

NetworkFactory = Callable[["TrialConfig", int, int], nn.Module]
Backward = Callable[[Tensor], dict[str, Tensor]]
StackedForward = Callable[[nn.Module, Mapping[str, Tensor], Tensor], tuple[Tensor, Backward]]


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

    def stacked_forward(self, parameters: Mapping[str, Tensor], x_RBF: Tensor) -> tuple[Tensor, Backward]:
        """R networks at once: their logits, (R, B, C), and the function from dL/dlogits to dL/dparameters, by name.

        What `Replicas` uses in place of `vmap` over `forward`. A step of 8 replicas takes 0.55 ms on one core, with
        `vmap` 1.3 ms and with autograd through these products 0.7 ms. Rows come last, (R, H, B): a product with few
        classes is twice as fast that way, and the softmax after it (see `cross_entropy`).

        Args:
            parameters: of the R networks, each stacked, (R, ...).
        """
        gates_RF = torch.sigmoid(parameters["pruner.weight"].double()).to(x_RBF.dtype)  # in float64: see losses.py
        weights = [parameters[f"layers.{i}.weight"] for i in range(len(self.layers))]
        weights[0] = weights[0] * gates_RF.unsqueeze(1)
        inputs = [x_RBF.mT]
        for i, weight in enumerate(weights):
            h_RHB = torch.baddbmm(parameters[f"layers.{i}.bias"].unsqueeze(2), weight, inputs[i])
            if i + 1 < len(weights):
                inputs.append(h_RHB.relu_())

        def backward(to_logits_RBC: Tensor) -> dict[str, Tensor]:
            gradients, to_h_RHB = {}, to_logits_RBC.mT
            for i in reversed(range(len(weights))):
                gradients[f"layers.{i}.weight"] = torch.bmm(to_h_RHB, inputs[i].mT)
                gradients[f"layers.{i}.bias"] = to_h_RHB.sum(2)
                if i > 0:
                    to_h_RHB = torch.ops.aten.threshold_backward(torch.bmm(weights[i].mT, to_h_RHB), inputs[i], 0)
            to_gated_RHF = gradients["layers.0.weight"]
            if parameters["pruner.weight"].requires_grad:
                gradients["pruner.weight"] = weights[0].mul_(to_gated_RHF).sum(1) * (1 - gates_RF)
            to_gated_RHF.mul_(gates_RF.unsqueeze(1))
            return gradients

        return h_RHB.mT, backward


def gated_mlp(config: "TrialConfig", features: int, classes: int) -> nn.Module:
    """The default network of a configuration (`hidden`, `keep`, `initial_weight`)."""
    return GatedMLP(features, classes, config.keep, config.hidden, config.initial_weight)
