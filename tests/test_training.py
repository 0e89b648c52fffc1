"""train(): a replica is a plain PyTorch loop; when it ends, what it records, going on from a saved state."""

import dataclasses
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pruning_core.config import STRATEGY_HYPERPARAMETERS, TrialConfig
from pruning_core.datasets import Dataset, load_dataset
from pruning_core.history import QUANTITIES, EpochRecord
from pruning_core.networks import NetworkFactory, gated_mlp
from pruning_core.pruner import Pruner
from pruning_core.training import Training, train

QUICK: dict[str, Any] = {  # all replicas complete, by back-propagation within 40 epochs and by the chain within 90
    **{"keep": 4, "hidden": (8,), "lambda_start": 0.3, "growth": 1.3, "pruner_learning_rate": 0.2},
    **{"delta": 1.0, "epochs": 100, "settle_epochs": 4},
}
MARKOV = {"strategy": "markov", "growth": 1.2}


def start(data: Dataset, seeds: int = 3, network: NetworkFactory = gated_mlp, **values: Any) -> Training:
    return train(TrialConfig(**{**QUICK, **values}), data, range(seeds), network, device="cpu")


def assert_same(records: list[EpochRecord], others: list[EpochRecord]) -> None:
    """Equal to the last bit, NaN included."""
    for record, other in zip(records, others, strict=True):
        assert record.epoch == other.epoch
        for quantity in QUANTITIES:
            np.testing.assert_array_equal(getattr(record, quantity), getattr(other, quantity), err_msg=quantity)


def without_clock(result: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in result.items() if not key.startswith(("seconds", "replica_epochs"))}


def plain_loop(
    config: TrialConfig,
    data: Dataset,
    seed: int,
    orders: list[Tensor],
    chain_weights: list[Tensor] | None = None,
) -> list[dict[str, float]]:
    """The training of one network as PyTorch users write it; losses averaged over each epoch's steps.

    `orders`: the order of the rows in each epoch.
    `chain_weights`: the pruner weights of each step where the chain sets them, instead of back-propagation.
    """
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    widths = (len(data.feature_names), *config.hidden, len(data.class_names))
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    network = nn.Sequential(*layers[:-1])
    w = torch.full((widths[0],), config.initial_weight, requires_grad=True)
    groups: list[dict[str, Any]] = [{"params": network.parameters(), "lr": config.learning_rate}]
    if chain_weights is None:
        groups.append({"params": [w], "lr": config.pruner_learning_rate, "weight_decay": 0.0})
    optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
    criterion, step = nn.CrossEntropyLoss(), 0
    epochs = []
    for epoch, order in enumerate(orders):
        alpha = min(config.lambda_start * config.growth ** (epoch // config.step_epochs), config.lambda_max)
        sums = np.zeros(4)
        whole = [rows for rows in order.split(config.batch_size) if len(rows) == config.batch_size]
        for rows in whole:
            if chain_weights is not None:
                w = chain_weights[step]
            gates = torch.sigmoid(w)
            classification = criterion(network(data.train.x[rows] * gates), data.train.y[rows])
            selection = (gates.sum() - config.keep).abs() / len(gates)
            rejection = (gates * (1 - gates)).sum() / len(gates)
            if config.rejection == "modified":
                rejection = rejection + gates.prod()
            total = classification + alpha * (selection + config.rejection_weight * rejection)
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            sums += [float(loss.detach()) for loss in (classification, selection, rejection, total)]
            step += 1
        names = ("classification_loss", "selection_loss", "rejection_loss", "total_loss")
        epochs.append({"alpha": alpha, **dict(zip(names, sums / len(whole), strict=True))})
    return epochs


PLAIN = TrialConfig(
    keep=4,
    mu="one",
    lambda_start=0.5,
    growth=1.6,
    step_epochs=2,
    lambda_max=1.0,
    rejection="modified",
    rejection_weight=0.7,
    hidden=(16, 8),
    weight_decay=0.1,
    learning_rate=5e-3,
    batch_size=50,
    epochs=8,
)


def watch(run: Training, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Tensor], list[Tensor]]:
    """Lists that fill while the run trains: each epoch's order of the rows, each step's w of the chain."""
    orders: list[Tensor] = []
    trajectory: list[Tensor] = []
    permutations = run.random.permutations

    def watched_permutations(rows: int) -> Tensor:
        orders.append(permutations(rows))
        return orders[-1]

    monkeypatch.setattr(run.random, "permutations", watched_permutations)
    if run.chain is not None:
        step = run.chain.step

        def watched_step(weights: list[Tensor], *arguments: Any) -> Tensor:
            trajectory.append(weights[0].clone())
            return step(weights, *arguments)

        monkeypatch.setattr(run.chain, "step", watched_step)
    return orders, trajectory


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"hidden": (), "rejection": "plain", "weight_decay": 0.0, "batch_size": 64},
        {"strategy": "markov", "delta": 0.8},
    ],
    ids=["mlp", "linear", "markov"],
)
def test_a_replica_trains_like_a_plain_pytorch_loop(
    values: dict[str, Any], data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = PLAIN.model_copy(update=values)
    run = train(config, data, range(4), device="cpu")
    orders, trajectory = watch(run, monkeypatch)
    records = list(run)
    for r in range(4):
        chain_weights = [weights[r] for weights in trajectory] if config.chain else None
        expected = plain_loop(config, data, r, [order[r] for order in orders], chain_weights)
        for record, of_epoch in zip(records, expected, strict=True):
            for name, value in of_epoch.items():
                assert getattr(record, name)[r] == pytest.approx(value, rel=1e-4), (name, record.epoch)


def test_the_default_configuration_completes_on_breast_cancer() -> None:
    data = load_dataset("breast_cancer", keep=8, folder=Path())
    run = train(TrialConfig(keep=8), data, range(4), device="cpu")
    records = list(run)
    result: dict[str, Any] = run.result()
    assert result["outcome"]["complete"] == 1
    assert records[-1].epoch < 120
    assert result["pruned_accuracy"]["mean"] > 0.9
    assert [len(names) for names in result["selected"]] == [8, 8, 8, 8]


def test_training_ends_settle_epochs_after_the_last_replica_is_complete(data: Dataset) -> None:
    run = start(data, settle_epochs=6)
    records = list(run)
    result: dict[str, Any] = run.result()
    assert run.finished
    assert len(records) == result["epochs_run"] == max(result["completion_epoch"]) + 5 < 100
    assert list(run) == []


@pytest.mark.parametrize("values", [{}, MARKOV], ids=["stepped", "markov"])
def test_a_replica_that_has_settled_stays_as_it_is(values: dict[str, Any], data: Dataset) -> None:
    run = start(data, **values)
    records = list(run)
    completion: Any = run.result()["completion_epoch"]
    assert len({epoch + 3 for epoch in completion}) > 1
    assert max(completion) + 3 == len(records)
    for r, epoch in enumerate(completion):
        settled = epoch + 3
        for record in records[settled:]:
            for quantity in QUANTITIES:
                then = getattr(records[settled - 1], quantity)[r]
                np.testing.assert_array_equal(getattr(record, quantity)[r], then, err_msg=quantity)
        trajectory = np.stack([gates[r] for _, gates in run.history.gates])
        assert (trajectory[settled:] == trajectory[settled]).all()
    np.testing.assert_allclose(run.accuracy(data.validation), records[-1].pruned_accuracy, rtol=1e-6)


def test_a_settled_replica_keeps_its_running_statistics(data: Dataset) -> None:
    class Normalised(nn.Module):
        def __init__(self, config: TrialConfig, features: int, classes: int) -> None:
            super().__init__()
            self.pruner = Pruner(features, config.keep)
            self.layers = nn.Sequential(nn.Linear(features, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, classes))

        def forward(self, x: Tensor) -> Tensor:
            return self.layers(self.pruner(x))

    run = start(data, network=Normalised)
    first: dict[str, Tensor] = {}
    for _ in run:
        if run.history.settled()[0] and not first:
            first = {name: buffer[0].clone() for name, buffer in run.replicas.buffers.items()}
            settled = len(run.history)
    assert settled < len(run.history)
    for name, buffer in run.replicas.buffers.items():
        assert torch.equal(buffer[0], first[name]), name


def test_a_replica_comes_to_the_same_end_alone_as_in_company(data: Dataset) -> None:
    together, by_itself = start(data, seeds=8), start(data, seeds=1)
    list(together)
    list(by_itself)
    result: dict[str, Any] = together.result()
    single: dict[str, Any] = by_itself.result()
    assert single["epochs_run"] < result["epochs_run"] - 4
    assert single["completion_epoch"][0] == pytest.approx(result["completion_epoch"][0], abs=1)
    assert single["selected"][0] == result["selected"][0]
    assert single["pruned_accuracy"]["mean"] == pytest.approx(result["pruned_accuracy"]["per_seed"][0], abs=0.03)


def test_a_replica_that_blows_up_takes_no_other_with_it(data: Dataset) -> None:
    well, poisoned = start(data, epochs=3), start(data, epochs=3)
    with torch.no_grad():
        for parameter in poisoned.replicas.parameters.values():
            parameter[1] = torch.nan
    for record, other in zip(well, poisoned, strict=True):
        assert np.isnan(other.total_loss[1])
        for quantity in QUANTITIES:
            expected = np.delete(getattr(record, quantity), 1)
            np.testing.assert_allclose(np.delete(getattr(other, quantity), 1), expected, rtol=1e-6)


def test_training_ends_after_epochs(data: Dataset) -> None:
    run = start(data, epochs=3)
    assert [record.epoch for record in run] == [1, 2, 3]
    assert run.finished


def test_iterating_can_be_interrupted(data: Dataset) -> None:
    run = start(data, epochs=6)
    first = [next(iter(run)), next(iter(run))]
    assert_same(first + list(run), list(start(data, epochs=6)))


def test_the_same_seeds_give_the_same_numbers(data: Dataset) -> None:
    assert_same(list(start(data, epochs=4)), list(start(data, epochs=4)))


def test_a_weak_fixed_alpha_prunes_too_little_and_a_strong_one_all_at_once(data: Dataset) -> None:
    weak = start(data, strategy="fixed", lambda_start=1e-3, epochs=15)
    list(weak)
    assert weak.history.outcomes() == ["too little"] * 3
    strong = start(data, strategy="fixed", lambda_start=1e4, epochs=80, keep=1)
    list(strong)
    drasticness: Any = strong.result()["drasticness"]
    assert min(drasticness) > 0.5


def test_a_loss_that_blows_up_is_hopeless(data: Dataset) -> None:
    run = start(data, learning_rate=1e30, epochs=2)
    list(run)
    assert "finite" in str(run.history.hopeless())
    assert start_and_train(data).history.hopeless() is None


def start_and_train(data: Dataset, **values: Any) -> Training:
    run = start(data, **{"epochs": 2, **values})
    list(run)
    return run


@pytest.mark.parametrize(
    "values",
    [{}, {"rejection_weight": 2.5}, {"rejection": "modified"}, {"strategy": "markov", "alpha": "ratio"}],
    ids=str,
)
def test_records_hold_together(values: dict[str, Any], data: Dataset) -> None:
    run = start(data, **values)
    config, records, gates = run.config, [], [torch.full((3, 12), run.config.initial_weight).sigmoid()]
    settled = np.zeros(3, dtype=bool)
    for record in run:
        records.append(record)
        gates.append(run.replicas.pruner_weights[0].detach().sigmoid())
        pruner_loss = record.selection_loss + config.rejection_weight * record.rejection_loss
        total = record.classification_loss + record.alpha * pruner_loss
        np.testing.assert_allclose(record.total_loss, total, rtol=1e-5)
        np.testing.assert_allclose(record.alpha, record.mu * record.lambda_)
        now, before = gates[-1].double().numpy()[~settled], gates[-2].double().numpy()[~settled]
        np.testing.assert_array_equal(record.active[~settled], (now > 0.5).sum(1))
        np.testing.assert_array_equal(record.fell[~settled], ((before > 0.5) & (now <= 0.5)).sum(1))
        np.testing.assert_allclose(record.gate_variance[~settled], now.var(1), atol=1e-6)
        drift = np.full(len(now), np.inf)
        if record.epoch >= config.settle_epochs:
            then = gates[record.epoch - config.settle_epochs].double().numpy()[~settled]
            drift = np.abs(now - then).max(1)
        np.testing.assert_allclose(record.drift[~settled], drift, atol=1e-6)
        assert np.isnan(record.acceptance).all() != config.chain
        settled = run.history.settled()
    assert [epoch for epoch, _ in run.history.gates] == list(range(len(records) + 1))
    for (_, stored), of_epoch in zip(run.history.gates, gates, strict=True):
        np.testing.assert_allclose(stored.astype(float), of_epoch.double().numpy(), atol=1e-3)
    weights = run.replicas.pruner_weights[0].detach().double().numpy()
    np.testing.assert_allclose(records[-1].weight_variance, weights.var(1), rtol=1e-5)
    accuracies = run.accuracy(data.validation)
    np.testing.assert_allclose(records[-1].pruned_accuracy, accuracies, rtol=1e-6)


def test_result_of_a_run_is_json_with_the_selected_names(data: Dataset) -> None:
    run = start_and_train(data)
    result: dict[str, Any] = json.loads(json.dumps(run.result(), allow_nan=False))
    assert result["seeds"] == [0, 1, 2]
    assert result["epochs_run"] == 2
    assert result["seconds"] > 0
    weights = run.replicas.pruner_weights[0].detach().numpy()
    for names, w in zip(result["selected"], weights, strict=True):
        assert names == [data.feature_names[i] for i in sorted(np.argsort(-w, kind="stable")[:4])]


def test_the_test_part_is_not_looked_at(data: Dataset) -> None:
    with_test, without = start_and_train(data), start_and_train(data.without_test())
    assert_same(with_test.history.records, without.history.records)
    assert data.test is not None
    assert without.accuracy(data.test) == with_test.accuracy(data.test)


def test_a_batch_larger_than_the_training_part_is_the_training_part(data: Dataset) -> None:
    large, whole = start(data, batch_size=10_000, epochs=3), start(data, batch_size=210, epochs=3)
    assert_same(list(large), list(whole))


@pytest.mark.parametrize(
    "values",
    [{"strategy": "fixed"}, {"strategy": "ratio"}, {}, {"strategy": "plateau"}, {"strategy": "markov"}],
    ids=str,
)
def test_hyperparameters_that_are_not_in_use_change_nothing(values: dict[str, Any], data: Dataset) -> None:
    other: dict[str, Any] = {
        "lambda_start": 0.01,
        "lambda_max": 0.4,
        "growth": 3.0,
        "step_epochs": 2,
        "plateau_threshold": 0.4,
        "patience": 1,
        "plateau_monitor": "weights",
        "window": 2,
        "alpha": "ratio",
        "delta": 2.0,
        "block": 0.5,
        "proposals": 2,
        "temperature": 1.0,
        "pruner_learning_rate": 0.5,
    }
    base = start(data, epochs=5, **values)
    unused = {name: value for name, value in other.items() if name not in base.config.used()}
    assert set(unused) == (STRATEGY_HYPERPARAMETERS | {"pruner_learning_rate"}) - {"mu"} - set(base.config.used())
    assert_same(list(base), list(start(data, epochs=5, **{**values, **unused})))


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


RESUMED: dict[str, dict[str, Any]] = {
    "stepped": {"mu": "windowed", "window": 8},
    "plateau": {"strategy": "plateau", "mu": "frozen", "window": 9, "patience": 3},
    "markov": {
        **{"strategy": "markov", "alpha": "plateau", "block": 0.5},
        **{"proposals": 2, "temperature": 0.01, "window": 8, "mu": "windowed"},
    },
}


@pytest.mark.parametrize("network", [gated_mlp, HiddenPruner], ids=["default", "own"])
@pytest.mark.parametrize("values", RESUMED.values(), ids=RESUMED.keys())
def test_a_run_goes_on_from_its_file_exactly(
    values: dict[str, Any], network: NetworkFactory, data: Dataset, tmp_path: Path
) -> None:
    config = {**values, "network": network, "epochs": 14}
    uninterrupted = start(data, **config)
    for record in uninterrupted:
        if record.epoch == 7:
            torch.save(uninterrupted.state_dict(), tmp_path / "state.pt")
    resumed = start(data, **config)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    remaining = list(resumed)
    assert [record.epoch for record in remaining] == list(range(8, 15))
    assert_same(remaining, uninterrupted.history.records[7:])
    assert_same(resumed.history.records, uninterrupted.history.records)
    assert without_clock(resumed.result()) == without_clock(uninterrupted.result())
    for (epoch, gates), (other_epoch, others) in zip(resumed.history.gates, uninterrupted.history.gates, strict=True):
        assert epoch == other_epoch
        np.testing.assert_array_equal(gates, others)
    for name, parameter in resumed.replicas.parameters.items():
        assert torch.equal(parameter, uninterrupted.replicas.parameters[name])


@pytest.mark.parametrize("values", [{}, MARKOV], ids=["stepped", "markov"])
def test_a_run_goes_on_exactly_when_some_replicas_have_settled(
    values: dict[str, Any], data: Dataset, tmp_path: Path
) -> None:
    uninterrupted = start(data, **values)
    saved_after = 0
    for record in uninterrupted:
        if not saved_after and uninterrupted.history.settled().any():
            saved_after = record.epoch
            torch.save(uninterrupted.state_dict(), tmp_path / "state.pt")
    assert 0 < saved_after < len(uninterrupted.history)
    resumed = start(data, **values)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert_same(list(resumed), uninterrupted.history.records[saved_after:])
    assert without_clock(resumed.result()) == without_clock(uninterrupted.result())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("map_location", [None, "cpu", "cuda"])
@pytest.mark.parametrize("values", [{}, MARKOV], ids=["stepped", "markov"])
def test_a_run_goes_on_on_a_gpu_wherever_its_file_is_loaded(
    values: dict[str, Any], map_location: str | None, data: Dataset, tmp_path: Path
) -> None:
    config = TrialConfig(**{**QUICK, **values, "epochs": 6})
    uninterrupted = train(config, data, range(3), device="cuda")
    for record in uninterrupted:
        if record.epoch == 3:
            torch.save(uninterrupted.state_dict(), tmp_path / "state.pt")
    resumed = train(config, data, range(3), device="cuda")
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True, map_location=map_location))
    for record, other in zip(resumed, uninterrupted.history.records[3:], strict=True):
        np.testing.assert_allclose(record.total_loss, other.total_loss, rtol=1e-4)


def test_a_run_can_be_saved_before_its_first_epoch(data: Dataset, tmp_path: Path) -> None:
    first, second = start(data, epochs=3), start(data, epochs=3)
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert_same(list(first), list(second))


def test_a_finished_run_stays_finished_when_loaded(data: Dataset, tmp_path: Path) -> None:
    run, loaded = start(data), start(data)
    list(run)
    torch.save(run.state_dict(), tmp_path / "state.pt")
    loaded.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert loaded.finished
    assert without_clock(loaded.result()) == without_clock(run.result())


def logit(gate: float) -> float:
    return float(np.log(gate / (1 - gate)))


@pytest.mark.parametrize(
    ("inputs", "neurons", "complete", "outcome"),
    [
        ([0.96] * 4 + [0.04] * 8, [0.04] * 4 + [0.96] * 2, True, "complete"),
        ([0.94] + [0.96] * 3 + [0.04] * 8, [0.96] * 2 + [0.04] * 4, False, "undecided"),
        ([0.96] * 4 + [0.04] * 7 + [0.06], [0.96] * 2 + [0.04] * 4, False, "undecided"),
        ([0.96] * 5 + [0.04] * 7, [0.96] * 1 + [0.04] * 5, False, "undecided"),
        ([0.96] * 5 + [0.04] * 7, [0.96] * 2 + [0.04] * 4, False, "too little"),
        ([0.96] * 4 + [0.04] * 8, [0.04] * 6, False, "collapsed"),
    ],
)
def test_complete_means_n_decided_gates_in_every_pruner(
    inputs: list[float], neurons: list[float], complete: bool, outcome: str, data: Dataset
) -> None:
    run = start(
        data,
        network=HiddenPruner,
        strategy="fixed",
        learning_rate=1e-12,
        pruner_learning_rate=1e-12,
        epochs=1,
    )
    with torch.no_grad():
        for weights, gates in zip(run.replicas.pruner_weights, (inputs, neurons), strict=True):
            weights.copy_(torch.tensor([logit(gate) for gate in gates]))
    (record,) = run
    assert record.complete.tolist() == [complete] * 3
    assert run.history.outcomes() == [outcome] * 3
    assert record.active.tolist() == [sum(gate > 0.5 for gate in inputs + neurons)] * 3


def test_gates_behind_the_inputs_get_names_of_their_own(data: Dataset) -> None:
    run = start_and_train(data, network=HiddenPruner)
    names = run.history.names
    assert names[:12] == data.feature_names
    assert len(set(names)) == len(names) == 18
    for kept in run.selected():
        assert len([name for name in kept if name in data.feature_names]) == 4
        assert len(kept) == 6


def test_training_leaves_its_data_and_the_global_random_numbers_alone(data: Dataset) -> None:
    before, state = dataclasses.replace(data.train, x=data.train.x.clone()), torch.random.get_rng_state()
    start_and_train(data)
    assert torch.equal(data.train.x, before.x)
    assert torch.equal(torch.random.get_rng_state(), state)
