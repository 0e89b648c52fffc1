"""What a network is, and whether it can be trained here: found out with one small batch, before a search begins.

The replicas of a training are computed side by side, repeated and resumed; a network that would not give the same each
time, or no answer at all, is refused in one sentence.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import chain
from math import prod
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.parameter import is_lazy

from pruning_core.compaction import multiply_adds
from pruning_core.data import Dataset
from pruning_core.gate_names import gate_names
from pruning_core.networks import NetworkSpec
from pruning_core.pruner import NamedPruner, Pruner, named_pruners
from pruning_core.replicas import Replicas, StackedNetwork, one_replica

if TYPE_CHECKING:
    from pruning_core.config import TrialConfig

MOST_ROWS = 32
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
SAID = 120  # letters of what an exception says
ASKS_FOR_VALUES = (".item()", "data-dependent", "data pointer", "dynamic shape", "storage")  # torch's words
ROUNDING = 1e-3  # between outputs that are computed in another order, to the largest of them


class NetworkError(ValueError):
    """A network that cannot be trained here; the sentence says why."""


@dataclass(frozen=True)
class LayerDescription:
    """A layer: its path and type in the network, its sizes in words, its parameters, and the shape of a row it gives.

    `output` is None where the network uses the layer's numbers without calling it.
    """

    path: str
    type: str
    sizes: str
    parameters: int
    output: tuple[int, ...] | None


@dataclass(frozen=True)
class NetworkDescription:
    """What `check_network` found: layers, pruners, and how much there is to store and to compute.

    Attributes:
        on_inputs: the pruner on the inputs; None where there is none.
        parameters: how many numbers are trained, pruner weights included.
        stacked: whether replicas are computed as stacked products; otherwise `vmap` does it, at half the speed.
        network, row: one of the networks, in evaluation, and a batch of one row for it.
    """

    layers: tuple[LayerDescription, ...]
    pruners: tuple[NamedPruner, ...]
    on_inputs: NamedPruner | None
    parameters: int
    stacked: bool
    network: nn.Module = field(repr=False, compare=False)
    row: Tensor = field(repr=False, compare=False)

    @cached_property
    def multiply_adds(self) -> int:
        """For one row, as `pruning_core.compaction.multiply_adds` counts them."""
        return multiply_adds(self.network, self.row)


@torch.no_grad()
def check_network(spec: NetworkSpec, config: "TrialConfig", data: Dataset) -> NetworkDescription:
    """Builds a network, trains two of it on one small batch, and describes it.

    Neither the data nor torch's random numbers change.

    Args:
        spec: how the network is built.
        config: whose hyperparameters it gets.
        data: of which the first training rows are used.

    Raises:
        NetworkError: it cannot be built, has no pruner or two of one name, or one that it does not use, fails, gives
            outputs of the wrong shape or that are not finite, cannot learn, answers a row differently beside others, or
            is not the same when it is repeated.

    Examples
    --------
    >>> from pathlib import Path
    >>> from pruning_core import TrialConfig, load_dataset
    >>> from pruning_core.networks import GATED_MLP
    >>> found = check_network(GATED_MLP, TrialConfig(keep=16), load_dataset("digits", folder=Path()))
    >>> found.parameters, found.multiply_adds, found.pruners[0].units
    (4614, 4480, 60)
    """
    x_BF = data.train.x[:MOST_ROWS].flatten(1).cpu()
    if spec.input_shape is not None and (takes := prod(spec.input_shape)) != len(x_BF[0]):
        raise NetworkError(
            f"input_shape {list(spec.input_shape)} takes {takes} inputs, and the data has {len(x_BF[0])}"
        )
    classes = len(data.class_names)
    build = partial(spec.build, config, len(data.feature_names), classes)
    with torch.random.fork_rng(devices=[]):
        _check_building(build)
        with _refused("networks of two seeds do not fit together"):
            replicas = Replicas(build, range(2), input_shape=spec.input_shape)
        x = replicas.in_shape(x_BF)
        alone_RBC = torch.stack([_alone(replicas, replica, x, classes) for replica in range(2)])
        _check_learning(replicas, x)
        _check_training(replicas, x_BF, alone_RBC)
        _check_evaluation(replicas, x_BF)
        with _refused("the network fails on a batch of one row"):
            return _description(replicas, x, classes, _on_inputs(replicas, x_BF[:1], data))


def _check_building(build: Callable[[], nn.Module]) -> None:
    """Two networks of one seed must be the same."""
    networks = []
    with _refused("the network cannot be built"):
        for _ in range(2):
            torch.manual_seed(0)
            networks.append(build())
    if not isinstance(networks[0], nn.Module):
        raise NetworkError(f"the network must be a torch.nn.Module, got {type(networks[0]).__name__}")
    try:
        named_pruners(networks[0])
    except ValueError as error:
        raise NetworkError(str(error)) from error
    lazy = [f"{path} ({type(m).__name__})" for path, m in networks[0].named_modules() if _is_lazy(m)]
    if lazy:
        raise NetworkError(
            f"the sizes of {lazy[0]} are not known when the network is built: give them, such as nn.Linear(in, out)"
        )
    if not any(p.requires_grad for p in networks[0].parameters()):
        raise NetworkError("nothing can be learnt: all parameters of the network have requires_grad=False")
    with _refused("the numbers of the network cannot be compared"):
        one, other = (network.state_dict() for network in networks)
        same = one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    if not same:
        raise NetworkError(
            "the network has other numbers when it is built again: its random numbers must be torch's own"
        )


def _is_lazy(module: nn.Module) -> bool:
    return any(map(is_lazy, chain(module.parameters(recurse=False), module.buffers(recurse=False))))


def _alone(replicas: Replicas, replica: int, x: Tensor, classes: int) -> Tensor:
    """What one network gives in training by itself, (B, C): the same each time that it is asked."""
    outputs = []
    for _ in range(2):
        numbers, states = {name: t[replica].clone() for name, t in replicas.tensors.items()}, _generators()
        with _refused(f"the network fails on a batch of shape {tuple(x.shape)}"):
            outputs.append(functional_call(replicas.network, numbers, (x.clone(),)))
        if _generators() != states:
            raise NetworkError(
                "the network draws random numbers in its forward, of which no replica has its own: use nn.Dropout"
            )
    first = outputs[0]
    if not isinstance(first, Tensor):
        raise NetworkError(f"the network must give a tensor of one output per class, got {type(first).__name__}")
    _check_shape(first, len(x), classes)
    _check_finite(first, "in training")
    if not _close(*outputs):
        raise NetworkError("the network gives other outputs when it is asked again: a forward must remember nothing")
    return first


def _check_learning(replicas: Replicas, x: Tensor) -> None:
    """The outputs follow from parameters, and from each pruner."""
    numbers = {name: t[0].clone() for name, t in replicas.tensors.items()}
    for name, p in replicas.parameters.items():
        numbers[name].requires_grad_(p.requires_grad or name in replicas.pruner_parameters)
    names = [name for name, t in numbers.items() if t.requires_grad]
    with torch.enable_grad(), _refused("the network has no gradients"):
        outputs = functional_call(replicas.network, dict(numbers), (x.clone(),))
        if not outputs.requires_grad:
            raise NetworkError("nothing can be learnt: the network's outputs are detached from its parameters")
        found = torch.autograd.grad(outputs.sum(), [numbers[name] for name in names], allow_unused=True)
    # A gradient of 0 may be that of a dead ReLU; there is none at all where the outputs do not follow from a weight.
    unused = {name for name, gradient in zip(names, found, strict=True) if gradient is None}
    for pruner in replicas.pruners:
        if pruner.parameter not in unused:
            continue
        closed = {**numbers, pruner.parameter: torch.full_like(numbers[pruner.parameter], -torch.inf)}
        with _refused("the network fails with closed gates"):
            if torch.equal(outputs, functional_call(replicas.network, closed, (x.clone(),))):
                raise NetworkError(f"the pruner {pruner.name!r} prunes nothing: the outputs do not depend on its gates")


def _generators() -> tuple[Any, ...]:
    """The states of the random generators of torch, Python and NumPy."""
    _, keys, place, *_ = np.random.get_state()
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), np.asarray(keys).tobytes(), place


def _check_training(replicas: Replicas, x_BF: Tensor, alone_RBC: Tensor) -> None:
    """Two networks side by side, in either order, give what each gives alone, and gradients."""
    other_way = StackedNetwork(
        replicas.network,
        {name: p.detach().flip(0) for name, p in replicas.parameters.items()},
        {name: buffer.flip(0) for name, buffer in replicas.buffers.items()},
        replicas.input_shape,
        like=replicas,
    )
    x_RBF = x_BF.expand(2, *x_BF.shape)
    with _refused("several replicas of the network cannot be computed side by side", of_data=True):
        for stack, order in ((replicas, [0, 1]), (other_way, [1, 0])):
            if not _close(stack.logits(x_RBF, stack.pruner_weights), alone_RBC[order]):
                raise NetworkError("the network gives other outputs beside another replica than by itself")
        logits_RBC, backward = replicas.logits_and_backward(x_RBF)
        gradients = backward(torch.full_like(logits_RBC, 1 / logits_RBC.numel()))
    bad = [name for name, gradient in gradients.items() if not bool(gradient.isfinite().all())]
    if bad:
        raise NetworkError(f"the gradient of {bad[0]} is not finite on finite rows")


def _check_evaluation(replicas: Replicas, x_BF: Tensor) -> None:
    """In evaluation, with gates and under the hard mask: finite, and no row's answer depends on the others."""
    replicas.network.eval()
    try:
        for masks, when in ((None, "in evaluation"), (replicas.hard_masks(), "under the hard mask")):
            with _refused(f"the network fails {when}"):
                all_RBC = replicas.logits(x_BF, masks, shared=True)
                few_RBC = replicas.logits(x_BF[: len(x_BF) // 2], masks, shared=True)
            _check_finite(all_RBC, when)
            if not _close(all_RBC[:, : len(x_BF) // 2], few_RBC):
                raise NetworkError(f"the network's answer to a row depends on the other rows {when}")
    finally:
        replicas.network.train()


def _on_inputs(replicas: Replicas, row_1F: Tensor, data: Dataset) -> NamedPruner | None:
    """The first pruner that stands on the inputs."""
    names = gate_names(replicas, row_1F, data.feature_names)
    return next((p for p, of in zip(replicas.pruners, names, strict=True) if of == tuple(data.feature_names)), None)


def _description(replicas: Replicas, x: Tensor, classes: int, on_inputs: NamedPruner | None) -> NetworkDescription:
    stacked = replicas.has_stacked_forward or replicas.layers(x[0]) is not None
    network, outputs = one_replica(replicas, 0), dict[str, tuple[int, ...]]()
    layers = {
        path: module
        for path, module in network.named_modules()
        if list(module.parameters(recurse=False)) or not (list(module.children()) or isinstance(module, CONTAINERS))
    }

    def look(path: str, module: nn.Module, given: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            outputs[path] = tuple(output.shape[1:])

    hooks = [module.register_forward_hook(partial(look, path)) for path, module in layers.items()]
    _check_shape(network(x[:1].clone()), 1, classes)
    for hook in hooks:
        hook.remove()
    described = [
        LayerDescription(
            path,
            type(module).__name__,
            f"{len(module.weight)} units, keep {module.keep}" if isinstance(module, Pruner) else module.extra_repr(),
            sum(p.numel() for p in module.parameters(recurse=False)),
            outputs.get(path),
        )
        for path, module in layers.items()
    ]
    parameters = sum(p.numel() for p in network.parameters())
    pruners, row = tuple(replicas.pruners), x[:1].clone()
    return NetworkDescription(tuple(described), pruners, on_inputs, parameters, stacked, network, row)


@contextmanager
def _refused(what: str, of_data: bool = False) -> Iterator[None]:
    """Whatever a network raises becomes one sentence.

    Args:
        what: cannot be done.
        of_data: whether the usual reason is a value of the data that the forward asks for.
    """
    try:
        yield
    except NetworkError:
        raise
    except (Exception, SystemExit) as error:
        said = shorten(next(iter(str(error).splitlines()), ""), SAID, placeholder=" ...")
        if of_data and any(words in str(error) for words in ASKS_FOR_VALUES):
            what = f"the forward takes decisions from data (an .item(), an `if` on a tensor), so {what}"
        raise NetworkError(f"{what}: {type(error).__name__}{': ' if said else ''}{said}") from error


def _check_shape(logits: Tensor, rows: int, classes: int) -> None:
    if tuple(logits.shape) != (rows, classes):
        raise NetworkError(
            f"the network must give {classes} outputs per row, one per class: {rows} rows gave {tuple(logits.shape)}"
        )


def _check_finite(logits: Tensor, when: str) -> None:
    if not bool(logits.isfinite().all()):
        raise NetworkError(f"the network gives outputs that are no finite numbers on finite rows {when}")


def _close(one: Tensor, other: Tensor) -> bool:
    """Whether outputs are the same but for rounding."""
    return bool((one - other).abs().max() <= ROUNDING * other.abs().max().clamp(min=1))
