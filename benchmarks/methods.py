"""Ways to choose inputs that only the benchmarks compare with; those of every report are in `search.report.baselines`.

The rows that train choose inputs; LassoNet and stochastic gates use the validation part besides, to stop and to set how
strongly they are regularised. Rows count by the weights that they have in training; for those that
take no weights, ANOVA and LassoNet, rows are drawn by their weight.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pruning_core.config import USUAL_BATCH, TrialConfig
from pruning_core.data import Dataset
from pruning_core.metrics import ACCURACY
from pruning_core.networks import GatedMLP
from pruning_core.pruner import Pruner
from pruning_core.replicas import ReplicaRandom, Replicas
from pruning_core.tasks import cross_entropy
from search.report.baselines import drawn_rows, largest, training_rows

L1_STRENGTHS = np.geomspace(1e-3, 10, 41)
GATE_NOISE = 0.5
GATE_PENALTIES = torch.logspace(-2, 2, 33)
GATE_EPOCHS = 200


def by_anova(data: Dataset, keep: int) -> list[int]:
    """The `keep` inputs whose class means differ most, by the F statistic (scikit-learn)."""
    from sklearn.feature_selection import f_classif

    return largest(f_classif(*drawn_rows(data))[0], keep)


def by_recursive_elimination(data: Dataset, keep: int) -> list[int]:
    """The `keep` inputs that a logistic regression is left with when its weakest input goes, one after the other."""
    from sklearn.feature_selection import RFE
    from sklearn.linear_model import LogisticRegression

    selector = RFE(LogisticRegression(max_iter=1000), n_features_to_select=keep)
    x, y, weight = training_rows(data)
    return np.flatnonzero(selector.fit(x, y, sample_weight=weight).support_).tolist()


def by_l1_path(data: Dataset, keep: int) -> list[int]:
    """The `keep` largest coefficients of the sparsest L1-penalised logistic regression that has so many (or the last).

    The penalty falls along a path; the coefficients of an input are as large as their maximum over the classes.
    """
    from sklearn.linear_model import LogisticRegression

    x, y, weight = training_rows(data)
    model = LogisticRegression(l1_ratio=1, solver="saga", warm_start=True, max_iter=2000, tol=1e-3, random_state=0)
    for strength in L1_STRENGTHS:
        model.set_params(C=strength).fit(x, y, sample_weight=weight)
        sizes = np.abs(model.coef_).max(axis=0)
        if np.count_nonzero(sizes) >= keep:
            break
    return largest(sizes, keep)


def by_lassonet(data: Dataset, keep: int, hidden: tuple[int, ...], **options: Any) -> list[int]:
    """The `keep` inputs that stay longest on LassoNet's path (Lemhadri et al. 2021).

    Args:
        hidden: widths of the hidden layers.
        options: arguments of `lassonet.LassoNetClassifier` in place of the package's own defaults.

    Raises:
        ImportError: without the extra `benchmarks`.
    """
    from lassonet import LassoNetClassifier

    model = LassoNetClassifier(hidden_dims=hidden, random_state=0, torch_seed=0, verbose=0, device="cpu", **options)
    validation = data.validation
    with torch.random.fork_rng(devices=[]):
        model.path(*drawn_rows(data), X_val=validation.x.cpu().numpy(), y_val=validation.y.cpu().numpy())
    return largest(model.feature_importances_.numpy(), keep)


class StochasticGates(Pruner):
    """Gates clip(w + noise, 0, 1) with Gaussian noise while training (Yamada et al. 2020, equation 6)."""

    def gates(self) -> torch.Tensor:
        noise = GATE_NOISE * torch.randn_like(self.weight) if self.training else 0.0
        return (self.weight + noise).clamp(0, 1)


class StochasticMLP(GatedMLP):
    """The default network with stochastic gates; a class of its own, since `GatedMLP.stacked_forward` has no noise."""

    def __init__(self, features: int, classes: int, keep: int, hidden: tuple[int, ...], initial_weight: float) -> None:
        super().__init__(features, classes, keep, hidden, initial_weight)
        self.pruner = StochasticGates(features, keep, initial_weight)


def by_stochastic_gates(data: Dataset, keep: int, config: TrialConfig) -> list[int]:
    """The `keep` largest stochastic gates (STG, Yamada et al. 2020), by the paper's formula.

    The loss is L_cla + penalty * mean over the gates of Phi(w / sigma), the probability that a gate is open. One
    replica for each penalty on a grid; of those with as many open gates as wanted, or as near as can be, the one most
    accurate on validation with nothing but its `keep` largest gates open is chosen.

    Args:
        config: the network (`hidden`) and its training (`learning_rate`, for gates too, and `batch_size`).
    """
    features, classes = len(data.feature_names), len(data.class_names)

    chosen = training_rows(data)
    x, y, weight = torch.from_numpy(chosen[0]), torch.from_numpy(chosen[1]), _relative(chosen[2])
    seeds = [0] * len(GATE_PENALTIES)
    replicas = Replicas(lambda: StochasticMLP(features, classes, keep, config.hidden, initial_weight=0.5), seeds)
    random = ReplicaRandom(seeds)
    optimizer = torch.optim.AdamW(
        replicas.parameters.values(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    (gates_RN,) = replicas.pruner_weights
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for _ in range(GATE_EPOCHS):
            for rows_RB in random.permutations(len(y)).split(config.batch_size or USUAL_BATCH, dim=1):
                open_R = torch.special.ndtr(gates_RN / GATE_NOISE).mean(1)
                logits_RBC, weight_RB = replicas.logits(x[rows_RB]), None if weight is None else weight[rows_RB]
                classification_R = cross_entropy(logits_RBC, y[rows_RB], config.label_smoothing, weight_RB)
                loss_R = classification_R + GATE_PENALTIES * open_R
                optimizer.zero_grad()
                loss_R.sum().backward()
                optimizer.step()
    accuracy_R = ACCURACY.of(replicas.answers(data.validation.to("cpu"), pruned=True)).tolist()
    distance_R = ((gates_RN > 0).sum(1) - keep).abs().tolist()
    best = min(range(len(seeds)), key=lambda r: (distance_R[r], -accuracy_R[r]))
    return largest(gates_RN[best].detach().numpy(), keep)


def _relative(weight: NDArray[Any] | None) -> torch.Tensor | None:
    """Weights as L_cla takes them, 1 on average."""
    return None if weight is None else torch.from_numpy(weight / weight.mean()).float()
