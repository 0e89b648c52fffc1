"""train(): when a run and its replicas end, what they record, and that replicas do not disturb each other."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accuracies import accuracies as accuracies_of
from quick_runs import MARKOV, HiddenPruner, assert_same, start, start_and_train
from torch import Tensor, nn

from pruning_core.config import TrialConfig, strategy_hyperparameters
from pruning_core.data import Dataset, load_dataset
from pruning_core.history import QUANTITIES
from pruning_core.pruner import Pruner
from pruning_core.training import train
from pruning_core.training_rows import default_batch


def test_the_default_configuration_completes_on_breast_cancer() -> None:
    data = load_dataset("breast_cancer", folder=Path())
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
    together, by_itself = (start(data, seeds=seeds, strategy="stepped") for seeds in (8, 1))
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


@pytest.mark.parametrize(
    "values",
    [
        *({}, {"strategy": "stepped"}, {"rejection_weight": 2.5}, {"rejection": "modified"}),
        {"strategy": "markov", "alpha": "ratio"},
    ],
    ids=str,
)
def test_records_hold_together(values: dict[str, Any], data: Dataset) -> None:
    run = start(data, **values)
    config, records, gates = run.config, [], [run.replicas.pruner_weights[0].detach().sigmoid()]
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


def test_accuracies_weigh_the_rows_of_a_part_that_has_weights(data: Dataset) -> None:
    weight = (torch.arange(90) % 5).double()
    weighed = dataclasses.replace(data, validation=dataclasses.replace(data.validation, weight=weight))
    run, plain = start(weighed, epochs=3), start(data, epochs=3)
    records = list(run)
    for record, other in zip(records, plain, strict=True):
        np.testing.assert_array_equal(record.total_loss, other.total_loss)
    x, y = data.validation.x, data.validation.y
    for pruned, quantity in ((True, "pruned_accuracy"), (False, "full_accuracy")):
        repeats = weight.long()
        expected = accuracies_of(plain.replicas, x.repeat_interleave(repeats, 0), y.repeat_interleave(repeats), pruned)
        np.testing.assert_allclose(getattr(records[-1], quantity), expected, rtol=1e-12)
    np.testing.assert_array_equal(run.accuracy(weighed.validation), records[-1].pruned_accuracy)


@pytest.mark.parametrize(
    ("rows", "batch"), [(9, 2), (504, 63), (512, 64), (25_600, 64), (25_601, 65), (1_000_000, 2500), (10**8, 8192)]
)
def test_the_default_batch_grows_with_the_rows(rows: int, batch: int) -> None:
    assert default_batch(TrialConfig(keep=1), rows) == batch
    assert default_batch(TrialConfig(keep=1, batch_size=7), rows) == 7


def test_a_batch_larger_than_the_training_part_is_the_training_part(data: Dataset) -> None:
    large, whole = start(data, batch_size=10_000, epochs=3), start(data, batch_size=210, epochs=3)
    assert_same(list(large), list(whole))


@pytest.mark.parametrize(
    "values",
    [{}, *({"strategy": strategy} for strategy in ("fixed", "ratio", "plateau", "markov", "swap"))],
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
        "shrink_epochs": 3,
        "pruner_learning_rate": 0.5,
    }
    base = start(data, epochs=5, **values)
    unused = {name: value for name, value in other.items() if name not in base.config.used()}
    of_strategies = strategy_hyperparameters() | {"pruner_learning_rate", "alpha"}
    assert set(unused) == of_strategies - {"mu"} - set(base.config.used())
    assert_same(list(base), list(start(data, epochs=5, **{**values, **unused})))


def logit(gate: float) -> float:
    return float(np.log(gate / (1 - gate)))


@pytest.mark.parametrize(
    ("inputs", "neurons", "complete", "outcome"),
    [
        ([0.96] * 4 + [0.04] * 8, [0.04] * 4 + [0.96] * 2, True, "complete"),
        ([0.94] + [0.96] * 3 + [0.04] * 8, [0.96] * 2 + [0.04] * 4, False, "undecided"),
        ([0.96] * 4 + [0.04] * 7 + [0.06], [0.96] * 2 + [0.04] * 4, False, "undecided"),
        ([0.96] * 5 + [0.04] * 7, [0.96] * 1 + [0.04] * 5, False, "collapsed"),
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


def test_the_result_of_a_network_with_two_pruners_tells_of_both(data: Dataset) -> None:
    run = start(data, network=HiddenPruner)
    list(run)
    result: dict[str, Any] = json.loads(json.dumps(run.result(), allow_nan=False))
    inputs, neurons = result["pruners"]["inputs"], result["pruners"]["neurons"]
    assert result["outcome"]["complete"] == 1
    for r, epoch in enumerate(result["completion_epoch"]):
        assert epoch == max(inputs["completion_epoch"][r], neurons["completion_epoch"][r])
        assert result["drasticness"][r] == max(inputs["drasticness"][r], neurons["drasticness"][r])
        assert result["selected"][r] == inputs["selected"][r] + neurons["selected"][r]
        assert set(inputs["selected"][r]) < set(data.feature_names)
        assert set(neurons["selected"][r]) < {f"neurons.{i}" for i in range(6)}
    assert [len(names) for names in inputs["selected"] + neurons["selected"]] == [4] * 3 + [2] * 3
    for record in run.history.records:
        assert (record.active == sum(record.of_pruner(i).active for i in range(2))).all()
        assert (record.complete == record.of_pruner(0).complete * record.of_pruner(1).complete).all()


def test_training_leaves_its_data_and_the_global_random_numbers_alone(data: Dataset) -> None:
    before, state = dataclasses.replace(data.train, x=data.train.x.clone()), torch.random.get_rng_state()
    start_and_train(data)
    assert torch.equal(data.train.x, before.x)
    assert torch.equal(torch.random.get_rng_state(), state)
