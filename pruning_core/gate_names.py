"""What the units of each pruner are called: like the features where it stands on the inputs of its network."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from pruning_core.replicas import Replicas


def gate_names(replicas: Replicas, row_1F: Tensor, feature_names: Sequence[str]) -> list[tuple[str, ...]]:
    """The names of each pruner's units, no two of them alike.

    Those of a pruner on the inputs are the features' names; of a second one there, its own name stands before them. All
    others are called by the pruner's name and their number: `neurons.0`, `neurons.1`, ...

    Args:
        replicas: the networks.
        row_1F: any row that they can compute, on their device.
        feature_names: F names.
    """
    on_inputs = _on_inputs(replicas, row_1F)
    names: list[tuple[str, ...]] = []
    for pruner in replicas.pruners:
        if pruner.path not in on_inputs:
            names.append(tuple(f"{pruner.name}.{unit}" for unit in range(pruner.units)))
        elif tuple(feature_names) not in names:
            names.append(tuple(feature_names))
        else:
            names.append(tuple(f"{pruner.name}.{feature}" for feature in feature_names))
    return names


def _on_inputs(replicas: Replicas, row_1F: Tensor) -> set[str]:
    """The paths of the pruners on the inputs: what the network declares, else those that are given a row as it is."""
    declared = getattr(replicas.network, "pruner_on_inputs", None)
    if isinstance(declared, str):
        return {declared}
    as_wide = [pruner.path for pruner in replicas.pruners if pruner.units == row_1F.numel()]
    return _given_the_row(replicas, row_1F, as_wide) if as_wide else set()


@torch.no_grad()
def _given_the_row(replicas: Replicas, row_1F: Tensor, paths: Sequence[str]) -> set[str]:
    """Which of the pruners at these paths are given the row itself, when the first replica computes it."""
    network, x = replicas.network, replicas.in_shape(row_1F.clone())
    given: set[str] = set()

    def look(path: str, pruner: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        received = arguments[0] if arguments else named["x"]
        if (received.data_ptr(), received.numel()) == (x.data_ptr(), x.numel()):
            given.add(path)

    hooks = [
        network.get_submodule(path).register_forward_pre_hook(partial(look, path), with_kwargs=True) for path in paths
    ]
    network.eval()
    try:
        with torch.random.fork_rng(devices=[]):
            functional_call(network, {name: t[0].clone() for name, t in replicas.tensors.items()}, (x,))
    finally:
        network.train()
        for hook in hooks:
            hook.remove()
    return given
