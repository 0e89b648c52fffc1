"""From the rows to the outputs: what each node of a traced network does to units, and from there back which are needed.

A product (linear layer, convolution) makes new units of those that it is given, and what closed ones contribute
goes into its bias. A sum or product of two tensors aligns both. Activations, pooling, batch normalisation, gates,
concatenation and flattening hand units on. Anything else is given all units, the closed ones as constants.
"""

import operator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from pruning_core.compaction.tracing import BATCH_NORM, attribute
from pruning_core.compaction.units import PACKED, WHOLE, Numbers, Units
from pruning_core.pruner import Pruner

Kind = Literal[
    "rows", "plain", "shape", "product", "join", "concat", "gates", "same", "channels", "reshape", "other", "output"
]
ROWS = 3

ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Softsign,
    nn.Tanh, nn.Sigmoid, nn.LogSigmoid, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.Tanhshrink, nn.Softshrink,
)  # fmt: skip
POOLING = (
    nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d,
)  # fmt: skip
SAME: set[Any] = {
    torch.relu, torch.tanh, torch.sigmoid, F.relu, F.relu6, F.leaky_relu, F.elu, F.selu, F.gelu, F.silu, F.mish,
    F.softplus, F.tanh, F.sigmoid, F.hardtanh, torch.abs, "relu", "tanh", "sigmoid", "abs",
}  # fmt: skip
CHANNELS: set[Any] = {
    F.max_pool1d, F.max_pool2d, F.avg_pool1d, F.avg_pool2d, F.adaptive_avg_pool1d, F.adaptive_avg_pool2d,
    F.adaptive_max_pool1d, F.adaptive_max_pool2d,
}  # fmt: skip
SUMS: set[Any] = {operator.add, operator.iadd, operator.sub, torch.add, torch.sub, "add", "sub", "add_"}
TIMES: set[Any] = {operator.mul, operator.imul, torch.mul, "mul", "mul_"}
CONCATENATIONS: set[Any] = {torch.cat, torch.concat, torch.concatenate}
RESHAPES: set[Any] = {
    torch.flatten,
    torch.reshape,
    torch.squeeze,
    torch.unsqueeze,
    "squeeze",
    "unsqueeze",
    "flatten",
    "view",
    "reshape",
    "unflatten",
}


@dataclass
class Step:
    """A node of the traced network, what it does, and what is known of its tensor (None if it is none).

    A `plain` one does not depend on the rows, a `shape` asks for a size alone. `axis` is that of its units; `whole`
    says that it must be given all units, closed ones as constants.
    """

    node: fx.Node
    kind: Kind
    units: Units | None = None
    axis: int = 0
    whole: bool = False


@dataclass
class Analysis:
    """The steps of a traced network by its nodes, in order, and which units are needed, by their number."""

    module: fx.GraphModule
    steps: dict[fx.Node, Step] = field(default_factory=dict)
    needed: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.bool))

    def units(self, node: fx.Node) -> Units:
        """What is known of a tensor."""
        units = self.steps[node].units
        assert units is not None
        return units

    def tensors(self, node: fx.Node) -> list[fx.Node]:
        """The nodes before this one whose rows depend on the network's rows."""
        return [source for source in node.all_input_nodes if self.steps[source].units is not None]

    def present(self, units: Units, axis: int) -> Tensor:
        """Which places along an axis are there after compaction, (N,)."""
        numbers = units.numbers(axis)
        return torch.ones(units.shape[axis], dtype=torch.bool) if numbers is None else self.needed[numbers]

    def layer(self, node: fx.Node) -> nn.Module | None:
        """The layer that a node calls; None for a function."""
        return self.module.get_submodule(str(node.target)) if node.op == "call_module" else None


@torch.no_grad()
def analyse(module: fx.GraphModule, row_shape: torch.Size) -> Analysis:
    """Follows the units of a traced network in float64 forwards, and what is needed of them backwards.

    Args:
        row_shape: of one row as the network takes it.
    """
    found, numbers = Analysis(module), Numbers()
    values: dict[fx.Node, Any] = {}
    generator = torch.Generator().manual_seed(0)
    for node in module.graph.nodes:
        if node.op == "placeholder":
            values[node] = torch.randn(ROWS, *row_shape, generator=generator, dtype=torch.float64)
        else:
            values[node] = _run(module, node, values)
        found.steps[node] = _step(found, node, values, numbers)
    found.needed = torch.zeros(numbers.count, dtype=torch.bool)
    for step in reversed(found.steps.values()):
        _need(found, step)
    return found


def _run(module: fx.GraphModule, node: fx.Node, values: dict[fx.Node, Any]) -> Any:
    args, kwargs = fx.map_arg((node.args, node.kwargs), values.__getitem__)
    if node.op == "get_attr":
        return attribute(module, str(node.target))
    if node.op == "call_module":
        return module.get_submodule(str(node.target))(*args, **kwargs)
    if node.op == "call_method":
        return getattr(args[0], str(node.target))(*args[1:], **kwargs)
    return node.target(*args, **kwargs) if callable(node.target) else args[0]


def _step(found: Analysis, node: fx.Node, values: dict[fx.Node, Any], numbers: Numbers) -> Step:
    value = values[node]
    if node.op == "placeholder":
        layout = 0 if value.ndim == 2 else PACKED
        constant = torch.zeros(value.shape[1:], dtype=torch.bool)
        return Step(node, "rows", Units(constant, value[0], layout, numbers.each(value.shape[1:])))
    sources = found.tensors(node)
    if all(found.steps[source].kind == "plain" for source in node.all_input_nodes):
        return Step(node, "plain")
    if (node.op == "call_method" and node.target in ("size", "dim")) or node.target is getattr:
        return Step(node, "shape")
    if node.op == "output":
        return Step(node, "output", whole=True)
    if not isinstance(value, torch.Tensor):
        return Step(node, "other", whole=True)
    if not sources or value.ndim < 2 or len(value) != ROWS:
        return Step(node, "other", _unknown(value), whole=True)
    given = found.units(sources[0])
    layer = found.layer(node)
    if len(sources) == 2 and node.target in SUMS | TIMES and len(node.args) == 2 and not node.kwargs:
        return _joined(found, node, value, numbers)
    if node.target in CONCATENATIONS and (step := _concatenated(found, node, value, numbers)):
        return step
    alone = len(sources) == 1 and node.args[0] is sources[0]
    if not alone:
        return Step(node, "other", _unknown(value), whole=True)
    if isinstance(layer, Pruner):
        return _gated(node, layer, given)
    if type(layer) in (nn.Linear, nn.Conv1d, nn.Conv2d) and getattr(layer, "groups", 1) == 1:
        assert layer is not None
        return _product(node, layer, given, value, numbers)
    scalars = not any(isinstance(argument, fx.Node) for argument in node.args[1:])
    if type(layer) in ACTIVATIONS or (node.target in SAME | SUMS | TIMES and scalars):
        units = Units(given.constant, torch.where(given.constant, value[0], 0), given.layout, given.unit)
        return Step(node, "same", units)
    if type(layer) in BATCH_NORM or (
        (type(layer) in POOLING or (node.target in CHANNELS and scalars)) and value.ndim == len(given.shape) + 1
    ):
        return _by_channel(node, given, value)
    if type(layer) in (nn.Flatten, nn.Unflatten) or node.target in RESHAPES:
        return _reshaped(node, given, value)
    return Step(node, "other", _unknown(value), whole=True)


def _unknown(value: Tensor) -> Units:
    return Units(torch.zeros(value.shape[1:], dtype=torch.bool), value[0] if len(value) else value)


def _gated(node: fx.Node, pruner: Pruner, given: Units) -> Step:
    axis = len(given.shape) - 1 - pruner.trailing_dims
    given = given.along(axis)
    whole = isinstance(given.layout, int) and given.layout != axis
    if whole:
        given = given.whole().along(axis)
    return Step(node, "gates", given.closed(pruner.weight > 0, axis), axis, whole)


def _product(node: fx.Node, layer: nn.Module, given: Units, value: Tensor, numbers: Numbers) -> Step:
    into = len(given.shape) - 1 if isinstance(layer, nn.Linear) else 0
    whole = given.along(into).layout != into
    outputs = value.ndim - 2 if isinstance(layer, nn.Linear) else 0
    taken = ~(given.whole() if whole else given).fixed(into)
    constant = torch.full(value.shape[1:], not bool(taken.any()))
    return Step(
        node, "product", Units(constant, value[0], outputs, numbers.along(value.shape[1:], outputs)), into, whole
    )


def _joined(found: Analysis, node: fx.Node, value: Tensor, numbers: Numbers) -> Step:
    first, second = (found.units(source) for source in node.args)  # type: ignore[arg-type]
    constant = torch.broadcast_to(first.constant & second.constant, value.shape[1:]).clone()
    if node.target in TIMES:
        for one in (first, second):
            constant |= torch.broadcast_to(one.constant & (one.value == 0), value.shape[1:])
    new = Units(constant, torch.where(constant, value[0], 0))
    axes = {one.layout for one in (first, second) if one.layout is not WHOLE}
    if len(axes) != 1 or len(first.shape) != len(second.shape):
        return Step(node, "join", new, whole=True)
    (axis,) = axes
    if not isinstance(axis, int) or first.shape[axis] != second.shape[axis]:
        return Step(node, "join", new, whole=True)
    return Step(node, "join", Units(constant, new.value, axis, numbers.along(constant.shape, axis)), axis)


def _concatenated(found: Analysis, node: fx.Node, value: Tensor, numbers: Numbers) -> Step | None:
    """The units of several tensors side by side; None where none of these can lose units there, or some are no rows.

    Those that can lose units elsewhere alone are given whole.
    """
    parts = node.args[0]
    dim = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
    axis = dim % value.ndim - 1 if isinstance(dim, int) else -1
    if axis < 0 or not isinstance(parts, list | tuple):
        return None
    if any(not isinstance(p, fx.Node) or found.steps[p].units is None for p in parts):
        return None
    given = [_along_or_whole(found.units(part), axis) for part in parts_of(node)]
    if all(units.unit is None and not bool(units.constant.any()) for units in given):
        return None
    if any(len(units.shape) != value.ndim - 1 for units in given):
        return None
    unit = [numbers.along(units.shape, axis) if units.unit is None else units.unit for units in given]
    constant, values = (torch.cat([getattr(units, name) for units in given], axis) for name in ("constant", "value"))
    return Step(node, "concat", Units(constant, values, axis, torch.cat(unit, axis)), axis)


def _along_or_whole(units: Units, axis: int) -> Units:
    return units if units.layout == axis else units.whole()


def parts_of(concatenation: fx.Node) -> list[fx.Node]:
    """The tensors that a node puts side by side, in order."""
    parts = concatenation.args[0]
    assert isinstance(parts, list | tuple)
    return [part for part in parts if isinstance(part, fx.Node)]


def _by_channel(node: fx.Node, given: Units, value: Tensor) -> Step:
    fits = given.layout == 0 or given.layout is WHOLE
    base, shape = (given if fits else given.whole()), value.shape[1:]
    constant = given.fixed(0).reshape(-1, *(1,) * (len(shape) - 1)).expand(shape)
    unit = base.numbers(0)
    if unit is not None:
        unit = unit.reshape(-1, *(1,) * (len(shape) - 1)).expand(shape)
    return Step(node, "channels", Units(constant, torch.where(constant, value[0], 0), base.layout, unit), 0, not fits)


def _reshaped(node: fx.Node, given: Units, value: Tensor) -> Step:
    shape, flat = value.shape[1:], value.ndim == 2
    one_row = len(given.shape) == 1 or given.layout is PACKED
    whole = given.layout is not WHOLE and not flat and not one_row
    base = given.whole() if whole or given.layout is WHOLE else given
    layout = WHOLE if base.layout is WHOLE else (0 if flat else PACKED)
    unit = None if base.unit is None else base.unit.reshape(shape)
    if base.unit is None and base.layout is not WHOLE:  # junk may stand in closed places: only whole rows are reshaped
        whole, layout = True, WHOLE
    return Step(
        node, "reshape", Units(given.constant.reshape(shape), given.value.reshape(shape), layout, unit), 0, whole
    )


def _need(found: Analysis, step: Step) -> None:
    """Marks what a step needs of the units that it is given, as far as its own are needed."""
    mark = found.needed
    if step.kind == "concat":
        _need_beside_others(found, step)
        return
    for source in found.tensors(step.node):
        given = found.units(source)
        if given.unit is None or step.kind == "shape":
            continue
        if step.whole:
            _need_all(found, given)
        elif step.kind in ("product", "join") and step.units is not None:
            numbers = given.numbers(step.axis)
            assert numbers is not None
            assert step.units.unit is not None
            taken = ~given.fixed(step.axis)
            if step.kind == "join":
                taken = taken & found.present(step.units, step.axis)
            elif not bool(mark[step.units.unit].any()):
                continue
            mark[numbers[taken]] = True


def _need_all(found: Analysis, given: Units) -> None:
    if given.unit is None:
        return
    if given.layout is PACKED:
        found.needed[given.unit[~given.constant]] = True
    elif isinstance(given.layout, int):
        numbers = given.numbers(given.layout)
        assert numbers is not None
        found.needed[numbers[~given.fixed(given.layout)]] = True


def _need_beside_others(found: Analysis, step: Step) -> None:
    """Of tensors side by side those that cannot lose units along the axis are there with all of them."""
    assert step.units is not None
    numbers, start = step.units.numbers(step.axis), 0
    assert numbers is not None
    for part in parts_of(step.node):
        given = found.units(part)
        end = start + given.shape[step.axis]
        if given.layout != step.axis:
            _need_all(found, given)
        if given.layout != step.axis or given.unit is None:
            found.needed[numbers[start:end]] = True
        start = end
