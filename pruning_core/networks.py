"""How a network is built and what is known about it: `NetworkSpec`, and the built-in one, gated inputs and an MLP.

A network of your own is any function that takes the trial's configuration, the number of features and the number of
classes and returns an `nn.Module` with at least one `Pruner`; hand it to `train` as `network`, by itself or in a
`NetworkSpec` that says more. It needs a `forward` only: `stacked_forward` below is a shortcut for the network that most
searches train.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

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

    def compact(
        self, network: nn.Module, mean: Tensor, scale: Tensor, rows: Tensor | None = None
    ) -> compaction.Compacted:
        """The pruned network of one replica as a smaller one on raw columns, see `compaction.compact`."""
        return compaction.compact(network, mean, scale, self.input_shape, rows)


Share = int | float | None
"""How many units survive: a count, a fraction of them, or None where none is dropped."""


def count_of(share: Share, units: int) -> int | None:
    """n of so many units; of a fraction the nearest number, at least 1.

    >>> count_of(0.25, 64), count_of(16, 64), count_of(None, 64)
    (16, 16, None)
    """
    return max(1, round(share * units)) if isinstance(share, float) else share


def pruners(
    name: str, widths: Sequence[int], shares: Sequence[Share], initial_weight: float, trailing_dims: int = 0
) -> list[Pruner | None]:
    """The pruner behind each of several layers, called by a name and the layer's number from 1; None for none.

    Args:
        name: of all of them.
        widths: of the layers.
        shares: n of each pruner; those that are left out at the end are None.
        initial_weight, trailing_dims: see `Pruner`.

    Raises:
        ValueError: there are more shares than layers, or an n is not below its layer's width.
    """
    if len(shares) > len(widths):
        raise ValueError(f"prune.{name} has {len(shares)} entries, and there are {len(widths)} layers")
    counts = [*(count_of(share, width) for share, width in zip(shares, widths, strict=False))]
    counts += [None] * (len(widths) - len(counts))
    return [
        None if count is None else Pruner(width, count, initial_weight, trailing_dims, f"{name}{number}")
        for number, (width, count) in enumerate(zip(widths, counts, strict=True), 1)
    ]


class GatedMLP(nn.Module):
    """Linear layers with ReLU between them, with a `Pruner` on the inputs, behind hidden layers, or both.

    The gates multiply the following layer's weights instead of the batch: (x g) W^T = x (g W)^T, which spares a product
    with the size of the batch and its gradient.

    Args:
        features: F.
        classes: C.
        keep: n of the pruner on the inputs, called `inputs`; None for none.
        hidden: widths of the hidden layers; none makes a linear classifier.
        initial_weight: w_0.
        prune: n of the pruner behind each of the first hidden layers, called `hidden1` and so on; None for none.

    Raises:
        ValueError: `prune` speaks of more layers than there are, or an n is not below the layer's width.
    """

    def __init__(
        self,
        features: int,
        classes: int,
        keep: int | None,
        hidden: tuple[int, ...],
        initial_weight: float,
        prune: Sequence[Share] = (),
    ) -> None:
        super().__init__()
        if keep is not None:
            self.pruner = Pruner(features, keep, initial_weight, name="inputs")
        behind = enumerate(pruners("hidden", hidden, prune, initial_weight), 1)
        self.hidden_pruners = nn.ModuleDict({str(i): pruner for i, pruner in behind if pruner is not None})
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise((features, *hidden, classes)))

    @property
    def pruner_paths(self) -> tuple[str | None, ...]:
        """The path of the pruner before each linear layer, None where there is none."""
        first = "pruner" if "pruner" in self._modules else None
        behind = (f"hidden_pruners.{i}" if str(i) in self.hidden_pruners else None for i in range(1, len(self.layers)))
        return first, *behind

    @property
    def pruner_on_inputs(self) -> str | None:
        """The path of the pruner that nobody would find on the inputs: its `forward` is never called."""
        return self.pruner_paths[0]

    def forward(self, x_BF: Tensor) -> Tensor:
        h_BH = x_BF
        for i, (layer, path) in enumerate(zip(self.layers, self.pruner_paths, strict=True)):
            assert isinstance(layer, nn.Linear)
            if i > 0:
                h_BH = functional.relu(h_BH)
            pruner = None if path is None else self.get_submodule(path)
            if isinstance(pruner, Pruner):
                h_BH = functional.linear(h_BH, layer.weight * pruner.gates(), layer.bias)
            else:
                h_BH = layer(h_BH)
        return h_BH

    def as_layers(self) -> list[nn.Module]:
        """The same network as layers that follow one another, for `compaction.compact`."""
        layers: list[nn.Module] = []
        for i, (layer, path) in enumerate(zip(self.layers, self.pruner_paths, strict=True)):
            layers += [nn.ReLU()] * bool(i) + ([] if path is None else [self.get_submodule(path)]) + [layer]
        return layers

    def stacked_forward(self, parameters: Mapping[str, Tensor], x_RBF: Tensor) -> tuple[Tensor, Backward]:
        """R networks at once: their logits, (R, B, C), and the function from dL/dlogits to dL/dparameters, by name.

        What `Replicas` uses in place of `vmap` over `forward`. A step of 8 replicas takes 0.55 ms on one core, with
        `vmap` 1.3 ms and with autograd through these products 0.7 ms. Rows come last, (R, H, B): a product with few
        classes is twice as fast that way, and the softmax after it (see `cross_entropy`).

        Args:
            parameters: of the R networks, each stacked, (R, ...).
        """
        weights = [parameters[f"layers.{i}.weight"] for i in range(len(self.layers))]
        gates: dict[int, tuple[str, Tensor]] = {}
        for i, path in enumerate(self.pruner_paths):
            if path is not None:  # in float64: see losses.py
                gates_RN = torch.sigmoid(parameters[f"{path}.weight"].double()).to(x_RBF.dtype)
                gates[i] = f"{path}.weight", gates_RN
                weights[i] = weights[i] * gates_RN.unsqueeze(1)
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
            for i, (name, gates_RN) in gates.items():
                to_gated_RHN = gradients[f"layers.{i}.weight"]
                if parameters[name].requires_grad:
                    gradients[name] = weights[i].mul_(to_gated_RHN).sum(1) * (1 - gates_RN)
                to_gated_RHN.mul_(gates_RN.unsqueeze(1))
            return gradients

        return h_RHB.mT, backward


def _gated_mlp(config: "TrialConfig", features: int, classes: int) -> nn.Module:
    prune = config.arguments.get("prune", {}).get("hidden", ())
    return GatedMLP(features, classes, config.keep, config.hidden, config.initial_weight, prune)


def _widths(config: "TrialConfig", features: int, classes: int) -> tuple[int, ...]:
    return features, *config.hidden, classes


GATED_MLP = NetworkSpec(_gated_mlp, widths=_widths)
"""The built-in network: that of a configuration's `hidden`, `keep`, `initial_weight` and `network.prune`."""
