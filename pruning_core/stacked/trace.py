"""From a network to the steps that compute R of it: how its layers are connected.

`torch.fx` follows one symbolic batch through the network's `forward`, and a few rows of zeros show the shapes. Where
anything is unknown there is no stacked form, and `vmap` computes the network as it is.
"""

import math
import operator
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from pruning_core.dropout import ReplicaDropout
from pruning_core.pruner import Pruner
from pruning_core.stacked import known
from pruning_core.stacked.known import Place, UnknownLayerError
from pruning_core.stacked.layers import Layer, ReLU, Reshaped
from pruning_core.stacked.network import StackedLayers, Step

ROWS = 7  # of a batch of zeros by which shapes are found

Shapes = Mapping[fx.Node, tuple[int, ...]]


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, Pruner | ReplicaDropout) or super().is_leaf_module(m, module_qualified_name)


def stacked_layers(network: nn.Module, row: Tensor) -> StackedLayers | None:
    """The steps that compute R networks of one kind; None where the network holds what is not known here.

    Args:
        network: one of them.
        row: any row as the network takes it; only its shape and type count.
    """
    try:
        graph = _graph(network)
        return _Steps(network, graph, _shapes(network, graph, row)).stacked()
    except UnknownLayerError:
        return None


def _graph(network: nn.Module) -> fx.Graph:
    """What the network computes in training, if that is the same as in evaluation but for its layers' own modes."""
    # torch keeps the hooks of a module nowhere else.
    if any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in network.modules()):
        raise UnknownLayerError
    mode = network.training
    try:
        graph = _Tracer().trace(network.train())
        network.eval()
        in_evaluation = _Tracer().trace(network)
    except Exception as error:  # a forward may do anything with what is no tensor
        raise UnknownLayerError from error
    finally:
        network.train(mode)
    if str(graph) != str(in_evaluation):
        raise UnknownLayerError
    return graph


class _ShapeFollower(fx.Interpreter):
    """Notes the shapes of rows. torch's own `ShapeProp` does too, and loads sympy for it: half a second."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.rows: dict[fx.Node, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor) and value.shape[:1] == (ROWS,):
            self.rows[n] = tuple(value.shape[1:])
        return value


@torch.no_grad()
def _shapes(network: nn.Module, graph: fx.Graph, row: Tensor) -> Shapes:
    """The shape of a row of each value that is a tensor with a row for each of the batch."""
    batch = torch.zeros(ROWS, *row.shape, dtype=row.dtype)
    mode = network.training
    network.eval()
    try:
        follower = _ShapeFollower(fx.GraphModule(network, graph))
        follower.run(batch)
    except Exception as error:  # whatever a layer says of a shape that it cannot take
        raise UnknownLayerError from error
    finally:
        network.train(mode)
    return follower.rows


@dataclass(frozen=True)
class _Value:
    """A value between the layers.

    Attributes:
        number: among those of `StackedLayers`.
        trained: whether it depends on a parameter, so that its gradient is wanted.
        pruner: name of the weights whose gates it has yet to be multiplied by: the next layer does.
    """

    number: int
    trained: bool
    pruner: str | None = None


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


class _Steps:
    """Makes the steps, node by node."""

    def __init__(self, network: nn.Module, graph: fx.Graph, shapes: Shapes) -> None:
        self.network = network
        self.graph = graph
        self.shapes = shapes
        self.names = {id(p): name for name, p in network.named_parameters()}
        self.steps: list[Step] = []
        self.values: dict[fx.Node, _Value] = {}
        self.overwritten: list[int] = []

    def stacked(self) -> StackedLayers:
        for node in self.graph.nodes:
            if node.op == "placeholder" and not self.values:
                self.values[node] = _Value(0, trained=False)
            elif node.op == "call_module":
                self._module(node, self.network.get_submodule(node.target))
            elif node.op in ("call_function", "call_method"):
                self._function(node)
            elif node.op == "output":
                return self._finished(node.args[0])
            else:
                raise UnknownLayerError
        raise UnknownLayerError

    def _module(self, node: fx.Node, module: nn.Module) -> None:
        if len(node.args) != 1 or node.kwargs:
            raise UnknownLayerError
        taken, (rows, becomes) = self._taken(node.args[0]), self._rows(node.args[0], node)
        names = {name: self.names[id(p)] for name, p in module.named_parameters()}
        if type(module) is Pruner and self._multiplies_the_next(node, module):
            self.values[node] = replace(taken, pruner=names["weight"])
            return
        if getattr(module, "inplace", False):
            self.overwritten.append(taken.number)
        layer = known.of_module(module, Place(str(node.target), rows, becomes, names, taken.trained, taken.pruner))
        self._add(node, [taken], layer, rows)

    def _multiplies_the_next(self, node: fx.Node, pruner: Pruner) -> bool:
        """Whether the gates can multiply the weights of the layer behind a pruner, which is the only one there.

        Behind a flattening, gates of channels can multiply the weights of a linear layer.
        """
        user, flat = _only_user(node), False
        if user is not None and self._flattens(user):
            user, flat = _only_user(user), True
        rows = self.shapes[node]
        if user is None or user.op != "call_module" or len(rows) != 1 + pruner.trailing_dims:
            return False
        module = self.network.get_submodule(str(user.target))
        return known.takes_gates(module, (math.prod(rows),) if flat else rows)

    def _flattens(self, node: fx.Node) -> bool:
        flattening = node.target in known.RESHAPING or (
            node.op == "call_module" and type(self.network.get_submodule(str(node.target))) is nn.Flatten
        )
        return flattening and len(self.shapes.get(node, ())) == 1

    def _function(self, node: fx.Node) -> None:
        if node.target in known.OF_SHAPES and node not in self.shapes:
            return  # only a layer that gives rows another shape takes it, and what becomes of them is known
        if node.target in known.SUM and len(node.args) == 2 and not node.kwargs:
            both = [self._taken(argument) for argument in node.args]
            one, other = self._rows(*node.args)
            if one != other:
                raise UnknownLayerError
            if node.target is operator.iadd:
                self.overwritten.append(both[0].number)
            self._add(node, both, Reshaped(True, one), one)
            return
        argument = node.args[0] if node.args else None
        taken, (rows, becomes) = self._taken(argument), self._rows(argument, node)
        self._add(node, [taken], known.of_function(node, rows, becomes, taken.trained), rows)

    def _add(self, node: fx.Node, taken: Sequence[_Value], layer: Layer, rows: tuple[int, ...]) -> None:
        self.steps.append(Step(layer, tuple(value.number for value in taken), rows))
        trained = bool(layer.trains) or any(value.trained for value in taken)
        pruner = taken[0].pruner if isinstance(layer, Reshaped) else None
        self.values[node] = _Value(len(self.steps), trained, pruner)

    def _taken(self, argument: Any) -> _Value:
        value = self.values.get(argument) if isinstance(argument, fx.Node) else None
        if value is None:
            raise UnknownLayerError
        return value

    def _rows(self, *nodes: Any) -> list[tuple[int, ...]]:
        if not all(node in self.shapes for node in nodes):
            raise UnknownLayerError
        return [self.shapes[node] for node in nodes]

    def _finished(self, output: Any) -> StackedLayers:
        last, (rows,) = self._taken(output), self._rows(output)
        if last.number != len(self.steps) or not self.steps or len(rows) != 1:
            raise UnknownLayerError
        uses = Counter(i for step in self.steps for i in step.inputs)
        if any(uses[i] > 1 or (i and isinstance(self.steps[i - 1].layer, Reshaped)) for i in self.overwritten):
            raise UnknownLayerError  # somebody else sees the overwritten value
        last_use = {i: number for number, step in enumerate(self.steps) for i in step.inputs}
        steps = [
            replace(
                step,
                layer=self._in_place(number, uses) if isinstance(step.layer, ReLU) else step.layer,
                last_used=tuple({i for i in step.inputs if last_use[i] == number}),
            )
            for number, step in enumerate(self.steps)
        ]
        trained = {name for step in steps for name in step.layer.trains}
        return StackedLayers(steps, [name for name in self.names.values() if name not in trained])

    def _in_place(self, number: int, uses: Counter[int]) -> ReLU:
        """The same ReLU, into its input where nobody else takes that and its own layer has done with it.

        Backward likewise: into the gradient of its output, where one layer alone has made it.
        """
        step = self.steps[number]
        (value,) = step.inputs
        fresh = value > 0 and self.steps[value - 1].layer.leaves_output
        return ReLU(step.layer.to_input, fresh and uses[value] == 1, self._gets_own_gradient(number + 1, uses))

    def _gets_own_gradient(self, value: int, uses: Counter[int]) -> bool:
        if uses[value] != 1:
            return False
        number, step = next((i, step) for i, step in enumerate(self.steps) if value in step.inputs)
        if len(step.inputs) > 1:  # a sum gives one gradient to all of its inputs
            return False
        return step.layer.leaves_gradient or (
            isinstance(step.layer, Reshaped) and self._gets_own_gradient(number + 1, uses)
        )
