"""A network trained from the start on some of its inputs."""

import numpy as np
import torch

from pruning_core.config import TrialConfig
from pruning_core.data import Dataset, Part
from pruning_core.networks import GATED_MLP
from pruning_core.selection.refit import best_epoch, with_inputs, without_pruning
from pruning_core.training import train


def test_it_keeps_these_inputs_from_the_first_epoch_to_the_last_and_sees_no_other(data: Dataset) -> None:
    config = without_pruning({"keep": 3, "epochs": 4, "batch_size": 30})
    run = train(config, data, range(3), with_inputs([0, 2, 5], GATED_MLP))
    assert [record.epoch for record in run] == [1, 2, 3, 4]
    assert run.result()["selected"] == [["x0", "x2", "x5"]] * 3
    assert run.result()["completion_epoch"] == [1, 1, 1]
    changed = data.validation.x.clone()
    changed[:, [1, 3, 4, *range(6, 12)]] = torch.randn(90, 9)
    assert run.accuracy(Part(changed, data.validation.y), pruned=False) == run.accuracy(data.validation, pruned=False)


def test_it_starts_from_the_weights_and_batches_of_the_same_seed(data: Dataset) -> None:
    everything = train(TrialConfig(keep=3, strategy="fixed"), data, [7])
    some = train(without_pruning({"keep": 3}), data, [7], with_inputs([0, 1, 2], GATED_MLP))
    for name, tensor in everything.replicas.tensors.items():
        assert torch.equal(tensor, some.replicas.tensors[name]) or name.endswith("pruner.weight"), name


def test_it_stops_early_only_where_an_earlier_epoch_is_better_beyond_doubt() -> None:
    noise_ER = np.random.default_rng(0).normal(0, 0.02, (100, 16))
    epochs_E = np.arange(100)[:, None]
    learns_noise_ER = 0.9 - 0.0005 * np.abs(epochs_E - 20) + noise_ER
    assert best_epoch(noise_ER) == 100
    assert best_epoch(0.9 - 0.1 / (1 + epochs_E) + noise_ER) == 100
    assert best_epoch(learns_noise_ER) < 50
    assert best_epoch(np.full((5, 3), 0.8)) == 5


def test_fewer_epochs_are_the_first_of_all(data: Dataset) -> None:
    network = with_inputs([0, 2, 5], GATED_MLP)
    scores = [record.pruned_accuracy for record in train(without_pruning({"keep": 3}), data, range(2), network)]
    fewer = [r.pruned_accuracy for r in train(without_pruning({"keep": 3}, 6), data, range(2), network)]
    assert np.array_equal(scores[:6], fewer)
