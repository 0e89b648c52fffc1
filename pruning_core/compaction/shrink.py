"""The compacted network, made of an analysis: the same graph with smaller layers."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from pruning_core.compaction.analysis import Analysis, Step, parts_of
from pruning_core.compaction.layers import AddConstant, Arrange
from pruning_core.compaction.tracing import BATCH_NORM, CompactionError, attribute
from pruning_core.compaction.units import PACKED, Units
from pruning_core.pruner import Pruner

FUNCTIONS: dict[Any, type[nn.Module]] = {
    torch.relu: nn.ReLU, nn.functional.relu: nn.ReLU, "relu": nn.ReLU, torch.tanh: nn.Tanh, "tanh": nn.Tanh,
    torch.sigmoid: nn.Sigmoid, "sigmoid": nn.Sigmoid,
}  # fmt: skip


@dataclass
class Shrunk:
    """The compacted graph on standardised columns, which of them it takes, and which layers were given all units."""

    module: fx.GraphModule
    inputs: Tensor
    filled: list[str]


def shrink(analysis: Analysis) -> Shrunk:
    """Makes the smaller network, (B, n) float32 -> (B, C).

    Raises:
        CompactionError: a layer is left without any unit.
    """
    return _Builder(analysis).build()


@dataclass
class _Builder:
    analysis: Analysis
    graph: fx.Graph = field(default_factory=fx.Graph)
    layers: nn.Module = field(default_factory=nn.Module)
    made: dict[fx.Node, fx.Node | None] = field(default_factory=dict)
    filled: list[str] = field(default_factory=list)
    arranged: list[tuple[fx.Node, Arrange, fx.Node]] = field(default_factory=list)

    def build(self) -> Shrunk:
        inputs = torch.zeros(0, dtype=torch.long)
        for node, step in self.analysis.steps.items():
            if step.kind == "rows":
                self.made[node] = self.graph.placeholder("x")
                rows = self.analysis.units(node)
                assert rows.unit is not None
                inputs = torch.nonzero(self.analysis.needed[rows.unit.flatten()]).flatten()
            else:
                self.made[node] = self._emit(step)
        if not len(inputs):
            raise CompactionError("no input of the pruned network has a way to its outputs")
        module = fx.GraphModule(self.layers, self.graph).eval()
        module.graph.eliminate_dead_code()
        module.delete_all_unused_submodules()
        module.recompile()
        return Shrunk(module, inputs, self.filled)

    def _emit(self, step: Step) -> fx.Node | None:
        node = step.node
        match step.kind:
            case "product":
                return self._product(step)
            case "join" if not step.whole and step.units is not None:
                wanted = self.analysis.present(step.units, step.axis)
                return self._copy(node, [self._arranged(s, step.axis, wanted) for s in self.analysis.tensors(node)])
            case "concat":
                return self._side_by_side(step)
            case "gates" if step.whole:
                return self._complete(node.all_input_nodes[0])
            case "gates":
                return self.made[node.all_input_nodes[0]]
            case "reshape":
                return self._reshaped(step)
            case "same" | "channels" if not step.whole:
                source = self.made[node.all_input_nodes[0]]
                return None if source is None else self._handed_on(step, source)
        if step.kind == "shape":
            return self.graph.node_copy(node, self.made.__getitem__)
        before = self.analysis.tensors(node)
        if step.kind == "other" and any(bool(self.analysis.units(s).constant.any()) for s in before):
            self.filled.append(_called(self.analysis, node))
        return self._copy(node, [self._complete(source) for source in before])

    def _add(self, layer: nn.Module, source: fx.Node) -> fx.Node:
        name = f"layer{len(list(self.layers.children()))}"
        self.layers.add_module(name, layer.float())
        return self.graph.call_module(name, (source,))

    def _copy(self, node: fx.Node, sources: Sequence[fx.Node]) -> fx.Node:
        """The node as it is, given other tensors."""
        given: dict[fx.Node, Any] = dict(self.made)
        given.update(zip(self.analysis.tensors(node), sources, strict=True))
        if node.op == "call_module":
            name = f"layer{len(list(self.layers.children()))}"
            self.layers.add_module(name, copy.deepcopy(self.analysis.layer(node)).float())  # type: ignore[union-attr]
            args, kwargs = fx.map_arg((node.args, node.kwargs), given.__getitem__)
            return self.graph.call_module(name, args, kwargs)
        if node.op == "get_attr":
            name = f"tensor{len(dict(self.layers.named_buffers(recurse=False)))}"
            value = attribute(self.analysis.module, str(node.target))
            self.layers.register_buffer(name, value.float() if value.is_floating_point() else value)
            return self.graph.get_attr(name)
        return self.graph.node_copy(node, given.__getitem__)

    def _product(self, step: Step) -> fx.Node | None:
        node, units = step.node, step.units
        assert units is not None
        outputs = self.analysis.present(units, units.layout if isinstance(units.layout, int) else 0)
        if not bool(outputs.any()):
            return None
        source, layer = node.all_input_nodes[0], self.analysis.layer(node)
        assert isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d)
        given = self.analysis.units(source)
        if step.whole:
            arranged, closed = self._complete(source), given.whole().fixed(step.axis)
            arranged = self._selected(arranged, step.axis, ~closed)
        else:
            closed = given.fixed(step.axis)
            arranged = self._arranged(source, step.axis, ~closed, without_constants=True)
        smaller, constant = _smaller(layer, given, step.axis, closed, outputs)
        made = self._add(smaller, arranged)
        return made if constant is None else self._add(AddConstant(constant), made)

    def _side_by_side(self, step: Step) -> fx.Node | None:
        parts = []
        for part in parts_of(step.node):
            along = self.analysis.units(part).layout == step.axis
            made = self.made[part] if along else self._complete(part)
            parts += [] if made is None else [made]
        return (
            self.graph.call_function(torch.cat, (parts, step.axis + 1)) if len(parts) > 1 else next(iter(parts), None)
        )

    def _handed_on(self, step: Step, source: fx.Node) -> fx.Node:
        layer, units = self.analysis.layer(step.node), step.units
        assert units is not None
        if type(layer) in BATCH_NORM:
            return self._add(_normalisation(layer, self.analysis.present(units, 0)), source)
        if step.node.target in FUNCTIONS and len(step.node.args) == 1:
            return self._add(FUNCTIONS[step.node.target](), source)
        return self._copy(step.node, [source])

    def _reshaped(self, step: Step) -> fx.Node | None:
        source, units = step.node.all_input_nodes[0], step.units
        assert units is not None
        if step.whole:
            return self._add(_shaping(units.shape), self._complete(source))
        given, made = self.analysis.units(source), self.made[source]
        if made is None or ((given.layout is PACKED or len(given.shape) == 1) and units.unit is not None):
            return made  # another name for the same flat row
        return self._add(_shaping(units.shape), made)

    def _complete(self, source: fx.Node) -> fx.Node:
        """A tensor with all units in their places, the closed ones as constants."""
        given = self.analysis.units(source)
        if given.layout is PACKED:
            flat = Units(
                given.constant.flatten(), given.value.flatten(), 0, None if given.unit is None else given.unit.flatten()
            )
            whole = self._placed(self.made[source], flat, 0, torch.ones(len(flat.constant), dtype=torch.bool))
            return self._add(nn.Unflatten(1, tuple(given.shape)), whole)
        if isinstance(given.layout, int):
            return self._arranged(source, given.layout, torch.ones(given.shape[given.layout], dtype=torch.bool))
        made = self.made[source]
        if made is None:
            raise CompactionError(f"nothing but constants reaches {source.name}")
        return made

    def _arranged(self, source: fx.Node, axis: int, wanted: Tensor, without_constants: bool = False) -> fx.Node:
        """A tensor with the wanted places along an axis and no others."""
        return self._placed(self.made[source], self.analysis.units(source), axis, wanted, without_constants)

    def _placed(
        self, made: fx.Node | None, given: Units, axis: int, wanted: Tensor, without_constants: bool = False
    ) -> fx.Node:
        if made is None:
            raise CompactionError("a layer is given nothing but constants")
        there = self.analysis.present(given, axis)
        gaps = given.fixed(axis) & (given.layout == axis)
        units = int(there.sum())
        places = torch.where(there & ~gaps, there.cumsum(0) - 1, units)[wanted]
        value = torch.where(given.constant & gaps.reshape(-1, *(1,) * (given.constant.ndim - 1 - axis)), given.value, 0)
        constants = None if without_constants else _spread(value, axis, wanted)
        if constants is None and torch.equal(places, torch.arange(units)):
            return made
        layer = Arrange(axis, units, places, constants)
        for source, other, node in self.arranged:
            if source is made and other.same_as(layer):
                return node
        self.arranged.append((made, layer, self._add(layer, made)))
        return self.arranged[-1][2]

    def _selected(self, made: fx.Node, axis: int, wanted: Tensor) -> fx.Node:
        if bool(wanted.all()):
            return made
        return self._add(Arrange(axis, len(wanted), torch.nonzero(wanted).flatten()), made)


def _spread(value: Tensor, axis: int, wanted: Tensor) -> Tensor | None:
    """The constants of the wanted places, as small as they broadcast; None for zeros."""
    chosen = value.movedim(axis, 0)[wanted].movedim(0, axis)
    if not bool(chosen.any()):
        return None
    return _narrow(chosen, axis)


def _narrow(value: Tensor, axis: int) -> Tensor:
    """The tensor with dimensions of size 1 in place of those along which it does not change; not of `axis`."""
    for dim in range(value.ndim):
        first = value.narrow(dim, 0, 1)
        if dim != axis and torch.allclose(value, first.expand_as(value), rtol=1e-12, atol=1e-14):
            value = first
    return value


def _smaller(
    layer: "nn.Linear | nn.Conv1d | nn.Conv2d", given: Units, axis: int, closed: Tensor, outputs: Tensor
) -> tuple[nn.Module, Tensor | None]:
    """A product without closed inputs and unneeded outputs, and what must be added where no bias can say it."""
    if bool(closed.all()):
        raise CompactionError("a layer is given nothing but constants")
    without_bias = copy.deepcopy(layer)
    without_bias.bias = None
    only_closed = torch.where(closed.reshape(-1, *(1,) * (given.constant.ndim - 1 - axis)), given.value, 0)
    out_axis = only_closed.ndim - 1 if isinstance(layer, nn.Linear) else 0
    added = without_bias(only_closed.unsqueeze(0))[0].movedim(out_axis, 0)[outputs].movedim(0, out_axis)
    bias = torch.zeros(int(outputs.sum()), dtype=torch.double) if layer.bias is None else layer.bias[outputs]
    narrow, constant = _narrow(added, out_axis), None
    if narrow.numel() == len(bias):
        bias = bias + narrow.flatten()
    else:
        constant = narrow
    weight = layer.weight[outputs][:, ~closed]
    if isinstance(layer, nn.Linear):
        smaller: nn.Module = nn.Linear(weight.shape[1], weight.shape[0])
    else:
        smaller = type(layer)(
            weight.shape[1], weight.shape[0], layer.kernel_size, layer.stride, layer.padding, layer.dilation,  # type: ignore[arg-type]
            padding_mode=layer.padding_mode,
        )  # fmt: skip
    smaller.load_state_dict({"weight": weight, "bias": bias})
    return smaller, constant


def _normalisation(layer: "nn.Module | None", kept: Tensor) -> nn.Module:
    assert isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)
    smaller = type(layer)(int(kept.sum()), layer.eps, layer.momentum, layer.affine, layer.track_running_stats)
    state = layer.state_dict()
    smaller.load_state_dict({name: tensor[kept] if tensor.ndim else tensor for name, tensor in state.items()})
    return smaller.eval()


def _shaping(shape: torch.Size) -> nn.Module:
    return nn.Flatten() if len(shape) == 1 else nn.Sequential(nn.Flatten(), nn.Unflatten(1, tuple(shape)))


def _called(analysis: Analysis, node: fx.Node) -> str:
    layer = analysis.layer(node)
    if layer is not None:
        return f"{node.target} ({type(layer).__name__})"
    return str(getattr(node.target, "__name__", node.target))


def pruner_names(module: nn.Module) -> dict[str, Pruner]:
    """The pruners of a network by their names."""
    return {m.name or path or "pruner": m for path, m in module.named_modules() if isinstance(m, Pruner)}
