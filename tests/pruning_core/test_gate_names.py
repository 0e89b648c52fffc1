"""Which pruner stands on the inputs is found out by what it is given, not by its width."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from pruning_core.config import TrialConfig
from pruning_core.data import Dataset
from pruning_core.gate_names import gate_names
from pruning_core.networks import GatedMLP, NetworkSpec
from pruning_core.pruner import Pruner
from pruning_core.replicas import Replicas
from pruning_core.structure import structure
from pruning_core.training import train

FEATURES = ("a", "b", "c", "d", "e", "f")
CONFIG = TrialConfig(keep=2, epochs=1)


def names_in(build: Callable[[], nn.Module], input_shape: tuple[int, ...] | None = None) -> list[tuple[str, ...]]:
    return gate_names(Replicas(build, range(2), input_shape=input_shape), torch.randn(1, 6), FEATURES)


def numbered(name: str) -> tuple[str, ...]:
    return tuple(f"{name}.{i}" for i in range(6))


def test_the_built_in_network_prunes_its_inputs() -> None:
    assert names_in(lambda: GatedMLP(6, 3, 2, (6,), 3.0)) == [FEATURES]


def test_a_hidden_layer_as_wide_as_the_inputs_has_names_of_its_own() -> None:
    assert names_in(lambda: nn.Sequential(nn.Linear(6, 6), Pruner(6, 2), nn.Linear(6, 3))) == [numbered("1")]


@pytest.mark.parametrize(
    "first", [nn.Identity, lambda: nn.Dropout(0.5), nn.Flatten], ids=["identity", "dropout", "flatten"]
)
def test_inputs_that_are_handed_on_as_they_are_are_the_inputs(first: Callable[[], nn.Module]) -> None:
    assert names_in(lambda: nn.Sequential(first(), Pruner(6, 2), nn.Linear(6, 3))) == [FEATURES]


@pytest.mark.parametrize("first", [lambda: nn.BatchNorm1d(6), nn.Tanh], ids=["BatchNorm1d", "Tanh"])
def test_what_has_been_computed_from_the_inputs_is_no_input(first: Callable[[], nn.Module]) -> None:
    assert names_in(lambda: nn.Sequential(first(), Pruner(6, 2), nn.Linear(6, 3))) == [numbered("1")]


def test_a_second_pruner_behind_the_first_has_names_of_its_own() -> None:
    assert names_in(lambda: nn.Sequential(Pruner(6, 4), Pruner(6, 2), nn.Linear(6, 3))) == [FEATURES, numbered("1")]


class Towers(nn.Module):
    """Two pruners side by side on the same inputs, one of them given them by name."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = Pruner(6, 2), Pruner(6, 3, name="second")

    def forward(self, x: Tensor) -> Tensor:
        return self.left(x) + self.right(x=x)


def test_no_two_units_have_one_name() -> None:
    assert names_in(Towers) == [FEATURES, tuple(f"second.{name}" for name in FEATURES)]


def test_inputs_in_a_shape_are_the_inputs_once_they_are_flat() -> None:
    flat = lambda: nn.Sequential(nn.Flatten(), Pruner(6, 2), nn.Linear(6, 3))  # noqa: E731
    assert names_in(flat, (2, 3)) == [FEATURES]
    channels = lambda: nn.Sequential(Pruner(3, 2), nn.Flatten(), nn.Linear(6, 3))  # noqa: E731
    assert names_in(channels, (2, 3)) == [("0.0", "0.1", "0.2")]


def test_looking_leaves_network_and_random_numbers_alone() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.normalisation, self.pruner = nn.BatchNorm1d(6), Pruner(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            assert not self.training
            return self.pruner(self.normalisation(x + torch.randn_like(x)))

    replicas, state, row = Replicas(Noisy, range(2)), torch.random.get_rng_state(), torch.ones(1, 6)
    before, as_it_was = {name: t.clone() for name, t in replicas.tensors.items()}, structure(replicas.network)
    assert gate_names(replicas, row, FEATURES) == [numbered("pruner")]
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in replicas.tensors.items())
    assert structure(replicas.network) == as_it_was
    assert row.tolist() == [[1] * 6]


def test_a_run_names_its_gates_by_pruner(data: Dataset) -> None:
    def build(config: TrialConfig, features: int, classes: int) -> nn.Module:
        hidden = nn.Sequential(nn.Linear(12, 12), Pruner(12, 3, name="neurons"))
        return nn.Sequential(Pruner(12, 2), hidden, nn.Linear(12, 3))

    run = train(CONFIG, data, range(2), NetworkSpec(build), "cpu")
    assert [pruner.name for pruner in run.history.pruners] == ["0", "neurons"]
    assert run.history.names == (*data.feature_names, *(f"neurons.{i}" for i in range(12)))
