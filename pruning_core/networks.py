"""How a network is built and what is known about it: `NetworkSpec`, and the built-in one, gated inputs and an MLP.

A network of your own is any function that takes the trial's configuration, the number of features and the number of
classes and returns an `nn.Module` with at least one `Pruner`; hand it to `train` as `network`, by itself or in a
`NetworkSpec` that says more. It needs a `forward` only: `stacked_forward` below is a shortcut for the network that most
searches train.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from pruning_core import compaction
from pruning_core.pruner import Pruner
from pruning_core.structure import structure

if TYPE_CHECKING:
    from pruning_core.config import TrialConfig

NetworkFactory = Callable[["TrialConfig", int, int], nn.Module]
Backward = Callable[[Tensor], dict[str, Tensor]]
StackedForward = Callable[[nn.Module, Mapping[str, Tensor], Tensor], tuple[Tensor, Backward]]


def unknown_widths(config: "TrialConfig", features: int, classes: int) -> tuple[int, ...] | None:
    """Those of a network of which nobody said how wide its layers are: None."""
    return None


@dataclass(frozen=True)
class NetworkSpec:
    """All that training and a search need to know about a network.

    Parameters
    ----------
    build : callable
        (config, features, classes) -> a new network with random numbers from torch's global generator.
    input_shape : tuple of int, optional
        Of one row as the network takes it, such as (1, 28, 28); None for flat rows, (F,).
    kind : callable
        network -> what two networks must have in common to be computed as one stack, None for one that is never joined
        with others. By default all but their numbers, see `structure`.
    widths : callable
        (config, features, classes) -> widths of all layers, from the inputs to the classes, by which the memory of a
        step is estimated before anything is built; None where they are not known.
    compact : callable
        (network, mean, scale) -> the pruned network as a smaller one on raw columns; raises `CompactionError` where it
        cannot. See `compaction.compact`.

    Examples
    --------
    >>> def linear(config, features, classes):
    ...     return nn.Sequential(Pruner(features, config.keep), nn.Linear(features, classes))
    >>> NetworkSpec(linear).input_shape is None
    True
    """

    build: NetworkFactory
    input_shape: tuple[int, ...] | None = None
    kind: Callable[[nn.Module], Hashable | None] = structure
    widths: Callable[["TrialConfig", int, int], tuple[int, ...] | None] = unknown_widths
    compact: Callable[[nn.Module, Tensor, Tensor], compaction.Compacted] = compaction.compact


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

    `pruner_on_inputs` is the path of its pruner, which nobody would find on the inputs: its `forward` is never called.
    """

    pruner_on_inputs: ClassVar[str] = "pruner"

    def __init__(self, features: int, classes: int, keep: int, hidden: tuple[int, ...], initial_weight: float) -> None:
        super().__init__()
        self.pruner = Pruner(features, keep, initial_weight, name="inputs")
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise((features, *hidden, classes)))

    def forward(self, x_BF: Tensor) -> Tensor:
        first = self.layers[0]
        assert isinstance(first, nn.Linear)
        h_BH = functional.linear(x_BF, first.weight * self.pruner.gates(), first.bias)
        for layer in self.layers[1:]:
            h_BH = layer(functional.relu(h_BH))
        return h_BH

    def as_layers(self) -> list[nn.Module]:
        """The same network as layers that follow one another, for `compaction.compact`."""
        first, *others = self.layers
        return [self.pruner, first, *(module for layer in others for module in (nn.ReLU(), layer))]

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


def _gated_mlp(config: "TrialConfig", features: int, classes: int) -> nn.Module:
    return GatedMLP(features, classes, config.keep, config.hidden, config.initial_weight)


def _widths(config: "TrialConfig", features: int, classes: int) -> tuple[int, ...]:
    return features, *config.hidden, classes


GATED_MLP = NetworkSpec(_gated_mlp, widths=_widths)
"""The built-in network: that of a configuration's `hidden`, `keep` and `initial_weight`."""
