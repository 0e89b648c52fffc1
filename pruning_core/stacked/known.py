"""Which layers are known here: from a module of a network, or a function that it calls, to the layer of R of them."""

import copy
import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from pruning_core.dropout import ReplicaDropout
from pruning_core.pruner import Pruner
from pruning_core.stacked import convolution, layers
from pruning_core.stacked.layers import Layer

ELEMENTWISE = {
    nn.Tanh, nn.Sigmoid, nn.GELU, nn.LeakyReLU, nn.ELU, nn.SiLU, nn.SELU, nn.CELU, nn.Softplus, nn.Softsign, nn.Mish,
    nn.Hardtanh, nn.ReLU6, nn.Hardswish, nn.Hardsigmoid, nn.LogSigmoid,
}  # fmt: skip
ELEMENTWISE_FUNCTIONS: set[Any] = {
    torch.tanh, torch.sigmoid, functional.tanh, functional.sigmoid, functional.gelu, functional.leaky_relu,
    functional.elu, functional.silu, functional.selu, functional.softplus, functional.mish, functional.hardtanh,
}  # fmt: skip
METHODS = {"tanh": torch.tanh, "sigmoid": torch.sigmoid}
RELU: set[Any] = {torch.relu, functional.relu, "relu"}
MEAN: set[Any] = {torch.mean, "mean"}
SUM: set[Any] = {operator.add, operator.iadd, torch.add, "add"}
RESHAPING: set[Any] = {
    torch.flatten, torch.reshape, torch.squeeze, torch.unsqueeze,
    "flatten", "reshape", "view", "squeeze", "unsqueeze", "unflatten", "contiguous",
}  # fmt: skip
OF_SHAPES: set[Any] = {getattr, operator.getitem, "size"}


class UnknownLayerError(Exception):
    """A network that has no stacked form here."""


@dataclass(frozen=True)
class Place:
    """Where a layer stands.

    Attributes:
        path: of the module in its network.
        rows, becomes: shape of a row of its input and of its output.
        names: of the parameters that the module has, by their names there; tied ones have another's.
        to_input: whether the gradient of its input is wanted.
        pruner: name of the weights of a pruner before it, whose gates the layer's weights are multiplied by.
    """

    path: str
    rows: tuple[int, ...]
    becomes: tuple[int, ...]
    names: dict[str, str]
    to_input: bool
    pruner: str | None


def of_module(module: nn.Module, place: Place) -> Layer:
    """The layer that computes R such modules.

    Raises:
        UnknownLayerError: there is none.
    """
    to_input, names = place.to_input, place.names
    if takes_gates(module, place.rows):
        return _product(module, place)
    if type(module) is Pruner:
        shape = [1] * len(place.rows)
        shape[len(shape) - 1 - module.trailing_dims] = len(module.weight)
        return layers.Gate(to_input, names["weight"], tuple(shape))
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and _remembers(module):
        if any(name != f"{place.path}.{own}" for own, name in names.items()):
            raise UnknownLayerError
        return layers.BatchNorm(to_input, module, place.path, tuple(names.values()))
    if type(module) is nn.LayerNorm:
        norm = partial(layers.layer_norm, dims=len(module.normalized_shape), eps=module.eps)
        return layers.Differentiated(to_input, norm, tuple(names[n] for n in ("weight", "bias") if n in names))
    if type(module) is ReplicaDropout:
        return layers.Dropout(to_input, module, f"{place.path}.state")
    if type(module) is nn.ReLU:
        return layers.ReLU(to_input)
    if type(module) in (nn.Flatten, nn.Unflatten, nn.Identity):
        return layers.Reshaped(to_input, place.becomes)
    function = _out_of_place(module) if type(module) in ELEMENTWISE else convolution.pooling(module)
    if function is None:
        raise UnknownLayerError
    return layers.Differentiated(to_input, function)


def takes_gates(module: nn.Module, rows: tuple[int, ...]) -> bool:
    """Whether a module is a product with weights that gates on its inputs or channels can multiply instead.

    Args:
        rows: shape of a row of its input.
    """
    if type(module) is nn.Linear:
        return len(rows) == 1
    if type(module) in (nn.Conv1d, nn.Conv2d):
        assert isinstance(module, nn.Conv1d | nn.Conv2d)
        return module.groups == 1 and module.padding_mode == "zeros" and len(rows) == 1 + len(module.kernel_size)
    return False


def _product(module: Any, place: Place) -> Layer:
    weight, bias = place.names["weight"], place.names.get("bias")
    if type(module) is nn.Linear:
        return layers.Linear(place.to_input, weight, bias, (module.in_features, module.out_features), place.pruner)
    window = convolution.Window(module.kernel_size, module.stride, module.dilation, convolution.paddings(module))
    channels = module.in_channels, module.out_channels
    return convolution.Convolution(place.to_input, weight, bias, channels, window, place.pruner)


def _out_of_place(module: nn.Module) -> Callable[[Tensor], Tensor]:
    if not getattr(module, "inplace", False):
        return module
    elsewhere: Any = copy.copy(module)
    elsewhere.inplace = False
    return elsewhere


def _remembers(module: Any) -> bool:
    """Whether a BatchNorm has running statistics, with a fixed share for each new batch."""
    plain = type(module) in (nn.BatchNorm1d, nn.BatchNorm2d)
    return bool(plain and module.track_running_stats and module.momentum is not None)


def of_function(node: fx.Node, rows: tuple[int, ...], becomes: tuple[int, ...], to_input: bool) -> Layer:
    """The layer that computes what a network does by calling a function or a method of one tensor.

    Raises:
        UnknownLayerError: there is none.
    """
    target, named = node.target, dict(node.kwargs)
    if target in RESHAPING:
        return layers.Reshaped(to_input, becomes)
    in_place = named.pop("inplace", False)
    if in_place or any(isinstance(value, fx.Node) for value in [*node.args[1:], *named.values()]):
        raise UnknownLayerError
    if target in RELU and len(node.args) == 1:
        return layers.ReLU(to_input)
    if target in MEAN:
        return layers.Differentiated(to_input, _mean(node, len(rows)))
    if (target in ELEMENTWISE_FUNCTIONS or target in METHODS) and len(node.args) == 1:
        function: Any = METHODS[target] if isinstance(target, str) else target
        return layers.Differentiated(to_input, partial(function, **named))
    raise UnknownLayerError


def _mean(node: fx.Node, dims: int) -> Callable[[Tensor], Tensor]:
    """The mean over dimensions of (B, ...) as that of (R, ..., B): the others have the same numbers."""
    named = dict(node.kwargs)
    over: Any = node.args[1] if len(node.args) > 1 else named.get("dim")
    keep: Any = node.args[2] if len(node.args) > 2 else named.get("keepdim", False)
    numbers = {dim % (dims + 1) for dim in ((over,) if isinstance(over, int) else over or ())}
    if not numbers or 0 in numbers or named.keys() - {"dim", "keepdim"}:
        raise UnknownLayerError
    return partial(torch.mean, dim=sorted(numbers), keepdim=keep)
