"""Whether a network can be trained as stacked replicas, found out by a batch of two of them, and what it is made of."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pruning_core.gate_names import gate_names
from pruning_core.networks import NetworkSpec
from pruning_core.pruner import NamedPruner, Pruner
from pruning_core.replicas import Replicas, one_replica

if TYPE_CHECKING:
    from pruning_core.config import TrialConfig
    from pruning_core.data import Dataset

BATCH = 8
SAME = 1e-4
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


class NetworkError(ValueError):
    """A network that cannot be trained; the message is one sentence without a subject: "the network ..."."""


@dataclass(frozen=True)
class Layer:
    """A module without children: its path, what it is called and says of itself, and how many parameters it has."""

    path: str
    kind: str
    parameters: int


@dataclass(frozen=True)
class CheckedNetwork:
    """What a network is made of.

    `multiply_adds` are those of products of matrices and of convolutions for one row, gates not counted. `on_inputs`
    names the pruner on the inputs, if there is one.
    """

    layers: tuple[Layer, ...]
    pruners: tuple[NamedPruner, ...]
    on_inputs: NamedPruner | None
    parameters: int
    multiply_adds: int


def check_network(spec: NetworkSpec, config: "TrialConfig", data: "Dataset") -> CheckedNetwork:
    """Builds two replicas of a network, and computes with them what a training does.

    Args:
        spec: how it is built.
        config: with which hyperparameters.
        data: that it shall learn from.

    Raises:
        NetworkError: it cannot be built or trained, its output has the wrong shape or is not finite, it has no pruner,
            or two of one name, or a replica depends on the other one or on a global random generator.
    """
    features, classes = len(data.feature_names), len(data.class_names)
    if spec.input_shape is not None and prod(spec.input_shape) != features:
        shape = list(spec.input_shape)
        raise NetworkError(f"input_shape = {shape} takes {prod(spec.input_shape)} inputs, and the data has {features}")
    build = partial(spec.build, config, features, classes)
    with torch.random.fork_rng(devices=[]):
        replicas, swapped = (_replicas(build, seeds, spec.input_shape) for seeds in ((0, 1), (1, 0)))
        rows = data.train.x[:BATCH].cpu().flatten(1)
        logits_RBC = _trained_output(replicas, rows)
        _check_output(logits_RBC, len(rows), classes)
        if not torch.allclose(logits_RBC.flip(0), _trained_output(swapped, rows), rtol=SAME, atol=SAME):
            raise NetworkError("the network gives other outputs when another replica is computed before it")
        masks = replicas.hard_masks()
        first, again = (_raised(lambda: _evaluated(replicas, rows, masks), "is evaluated") for _ in range(2))
        if not torch.equal(first, again):
            raise NetworkError("the network gives other outputs when it is evaluated a second time")
        names = _raised(lambda: gate_names(replicas, rows[:1], data.feature_names), "is evaluated")
    on_inputs = next((p for p, of in zip(replicas.pruners, names, strict=True) if of == data.feature_names), None)
    network = one_replica(replicas, 0)
    return CheckedNetwork(
        layers=tuple(_layers(network)),
        pruners=tuple(replicas.pruners),
        on_inputs=on_inputs,
        parameters=sum(p.numel() for p in network.parameters()),
        multiply_adds=_multiply_adds(network, replicas.in_shape(rows[:1])),
    )


def _replicas(build: Callable[[], nn.Module], seeds: tuple[int, ...], shape: tuple[int, ...] | None) -> Replicas:
    def checked() -> nn.Module:
        network: Any = build()
        if not isinstance(network, nn.Module):
            raise NetworkError(f"the function must return an nn.Module, and returns {type(network).__name__}")
        return network

    return _raised(lambda: Replicas(checked, seeds, "cpu", shape), "is built")


def _raised(compute: Callable[[], Any], when: str) -> Any:
    """What a function returns; whatever it raises is the network's fault."""
    try:
        return compute()
    except NetworkError:
        raise
    except ValueError as error:
        if str(error).startswith("the "):  # a sentence already, of `named_pruners`
            raise NetworkError(str(error)) from None
        raise NetworkError(_sentence(error, when)) from error
    except Exception as error:
        raise NetworkError(_sentence(error, when)) from error


def _sentence(error: Exception, when: str) -> str:
    text = " ".join(str(error).split())
    return f"the network raises {type(error).__name__} when it {when}: {text[:200]}"


def _trained_output(replicas: Replicas, rows: Tensor) -> Tensor:
    """The outputs of a training step, (R, B, C), after its backward pass."""

    def step() -> Tensor:
        logits_RBC, backward = replicas.logits_and_backward(rows.expand(len(replicas), *rows.shape))
        backward(torch.ones_like(logits_RBC))
        return logits_RBC

    before = _generators()
    logits_RBC: Tensor = _raised(step, "computes a batch")
    if before != _generators():
        raise NetworkError(
            "the network draws from a global random generator when it computes a batch, so that a replica depends on "
            "the others: nn.Dropout draws from each replica's own"
        )
    return logits_RBC


def _generators() -> tuple[Any, ...]:
    """The states of all global random generators that a network may draw from."""
    state = np.random.get_state()
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), state[1].tobytes(), state[2]  # type: ignore[index]


@torch.no_grad()
def _evaluated(replicas: Replicas, rows: Tensor, masks: list[Tensor]) -> Tensor:
    replicas.network.eval()
    try:
        return replicas.logits(rows, masks, shared=True)
    finally:
        replicas.network.train()


def _check_output(logits_RBC: Tensor, rows: int, classes: int) -> None:
    wanted = (2, rows, classes)
    if tuple(logits_RBC.shape) != wanted:
        given = list(logits_RBC.shape[1:])
        raise NetworkError(
            f"the network must return a logit for each of {classes} classes, {[rows, classes]} for {rows} rows, "
            f"and returns {given}"
        )
    if not torch.isfinite(logits_RBC).all():
        raise NetworkError("the network returns numbers that are not finite")


def _layers(network: nn.Module) -> list[Layer]:
    """The modules without children, and those that have parameters of their own."""
    found = []
    for path, module in network.named_modules():
        own = sum(p.numel() for p in module.parameters(recurse=False))
        if own or not (list(module.children()) or isinstance(module, CONTAINERS)):
            says = f"{len(module.weight)}, keep {module.keep}" if isinstance(module, Pruner) else module.extra_repr()
            found.append(Layer(path, f"{type(module).__name__}({says})", own))
    return found


@torch.no_grad()
def _multiply_adds(network: nn.Module, row: Tensor) -> int:
    counter = FlopCounterMode(display=False)
    with counter:
        network(row)
    return int(counter.get_total_flops()) // 2
