"""A network trained from the start on a choice of its inputs: with gates that are 0 or 1 and never move.

Replicas that learn which inputs matter train on more of them while they do, and each keeps what its own rows and seed
favour. The inputs that most of them keep are a better choice than that of one, and a network that sees these alone
from the start is fitted better (see FINDINGS).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from pruning_core.config import TrialConfig
from pruning_core.networks import NetworkSpec
from pruning_core.pruner import Pruner


def with_inputs(columns: Sequence[int], network: NetworkSpec, on_inputs: str | None = "pruner") -> NetworkSpec:
    """The same network with all gates at exactly 1, but for those of other inputs than `columns`, at exactly 0.

    Args:
        columns: indices of inputs.
        network: how it is built.
        on_inputs: the path of its pruner on the inputs, `pruner` in the built-in MLP; None where it has none, and sees
            all inputs.
    """

    def build(config: TrialConfig, features: int, classes: int) -> nn.Module:
        made = network.build(config, features, classes)
        with torch.no_grad():
            for path, module in made.named_modules():
                if isinstance(module, Pruner):
                    module.weight.fill_(-torch.inf if path == on_inputs else torch.inf)
                    if path == on_inputs:
                        module.weight[list(columns)] = torch.inf
        return made

    return replace(network, build=build)


def without_pruning(config: Mapping[str, Any]) -> TrialConfig:
    """The same training for all of its epochs, in which no gate moves.

    Args:
        config: the hyperparameters, such as `TrialConfig.used()`.

    >>> without_pruning({"keep": 4, "epochs": 60, "learning_rate": 0.01}).settle_epochs
    60
    """
    epochs = TrialConfig(**config).epochs
    return TrialConfig(**{**config, "strategy": "fixed", "settle_epochs": epochs})
