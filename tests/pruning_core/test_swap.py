"""The chain over hard masks: how many gates are open, which swaps are tried and taken, and that training completes."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from quick_runs import HiddenPruner
from torch import Tensor

from pruning_core.config import TrialConfig
from pruning_core.data import Dataset
from pruning_core.inner_loop import InnerLoop
from pruning_core.joined import join
from pruning_core.networks import GATED_MLP, NetworkSpec
from pruning_core.replicas import ReplicaRandom
from pruning_core.swap import SwapChain, open_gates
from pruning_core.training import Training, train

UNITS, KEEPS = [9, 5], [2, 3]
TotalLoss = Callable[[list[Tensor]], Tensor]


def start(seeds: list[int], **values: object) -> tuple[SwapChain, list[Tensor]]:
    """A chain over two pruners whose units matter the more the later they stand, and its pruner weights."""
    config = TrialConfig.model_validate({"keep": 1, "strategy": "swap", "shrink_epochs": 1, **values})
    weights = [torch.zeros(len(seeds), units) for units in UNITS]
    chain = SwapChain(config, weights, KEEPS, ReplicaRandom(seeds))
    chain.observe(weights, [1e-4 * torch.arange(1.0, units + 1).repeat(len(seeds), 1) for units in UNITS])
    return chain, weights


def open_of(weights: list[Tensor]) -> list[list[list[int]]]:
    return [[torch.nonzero(row > 0).flatten().tolist() for row in weights_RN] for weights_RN in weights]


def rising(weights: list[Tensor]) -> Tensor:
    """A loss that no swap may raise: what it asks for is worse than anything."""
    return torch.full((len(weights[0]),), torch.inf)


def early(weights: list[Tensor]) -> Tensor:
    """A loss that wants the first units open, though gradients say that the last ones matter."""
    return torch.stack([(torch.arange(w.shape[1]) * (w > 0)).sum(1).float() for w in weights]).sum(0)


@pytest.mark.parametrize(("units", "keep"), [(77, 10), (653, 20), (1024, 1), (2, 1)])
def test_fewer_and_fewer_gates_are_open_until_n_are(units: int, keep: int) -> None:
    counts = [open_gates(units, keep, share) for share in np.linspace(0, 1.2, 25)]
    assert counts[0] == units
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == keep
    assert counts[19] > keep  # at 0.95 of the way
    assert units - counts[5] > counts[5] - counts[10] or units == 2


def test_the_units_that_matter_least_close_first() -> None:
    chain, weights = start([0, 1])
    chain.start_epoch(3)
    chain.step(weights, torch.zeros(2), rising)
    assert [len(row) for rows in open_of(weights) for row in rows] == [5, 5, 4, 4]
    for _ in range(2):
        chain.step(weights, torch.zeros(2), rising)
    assert open_of(weights) == [[[7, 8]] * 2, [[2, 3, 4]] * 2]
    assert {value for w in weights for value in w.abs().flatten().tolist()} == {8.0}


def test_swaps_hold_n_and_are_taken_where_the_loss_falls() -> None:
    chain, weights = start([0, 1, 2], proposals=3)
    chain.start_epoch(1)
    chain.step(weights, torch.zeros(3), rising)
    seen = {True: 0, False: 0}
    for _ in range(150):
        before, loss = [w.clone() for w in weights], early(weights)
        acceptance = chain.step(weights, loss, early)
        assert [[len(row) for row in rows] for rows in open_of(weights)] == [[2] * 3, [3] * 3]
        for r in range(3):
            moved = any(not torch.equal(w[r], b[r]) for w, b in zip(weights, before, strict=True))
            assert moved == bool(acceptance[r] > 0)
            assert early(weights)[r] < loss[r] if moved else early(weights)[r] == loss[r]
            seen[moved] += 1
    assert min(seen.values()) > 5
    assert (early(weights) <= 8).all()  # from 24; the least is 4


def test_a_proposal_exchanges_two_units_of_one_pruner_and_is_measured_once() -> None:
    chain, weights = start([0, 1, 2, 3], proposals=5)
    chain.start_epoch(1)
    chain.step(weights, torch.zeros(4), rising)
    asked: list[list[Tensor]] = []

    def watched(proposal: list[Tensor]) -> Tensor:
        asked.append(proposal)
        return rising(proposal)

    for _ in range(40):
        assert chain.step(weights, torch.zeros(4), watched).tolist() == [0] * 4
    assert len(asked) == 200
    changed = torch.stack([torch.stack([(p != w).sum(1) for p, w in zip(a, weights, strict=True)]) for a in asked])
    assert set(map(tuple, changed.movedim(1, 2).reshape(-1, 2).tolist())) == {(2, 0), (0, 2)}
    closed = torch.cat([8 - torch.nonzero((a[0] > 0) & (weights[0] < 0))[:, 1] for a in asked])
    assert closed.bincount(minlength=9)[2:4].sum() > 2 * closed.bincount(minlength=9)[7:].sum()  # S decides what opens


def test_a_temperature_takes_worse_swaps_too() -> None:
    taken = {}
    for temperature in (0.0, 1.0):
        chain, weights = start(list(range(8)), temperature=temperature)
        chain.start_epoch(1)
        chain.step(weights, torch.zeros(8), rising)
        steps = [chain.step(weights, torch.zeros(8), lambda w: torch.full((8,), 0.7)) for _ in range(200)]
        taken[temperature] = float(torch.stack(steps).mean())
    assert taken[0.0] == 0
    # The second of two proposals is as good as the first where that was taken, and then always taken at T > 0.
    p = np.exp(-0.7)
    assert taken[1.0] == pytest.approx((p + p + (1 - p) * p) / 2, abs=0.04)


def test_a_replica_is_the_same_whatever_its_neighbours() -> None:
    (three, weights_of_three), (one, weights_of_one) = start([4, 7, 9]), start([7])
    for chain, weights in ((three, weights_of_three), (one, weights_of_one)):
        chain.start_epoch(10)
        for _ in range(30):
            chain.step(weights, early(weights), early)
    assert all(torch.equal(w[1], v[0]) for w, v in zip(weights_of_three, weights_of_one, strict=True))


@pytest.mark.parametrize("network", [GATED_MLP, NetworkSpec(HiddenPruner)], ids=["default", "two pruners"])
def test_training_completes_with_the_inputs_that_matter(network: NetworkSpec, data: Dataset) -> None:
    config = TrialConfig(keep=3, strategy="swap", shrink_epochs=12, settle_epochs=3, learning_rate=0.02)
    run = train(config, data, range(4), network, device="cpu")
    records = list(run)
    result = run.result()
    assert result["completion_epoch"] == [12] * 4
    assert len(records) == 14
    assert all(((record.acceptance >= 0) & (record.acceptance <= 1)).all() for record in records)
    assert all(bool((record.alpha == 0).all()) for record in records)
    if network is GATED_MLP:
        assert [sorted(names) for names in run.selected()] == [["x0", "x1", "x2"]] * 4
        assert (records[-1].pruned_accuracy > 0.85).all()


def test_all_epochs_are_taken_where_there_are_too_few(data: Dataset) -> None:
    run = train(TrialConfig(keep=3, strategy="swap", epochs=5), data, range(2), device="cpu")
    list(run)
    assert run.result()["completion_epoch"] == [5, 5]


def test_back_propagation_leaves_the_pruner_weights_alone(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    run = train(TrialConfig(keep=4, strategy="swap", epochs=2), data, range(2), device="cpu")
    monkeypatch.setattr(run.loop.chain, "step", lambda weights, loss_R, total_loss: torch.zeros_like(loss_R))
    before = [p.detach().clone() for p in run.replicas.network_parameters]
    list(run)
    assert all(bool((w == 8).all()) for w in run.replicas.pruner_weights)
    assert not any(torch.equal(p, b) for p, b in zip(run.replicas.network_parameters, before, strict=True))


def test_it_joins_no_other_run(data: Dataset) -> None:
    def loop(run: Training) -> InnerLoop:
        return run.loop

    runs = [
        train(TrialConfig(keep=4, strategy=strategy), data, range(8), device="cpu") for strategy in ("swap", "stepped")
    ]
    assert runs[0].kind is None
    assert runs[1].kind is not None
    with pytest.raises(ValueError, match="joins no other"):
        join([loop(run) for run in runs])


def test_a_tolerance_that_no_gate_could_keep_is_refused() -> None:
    assert TrialConfig(keep=4, strategy="swap", tolerance=0.001).tolerance == 0.001
    with pytest.raises(ValueError, match=r"tolerance must be at least 0\.001 for swap, got 0\.0001"):
        TrialConfig(keep=4, strategy="swap", tolerance=1e-4)


def test_a_configuration_speaks_of_what_it_uses() -> None:
    used = TrialConfig(keep=4, strategy="swap").used()
    assert {"shrink_epochs", "proposals", "temperature", "learning_rate"} <= used.keys()
    assert not used.keys() & {
        "alpha",
        "lambda_start",
        "growth",
        "delta",
        "block",
        "pruner_learning_rate",
        "initial_weight",
    }
