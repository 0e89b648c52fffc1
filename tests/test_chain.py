"""The Markov chain: what it proposes, what it accepts, and that it measures both points alike."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from pruning_core.chain import MarkovChain, accepted
from pruning_core.config import TrialConfig
from pruning_core.data import Dataset
from pruning_core.replicas import ReplicaRandom
from pruning_core.training import train

UNITS = [5, 3]
TotalLoss = Callable[[list[Tensor]], Tensor]


def chain(seeds: list[int], **values: float) -> MarkovChain:
    """A chain that follows the deck's rule but for the given values."""
    deck = {"block": 1.0, "proposals": 1, "temperature": 0.0}
    config = TrialConfig.model_validate({"keep": 1, "strategy": "markov", **deck, **values})
    return MarkovChain(config, UNITS, ReplicaRandom(seeds))


def start(replicas: int) -> list[Tensor]:
    return [torch.full((replicas, width), 3.0) for width in UNITS]


def bowl(weights: list[Tensor]) -> Tensor:
    """A loss with its minimum at w = 1."""
    return torch.stack([((w - 1) ** 2).sum(1) for w in weights]).sum(0)


def downhill() -> TotalLoss:
    """A loss that is lower each time it is asked for: every proposal is accepted."""
    calls = 0

    def loss(weights: list[Tensor]) -> Tensor:
        nonlocal calls
        calls += 1
        return torch.full((len(weights[0]),), -float(calls))

    return loss


def always(value: float) -> TotalLoss:
    return lambda weights: torch.full((len(weights[0]),), value)


@pytest.mark.parametrize("values", [{}, {"block": 0.3}, {"proposals": 4}, {"block": 0.5, "proposals": 3}])
def test_at_zero_temperature_the_loss_never_rises_and_rejected_moves_leave_no_trace(
    values: dict[str, float],
) -> None:
    mover, weights = chain([0, 1, 2], **values), start(3)
    seen = {True: 0, False: 0}
    for _ in range(60):
        before, loss = [w.clone() for w in weights], bowl(weights)
        acceptance = mover.step(weights, loss, bowl)
        after = bowl(weights)
        for r in range(3):
            moved = any(not torch.equal(w[r], b[r]) for w, b in zip(weights, before, strict=True))
            assert moved == bool(acceptance[r] > 0)
            assert after[r] < loss[r] if moved else after[r] == loss[r]
            seen[moved] += 1
    assert min(seen.values()) > 10
    assert (bowl(weights) < 0.75 * bowl(start(3))).all()


def test_moves_are_uniform_between_minus_delta_and_delta() -> None:
    mover, weights = chain([0, 1], delta=0.7), start(2)
    loss, moves = downhill(), []
    for _ in range(200):
        before = [w.clone() for w in weights]
        assert mover.step(weights, torch.zeros(2), loss).tolist() == [1, 1]
        moves += [(w - b).double() for w, b in zip(weights, before, strict=True)]
    u = torch.cat([move.flatten() for move in moves]).numpy() / 0.7
    assert np.abs(u).max() <= 1 + 1e-5
    uniform, empirical = (1 + np.sort(u)) / 2, (np.arange(len(u)) + 0.5) / len(u)
    assert np.abs(uniform - empirical).max() < 1.95 / math.sqrt(len(u))  # Kolmogorov and Smirnov at p = 0.001


def test_several_proposals_of_a_step_start_from_the_last_accepted_one() -> None:
    mover, weights = chain([0], delta=0.1, proposals=5), start(1)
    asked: list[Tensor] = []

    def loss(proposal: list[Tensor]) -> Tensor:
        asked.append(torch.cat(proposal, dim=1).clone())
        return torch.tensor([[0.9, 2.0, 0.8, 0.85, 0.7][len(asked) - 1]])

    assert mover.step(weights, torch.ones(1), loss).tolist() == pytest.approx([3 / 5])
    first, _, third, _, fifth = asked
    torch.testing.assert_close(torch.cat(weights, dim=1), fifth, rtol=0, atol=0)
    for origin, proposal in [(first, asked[1]), (first, third), (third, asked[3]), (third, fifth)]:
        assert (proposal - origin).abs().max() <= 0.1 + 1e-6
    assert (third - first).abs().max() > 0


@pytest.mark.parametrize("proposals", [1, 4])
def test_each_proposal_is_measured_once(proposals: int) -> None:
    mover, weights = chain([0, 1], proposals=proposals), start(2)
    calls = 0

    def loss(proposal: list[Tensor]) -> Tensor:
        nonlocal calls
        calls += 1
        assert [tuple(p.shape) for p in proposal] == [(2, 5), (2, 3)]
        return bowl(proposal)

    counts = []
    for _ in range(30):
        counts.append(mover.step(weights, bowl(weights), loss) * proposals)
    assert calls == 30 * proposals
    whole = torch.stack(counts)
    torch.testing.assert_close(whole, whole.round())
    assert whole.max() <= proposals


@pytest.mark.parametrize("block", [0.1, 0.5, 1.0])
def test_block_is_the_probability_with_which_a_weight_is_moved(block: float) -> None:
    mover, weights = chain([0, 1, 2], block=block, delta=0.5), start(3)
    loss, moved = downhill(), []
    for _ in range(150):
        before = torch.cat(weights, dim=1)
        mover.step(weights, torch.zeros(3), loss)
        moved.append(torch.cat(weights, dim=1) != before)
    share = torch.stack(moved).float()
    error = 4 * math.sqrt(block * (1 - block) / share.numel()) + 2e-3  # a move may round to nothing
    assert float(share.mean()) == pytest.approx(block, abs=error)
    if block == 0.5:
        assert len(set(map(tuple, torch.stack(moved).reshape(-1, 8).int().tolist()))) > 100


@pytest.mark.parametrize(("worse", "temperature"), [(0.1, 0.2), (0.3, 0.2), (1.0, 1.0), (0.0, 1.0)])
def test_worse_points_are_accepted_with_the_boltzmann_probability(worse: float, temperature: float) -> None:
    mover, weights = chain(list(range(8)), temperature=temperature), start(8)
    steps, expected = 1500, math.exp(-worse / temperature)
    taken = sum(float(mover.step(weights, torch.zeros(8), always(worse)).sum()) for _ in range(steps))
    error = 4 * math.sqrt(expected * (1 - expected) / (8 * steps))
    assert taken / (8 * steps) == pytest.approx(expected, abs=error)


def test_the_acceptance_is_drawn_apart_from_the_move() -> None:
    """Were u taken from the move's own numbers, accepted moves of the last weight would be one-sided."""
    for block in (1.0, 0.5):
        mover, moves = chain(list(range(4)), temperature=1.0, block=block), []
        for _ in range(800):
            weights = start(4)
            taken = mover.step(weights, torch.zeros(4), always(0.7)).bool()
            moves.append(torch.cat(weights, dim=1)[taken] - 3)
        move = torch.cat(moves)
        spread = float(move.std()) / math.sqrt(len(move))
        assert (move.mean(0).abs() < 4.5 * spread).all()


@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_nan_and_infinity_are_never_accepted(temperature: float) -> None:
    mover, weights = chain([0, 1], temperature=temperature, proposals=3), start(2)
    for value in (math.nan, math.inf):
        for _ in range(20):
            assert mover.step(weights, torch.ones(2), always(value)).tolist() == [0, 0]
    assert all(bool((w == 3).all()) for w in weights)


def test_accepted_on_hand_made_losses() -> None:
    old = torch.tensor([1.0, 1.0, 1.0, 1.0, torch.inf, torch.nan])
    new = torch.tensor([0.5, 1.0, 1.5, torch.nan, 1.0, 1.0])
    assert accepted(old, new).tolist() == [True, False, False, False, True, False]
    u = torch.full((6,), math.exp(-1.0))
    assert accepted(old, new, torch.tensor(0.51), u).tolist() == [True, True, True, False, True, False]
    assert accepted(old, new, torch.tensor(0.49), u).tolist() == [True, True, False, False, True, False]


def test_a_replica_draws_the_same_moves_whatever_its_neighbours() -> None:
    together, alone = chain([4, 7, 9], proposals=2, block=0.5), chain([7], proposals=2, block=0.5)
    weights_of_three, weights_of_one = start(3), start(1)
    for _ in range(20):
        together.step(weights_of_three, bowl(weights_of_three), bowl)
        alone.step(weights_of_one, bowl(weights_of_one), bowl)
    for three, one in zip(weights_of_three, weights_of_one, strict=True):
        assert torch.equal(three[1], one[0])
        assert not torch.equal(three[0], one[0])


def test_an_epoch_follows_from_the_generators_alone() -> None:
    first, random = chain([0, 1]), ReplicaRandom([0, 1])
    first.step(start(2), torch.zeros(2), always(-1.0))
    random.load_state_dict(first.random.state_dict())
    second = MarkovChain(first.config, UNITS, random)
    weights = start(2), start(2)
    for mover, of_mover in zip((first, second), weights, strict=True):
        mover.start_epoch(3)
        mover.step(of_mover, torch.zeros(2), always(-1.0))
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


@pytest.mark.parametrize("temperature", [0.0, 5e-4])
def test_in_training_both_points_are_measured_on_the_same_rows_and_network(
    temperature: float, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrialConfig(
        keep=4,
        strategy="markov",
        alpha="fixed",
        lambda_start=5,
        temperature=temperature,
        proposals=2,
        epochs=3,
    )
    run = train(config, data, range(3), device="cpu")
    assert run.loop.chain is not None
    step, taken, rejected = run.loop.chain.step, 0, 0

    def watched(weights: list[Tensor], loss_R: Tensor, total_loss: TotalLoss) -> Tensor:
        nonlocal taken, rejected
        torch.testing.assert_close(total_loss(weights), loss_R)
        acceptance = step(weights, loss_R, total_loss)
        if temperature == 0:
            assert (total_loss(weights) <= loss_R * (1 + 1e-6)).all()
        taken, rejected = taken + int((acceptance > 0).sum()), rejected + int((acceptance < 1).sum())
        return acceptance

    monkeypatch.setattr(run.loop.chain, "step", watched)
    records = list(run)
    assert taken > 5
    assert rejected > 5
    assert all(((record.acceptance >= 0) & (record.acceptance <= 1)).all() for record in records)


def test_in_training_only_the_chain_moves_the_pruner_weights(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    run = train(TrialConfig(keep=4, strategy="markov", epochs=2), data, range(2), device="cpu")
    assert run.loop.chain is not None
    monkeypatch.setattr(run.loop.chain, "step", lambda weights, loss_R, total_loss: torch.zeros_like(loss_R))
    before = [p.detach().clone() for p in run.replicas.network_parameters]
    list(run)
    assert all(bool((w == 3).all()) for w in run.replicas.pruner_weights)
    assert not any(torch.equal(p, b) for p, b in zip(run.replicas.network_parameters, before, strict=True))
