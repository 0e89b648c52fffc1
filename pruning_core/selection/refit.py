"""A network trained from the start on a choice of its inputs: with gates that are 0 or 1 and never move.

Replicas that learn which inputs matter train on more of them while they do, and each keeps what its own rows and seed
favour. The inputs that most of them keep are a better choice than that of one, and a network that sees these alone
from the start is fitted better (see FINDINGS). Where it learns the noise in the end, it stops earlier.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pruning_core.config import TrialConfig
from pruning_core.networks import NetworkSpec
from pruning_core.pruner import Pruner

STANDARD_ERRORS = 3.0


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


def without_pruning(config: Mapping[str, Any], epochs: int | None = None) -> TrialConfig:
    """The same training for all of its epochs, in which no gate moves.

    Args:
        config: the hyperparameters, such as `TrialConfig.used()`.
        epochs: in place of its own.

    >>> without_pruning({"keep": 4, "epochs": 60, "learning_rate": 0.01}).settle_epochs
    60
    """
    epochs = epochs or TrialConfig(**config).epochs
    return TrialConfig(**{**config, "strategy": "fixed", "epochs": epochs, "settle_epochs": epochs})


def best_epoch(validation_ER: NDArray[np.floating]) -> int:
    """After how many of E epochs to stop: all, unless networks are better beyond doubt in the middle than at the end.

    Scores are means over the tenth of all epochs around each. The best, averaged over R replicas, must be above
    the last tenth by more than three standard errors of the difference, replica by replica: the best of many epochs of
    a noisy curve is no better choice than the last one.

    Args:
        validation_ER: the score of every replica after each epoch.

    >>> best_epoch(np.array([[0.7], [0.8], [0.9], [0.8], [0.7]])), best_epoch(np.array([[0.7], [0.8], [0.8]]))
    (3, 3)
    """
    epochs, replicas = validation_ER.shape
    around = max(1, epochs // 20)
    smooth_ER = np.stack([validation_ER[max(0, e - around + 1) : e + around].mean(0) for e in range(epochs)])
    gains_ER = smooth_ER - validation_ER[-max(1, epochs // 10) :].mean(0)
    best = int(gains_ER.mean(1).argmax())
    gain_R = gains_ER[best]
    error = gain_R.std(ddof=min(1, replicas - 1)) / np.sqrt(replicas)
    return best + 1 if gain_R.mean() > STANDARD_ERRORS * error else epochs
