"""The compacted network against the masked one: the same outputs from fewer columns, fewer neurons, raw values."""

import json

import pytest
import torch
from torch import Tensor, nn

from pruning_core.compaction import compact, describe, rebuild
from pruning_core.networks import GatedMLP
from pruning_core.pruner import Pruner, open_units
from pruning_core.replicas import Replicas, one_replica

FEATURES, KEEP, CLASSES, ROWS = 12, 4, 3, 200


def scattered(network: nn.Module) -> nn.Module:
    """The network with random pruner weights."""
    for module in network.modules():
        if isinstance(module, Pruner):
            nn.init.normal_(module.weight)
    return network


def compare(replicas: Replicas, replica: int) -> tuple[Tensor, Tensor, nn.Sequential, Tensor]:
    """Outputs of the masked network on standardised columns and of the compacted one on raw ones."""
    generator = torch.Generator().manual_seed(1)
    mean = 10 * torch.randn(FEATURES, generator=generator)
    scale = torch.rand(FEATURES, generator=generator) + 0.5
    x_BF = torch.randn(ROWS, FEATURES, generator=generator)
    replicas.network.eval()
    masked_BC = replicas.logits(x_BF, replicas.hard_masks(), shared=True)[replica]
    compacted = compact(one_replica(replicas, replica), mean, scale)
    raw_BF = x_BF * scale + mean
    return masked_BC, compacted.network(raw_BF[:, compacted.inputs]), compacted.network, compacted.inputs


@pytest.mark.parametrize("hidden", [(), (8,), (8, 5)], ids=str)
@pytest.mark.parametrize("replica", [0, 2])
def test_the_default_network_gives_the_same_from_the_kept_raw_columns(hidden: tuple[int, ...], replica: int) -> None:
    replicas = Replicas(lambda: scattered(GatedMLP(FEATURES, CLASSES, KEEP, hidden, 3.0)), seeds=range(3))
    masked_BC, compacted_BC, network, inputs = compare(replicas, replica)
    torch.testing.assert_close(compacted_BC, masked_BC, atol=1e-5, rtol=1e-5)
    assert inputs.tolist() == open_units(replicas.pruner_weights[0][replica], KEEP).tolist()
    assert [layer.out_features for layer in network if isinstance(layer, nn.Linear)] == [*hidden, CLASSES]
    assert {type(layer) for layer in network} <= {nn.Linear, nn.ReLU}


def hidden_pruner(behind: bool, activation: type[nn.Module]) -> nn.Sequential:
    gated = [activation(), Pruner(10, 3)] if behind else [Pruner(10, 3), activation()]
    last = nn.Sequential(nn.Dropout(0.5), nn.Linear(10, 6), activation(), nn.Linear(6, CLASSES, bias=False))
    return nn.Sequential(Pruner(FEATURES, KEEP), nn.Linear(FEATURES, 10), *gated, last)


@pytest.mark.parametrize("behind", [True, False], ids=["behind the activation", "before the activation"])
@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.Sigmoid])
def test_closed_neurons_are_really_gone(activation: type[nn.Module], behind: bool) -> None:
    replicas = Replicas(lambda: scattered(hidden_pruner(behind, activation)), seeds=range(2))
    masked_BC, compacted_BC, network, _ = compare(replicas, 1)
    torch.testing.assert_close(compacted_BC, masked_BC, atol=1e-5, rtol=1e-5)
    shapes = [(layer.in_features, layer.out_features) for layer in network if isinstance(layer, nn.Linear)]
    assert shapes == [(KEEP, 3), (3, 6), (6, CLASSES)]


def test_two_pruners_on_the_same_units_keep_what_both_keep() -> None:
    build = lambda: scattered(nn.Sequential(Pruner(FEATURES, 8), Pruner(FEATURES, 6), nn.Linear(FEATURES, CLASSES)))  # noqa: E731
    replicas = Replicas(build, seeds=[0])
    masked_BC, compacted_BC, _, inputs = compare(replicas, 0)
    torch.testing.assert_close(compacted_BC, masked_BC, atol=1e-5, rtol=1e-5)
    first, second = (set(open_units(w[0], k).tolist()) for w, k in zip(replicas.pruner_weights, (8, 6), strict=True))
    assert set(inputs.tolist()) == first & second


def test_a_network_without_a_pruner_on_its_inputs_keeps_all_columns() -> None:
    def build() -> nn.Module:
        return scattered(nn.Sequential(nn.Linear(FEATURES, 10), nn.ReLU(), Pruner(10, 3), nn.Linear(10, CLASSES)))

    masked_BC, compacted_BC, network, inputs = compare(Replicas(build, seeds=[0]), 0)
    torch.testing.assert_close(compacted_BC, masked_BC, atol=1e-5, rtol=1e-5)
    assert inputs.tolist() == list(range(FEATURES))
    assert sum(p.numel() for p in network.parameters()) == (FEATURES + 1) * 3 + (3 + 1) * CLASSES


def test_one_replica_is_that_replica() -> None:
    replicas = Replicas(lambda: scattered(GatedMLP(FEATURES, CLASSES, KEEP, (8,), 3.0)), seeds=range(3))
    x_BF = torch.randn(5, FEATURES)
    for r in range(3):
        torch.testing.assert_close(one_replica(replicas, r)(x_BF), replicas.logits(x_BF, shared=True)[r])


def test_one_replica_has_its_running_statistics() -> None:
    replicas = Replicas(lambda: nn.Sequential(Pruner(FEATURES, KEEP), nn.BatchNorm1d(FEATURES)), seeds=range(2))
    x_BF = torch.randn(5, FEATURES)
    replicas.logits(torch.stack([x_BF, 2 * x_BF]))
    replicas.network.eval()
    torch.testing.assert_close(one_replica(replicas, 1)(x_BF), replicas.logits(x_BF, shared=True)[1])


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.Sigmoid])
def test_a_description_in_json_rebuilds_the_network(activation: type[nn.Module]) -> None:
    network = compact(hidden_pruner(True, activation), torch.zeros(FEATURES), torch.ones(FEATURES)).network
    rebuilt = rebuild(json.loads(json.dumps(describe(network))), network.state_dict())
    raw_Bn = torch.randn(7, KEEP)
    assert torch.equal(rebuilt(raw_Bn), network(raw_Bn))
    assert [type(layer) for layer in rebuilt] == [type(layer) for layer in network]


def test_compacting_leaves_the_network_alone() -> None:
    network = scattered(GatedMLP(FEATURES, CLASSES, KEEP, (8,), 3.0))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    compact(network, torch.ones(FEATURES), torch.full((FEATURES,), 2.0))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
