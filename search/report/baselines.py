"""What a pruned network is to be compared with: the same network with all of its inputs, and with others.

A comparison trains exactly as the search does, from the same initial weights and in the same order of batches, but
with gates that are 0 or 1 from the start and never move. The training part alone chooses inputs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pruning_core.config import TrialConfig
from pruning_core.data import Dataset
from pruning_core.networks import NetworkFactory, gated_mlp
from pruning_core.pruner import Pruner
from pruning_core.training import train

ROWS, NUMBERS = 10_000, 2_000_000
TREES = 300


@dataclass(frozen=True)
class Comparison:
    """The accuracies of one choice of inputs: one value per seed."""

    inputs: tuple[str, ...]
    validation: list[float]
    test: list[float]


def with_inputs(columns: Sequence[int]) -> NetworkFactory:
    """The default network with the gates of `columns` at exactly 1 and the others at exactly 0, for good."""

    def build(config: TrialConfig, features: int, classes: int) -> nn.Module:
        network = gated_mlp(config, features, classes)
        pruner = next(module for module in network.modules() if isinstance(module, Pruner))
        with torch.no_grad():
            pruner.weight.fill_(-torch.inf)
            pruner.weight[list(columns)] = torch.inf
        return network

    return build


def fit(
    columns: Sequence[int],
    winner: Mapping[str, Any],
    data: Dataset,
    seeds: Sequence[int],
    epochs: int,
    progress: Callable[[int], None] = lambda epoch: None,
) -> Comparison:
    """Trains the network on some of the inputs.

    Args:
        columns: indices of the inputs that it sees.
        winner: the hyperparameters (`TrialConfig.used()`) of which network and training are taken.
        data: the data with its test part.
        seeds: one per replica; those of the confirmation give its initial weights and batches.
        epochs: how long to train.
        progress: is told every epoch.
    """
    assert data.test is not None
    config = TrialConfig(**{**winner, "strategy": "fixed", "epochs": epochs, "settle_epochs": epochs})
    run = train(config, data.without_test(), seeds, network=with_inputs(columns))
    for record in run:
        progress(record.epoch)
    device = run.data.train.x.device
    validation, test = (
        run.replicas.accuracy(part.x.to(device), part.y.to(device), pruned=False).tolist()
        for part in (data.validation, data.test)
    )
    return Comparison(tuple(data.feature_names[column] for column in columns), validation, test)


def by_mutual_information(data: Dataset, keep: int) -> list[int]:
    """The `keep` inputs that tell most about the class, each on its own (scikit-learn, on the training part)."""
    from sklearn.feature_selection import mutual_info_classif

    x, y = training_rows(data)
    return largest(mutual_info_classif(x, y, random_state=0), keep)


def by_random_forest(data: Dataset, keep: int) -> list[int]:
    """The `keep` most important inputs of a random forest (scikit-learn, impurity, on the training part)."""
    from sklearn.ensemble import RandomForestClassifier

    x, y = training_rows(data)
    forest = RandomForestClassifier(n_estimators=TREES, random_state=0).fit(x, y)
    return largest(forest.feature_importances_, keep)


def training_rows(data: Dataset) -> tuple[NDArray[Any], NDArray[Any]]:
    """The training part as arrays; of very many rows or inputs, as many rows as can be ranked in minutes."""
    x, y = data.train.x.cpu().numpy(), data.train.y.cpu().numpy()
    enough = min(ROWS, max(500, NUMBERS // x.shape[1]))
    rows = np.random.default_rng(0).permutation(len(y))[:enough]
    return x[rows], y[rows]


def largest(scores: NDArray[Any], keep: int) -> list[int]:
    """The indices of the `keep` largest scores, ascending; of equal ones the first."""
    return sorted(np.argsort(-scores, kind="stable")[:keep].tolist())
