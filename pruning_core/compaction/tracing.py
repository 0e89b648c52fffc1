"""A pruned network as a graph of plain layers, in float64 and with 0 and 1 in place of its gates."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from pruning_core.dropout import ReplicaDropout
from pruning_core.pruner import Pruner, hard_mask

WITHOUT_EFFECT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, ReplicaDropout, nn.Identity)
NORMALISED: dict[type[nn.Module], Callable[[Any, Any], nn.Module]] = {
    nn.Conv1d: fuse_conv_bn_eval,
    nn.Conv2d: fuse_conv_bn_eval,
    nn.Linear: fuse_linear_bn_eval,
}
BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d)


class CompactionError(ValueError):
    """A network that cannot be compacted; the message is one sentence."""


class _Tracer(fx.Tracer):
    """Layers of `torch.nn` and of this project are leaves; all other modules are looked into."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if isinstance(m, Pruner | ReplicaDropout):
            return True
        within = any(isinstance(child, Pruner) for child in m.modules())
        return not within and super().is_leaf_module(m, module_qualified_name)


def as_layers(network: nn.Module) -> nn.Module:
    """The network with every module whose own class tells its layers, such as `GatedMLP`, as an `nn.Sequential`."""
    # Not that of a base class: a subclass may compute something else.
    told: Callable[[nn.Module], list[nn.Module]] | None = vars(type(network)).get("as_layers")
    if told is not None:
        return nn.Sequential(*told(network))
    for name, child in network.named_children():
        setattr(network, name, as_layers(child))
    return network


@torch.no_grad()
def pruned(network: nn.Module) -> nn.Module:
    """A copy of a network on the CPU, ready to answer, whose gates are exactly 0 and 1."""
    network = copy.deepcopy(network).cpu().eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, Pruner):
            module.weight.copy_(hard_mask(module.weight, module.keep))
    return network


def trace(network: nn.Module) -> fx.GraphModule:
    """The graph of what `pruned` returned: normalisation folded into the layer before it, no dropout, in float64.

    Raises:
        CompactionError: `torch.fx` cannot follow the network, such as an `if` over its values.
    """
    network = as_layers(copy.deepcopy(network)).double()
    root = network if isinstance(network, nn.Sequential) or list(network.children()) else nn.Sequential(network)
    try:
        graph = _Tracer().trace(root)
    except Exception as error:  # whatever a network's own code raises when it is given a proxy
        name = type(network).__name__
        raise CompactionError(f"torch.fx cannot trace {name} ({str(error).splitlines()[0]})") from error
    module = fx.GraphModule(root, graph)
    for node in list(graph.nodes):
        if node.op == "call_module":
            _simplify(module, node)
    module.graph.eliminate_dead_code()
    if len([node for node in module.graph.nodes if node.op == "placeholder"]) != 1:
        raise CompactionError(f"{type(network).__name__} takes more than its rows")
    return module


def _simplify(module: fx.GraphModule, node: fx.Node) -> None:
    layer = module.get_submodule(str(node.target))
    source = node.args[0] if node.args else None
    if not isinstance(source, fx.Node):
        return
    if isinstance(layer, WITHOUT_EFFECT):
        node.replace_all_uses_with(source)
        module.graph.erase_node(node)
    elif type(layer) in BATCH_NORM and source.op == "call_module" and len(source.users) == 1:
        before = module.get_submodule(str(source.target))
        if type(before) not in NORMALISED or _calls(module, source) > 1 or getattr(layer, "running_mean", None) is None:
            return
        name = f"{str(node.target).replace('.', '_')}_folded"
        module.add_module(name, NORMALISED[type(before)](before, layer))
        source.target = name
        node.replace_all_uses_with(source)
        module.graph.erase_node(node)


def _calls(module: fx.GraphModule, node: fx.Node) -> int:
    return sum(other.target == node.target for other in module.graph.nodes)


def attribute(module: nn.Module, path: str) -> Tensor:
    """The parameter, buffer or constant at a dotted path."""
    *owner, name = path.split(".")
    value: Tensor = getattr(module.get_submodule(".".join(owner)), name)
    return value
