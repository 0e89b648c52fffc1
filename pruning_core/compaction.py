"""The pruned network as a plain, smaller `nn.Module`: no gates, only the units that survive, raw columns as input.

`compact` works on any `nn.Sequential` of pruners, linear layers and activations, and on a network whose own class tells
its layers as one by `as_layers`, such as `GatedMLP`. What it returns consists of layers of `torch.nn` alone, which
`describe` and `rebuild` turn into a list for a JSON file and back.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pruning_core.dropout import ReplicaDropout
from pruning_core.pruner import Pruner, open_units

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}
WITHOUT_EFFECT = (nn.Dropout, ReplicaDropout, nn.Identity)


class CompactionError(ValueError):
    """A network that cannot be compacted; the message is one sentence."""


@dataclass(frozen=True)
class Compacted:
    """A pruned network without its gates and without the units that they closed.

    Args:
        network: `nn.Sequential` of `nn.Linear` and activations; raw (B, n) float32 -> logits (B, C).
        inputs: indices of the columns that it takes, in this order, (n,).
    """

    network: nn.Sequential
    inputs: Tensor


@dataclass(frozen=True)
class PrunedReplica:
    """The pruned network of one seed as plain data, to be sent and to be stored.

    Args:
        seed: that it was trained with.
        validation_accuracy, test_accuracy: under the hard mask, in [0, 1].
        validation_score: what the training measured beside accuracy, or the accuracy; NaN if that was not noted.
        inputs: the names of the n columns that it takes, in this order, standardised.
        layers: as `describe` describes them.
        tensors: of the layers, `0.weight` and so on.
    """

    seed: int
    validation_accuracy: float
    test_accuracy: float
    inputs: tuple[str, ...]
    layers: list[dict[str, Any]]
    tensors: "dict[str, NDArray[np.float32]]"
    validation_score: float = float("nan")


@dataclass
class _Stage:
    """A linear layer and all that follows up to the next one; the first stage is the standardisation of the columns.

    `weight` is (outputs, inputs), of the first stage (F,): one factor per column. `kept` are the indices of the
    units that survive. A dropped one has the value in `constants`: zero behind its gate, act(0) behind an
    activation that follows.
    """

    weight: Tensor
    bias: Tensor
    kept: Tensor
    constants: Tensor
    activations: list[nn.Module] = field(default_factory=list)


@torch.no_grad()
def compact(network: nn.Module, mean: Tensor, scale: Tensor) -> Compacted:
    """Removes closed units and folds the standardisation into the first linear layer.

    Behind the hard mask a dropped unit is a constant (zero at its gate), so the next linear layer takes it over into
    its bias, and the layer that computed it loses a row. The result differs from the masked network by rounding only.

    Args:
        network: a `GatedMLP`, or an `nn.Sequential` of `Pruner`, `nn.Linear`, `nn.ReLU`, `nn.Tanh`, `nn.Sigmoid`,
            `nn.Dropout` and `nn.Identity`; on the CPU.
        mean, scale: of the input columns, (F,): the network was trained on (raw - mean) / scale.

    Raises:
        CompactionError: the network is of another kind.
    """
    stages = [_stage(1 / scale.double(), -mean.double() / scale.double())]
    for layer in _layers(network):
        now = stages[-1]
        if type(layer) is Pruner:
            _close(now, layer)
        elif type(layer) is nn.Linear:
            if layer.in_features != len(now.constants):
                raise CompactionError(f"{layer} does not fit the {len(now.constants)} units before it")
            stages.append(_stage(layer.weight, torch.zeros(layer.out_features) if layer.bias is None else layer.bias))
        elif type(layer) in ACTIVATIONS.values():
            if len(stages) == 1:
                raise CompactionError(
                    f"a network that begins with {layer} cannot be compacted: nn.Linear must be first"
                )
            now.activations.append(copy.deepcopy(layer))
            now.constants = layer(now.constants)
        elif type(layer) not in WITHOUT_EFFECT:
            raise CompactionError(
                f"a network with a {type(layer).__name__} cannot be compacted: it must be a GatedMLP, or an "
                "nn.Sequential of Pruner, Linear, ReLU, Tanh, Sigmoid, Dropout and Identity"
            )
    return _join(stages)


def _layers(network: nn.Module) -> list[nn.Module]:
    """The layers of a network one after the other."""
    # Not that of a base class: a subclass may compute something else.
    as_layers: Callable[[nn.Module], list[nn.Module]] | None = vars(type(network)).get("as_layers")
    if as_layers is not None:
        return as_layers(network)
    if type(network) is nn.Sequential:
        return [layer for child in network for layer in _layers(child)]
    return [network]


def _stage(weight: Tensor, bias: Tensor) -> _Stage:
    units = len(bias)
    return _Stage(weight.double(), bias.double(), torch.arange(units), torch.zeros(units, dtype=torch.double))


def _close(stage: _Stage, pruner: Pruner) -> None:
    """Drops the units of a stage that the hard mask closes."""
    units = len(stage.constants)
    if pruner.trailing_dims or len(pruner.weight) != units:
        raise CompactionError(f"a Pruner on {len(pruner.weight)} units does not fit the {units} units before it")
    is_open = torch.zeros(units, dtype=torch.bool)
    is_open[open_units(pruner.weight.detach(), pruner.keep)] = True
    stage.constants[~is_open] = 0
    stage.kept = stage.kept[is_open[stage.kept]]


def _join(stages: Sequence[_Stage]) -> Compacted:
    """The stages as layers: each without what it and the one before it dropped, the first folded into the second."""
    columns, *others = stages
    if not others or len(others[-1].kept) < len(others[-1].bias):
        raise CompactionError("a network without an nn.Linear behind its last Pruner cannot be compacted")
    layers: list[nn.Module] = []
    for before, stage in zip(stages[:-1], others, strict=True):
        dropped = torch.ones(len(before.bias), dtype=torch.bool)
        dropped[before.kept] = False
        bias = stage.bias + stage.weight[:, dropped] @ before.constants[dropped]
        weight = stage.weight[:, before.kept]
        if before is columns:
            bias = bias + weight @ columns.bias[columns.kept]
            weight = weight * columns.weight[columns.kept]
        layer = nn.Linear(weight.shape[1], len(stage.kept))
        layer.weight.copy_(weight[stage.kept])
        layer.bias.copy_(bias[stage.kept])
        layers += [layer, *stage.activations]
    return Compacted(nn.Sequential(*layers).eval(), columns.kept)


def describe(network: nn.Sequential) -> list[dict[str, Any]]:
    """The layers of a compacted network for a JSON file; layer i has its tensors as `i.weight` and `i.bias`."""
    kinds = {kind: name for name, kind in ACTIVATIONS.items()}
    return [
        {"type": "linear", "inputs": layer.in_features, "outputs": layer.out_features}
        if isinstance(layer, nn.Linear)
        else {"type": kinds[type(layer)]}
        for layer in network
    ]


def rebuild(layers: Sequence[Mapping[str, Any]], tensors: Mapping[str, Tensor]) -> nn.Sequential:
    """The network that `describe` described, with the tensors of its `state_dict`."""
    network = nn.Sequential(
        *(
            nn.Linear(layer["inputs"], layer["outputs"]) if layer["type"] == "linear" else ACTIVATIONS[layer["type"]]()
            for layer in layers
        )
    )
    network.load_state_dict(tensors)
    return network.eval()
