"""Closed units that must come back as constants are computed by the layer before, where that costs less.

A layer that cannot lose units is given all of them: an `Arrange` puts the closed ones back. The linear layer or
convolution before it can give them as well, from rows of zeros and the constant as bias, and spares the operation.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from pruning_core.compaction.analysis import ACTIVATIONS, CHANNELS, POOLING, SAME
from pruning_core.compaction.layers import Arrange

PRODUCTS = (nn.Linear, nn.Conv1d, nn.Conv2d)
SPARED = 16  # multiply-adds that take as long as an element of the operation that is spared


class _Shapes(fx.Interpreter):
    """Notes the shape of a row of each value."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.rows: dict[fx.Node, torch.Size] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.rows[n] = value.shape[1:]
        return value


@torch.no_grad()
def fold_constants(module: fx.GraphModule, columns: int) -> fx.GraphModule:
    """Takes those `Arrange` layers out that the layers before them can spare, in place.

    Args:
        module: (B, n) -> (B, C).
        columns: n.
    """
    shapes = _Shapes(module)
    shapes.run(torch.zeros(2, columns))
    for node in list(module.graph.nodes):
        layer = module.get_submodule(str(node.target)) if node.op == "call_module" else None
        if isinstance(layer, Arrange) and (steps := _before(module, shapes.rows, node.args[0], layer)):
            _replace(module, node, steps)
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    module.recompile()
    return module


def _before(
    module: fx.GraphModule, rows: dict[fx.Node, torch.Size], node: fx.Node, arrange: Arrange
) -> list[tuple[fx.Node, nn.Module | None]] | None:
    """The nodes from a linear layer or convolution to this one, each with the layer that gives all units instead.

    That of a function is None.
    """
    source = node.args[0] if node.args else None
    if not isinstance(source, fx.Node) or len(node.users) != 1 or node.all_input_nodes != [source]:
        return None
    layer = module.get_submodule(str(node.target)) if node.op == "call_module" else None
    kind: Any = type(layer) if layer else node.target
    if type(layer) in PRODUCTS:
        last = arrange.axis == (len(rows[node]) - 1 if isinstance(layer, nn.Linear) else 0)
        return [(node, _wider(layer, arrange))] if last and _pays(layer, arrange) else None
    earlier: Arrange | None = None
    if (kind in ACTIVATIONS or kind in SAME) and callable(kind):
        function: Callable[..., Tensor] = layer or kind
        earlier = _before_activation(lambda x: function(x.clone(), *node.args[1:], **node.kwargs), arrange)
    elif (kind in POOLING or kind in CHANNELS) and arrange.axis == 0 and arrange.constants is None:
        earlier = arrange
    elif isinstance(layer, nn.Flatten) and layer.start_dim == 1:
        earlier = _before_flatten(rows[source], arrange)
    steps = None if earlier is None else _before(module, rows, source, earlier)
    return None if steps is None else [*steps, (node, layer)]


def _pays(layer: Any, arrange: Arrange) -> bool:
    """Whether rows of zeros can take the place of what puts constants back, and cost less."""
    if layer.bias is None or getattr(layer, "groups", 1) > 1:
        return False
    if arrange.constants is not None and arrange.constants.numel() != len(arrange.places):
        return False
    units, wanted, of_each = arrange.units, len(arrange.places), layer.weight[0].numel()
    by_product = units if isinstance(layer, nn.Linear) else 0
    return bool(of_each * (wanted - units) <= (by_product + SPARED) * wanted)


def _wider(layer: Any, arrange: Arrange) -> nn.Module:
    wider = copy.deepcopy(layer)
    weight = torch.cat([layer.weight, torch.zeros_like(layer.weight[:1])])[arrange.places]
    bias = torch.cat([layer.bias, torch.zeros(1)])[arrange.places]
    if arrange.constants is not None:
        bias = bias + arrange.constants.flatten()
    wider.weight, wider.bias = (nn.Parameter(tensor, requires_grad=False) for tensor in (weight, bias))
    if isinstance(layer, nn.Linear):
        wider.out_features = len(weight)
    else:
        wider.out_channels = len(weight)
    return wider


def _before_activation(activation: Callable[[Tensor], Tensor], arrange: Arrange) -> Arrange | None:
    """What must stand at the gaps for an activation to make the constants of it: themselves or zeros."""
    wanted = torch.zeros(1) if arrange.constants is None else arrange.constants
    zeros = torch.zeros_like(wanted)
    stays, of_zero = (torch.isclose(activation(x), wanted, rtol=1e-6, atol=0) for x in (wanted, zeros))
    open_places = (arrange.places < arrange.units).reshape(-1, *(1,) * (wanted.ndim - 1 - arrange.axis))
    if arrange.constants is None:
        return arrange if bool(of_zero) else None
    if not bool((stays | of_zero | open_places).all()):
        return None
    constants = torch.where(of_zero | open_places, zeros, wanted)
    return Arrange(arrange.axis, arrange.units, arrange.places, constants if bool(constants.any()) else None)


def _before_flatten(shape: torch.Size, arrange: Arrange) -> Arrange | None:
    """The same of channels, if all places of a channel are wanted, in their order, or none."""
    size = shape[1:].numel()
    if len(arrange.places) % size:
        return None
    places = arrange.places.reshape(-1, size)
    gaps = places[:, 0] == arrange.units
    channels = torch.where(gaps, shape[0], places[:, 0] // size)
    expected = torch.where(gaps[:, None], arrange.units, channels[:, None] * size + torch.arange(size))
    if not torch.equal(places, expected):
        return None
    if arrange.constants is None:
        return Arrange(0, shape[0], channels)
    constants = arrange.constants.reshape(len(places), *shape[1:])
    first = constants.flatten(1)[:, :1].reshape(-1, *(1,) * (len(shape) - 1))
    return Arrange(0, shape[0], channels, first if bool((constants == first).all()) else constants)


def _replace(module: fx.GraphModule, node: fx.Node, steps: list[tuple[fx.Node, nn.Module | None]]) -> None:
    value = steps[0][0].args[0]
    with module.graph.inserting_before(node):
        for old, layer in steps:
            value = module.graph.create_node(old.op, old.target, (value, *old.args[1:]), old.kwargs)
            if layer is not None:
                value.target = f"{old.target}_of_all"
                module.add_module(value.target, layer)
    node.replace_all_uses_with(value)  # type: ignore[arg-type]
