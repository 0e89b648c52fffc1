"""Stacked replicas: each is the network that it would be alone, whatever the module and the neighbours."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from accuracies import accuracies as accuracies_of
from torch import Tensor, nn

from pruning_core import replicas as replicas_module
from pruning_core.config import TrialConfig
from pruning_core.data import Dataset
from pruning_core.networks import GATED_MLP, NetworkFactory
from pruning_core.pruner import Pruner
from pruning_core.replicas import ReplicaRandom, Replicas
from pruning_core.training import train

LOSSES = ("classification_loss", "selection_loss", "rejection_loss", "total_loss")


class TwoPruners(nn.Module):
    """A user's own network: gated inputs, a gated hidden layer, and a normalisation between them."""

    def __init__(self, features: int, classes: int, normalisation: nn.Module) -> None:
        super().__init__()
        self.inputs = Pruner(features, keep=5)
        self.first = nn.Linear(features, 10)
        self.normalisation = normalisation
        self.neurons = Pruner(10, keep=4, initial_weight=2.0)
        self.last = nn.Linear(10, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.neurons(torch.relu(self.normalisation(self.first(self.inputs(x))))))


class Convolution(nn.Module):
    """Twelve features as a picture of 3 x 4, and gates on the channels of a convolution."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 6, kernel_size=3, padding=1)
        self.normalisation = nn.BatchNorm2d(6)
        self.channels = Pruner(6, keep=2, trailing_dims=2)
        self.last = nn.Linear(6 * 12, classes)

    def forward(self, x: Tensor) -> Tensor:
        channels = torch.relu(self.normalisation(self.convolution(x.reshape(-1, 1, 3, 4))))
        return self.last(self.channels(channels).flatten(1))


def two_pruners(normalisation: Callable[[], nn.Module]) -> NetworkFactory:
    return lambda config, features, classes: TwoPruners(features, classes, normalisation())


NETWORKS: dict[str, NetworkFactory] = {
    "default": GATED_MLP.build,
    "two pruners": two_pruners(nn.Identity),
    "LayerNorm": two_pruners(lambda: nn.LayerNorm(10)),
    "BatchNorm": two_pruners(lambda: nn.BatchNorm1d(10)),
    "convolution": lambda config, features, classes: Convolution(classes),
}
CONFIG = TrialConfig(keep=4, hidden=(16, 8))
every_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS.keys())


def alone(replicas: Replicas, r: int, network: NetworkFactory) -> nn.Module:
    """Replica r as a network of its own."""
    module = network(CONFIG, 12, 3)
    module.load_state_dict({name: p[r].detach() for name, p in {**replicas.parameters, **replicas.buffers}.items()})
    return module


def pruners(module: nn.Module) -> list[Pruner]:
    return [m for m in module.modules() if isinstance(m, Pruner)]


@every_network
def test_a_replica_starts_as_the_network_that_its_seed_makes(network: NetworkFactory) -> None:
    replicas = Replicas(lambda: network(CONFIG, 12, 3), [5, 2])
    assert len(replicas) == 2
    for r, seed in enumerate([5, 2]):
        torch.manual_seed(seed)
        for name, parameter in network(CONFIG, 12, 3).named_parameters():
            assert torch.equal(replicas.parameters[name][r], parameter)


def test_building_replicas_does_not_touch_the_global_random_numbers() -> None:
    before = torch.random.get_rng_state()
    Replicas(lambda: GATED_MLP.build(CONFIG, 12, 3), [5, 2])
    assert torch.equal(torch.random.get_rng_state(), before)


@every_network
def test_a_trained_replica_computes_what_it_computes_alone(network: NetworkFactory, data: Dataset) -> None:
    run = train(CONFIG.model_copy(update={"epochs": 3}), data, range(3), network, device="cpu")
    list(run)
    x, y = data.validation.x, data.validation.y
    modules = [alone(run.replicas, r, network) for r in range(3)]
    with torch.no_grad():
        accuracies = [float((module.eval()(x).argmax(1) == y).double().mean()) for module in modules]
        separately = torch.stack([module.train()(x) for module in modules])
    assert accuracies_of(run.replicas, x, y, pruned=False).tolist() == pytest.approx(accuracies)
    with torch.no_grad():
        torch.testing.assert_close(run.replicas.logits(x, shared=True), separately, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(run.replicas.logits(x.expand(3, -1, -1)), separately, rtol=1e-4, atol=1e-5)


@every_network
def test_pruned_accuracy_is_that_of_the_network_with_dropped_units_at_zero(
    network: NetworkFactory, data: Dataset
) -> None:
    run = train(CONFIG.model_copy(update={"epochs": 5}), data, range(3), network, device="cpu")
    list(run)
    part, expected = data.validation, []
    for r in range(3):
        module = alone(run.replicas, r, network).eval()
        for pruner in pruners(module):
            gates = pruner.weight.detach().numpy()
            kept = sorted(np.argsort(-gates, kind="stable")[: pruner.keep])
            with torch.no_grad():
                pruner.weight.fill_(-1e9)
                pruner.weight[kept] = 1e9
            assert sorted(pruner.gates().tolist()) == [0] * (len(gates) - pruner.keep) + [1] * pruner.keep
        expected.append(float((module(part.x).argmax(1) == part.y).double().mean()))
    assert run.accuracy(part) == pytest.approx(expected)


def test_the_default_network_under_the_hard_mask_is_a_plain_network_on_zeroed_inputs(data: Dataset) -> None:
    run = train(CONFIG.model_copy(update={"epochs": 5}), data, range(3), device="cpu")
    list(run)
    assert data.test is not None
    accuracies = run.accuracy(data.test)
    for r in range(3):
        layers = [nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3)]
        plain = nn.Sequential(*layers)
        with torch.no_grad():
            for own, stacked in zip(plain.parameters(), run.replicas.network_parameters, strict=True):
                own.copy_(stacked[r])
        kept = [data.feature_names.index(name) for name in run.selected()[r]]
        assert sorted(kept) == sorted(run.replicas.pruner_weights[0][r].topk(4).indices.tolist())
        x = torch.zeros_like(data.test.x)
        x[:, kept] = data.test.x[:, kept]
        assert accuracies[r] == pytest.approx(float((plain(x).argmax(1) == data.test.y).double().mean()))


def test_accuracy_in_several_pieces(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    replicas = Replicas(lambda: GATED_MLP.build(CONFIG, 12, 3), [0, 1, 2])
    whole = accuracies_of(replicas, data.validation.x, data.validation.y, pruned=True)
    monkeypatch.setattr(replicas_module, "EVALUATION_ELEMENTS", 3 * 64 * 7)
    torch.testing.assert_close(accuracies_of(replicas, data.validation.x, data.validation.y, pruned=True), whole)


@pytest.mark.parametrize("pruned", [True, False])
def test_rows_count_as_much_as_their_weight(data: Dataset, pruned: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas_module, "EVALUATION_ELEMENTS", 3 * 64 * 7)
    replicas = Replicas(lambda: GATED_MLP.build(CONFIG, 12, 3), [0, 1, 2])
    x, y = data.validation.x, data.validation.y
    alike = accuracies_of(replicas, x, y, pruned)
    assert torch.equal(accuracies_of(replicas, x, y, pruned, torch.ones(90)), alike)
    twice = torch.ones(90).double()
    twice[:40] = 2
    repeated = accuracies_of(replicas, torch.cat([x, x[:40]]), torch.cat([y, y[:40]]), pruned)
    torch.testing.assert_close(accuracies_of(replicas, x, y, pruned, twice), repeated)
    without = torch.ones(90)
    without[40:] = 0
    assert torch.equal(accuracies_of(replicas, x, y, pruned, without), accuracies_of(replicas, x[:40], y[:40], pruned))


@pytest.mark.parametrize("network", ["default", "BatchNorm"])
@pytest.mark.parametrize(
    "values",
    [{"lambda_start": 1.0}, {"strategy": "markov", "lambda_start": 1.0, "block": 0.5, "proposals": 2}],
    ids=["stepped", "markov"],
)
def test_a_replica_does_not_depend_on_its_neighbours(values: dict[str, object], network: str, data: Dataset) -> None:
    config = CONFIG.model_copy(update={**values, "epochs": 6})
    together = list(train(config, data, range(8), NETWORKS[network], device="cpu"))
    by_itself = list(train(config, data, [3], NETWORKS[network], device="cpu"))
    for among_eight, single in zip(together, by_itself, strict=True):
        for loss in LOSSES:
            np.testing.assert_allclose(getattr(among_eight, loss)[3], getattr(single, loss)[0], rtol=1e-4)
        np.testing.assert_array_equal(among_eight.acceptance[3], single.acceptance[0])
    last = together[-1].classification_loss
    assert len(set(last.round(4))) == 8


def test_batch_norm_remembers_every_batch_once(data: Dataset) -> None:
    run = train(CONFIG.model_copy(update={"epochs": 4}), data, range(2), NETWORKS["BatchNorm"], device="cpu")
    list(run)
    assert run.replicas.buffers["normalisation.num_batches_tracked"].tolist() == 2 * [4 * run.loop.rows.steps]
    mean = run.replicas.buffers["normalisation.running_mean"]
    assert not torch.equal(mean[0], mean[1])


def test_proposals_of_the_chain_leave_batch_norms_statistics_alone(data: Dataset) -> None:
    config = CONFIG.model_copy(update={"strategy": "markov", "proposals": 3, "epochs": 4})
    run = train(config, data, range(2), NETWORKS["BatchNorm"], device="cpu")
    list(run)
    assert run.replicas.buffers["normalisation.num_batches_tracked"].tolist() == 2 * [4 * run.loop.rows.steps]


def test_a_parameter_that_the_user_froze_stays_as_it_is(data: Dataset) -> None:
    def frozen_first_layer(config: TrialConfig, features: int, classes: int) -> nn.Module:
        module = TwoPruners(features, classes, nn.Identity())
        module.first.requires_grad_(False)
        return module

    run = train(CONFIG.model_copy(update={"epochs": 1}), data, range(2), frozen_first_layer, device="cpu")
    before = {name: p.detach().clone() for name, p in run.replicas.parameters.items()}
    list(run)
    unchanged = {name for name, p in run.replicas.parameters.items() if torch.equal(p, before[name])}
    assert unchanged == {"first.weight", "first.bias"}


@pytest.mark.parametrize("strategy", ["stepped", "markov"])
def test_a_frozen_network_can_be_pruned(strategy: str, data: Dataset) -> None:
    class Frozen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pruner = Pruner(12, keep=4)
            self.layer = nn.Linear(12, 3).requires_grad_(False)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(self.pruner(x))

    config = CONFIG.model_copy(update={"strategy": strategy, "epochs": 2})
    run = train(config, data, range(2), lambda *_: Frozen(), "cpu")
    before = {name: p.detach().clone() for name, p in run.replicas.parameters.items()}
    list(run)
    assert {name for name, p in run.replicas.parameters.items() if not torch.equal(p, before[name])} == {
        "pruner.weight"
    }


def test_tied_parameters_stay_tied(data: Dataset) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pruner = Pruner(12, keep=4)
            self.first, self.second, self.last = nn.Linear(12, 12), nn.Linear(12, 12), nn.Linear(12, 3)
            self.second.weight = self.first.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.last(torch.relu(self.second(torch.relu(self.first(self.pruner(x))))))

    run = train(CONFIG.model_copy(update={"epochs": 2}), data, range(2), lambda *_: Tied(), device="cpu")
    list(run)
    module = Tied()
    parameters = {name: p[1].detach() for name, p in run.replicas.parameters.items()}
    module.load_state_dict({**parameters, "second.weight": parameters["first.weight"]})
    stacked = run.replicas.logits(data.validation.x, shared=True)[1]
    torch.testing.assert_close(stacked, module(data.validation.x), rtol=1e-4, atol=1e-5)


def test_a_network_without_a_pruner_is_refused(data: Dataset) -> None:
    with pytest.raises(ValueError, match="no Pruner"):
        train(CONFIG, data, [0], lambda config, features, classes: nn.Linear(features, classes))


def test_a_network_that_is_a_pruner_itself() -> None:
    replicas = Replicas(lambda: Pruner(3, keep=1), [0, 1])
    assert [tuple(w.shape) for w in replicas.pruner_weights] == [(2, 3)]
    assert replicas.network_parameters == []


def test_the_pruner_weights_are_told_from_the_networks_own() -> None:
    replicas = Replicas(lambda: NETWORKS["two pruners"](CONFIG, 12, 3), [0, 1, 2])
    assert [(p.name, p.keep, p.units, p.parameter) for p in replicas.pruners] == [
        ("inputs", 5, 12, "inputs.weight"),
        ("neurons", 4, 10, "neurons.weight"),
    ]
    assert [tuple(w.shape) for w in replicas.pruner_weights] == [(3, 12), (3, 10)]
    assert [tuple(p.shape) for p in replicas.network_parameters] == [(3, 10, 12), (3, 10), (3, 3, 10), (3, 3)]


def test_the_order_of_the_rows_is_that_of_randperm() -> None:
    order = ReplicaRandom([4, 7]).permutations(70_000)
    for row, seed in zip(order, [4, 7], strict=True):
        expected = torch.randperm(70_000, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(row.long(), expected)


def test_random_numbers_belong_to_the_seed() -> None:
    random = ReplicaRandom([4, 7])
    order, noise = random.permutations(50), random.uniform(30, 2)
    assert all(sorted(row) == list(range(50)) for row in order.tolist())
    assert noise.shape == (2, 30, 2)
    assert 0 <= float(noise.min()) <= float(noise.max()) < 1
    assert not torch.equal(order[0], order[1])
    single = ReplicaRandom([7])
    assert torch.equal(single.permutations(50)[0], order[1])
    assert torch.equal(single.uniform(30, 2)[0], noise[1])
    assert not torch.equal(random.permutations(50), order)


def test_random_numbers_go_on_from_a_saved_state() -> None:
    random, other = ReplicaRandom([4, 7]), ReplicaRandom([0, 0])
    random.uniform(3)
    state = random.state_dict()
    expected = random.permutations(20)
    other.load_state_dict(state)
    assert torch.equal(other.permutations(20), expected)
