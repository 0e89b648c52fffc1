"""A network that cannot be trained is refused in one sentence; of any other it is said what it is."""

import random
import sys
import time
from collections.abc import Callable
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
from pruning_core.training import train

CONFIG = TrialConfig(keep=4, epochs=3, hidden=(8,))
F, C = 12, 3


class Then(nn.Module):
    """Gated inputs, and then whatever a function makes of them with a last layer."""

    def __init__(self, forward: Callable[[nn.Module, Tensor], Any], **layers: nn.Module) -> None:
        super().__init__()
        self.pruner, self.last = Pruner(F, 4), nn.Linear(F, C)
        self.calls = 0
        self.made_by = forward
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Any:
        return self.made_by(self, self.pruner(x))


def spec(build: Callable[[], Any], shape: tuple[int, ...] | None = None) -> NetworkSpec:
    return NetworkSpec(lambda config, features, classes: build(), shape)


def then(forward: Callable[[Any, Tensor], Any], **layers: Callable[[], nn.Module]) -> NetworkSpec:
    return spec(lambda: Then(forward, **{name: make() for name, make in layers.items()}))


def fails(network: Any, x: Tensor) -> Tensor:
    raise KeyError("weights\nof the second layer")


def counts(network: Any, x: Tensor) -> Tensor:
    network.calls += 1
    out: Tensor = network.last(x) * network.calls
    return out


def branches(network: Any, x: Tensor) -> Tensor:
    out: Tensor = network.last(x if x.sum() > 0 else 2 * x)
    return out


def random_bias() -> nn.Module:
    last = nn.Linear(F, C)
    nn.init.constant_(last.bias, random.random())
    return nn.Sequential(Pruner(F, 4), last)


def of_another_width() -> nn.Module:
    width = int(torch.randint(2, 2**30, ()))
    return nn.Sequential(Pruner(F, 4), nn.Linear(F, 2 + width % 97), nn.Linear(2 + width % 97, C))


BAD: dict[str, tuple[NetworkSpec, str]] = {
    "no pruner": (spec(lambda: nn.Linear(F, C)), "no Pruner layer"),
    "two of one name": (
        spec(lambda: nn.Sequential(Pruner(F, 4, name="a"), Pruner(F, 3, name="a"), nn.Linear(F, C))),
        "both called 'a'",
    ),
    "no module": (spec(lambda: torch.zeros(3)), "must be a torch.nn.Module, got Tensor"),
    "cannot be built": (spec(lambda: Pruner(F, F)), "cannot be built: ValueError: keep must lie in 1 ... 11"),
    "other numbers": (spec(random_bias), "other numbers when it is built again"),
    "other widths": (spec(of_another_width), "two seeds do not fit together"),
    "wrong width": (spec(lambda: nn.Sequential(Pruner(F, 4), nn.Linear(F, 7))), r"3 outputs per row.*gave \(32, 7\)"),
    "wrong shape": (then(lambda net, x: net.last(x).unsqueeze(1)), r"gave \(32, 1, 3\)"),
    "no tensor": (then(lambda net, x: (net.last(x), x)), "got tuple"),
    "wrong input": (spec(lambda: nn.Sequential(Pruner(F, 4), nn.Linear(9, C))), "fails on a batch.*shapes cannot be"),
    "input shape": (spec(lambda: nn.Sequential(Pruner(F, 4), nn.Linear(F, C)), (2, 5)), "takes 10.* has 12"),
    "raises": (then(fails), r"fails on a batch of shape \(32, 12\): KeyError: 'weights\\nof the second layer'"),
    "NaN": (then(lambda net, x: net.last(x.log())), "no finite numbers on finite rows in training"),
    "NaN under the mask": (then(lambda net, x: net.last(x) * net.pruner.weight.sum()), "under the hard mask"),
    "NaN gradient": (then(lambda net, x: net.last((x * 0).sqrt())), "gradient of pruner.weight is not finite"),
    "random": (then(lambda net, x: net.last(x + torch.randn_like(x))), "draws random numbers in its forward"),
    "random by NumPy": (then(lambda net, x: net.last(x) + float(np.random.rand())), "draws random numbers"),
    "random by Python": (then(lambda net, x: net.last(x) + random.random()), "draws random numbers"),
    "functional dropout": (then(lambda net, x: net.last(functional.dropout(x, 0.5, net.training))), "use nn.Dropout"),
    "remembers": (then(counts), "must remember nothing"),
    "other rows": (then(lambda net, x: net.last(x - x.mean(0))), "depends on the other rows in evaluation"),
    "statistics of a batch": (
        then(lambda net, x: net.last(net.norm(x)), norm=lambda: nn.BatchNorm1d(F, track_running_stats=False)),
        "depends on the other rows in evaluation",
    ),
    "branches": (then(branches), "takes decisions from data .*so several replicas .* cannot be computed"),
    "item": (then(lambda net, x: net.last(x) * x.sum().item()), "takes decisions from data"),
    "list": (then(lambda net, x: net.last(x) + sum(x.tolist()[0])), "takes decisions from data"),
    "NumPy": (then(lambda net, x: net.last(x + torch.tensor(x.detach().numpy()))), "takes decisions from data"),
    "selected": (then(lambda net, x: net.last(x) + x[x > 0].sum()), "takes decisions from data"),
    "lazy": (spec(lambda: nn.Sequential(Pruner(F, 4), nn.LazyLinear(C))), r"sizes of 1 \(LazyLinear\) are not known"),
    "lazy statistics": (spec(lambda: nn.Sequential(Pruner(F, 4), nn.LazyBatchNorm1d(affine=False), nn.Linear(F, C))),
                        r"sizes of 1 \(LazyBatchNorm1d\) are not known when .* built: give them"),
    "without numbers": (spec(lambda: nn.Sequential(Pruner(F, 4), nn.Linear(F, C, device="meta"))), "be compared"),
    "exits": (spec(lambda: sys.exit("no")), "cannot be built: SystemExit: no"),
    "exits in its forward": (then(lambda net, x: sys.exit(3)), "fails on a batch .*: SystemExit: 3"),
    "one row": (then(lambda net, x: net.last(x.squeeze())), r"one per class: 1 rows gave \(3,\)"),
    "pruner unused": (then(lambda net, x: net.last(x), neurons=lambda: Pruner(8, 3)), "'neurons' prunes nothing"),
    "pruner's units unused": (then(lambda net, x: net.last(x + 0 * len(net.neurons(x))), neurons=lambda: Pruner(F, 3)),
                              "'neurons' prunes nothing"),
    "frozen": (spec(lambda: nn.Sequential(Pruner(F, 4), nn.Linear(F, C)).requires_grad_(False)), "can be learnt"),
    "detached": (then(lambda net, x: net.last(x).detach()), "nothing can be learnt: .* detached"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_network_that_cannot_be_trained_is_refused_in_one_sentence(name: str, data: Dataset) -> None:
    network, reason = BAD[name]
    state = torch.get_rng_state()
    with pytest.raises(NetworkError, match=reason) as refused:
        check_network(network, CONFIG, data)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300
    assert torch.equal(torch.get_rng_state(), state)


class Attentive(nn.Module):
    """Attention between four groups of three inputs, with any implementation of it."""

    def __init__(self, with_module: bool) -> None:
        super().__init__()
        self.pruner = Pruner(F, 4)
        self.attention = nn.MultiheadAttention(3, 1, batch_first=True) if with_module else None
        self.last = nn.Linear(F, C)

    def forward(self, x: Tensor) -> Tensor:
        groups = self.pruner(x).view(-1, 4, 3)
        if self.attention is None:
            mixed = functional.scaled_dot_product_attention(groups, groups, groups)
        else:
            mixed = self.attention(groups, groups, groups, need_weights=False)[0]
        return self.last((groups + mixed).flatten(1))


def embedded(net: Any, x: Tensor) -> Tensor:
    out: Tensor = net.last(x + net.embedding((x.detach() > 0).long()).squeeze(-1))
    return out


def dead(net: Any, x: Tensor) -> Tensor:
    """On these rows no gradient reaches a gate."""
    out: Tensor = net.out(net.neurons(torch.relu(net.hidden(x) - 1e3)))
    return out


def binned(net: Any, x: Tensor) -> Tensor:
    """Gates act without a gradient, which suffices for swaps."""
    out: Tensor = net.last(net.table((x.detach().abs() > 0.5).long()).squeeze(-1))
    return out


def only_gates_learn() -> nn.Module:
    return nn.Sequential(Pruner(F, 4), nn.Linear(F, C).requires_grad_(False))


GOOD = {
    "built-in": (GATED_MLP, True),
    "normalised": (
        spec(lambda: nn.Sequential(Pruner(F, 4), nn.BatchNorm1d(F), nn.Dropout(0.2), nn.LayerNorm(F), nn.Linear(F, C))),
        True,
    ),
    "pictures": (spec(lambda: nn.Sequential(nn.Conv2d(1, 3, 3), Pruner(3, 1, trailing_dims=2), nn.Flatten(),
                                            nn.Linear(6, C)), (1, 3, 4)), True),
    "embedding": (then(embedded, embedding=lambda: nn.Embedding(2, 1)), False),
    "dead": (
        then(dead, hidden=lambda: nn.Linear(F, 8), neurons=lambda: Pruner(8, 3), out=lambda: nn.Linear(8, C)),
        False,
    ),
    "binned": (then(binned, table=lambda: nn.Embedding(2, 1)), False),
    "only gates learn": (spec(only_gates_learn), True),
    "attention": (spec(lambda: Attentive(True)), False),
    "scaled dot product": (spec(lambda: Attentive(False)), False),
    "cumulative sum": (then(lambda net, x: net.last(net.wide(x).cumsum(1)), wide=lambda: nn.Linear(F, F)), False),
}  # fmt: skip


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", GOOD)
def test_a_network_that_passes_trains_the_same_beside_others(name: str, data: Dataset) -> None:
    network, stacked = GOOD[name]
    assert check_network(network, CONFIG, data).stacked == stacked
    several, alone = (train(CONFIG, data, seeds, network, "cpu") for seeds in (range(3), [1]))
    for record, other in zip(several, alone, strict=True):
        assert record.total_loss[1] == pytest.approx(other.total_loss[0], rel=1e-3)


def test_a_network_is_described(data: Dataset) -> None:
    def build() -> nn.Module:
        return nn.Sequential(
            *(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), Pruner(4, 2, trailing_dims=2, name="channels")),
            *(nn.Flatten(), nn.Linear(48, C)),
        )

    found = check_network(spec(build, (1, 3, 4)), CONFIG, data)
    layers = [(layer.path, layer.type, layer.parameters, layer.output) for layer in found.layers]
    assert layers == [
        ("0", "Conv2d", 40, (4, 3, 4)),
        ("1", "BatchNorm2d", 8, (4, 3, 4)),
        ("2", "Pruner", 4, (4, 3, 4)),
        ("3", "Flatten", 0, (48,)),
        ("4", "Linear", 147, (3,)),
    ]
    assert found.layers[2].sizes == "4 units, keep 2"
    assert "out_features=3" in found.layers[4].sizes
    assert [(pruner.name, pruner.units, pruner.keep) for pruner in found.pruners] == [("channels", 4, 2)]
    assert (found.parameters, found.multiply_adds) == (199, 4 * 9 * 12 + 48 * 3)


def test_a_layer_whose_numbers_are_used_without_calling_it_has_no_output(data: Dataset) -> None:
    found = check_network(GATED_MLP, CONFIG, data)
    assert [(layer.path, layer.output) for layer in found.layers] == [
        ("pruner", None),
        ("layers.0", None),
        ("layers.1", (3,)),
    ]
    assert found.multiply_adds == F * 8 + 8 * C


def test_a_convolutional_network_is_described() -> None:
    digits = load_dataset("digits", folder=Path(), constant=True)
    arguments = {"channels": [4], "prune": {"channels": [0.5], "hidden": [3]}}
    config = TrialConfig(keep=10, hidden=(12,), arguments=arguments)
    found = check_network(convolutional((1, 8, 8)), config, digits)
    pruners = [(pruner.name, pruner.keep, pruner.units) for pruner in found.pruners]
    assert pruners == [("inputs", 10, 64), ("channels1", 2, 4), ("hidden1", 3, 12)]
    assert found.on_inputs == found.pruners[0]
    assert found.multiply_adds == 9 * 4 * 64 + 4 * 16 * 12 + 12 * 10


def test_a_network_that_drops_no_input_has_no_pruner_on_its_inputs(data: Dataset) -> None:
    hidden_only = TrialConfig(hidden=(12,), arguments={"prune": {"hidden": [4]}})
    found = check_network(GATED_MLP, hidden_only, data)
    assert found.on_inputs is None
    assert [pruner.name for pruner in found.pruners] == ["hidden1"]


def test_a_network_of_five_million_weights_is_looked_at_within_seconds(data: Dataset) -> None:
    started = time.monotonic()
    found = check_network(GATED_MLP, TrialConfig(keep=4, hidden=(2200, 2200)), data)
    assert found.parameters > 4_800_000
    assert time.monotonic() - started < 8
