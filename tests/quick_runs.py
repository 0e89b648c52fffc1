"""Quick training runs that the tests of training share."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pruning_core.config import TrialConfig
from pruning_core.data import Dataset
from pruning_core.history import QUANTITIES, EpochRecord
from pruning_core.networks import NetworkFactory, gated_mlp
from pruning_core.pruner import Pruner
from pruning_core.training import Training, train

QUICK: dict[str, Any] = {  # all replicas complete, by back-propagation within 40 epochs and by the chain within 90
    **{"keep": 4, "hidden": (8,), "lambda_start": 0.3, "growth": 1.3, "pruner_learning_rate": 0.2},
    **{"delta": 1.0, "epochs": 100, "settle_epochs": 4, "learning_rate": 3e-3},
}
MARKOV = {"strategy": "markov", "growth": 1.2, "delta": 0.3, "block": 1.0, "proposals": 1}


def start(data: Dataset, seeds: int = 3, network: NetworkFactory = gated_mlp, **values: Any) -> Training:
    return train(TrialConfig(**{**QUICK, **values}), data, range(seeds), network, device="cpu")


def assert_same(records: list[EpochRecord], others: list[EpochRecord]) -> None:
    """Equal to the last bit, NaN included."""
    for record, other in zip(records, others, strict=True):
        assert record.epoch == other.epoch
        for quantity in QUANTITIES:
            np.testing.assert_array_equal(getattr(record, quantity), getattr(other, quantity), err_msg=quantity)


def start_and_train(data: Dataset, **values: Any) -> Training:
    run = start(data, **{"epochs": 2, **values})
    list(run)
    return run


class HiddenPruner(nn.Module):
    """Gated inputs and gated neurons, with running statistics in between."""

    def __init__(self, config: TrialConfig, features: int, classes: int) -> None:
        super().__init__()
        self.inputs = Pruner(features, config.keep, config.initial_weight)
        self.first = nn.Linear(features, 6)
        self.normalisation = nn.BatchNorm1d(6)
        self.neurons = Pruner(6, 2, config.initial_weight)
        self.last = nn.Linear(6, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.neurons(torch.relu(self.normalisation(self.first(self.inputs(x))))))
