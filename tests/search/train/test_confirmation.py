"""Whose network the confirmation keeps."""

from typing import Any

import torch
from quick_runs import HiddenPruner, start
from torch import Tensor, nn

from pruning_core.compaction import PrunedReplica
from pruning_core.config import TrialConfig
from pruning_core.data import Dataset
from pruning_core.pruner import Pruner
from search.train.confirmation import best_network, candidates
from search.trials.trial import Trial


def test_of_the_complete_seeds_the_best_on_validation_is_published(data: Dataset) -> None:
    run = start(data, seeds=3)
    list(run)
    result: dict[str, Any] = run.result()
    validation = result["pruned_accuracy"]["per_seed"]
    backwards = [1 - accuracy for accuracy in validation]
    network = best_network(run, backwards)
    assert isinstance(network, PrunedReplica)
    complete = [r for r, epoch in enumerate(result["completion_epoch"]) if epoch is not None]
    assert network.validation_accuracy == max(validation[r] for r in complete)
    assert network.test_accuracy == 1 - network.validation_accuracy
    assert set(network.inputs) == set(result["selected"][validation.index(network.validation_accuracy)])
    unfinished = start(data, seeds=2, epochs=1)
    list(unfinished)
    assert best_network(unfinished, [0.5, 0.5]) == "no seed completed the pruning"
    assert torch.get_num_threads() == 1


class Undescribed(nn.Module):
    """A layer that no description knows, behind the gates."""

    def __init__(self, config: TrialConfig, features: int, classes: int) -> None:
        super().__init__()
        self.inputs = Pruner(features, config.keep, config.initial_weight)
        self.last = nn.Linear(features, classes)

    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.fft(self.last(self.inputs(x))).real


def test_neurons_behind_a_normalisation_are_gone_from_what_is_published(data: Dataset) -> None:
    run = start(data, seeds=2, network=HiddenPruner)
    list(run)
    network = best_network(run, [0.5, 0.5])
    assert isinstance(network, PrunedReplica)
    assert [layer for layer in network.layers if layer["type"] == "linear"] == [
        {"type": "linear", "inputs": 4, "outputs": 2},
        {"type": "linear", "inputs": 2, "outputs": 3},
    ]


def test_a_network_that_cannot_be_described_says_so_and_does_not_end_the_confirmation(data: Dataset) -> None:
    run = start(data, seeds=2, network=Undescribed)
    list(run)
    assert any(epoch is not None for epoch in run.history.result(run.selected())["completion_epoch"])  # type: ignore[attr-defined]
    reason = best_network(run, [0.5, 0.5])
    assert isinstance(reason, str)
    assert "cannot be described" in reason


def test_candidates_are_a_strategy_s_trials_that_did_not_fail_the_best_first() -> None:
    def trial(number: int, ending: Any, complete: float, accuracy: float | None, strategy: str = "stepped") -> Trial:
        return Trial(number, {"strategy": strategy}, ending=ending, complete=complete, score=accuracy)

    trials = [
        *(trial(0, "failed", 1.0, 1.0), trial(1, "stopped", 0.0, 0.99), trial(2, "ended", 1.0, 0.8)),
        *(trial(3, "ended", 1.0, 0.9), trial(4, "ended", 1.0, 1.0, "plateau"), trial(5, None, 0.0, 1.0)),
    ]
    assert [found.number for found in candidates(trials, "stepped")] == [3, 2, 1]
    assert candidates(trials, "markov") == []
