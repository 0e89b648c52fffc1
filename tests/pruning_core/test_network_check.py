"""What is found out about a network before it is trained: what it is made of, or why it cannot be used."""

import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pruning_core.config import TrialConfig
from pruning_core.convolution import convolutional
from pruning_core.data import Dataset, load_dataset
from pruning_core.network_check import NetworkError, check_network
from pruning_core.networks import GATED_MLP, NetworkSpec
from pruning_core.pruner import Pruner

CONFIG = TrialConfig(keep=4, hidden=(8,))


@pytest.fixture(scope="module")
def wine() -> Dataset:
    return load_dataset("wine", folder=Path())


def linear(inputs: int, classes: int) -> nn.Sequential:
    return nn.Sequential(Pruner(inputs, 4), nn.Linear(inputs, classes))


def test_the_built_in_network_is_described(wine: Dataset) -> None:
    found = check_network(GATED_MLP, CONFIG, wine)
    assert found.parameters == 13 + 13 * 8 + 8 + 8 * 3 + 3
    assert found.multiply_adds == 13 * 8 + 8 * 3
    assert found.on_inputs is not None
    assert (found.on_inputs.name, found.on_inputs.keep, found.on_inputs.units) == ("inputs", 4, 13)
    assert [layer.parameters for layer in found.layers] == [13, 13 * 8 + 8, 8 * 3 + 3]


def test_a_convolutional_network_is_described() -> None:
    digits = load_dataset("digits", folder=Path(), constant=True)
    config = TrialConfig(
        keep=10, hidden=(12,), arguments={"channels": [4], "prune": {"channels": [0.5], "hidden": [3]}}
    )
    found = check_network(convolutional((1, 8, 8)), config, digits)
    assert [(p.name, p.keep, p.units) for p in found.pruners] == [
        ("inputs", 10, 64),
        ("channels1", 2, 4),
        ("hidden1", 3, 12),
    ]
    assert found.on_inputs == found.pruners[0]
    assert found.multiply_adds == 9 * 4 * 64 + 4 * 16 * 12 + 12 * 10


def test_a_network_that_drops_no_input_has_no_pruner_on_its_inputs(wine: Dataset) -> None:
    hidden_only = TrialConfig(hidden=(13,), arguments={"prune": {"hidden": [4]}})
    found = check_network(GATED_MLP, hidden_only, wine)
    assert found.on_inputs is None
    assert [pruner.name for pruner in found.pruners] == ["hidden1"]


def test_the_global_generators_are_left_as_they_were(wine: Dataset) -> None:
    before = torch.get_rng_state()
    check_network(GATED_MLP, CONFIG, wine)
    assert torch.equal(torch.get_rng_state(), before)


class Broken(nn.Module):
    """A linear network with a fault in its `forward`."""

    def __init__(self, inputs: int, classes: int, fault: str) -> None:
        super().__init__()
        self.layers, self.fault, self.calls = linear(inputs, classes), fault, 0

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        match self.fault:
            case "nan":
                return out * torch.nan
            case "infinite":
                return out / 0
            case "raises":
                raise RuntimeError("no\n  luck")
            case "value error":
                raise ValueError("bad value")
            case "wide":
                return torch.cat([out, out], -1)
            case "flat":
                return out.sum(-1)
            case "torch":
                return out + torch.rand(())
            case "dropout":
                return functional.dropout(out)
            case "numpy":
                return out + float(np.random.rand())
            case "python":
                return out + random.random()
            case "counts":
                self.calls += 1
                return out * self.calls
            case "asks":
                return out if bool(out.sum() > 0) else -out
            case "tuple":
                return (out, out)  # type: ignore[return-value]
        return out


def broken(fault: str) -> NetworkSpec:
    return NetworkSpec(lambda config, inputs, classes: Broken(inputs, classes, fault))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("nan", "not finite"),
        ("infinite", "not finite"),
        ("raises", "raises RuntimeError when it computes a batch: no luck"),
        ("value error", "raises ValueError when it computes a batch: bad value"),
        ("wide", r"a logit for each of 3 classes, \[8, 3\] for 8 rows, and returns \[8, 6\]"),
        ("flat", r"and returns \[8\]"),
        ("torch", "draws from a global random generator"),
        ("dropout", "draws from a global random generator"),
        ("numpy", "draws from a global random generator"),
        ("python", "draws from a global random generator"),
        ("counts", "other outputs when it is evaluated a second time"),
        ("asks", "raises RuntimeError"),
        ("tuple", "raises|tensor"),
    ],
)
def test_a_fault_of_its_forward_is_refused_in_one_sentence(wine: Dataset, fault: str, words: str) -> None:
    with pytest.raises(NetworkError, match=words) as caught:
        check_network(broken(fault), CONFIG, wine)
    assert "\n" not in str(caught.value)


def bad_builds() -> list[tuple[Any, str]]:
    return [
        (lambda c, i, k: nn.Linear(i, k), "no Pruner layer"),
        (
            lambda c, i, k: nn.Sequential(Pruner(i, 2, name="a"), Pruner(i, 3, name="a"), nn.Linear(i, k)),
            "both called 'a'",
        ),
        (lambda c, i, k: None, "must return an nn.Module, and returns NoneType"),
        (lambda c, i, k: linear(i + 1, k), "raises RuntimeError when it computes a batch"),
        (lambda c, i, k: nn.Sequential(Pruner(i, i), nn.Linear(i, k)), "raises ValueError when it is built: keep must"),
        (lambda c, i, k: 1 / 0, "raises ZeroDivisionError when it is built"),
    ]


@pytest.mark.parametrize(("build", "words"), bad_builds())
def test_a_network_that_cannot_be_built_or_pruned_is_refused(wine: Dataset, build: Any, words: str) -> None:
    with pytest.raises(NetworkError, match=words):
        check_network(NetworkSpec(build), CONFIG, wine)


def test_a_shape_that_does_not_fit_the_inputs_is_refused(wine: Dataset) -> None:
    with pytest.raises(NetworkError, match="takes 64 inputs, and the data has 13"):
        check_network(convolutional((1, 8, 8)), CONFIG, wine)


def test_a_network_of_five_million_weights_is_looked_at_within_seconds(wine: Dataset) -> None:
    started = time.monotonic()
    found = check_network(GATED_MLP, TrialConfig(keep=4, hidden=(2200, 2200)), wine)
    assert found.parameters > 4_800_000
    assert time.monotonic() - started < 8
