"""What a pruned network is to be compared with: the same network with all of its inputs, and with others.

A comparison trains exactly as the search does, from the same initial weights and in the same order of batches, but
with gates that are 0 or 1 from the start and never move. The same rows choose inputs as in the search: the training
part, or all that are not test where the data is pooled for folds. They count by the weights that they have in training.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pruning_core.config import TrialConfig
from pruning_core.data import Dataset, Part
from pruning_core.metrics import ACCURACY, Metric
from pruning_core.network_check import check_network
from pruning_core.networks import GATED_MLP, NetworkSpec
from pruning_core.selection.refit import best_epoch, with_inputs, without_pruning
from pruning_core.training import Training, train
from search.trials.result import SIGNAL_EFFICIENCIES

ROWS, NUMBERS = 10_000, 2_000_000
MOST_TEST_ROWS = 100_000
TREES = 300


@dataclass(frozen=True)
class Comparison:
    """How one choice of inputs fares in the study's metric: one value per seed.

    `roc` are the background's efficiencies at `SIGNAL_EFFICIENCIES` on the test part, (R, K), of two classes;
    `mistakes_B` the share of the seeds that is wrong about each of the `sampled_test` rows.
    """

    inputs: tuple[str, ...]
    validation: list[float]
    test: list[float]
    roc: list[list[float]]
    mistakes_B: NDArray[np.float64]


def sampled_test(data: Dataset) -> Part:
    """The test part, or a random choice of very many rows."""
    assert data.test is not None
    if len(data.test.y) <= MOST_TEST_ROWS:
        return data.test
    rows = torch.from_numpy(np.sort(np.random.default_rng(0).permutation(len(data.test.y))[:MOST_TEST_ROWS]))
    columns = (data.test.x, data.test.y, data.test.weight, data.test.group)
    return Part(*(None if column is None else column[rows] for column in columns))  # type: ignore[arg-type]


def mistakes_of(
    winner: Mapping[str, Any], data: Dataset, seeds: Sequence[int], network: NetworkSpec
) -> NDArray[np.float64]:
    """The winner's mistakes about each of the `sampled_test` rows, as `Comparison` has them: it is trained again."""
    run = train(TrialConfig(**winner), data.without_test(), seeds, network)
    for _ in run:
        pass
    return run.mistakes(sampled_test(data)).numpy()


def fit(
    columns: Sequence[int],
    winner: Mapping[str, Any],
    data: Dataset,
    seeds: Sequence[int],
    network: NetworkSpec = GATED_MLP,
    metric: Metric = ACCURACY,
) -> Comparison:
    """Trains the network on some of the inputs, or on all where it has no pruner on them.

    Args:
        columns: indices of the inputs that it sees.
        winner: the hyperparameters (`TrialConfig.used()`) of which the training is taken; it ends as a refit does.
        data: the data with its test part.
        seeds: one per replica; those of the confirmation give its initial weights and batches.
        network: that of the winner.
        metric: what the study maximises.
    """
    assert data.test is not None
    config = without_pruning(winner)
    on_inputs = check_network(network, config, data).on_inputs
    some = with_inputs(columns, network, on_inputs.path if on_inputs else None)

    def trained(epochs: int) -> Training:
        run = train(without_pruning(winner, epochs), data.without_test(), seeds, some, metric=metric)
        for _ in run:
            pass
        return run

    run = trained(config.epochs)
    stop = best_epoch(run.history.array(f"full_{metric.name}"))
    if stop < config.epochs:
        run = trained(stop)
    validation = run.history.records[-1].quantity(f"full_{metric.name}").tolist()
    test = run.scores(data.test, pruned=False)[metric.name]
    roc = run.roc(data.test, SIGNAL_EFFICIENCIES, pruned=False)
    mistakes = run.mistakes(sampled_test(data), pruned=False).numpy()
    return Comparison(tuple(data.feature_names[column] for column in columns), validation, test, roc, mistakes)


def by_mutual_information(data: Dataset, keep: int) -> list[int]:
    """The `keep` inputs that tell most about the class, each on its own (scikit-learn).

    Of weighted rows some are drawn by their weight.
    """
    from sklearn.feature_selection import mutual_info_classif

    x, y = drawn_rows(data)
    return largest(mutual_info_classif(x, y, random_state=0), keep)


def by_random_forest(data: Dataset, keep: int) -> list[int]:
    """The `keep` most important inputs of a random forest (scikit-learn, impurity)."""
    from sklearn.ensemble import RandomForestClassifier

    x, y, weight = training_rows(data)
    forest = RandomForestClassifier(n_estimators=TREES, random_state=0).fit(x, y, sample_weight=weight)
    return largest(forest.feature_importances_, keep)


def training_rows(data: Dataset) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]:
    """The rows that train, as arrays; of very many rows or inputs, as many rows as can be ranked in minutes.

    The last one is the rows' weight, None where all count alike.
    """
    x, y, weight = _rows(data)
    rows = np.random.default_rng(0).permutation(len(y))[: _enough(x)]
    return x[rows], y[rows], None if weight is None else weight[rows]


def drawn_rows(data: Dataset) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rows that train, for a method that takes no weights, drawn by their weight.

    None is drawn twice: the nearest neighbours of a row would be its own copies. So that heavy rows are drawn more
    often than light ones, they are at most half as many as there are effectively, (sum of w)^2 / sum of w^2.
    """
    x, y, weight = _rows(data)
    if weight is None:
        x, y, _ = training_rows(data)
        return x, y
    count = max(1, min(_enough(x), int(weight.sum() ** 2 / (weight**2).sum() / 2)))
    rows = np.random.default_rng(0).choice(len(y), count, replace=False, p=weight / weight.sum())
    return x[rows], y[rows]


def _rows(data: Dataset) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]:
    """All rows that train, and their weights as training takes them, None where all are alike."""
    part = data.pool or data.train
    x, y, given = part.x.cpu().numpy(), part.y.cpu().numpy(), data.training_weight(part)
    if given is None:
        return x, y, None
    weight = given.double().cpu().numpy()
    counts = weight > 0  # in a pool there may be others, which no replica trains on
    x, y, weight = x[counts], y[counts], weight[counts]
    return x, y, None if (weight == weight[0]).all() else weight


def _enough(x: NDArray[Any]) -> int:
    return min(ROWS, max(500, NUMBERS // x.shape[1]))


def largest(scores: NDArray[Any], keep: int) -> list[int]:
    """The indices of the `keep` largest scores, ascending; of equal ones the first."""
    return sorted(np.argsort(-scores, kind="stable")[:keep].tolist())
