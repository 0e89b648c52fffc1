"""Dropout in stacked replicas: masks belong to the replica's seed and to the step, not to the neighbours."""

import numpy as np
import pytest
import torch
from accuracies import accuracies as accuracies_of
from torch import nn

from pruning_core.config import TrialConfig
from pruning_core.data import Dataset
from pruning_core.dropout import ReplicaDropout
from pruning_core.pruner import Pruner
from pruning_core.replicas import Replicas
from pruning_core.training import Training, train

CONFIG = TrialConfig(keep=4, epochs=6, lambda_start=1.0)
MARKOV = CONFIG.model_copy(update={"strategy": "markov", "block": 0.5})


def with_dropout(config: TrialConfig, features: int, classes: int) -> nn.Module:
    return nn.Sequential(
        Pruner(features, config.keep),
        nn.Dropout(0.1),
        nn.Linear(features, 16),
        nn.Sequential(nn.ReLU(), nn.Dropout(0.5)),
        nn.Linear(16, classes),
    )


def training(config: TrialConfig, data: Dataset, seeds: list[int]) -> Training:
    return train(config, data, seeds, with_dropout, device="cpu")


@pytest.mark.parametrize("config", [CONFIG, MARKOV], ids=["stepped", "markov"])
def test_a_replica_with_dropout_does_not_depend_on_its_neighbours(config: TrialConfig, data: Dataset) -> None:
    torch.manual_seed(1)
    together = list(training(config, data, [0, 1, 2, 3]))
    torch.manual_seed(2)
    for among_four, single in zip(together, training(config, data, [3]), strict=True):
        np.testing.assert_allclose(among_four.classification_loss[3], single.classification_loss[0], rtol=1e-4)
        np.testing.assert_array_equal(among_four.acceptance[3], single.acceptance[0])


def test_a_training_with_dropout_goes_on_exactly(data: Dataset) -> None:
    whole, first, second = (training(CONFIG, data, [0, 1]) for _ in range(3))
    losses = [record.total_loss for record in whole]
    for _ in range(3):
        next(iter(first))
    second.load_state_dict(first.state_dict())
    np.testing.assert_array_equal([record.total_loss for record in second], losses[3:])


def test_masks_drop_the_right_share_and_differ_between_replicas_layers_and_steps() -> None:
    replicas = Replicas(lambda: nn.Sequential(Pruner(200, 1), nn.Dropout(0.3)), range(3))
    ones = torch.ones(3, 50, 200)
    masks = [replicas.logits_and_backward(ones)[0] for _ in range(2)]
    again = replicas.logits(ones)
    assert torch.equal(again, masks[1])
    gate = torch.sigmoid(torch.tensor(3.0))
    for mask in masks:
        assert ((mask == 0) | torch.isclose(mask, gate / 0.7)).all()
        share = (mask == 0).double()
        assert share.mean((1, 2)).tolist() == pytest.approx([0.3] * 3, abs=0.02)
        assert share.mean(1).std(1).tolist() == pytest.approx([(0.3 * 0.7 / 50) ** 0.5] * 3, rel=0.2)
    dropped = [mask == 0 for mask in masks]
    for one, other in [(dropped[0], dropped[1]), (dropped[0][:1], dropped[0][1:])]:
        assert float((one & other).double().mean()) == pytest.approx(0.09, abs=0.01)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_nothing_or_everything_is_dropped(p: float) -> None:
    assert torch.equal(ReplicaDropout(p)(torch.ones(5)), torch.full((5,), 1 - p))


def test_accuracies_are_measured_without_dropout(data: Dataset) -> None:
    run = training(CONFIG, data, [0, 1])
    list(run)
    assert run.accuracy(data.validation) == run.accuracy(data.validation)
    plain = with_dropout(CONFIG, 12, 3).eval()
    plain.load_state_dict({name: p[1].detach() for name, p in run.replicas.parameters.items()})
    right = (plain(data.validation.x).argmax(1) == data.validation.y).double().mean()
    full = accuracies_of(run.replicas, data.validation.x, data.validation.y, pruned=False)
    assert float(full[1]) == pytest.approx(float(right))
