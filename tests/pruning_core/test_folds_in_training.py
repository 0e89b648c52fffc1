"""Training in folds: each replica learns from its own rows and is measured on those that it holds out."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from pruning_core.config import TrialConfig
from pruning_core.data import Dataset, Part, from_arrays, load_dataset
from pruning_core.data.folds import Folds
from pruning_core.joined import join
from pruning_core.metrics import AUC, Rejection
from pruning_core.training import Training, train, train_epoch

CONFIG = TrialConfig(keep=4, epochs=6, folds=3, batch_size=16, hidden=(16,))


@pytest.fixture(scope="module")
def wine() -> Dataset:
    return load_dataset("wine", folder=Path()).without_test()


def trained(config: TrialConfig, data: Dataset, seeds: list[int] | range) -> Training:
    run = train(config, data, seeds, device="cpu", metric=AUC())
    for _ in run:
        pass
    return run


def test_scores_are_those_of_the_rows_that_each_replica_holds_out(wine: Dataset) -> None:
    run = trained(CONFIG, wine, range(4))
    pool = wine.pooled().rows
    result = run.result()
    for replica, seed in enumerate(range(4)):
        _, held_out = Folds(3, pool).of(seed)
        part = Part(pool.x[held_out], pool.y[held_out])
        for metric in ("accuracy", "balanced_accuracy", "auc"):
            expected = run.scores(part)[metric][replica]
            assert result[f"pruned_{metric}"]["per_seed"][replica] == pytest.approx(expected, abs=1e-12)  # type: ignore[index]


def test_weighted_scores_of_own_rows_equal_scikit_learn_s() -> None:
    random = np.random.default_rng(1)
    y = random.integers(0, 2, 300)
    x = random.normal(size=(300, 5)) + 0.7 * y[:, None]
    weight = random.uniform(0.1, 3, 300)
    data = from_arrays((x[:200], y[:200], weight[:200]), (x[200:], y[200:], weight[200:]))
    run = trained(CONFIG.model_copy(update={"keep": 2}), data, range(3))
    pool = data.pooled().rows
    assert pool.weight is not None
    answers = run.replicas.answers(pool, pruned=True, with_logits=True)
    for replica in range(3):
        rows = Folds(3, pool).of(replica)[1]
        log_odds = answers.log_odds(1)[replica][rows].numpy()
        labels, weights = pool.y[rows].numpy(), pool.weight[rows].numpy()
        per_seed = {name: run.result()[f"pruned_{name}"]["per_seed"][replica] for name in ("auc", "balanced_accuracy")}  # type: ignore[index]
        assert per_seed["auc"] == pytest.approx(roc_auc_score(labels, log_odds, sample_weight=weights), abs=1e-9)
        balanced = balanced_accuracy_score(labels, log_odds > 0, sample_weight=weights)
        assert per_seed["balanced_accuracy"] == pytest.approx(balanced, abs=1e-9)


def test_rejection_of_own_rows_is_that_of_a_network_that_is_asked_about_them_alone() -> None:
    random = np.random.default_rng(2)
    y = random.integers(0, 2, 200)
    data = from_arrays((random.normal(size=(150, 4)) + y[:150, None], y[:150]), (random.normal(size=(50, 4)), y[150:]))
    run = train(CONFIG.model_copy(update={"keep": 2}), data, [0, 1], device="cpu", metric=Rejection())
    for _ in run:
        pass
    pool = data.pooled().rows
    for seed in (0, 1):
        rows = Folds(3, pool).of(seed)[1]
        alone = run.scores(Part(pool.x[rows], pool.y[rows]))["rejection"][seed]
        assert run.result()["pruned_rejection"]["per_seed"][seed] == pytest.approx(alone, rel=1e-12)  # type: ignore[index]


def test_a_replica_trains_on_no_row_that_it_holds_out(wine: Dataset) -> None:
    pool = wine.pooled()
    folds = Folds(3, pool.rows)
    run = train(CONFIG, pool, [5, 7], device="cpu")
    order_RB = run.loop.rows.order(run.random)
    assert order_RB.shape == (2, folds.training_rows)
    for replica, seed in enumerate((5, 7)):
        training, _ = folds.of(seed)
        assert {*order_RB[replica].tolist()} <= {*training.tolist()}
        assert len({*order_RB[replica].tolist()}) == folds.training_rows


def test_a_replica_does_not_depend_on_its_neighbours(wine: Dataset) -> None:
    together = trained(CONFIG, wine, [2, 9, 4])
    alone = trained(CONFIG, wine, [9])
    for name, tensor in alone.replicas.parameters.items():
        assert torch.allclose(tensor[0], together.replicas.parameters[name][1], atol=1e-5)
    assert together.result()["pruned_accuracy"]["per_seed"][1] == alone.result()["pruned_accuracy"]["per_seed"][0]  # type: ignore[index]


def test_trials_in_folds_share_a_batch_and_are_the_same_to_the_last_bit(wine: Dataset) -> None:
    data = wine.pooled()
    configs = [CONFIG.model_copy(update={"seeds": 16, "growth": growth}) for growth in (1.5, 3.0)]
    apart = [trained(config, data, range(16)) for config in configs]
    joined = [train(config, data, range(16), device="cpu", metric=AUC()) for config in configs]
    assert joined[0].kind is not None
    assert joined[0].kind == joined[1].kind
    loop = join([run.loop for run in joined])
    for _ in range(CONFIG.epochs):
        train_epoch(joined, loop)
    for mine, theirs in zip(joined, apart, strict=True):
        assert mine.result()["pruned_auc"] == theirs.result()["pruned_auc"]
        for name, tensor in mine.replicas.parameters.items():
            assert torch.equal(tensor, theirs.replicas.parameters[name])


def test_with_and_without_folds_no_batch_is_shared(wine: Dataset) -> None:
    data = wine.pooled()
    with_folds = train(CONFIG, data, range(16), device="cpu")
    without = train(CONFIG.model_copy(update={"folds": None}), data, range(16), device="cpu")
    assert with_folds.kind != without.kind


def test_a_resumed_training_goes_on_as_if_it_had_not_stopped(wine: Dataset) -> None:
    whole = trained(CONFIG, wine, range(3))
    first = train(CONFIG, wine, range(3), device="cpu", metric=AUC())
    for _, _ in zip(range(3), first, strict=False):
        pass
    second = train(CONFIG, wine, range(3), device="cpu", metric=AUC())
    second.load_state_dict(first.state_dict())
    for _ in second:
        pass
    assert second.result()["pruned_accuracy"] == whole.result()["pruned_accuracy"]
