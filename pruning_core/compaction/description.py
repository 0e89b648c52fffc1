"""A compacted network as plain data for a JSON file, and back, without running anything that a file says."""

import inspect
import operator
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from pruning_core.compaction.analysis import ACTIVATIONS, CHANNELS, POOLING, RESHAPES, SAME, SUMS, TIMES
from pruning_core.compaction.layers import AddConstant, Arrange, Standardise
from pruning_core.compaction.tracing import CompactionError

SHORT: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}
LAYERS: dict[str, type[nn.Module]] = {
    kind.__name__: kind
    for kind in (
        *ACTIVATIONS, *POOLING, nn.Conv1d, nn.Conv2d, nn.BatchNorm1d, nn.BatchNorm2d, nn.Flatten, nn.Unflatten,
        nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.MultiheadAttention, nn.Softmax, nn.LogSoftmax, nn.PReLU, nn.GLU,
        nn.Dropout, nn.Embedding, nn.Bilinear,
    )
}  # fmt: skip
CALLED = SAME | CHANNELS | SUMS | TIMES | RESHAPES
OTHERS: set[Any] = {
    torch.cat, torch.stack, torch.mean, torch.sum, torch.matmul, torch.bmm, torch.softmax, torch.log_softmax,
    torch.transpose, torch.permute, torch.exp, torch.log, torch.sqrt, torch.rsqrt, torch.square, torch.pow, torch.sin,
    torch.cos, torch.sign, torch.clamp, torch.where, torch.amax, torch.amin, torch.cumsum, torch.bucketize,
    torch.einsum, torch.div, torch.neg, torch.chunk, torch.split, torch.unbind, torch.maximum, torch.minimum,
    torch.ones_like, torch.zeros_like, functional.softmax, functional.log_softmax, functional.normalize,
    functional.layer_norm,
    functional.scaled_dot_product_attention, functional.pad, operator.getitem, operator.truediv, operator.matmul,
    operator.neg, operator.pow, operator.gt, operator.lt, operator.ge, operator.le,
}  # fmt: skip
FUNCTIONS: dict[str, Any] = {
    f"{place.__name__}.{name}": function
    for place in (operator, torch, functional)
    for name, function in vars(place).items()
    if callable(function) and function in CALLED | OTHERS
}
METHODS = {name for name in CALLED if isinstance(name, str)} | {
    "mean", "sum", "std", "var", "prod", "transpose", "permute", "swapaxes", "movedim", "t", "contiguous", "softmax",
    "log_softmax", "size", "dim", "amax", "amin", "argmax", "chunk", "split", "unbind", "detach", "clone", "exp", "log",
    "sqrt", "rsqrt", "square", "pow", "sin", "cos", "sign", "neg", "clamp", "div", "matmul", "bmm", "cumsum", "expand",
    "expand_as", "repeat", "float", "long", "bool", "gt", "lt", "ge", "le", "masked_fill", "where", "narrow", "select",
    "index_select", "gather",
}  # fmt: skip
ATTRIBUTES = {"shape", "ndim", "T", "mT"}
"""Of a tensor, that a description may ask for."""


def describe(network: nn.Module) -> list[dict[str, Any]]:
    """The layers of a compacted network for a JSON file; layer i has its tensors as `i.weight`, `i.bias` and so on.

    Raises:
        CompactionError: it has a layer or a function that `rebuild` does not know.
    """
    if not isinstance(network, nn.Sequential):
        raise CompactionError("a network that is no chain of layers cannot be described as one")
    return [_description(layer) for layer in network]


def _graph(module: fx.GraphModule) -> dict[str, Any]:
    """The nodes of a graph in their order, each with what it does, to what, and with which arguments."""
    nodes = []
    for node in module.graph.nodes:
        target = node.target
        if target is getattr and node.args[1] in ATTRIBUTES:
            target = "attribute"
        elif node.op == "call_function":
            found = next((name for name, function in FUNCTIONS.items() if function is target), None)
            if found is None:
                name = getattr(target, "__name__", target)
                raise CompactionError(f"the function {name} cannot be described in a JSON file")
            target = found
        elif node.op == "call_method" and target not in METHODS:
            raise CompactionError(f"the method {target} cannot be described in a JSON file")
        kwargs = {name: _argument(value) for name, value in node.kwargs.items()}
        nodes.append([node.name, node.op, target, _argument(list(node.args)), kwargs])
    layers = {name: _description(layer) for name, layer in module.named_children()}
    tensors = {name: list(tensor.shape) for name, tensor in module.named_buffers(recurse=False)}
    return {"type": "graph", "layers": layers, "tensors": tensors, "nodes": nodes}


def _argument(value: Any) -> Any:
    if isinstance(value, fx.Node):
        return {"node": value.name}
    if isinstance(value, slice):
        return {"slice": [_argument(value.start), _argument(value.stop), _argument(value.step)]}
    if isinstance(value, tuple):
        return {"tuple": [_argument(item) for item in value]}
    if isinstance(value, list):
        return [_argument(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise CompactionError(f"an argument of the kind {type(value).__name__} cannot be described in a JSON file")


def _value(said: Any, nodes: Mapping[str, fx.Node]) -> Any:
    match said:
        case {"node": name}:
            return nodes[name]
        case {"slice": [start, stop, step]}:
            return slice(_value(start, nodes), _value(stop, nodes), _value(step, nodes))
        case {"tuple": items}:
            return tuple(_value(item, nodes) for item in items)
        case list():
            return [_value(item, nodes) for item in said]
    return said


def _graph_module(said: Mapping[str, Any]) -> fx.GraphModule:
    root, graph = nn.Module(), fx.Graph()
    nodes: dict[str, fx.Node] = {}
    for name, layer in said["layers"].items():
        root.add_module(name, _layer(layer))
    for name, shape in said["tensors"].items():
        root.register_buffer(name, torch.zeros(shape))
    for name, op, target, args, kwargs in said["nodes"]:
        if op == "call_function" and target == "attribute":
            if args[1] not in ATTRIBUTES:
                raise CompactionError(f"the attribute {args[1]} is not allowed in a description")
            target = getattr
        elif op == "call_function":
            target = FUNCTIONS[target]
        elif op == "call_method" and target not in METHODS:
            raise CompactionError(f"the method {target} is not allowed in a description")
        given = {key: _value(value, nodes) for key, value in kwargs.items()}
        nodes[name] = graph.create_node(op, target, tuple(_value(args, nodes)), given, name)
    return fx.GraphModule(root, graph)


def _description(layer: nn.Module) -> dict[str, Any]:
    if isinstance(layer, nn.Linear):
        return {"type": "linear", "inputs": layer.in_features, "outputs": layer.out_features}
    if isinstance(layer, Arrange):
        shape = None if layer.constants is None else list(layer.constants.shape)
        return {
            "type": "arrange", "axis": layer.axis, "units": layer.units, "places": layer.places.tolist(),
            "constants": shape,
        }  # fmt: skip
    if isinstance(layer, AddConstant):
        return {"type": "add", "shape": list(layer.constant.shape)}
    if isinstance(layer, Standardise):
        return {"type": "standardise", "inputs": len(layer.mean)}
    if isinstance(layer, fx.GraphModule):
        return _graph(layer)
    if type(layer) is nn.Sequential:
        return {"type": "chain", "layers": describe(layer)}
    short = {kind: name for name, kind in SHORT.items()}
    if type(layer) in short:
        return {"type": short[type(layer)]}
    if type(layer).__name__ not in LAYERS:
        raise CompactionError(f"{type(layer).__name__} cannot be described in a JSON file")
    named = inspect.signature(type(layer)).parameters
    arguments = {name: _plain(getattr(layer, name)) for name in named if hasattr(layer, name) and name != "bias"}
    if "bias" in named:
        arguments["bias"] = any(name.endswith("bias") for name, _ in layer.named_parameters())
    return {"type": type(layer).__name__, "arguments": arguments}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | torch.Size) else value


def rebuild(layers: Sequence[Mapping[str, Any]], tensors: Mapping[str, Tensor]) -> nn.Sequential:
    """The network that `describe` described, with the tensors of its `state_dict`."""
    network = nn.Sequential(*map(_layer, layers))
    network.load_state_dict(tensors)
    return network.eval()


def _layer(said: Mapping[str, Any]) -> nn.Module:
    match said["type"]:
        case "linear":
            return nn.Linear(said["inputs"], said["outputs"])
        case "arrange":
            constants = None if said["constants"] is None else torch.zeros(said["constants"])
            return Arrange(said["axis"], said["units"], torch.tensor(said["places"]), constants)
        case "add":
            return AddConstant(torch.zeros(said["shape"]))
        case "standardise":
            return Standardise(torch.zeros(said["inputs"]), torch.ones(said["inputs"]))
        case "graph":
            return _graph_module(said)
        case "chain":
            return nn.Sequential(*map(_layer, said["layers"]))
    if said["type"] in SHORT:
        return SHORT[said["type"]]()
    arguments = {name: tuple(v) if isinstance(v, list) else v for name, v in said["arguments"].items()}
    return LAYERS[said["type"]](**arguments)


def as_chain(network: nn.Module) -> nn.Module:
    """A graph of layers of which each is given what the one before it gives, as `nn.Sequential`; else as it is."""
    if not isinstance(network, fx.GraphModule):
        return network
    nodes = list(network.graph.nodes)
    in_turn = all(node.op == "call_module" and not node.kwargs for node in nodes[1:-1]) and all(
        node.args == (before,) for before, node in pairwise(nodes)
    )
    if not in_turn:
        return network
    layers = [network.get_submodule(str(node.target)) for node in nodes[1:-1]]
    return nn.Sequential(*layers).eval()
