"""A replica trains like one network in a plain PyTorch loop: whatever is done for speed must leave this true."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pruning_core.config import TrialConfig, alpha_strategy
from pruning_core.data import Dataset
from pruning_core.strategies import EpochMeans
from pruning_core.training import Training, train


def plain_loop(
    config: TrialConfig,
    data: Dataset,
    seed: int,
    orders: list[Tensor],
    chain_weights: list[Tensor] | None = None,
) -> list[dict[str, float]]:
    """The training of one network as PyTorch users write it; losses averaged over each epoch's steps.

    `orders`: the order of the rows in each epoch.
    `chain_weights`: the pruner weights before each step and at the end, where the chain sets them instead of
    back-propagation.
    """
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    widths = (len(data.feature_names), *config.hidden, len(data.class_names))
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    network = nn.Sequential(*layers[:-1])
    first = config.initial_weight if config.first_weight is None else config.first_weight
    w = torch.full((widths[0],), first, requires_grad=True)
    groups: list[dict[str, Any]] = [{"params": network.parameters(), "lr": config.learning_rate}]
    if chain_weights is None:
        groups.append({"params": [w], "lr": config.pruner_learning_rate, "weight_decay": 0.0})
    optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
    strategy = alpha_strategy(config, replicas=1)
    strategy.begin(widths[0])
    criterion, step = nn.CrossEntropyLoss(label_smoothing=config.label_smoothing), 0
    epochs = []
    for order in orders:
        alpha = float(strategy.alpha_R)
        sums = np.zeros(4)
        assert config.batch_size
        steps = -(-len(order) // config.batch_size)
        whole = order[: len(order) // steps * steps].chunk(steps)
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
        classification_loss, selection_loss, rejection_loss, total_loss = sums / len(whole)
        w = w if chain_weights is None else chain_weights[step]
        variance = w.detach().double().var(0, correction=0, keepdim=True)
        above = float(torch.sigmoid(w.detach().double()).sum()) - config.keep
        excess = torch.full_like(variance, max(above, 0.0) / (len(w) - config.keep))
        pruner_loss = selection_loss + config.rejection_weight * rejection_loss
        losses = torch.tensor([[classification_loss], [pruner_loss]], dtype=torch.float64)
        strategy.update(EpochMeans(losses[0], losses[1], variance, variance, excess))
        epochs.append(
            {
                "classification_loss": classification_loss,
                "selection_loss": selection_loss,
                "rejection_loss": rejection_loss,
                "total_loss": total_loss,
                "alpha": alpha,
            }
        )
    return epochs


PLAIN = TrialConfig(
    keep=4,
    strategy="stepped",
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
    epochs=20,
    settle_epochs=20,
    window=5,
)


def watch(run: Training, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Tensor], list[Tensor]]:
    """Lists that fill while the run trains: the order of rows in each epoch; the chain's w at each step and the end."""
    orders: list[Tensor] = []
    trajectory: list[Tensor] = []
    permutations = run.random.permutations

    def watched_permutations(rows: int) -> Tensor:
        orders.append(permutations(rows))
        return orders[-1]

    monkeypatch.setattr(run.random, "permutations", watched_permutations)
    if run.loop.chain is not None:
        step = run.loop.chain.step
        trajectory.append(run.replicas.pruner_weights[0].detach().clone())

        def watched_step(weights: list[Tensor], *arguments: Any) -> Tensor:
            acceptance_R = step(weights, *arguments)
            trajectory.append(weights[0].detach().clone())
            return acceptance_R

        monkeypatch.setattr(run.loop.chain, "step", watched_step)
    return orders, trajectory


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"hidden": (), "rejection": "plain", "weight_decay": 0.0, "label_smoothing": 0.0, "batch_size": 64},
        {"strategy": "fixed"},
        {"strategy": "ratio"},
        {"mu": "frozen"},
        {"mu": "windowed"},
        {"strategy": "plateau", "patience": 2},
        {"strategy": "adaptive", "lambda_max": 20.0, "shrink_epochs": 15},
        {"strategy": "markov", "delta": 0.8},
    ],
    ids=["stepped", "linear", "fixed", "ratio", "frozen", "windowed", "plateau", "adaptive", "markov"],
)
def test_a_replica_trains_like_a_plain_pytorch_loop(
    values: dict[str, Any], data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = PLAIN.model_copy(update=values)
    run = train(config, data, range(4), device="cpu")
    orders, trajectory = watch(run, monkeypatch)
    records = list(run)
    assert len(records) == config.epochs
    for r in range(4):
        chain_weights = [weights[r] for weights in trajectory] if config.chain else None
        expected = plain_loop(config, data, r, [order[r] for order in orders], chain_weights)
        for record, of_epoch in zip(records, expected, strict=True):
            for name, value in of_epoch.items():
                assert getattr(record, name)[r] == pytest.approx(value, rel=1e-4), (name, record.epoch)
