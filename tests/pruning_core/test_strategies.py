"""alpha epoch by epoch, against a plain-Python float64 transcription of the formula sheet's two tables."""

import io
import math
import random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning_core.config import TrialConfig, alpha_strategy, strategy_hyperparameters
from pruning_core.data import Dataset
from pruning_core.strategies import STRATEGIES, Adaptive, EpochMeans, Markov, Strategy, Swap
from pruning_core.timetable import share_left
from pruning_core.training import train

READINGS = ["current", "windowed", "frozen", "one"]
Epoch = tuple[float, float, float]  # L_cla, L_pru, variance of one replica


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def formula_lambdas(config: TrialConfig, variances: list[float]) -> list[float]:
    """lambda of the first epoch, the second, ... and the one after the last."""
    lambdas = [1.0 if config.alpha_strategy == "ratio" else config.lambda_start]
    since = 1  # no variance from before this epoch is compared with
    for epoch in range(1, len(variances) + 1):
        grows = False
        if config.alpha_strategy == "stepped":
            grows = epoch % config.step_epochs == 0
        if config.alpha_strategy == "plateau" and epoch - since >= config.patience:
            now, then = variances[epoch - 1], variances[epoch - 1 - config.patience]
            grows = abs(now - then) <= config.plateau_threshold * max(then, 1e-12)
        if grows:
            since = epoch
        lambdas.append(min(lambdas[-1] * config.growth, config.lambda_max) if grows else lambdas[-1])
    return lambdas


def formula_mu(config: TrialConfig, done: list[Epoch], lambdas: list[float]) -> float:
    """mu of the epoch that follows `done`; `lambdas` ends with that epoch's lambda."""
    reading = {"fixed": "one", "ratio": "current"}.get(config.alpha_strategy, config.mu)
    if reading == "frozen":
        done, lambdas = done[: config.window], lambdas[: config.window]
    if reading == "one" or (reading == "frozen" and len(done) < config.window):
        return 1.0
    if not done:
        return 1 / lambdas[-1]
    last = range(max(0, len(done) - config.window), len(done))
    classification = mean([done[e][0] for e in last])
    if reading == "windowed":
        return classification / mean([lambdas[e] * done[e][1] for e in last])
    return classification / (lambdas[-1] * mean([done[e][1] for e in last]))


def formula(config: TrialConfig, epochs: list[Epoch]) -> list[tuple[float, float, float]]:
    """(lambda, mu, alpha) of the first epoch, the second, ... and the one after the last."""
    lambdas = formula_lambdas(config, [variance for _, _, variance in epochs])
    mus = [formula_mu(config, epochs[:e], lambdas[: e + 1]) for e in range(len(epochs) + 1)]
    return [(lam, mu, mu * lam) for lam, mu in zip(lambdas, mus, strict=True)]


def random_run(seed: int, epochs: int = 40) -> list[Epoch]:
    """Losses that fall and a variance that now and then stands still."""
    draw = random.Random(seed)
    variance = draw.uniform(0.001, 0.1)
    run = []
    for epoch in range(epochs):
        variance *= 1 + draw.choice([0.001, 0.01, 0.3]) * draw.uniform(-1, 1)
        run.append((draw.uniform(0.1, 2), draw.uniform(0.5, 1) * 0.9**epoch, variance))
    return run


def feed(strategy: Strategy, runs: list[list[Epoch]]) -> np.ndarray:
    """(lambda, mu, alpha) before each epoch and after the last, (E + 1, 3, R), for one run per replica."""

    def state() -> np.ndarray:
        return torch.stack([strategy.lambda_R, strategy.mu_R, strategy.alpha_R]).numpy().copy()

    states = [state()]
    for of_epoch in zip(*runs, strict=True):
        classification_R, pruner_R, variance_R = torch.tensor(of_epoch, dtype=torch.float64).T
        strategy.update(EpochMeans(classification_R, pruner_R, variance_R, variance_R, pruner_R.clamp(0, 1)))
        states.append(state())
    return np.stack(states)


def alphas(runs: list[list[Epoch]], **values: Any) -> np.ndarray:
    """alpha before each epoch and after the last, (E + 1, R)."""
    return feed(alpha_strategy(TrialConfig(keep=1, **values), len(runs)), runs)[:, 2]


@settings(max_examples=100)
@given(
    seed=st.integers(0, 10**6),
    values=st.fixed_dictionaries(
        {
            "strategy": st.sampled_from(["fixed", "markov", "plateau", "ratio", "stepped"]),
            "mu": st.sampled_from(READINGS),
            "window": st.integers(1, 12),
            "growth": st.floats(1.01, 20),
            "step_epochs": st.integers(1, 9),
            "patience": st.integers(1, 7),
            "plateau_threshold": st.sampled_from([0.0, 0.005, 0.05, 0.5]),
            "lambda_start": st.floats(1e-3, 10),
            "lambda_max": st.sampled_from([10.0, 1e3, 1e7]),
        }
    ),
)
def test_every_epoch_follows_the_formula_sheet_in_every_replica(seed: int, values: dict[str, Any]) -> None:
    config = TrialConfig(keep=1, **values)
    runs = [random_run(seed + r, epochs=30) for r in range(3)]
    states = feed(alpha_strategy(config, 3), runs)
    for r, run in enumerate(runs):
        np.testing.assert_allclose(states[..., r], formula(config, run), rtol=1e-9)


def lagging(excesses: list[list[float]], **values: Any) -> np.ndarray:
    """lambda of `adaptive` before each epoch and after the last, (E + 1, R), for one list of excesses per replica."""
    strategy = alpha_strategy(TrialConfig(keep=1, strategy="adaptive", **values), len(excesses))
    lambdas = [strategy.lambda_R.clone()]
    for of_epoch in zip(*excesses, strict=True):
        nothing_R, excess_R = torch.zeros(len(of_epoch)), torch.tensor(of_epoch, dtype=torch.float64)
        strategy.update(EpochMeans(nothing_R, nothing_R, nothing_R, nothing_R, excess_R))
        lambdas.append(strategy.lambda_R.clone())
    return torch.stack(lambdas).numpy()


@settings(max_examples=60)
@given(
    excess=st.lists(st.floats(0, 1), min_size=1, max_size=50),
    growth=st.floats(1.01, 10),
    shrink=st.integers(1, 40),
    epochs=st.integers(1, 60),
    most=st.sampled_from([1.0, 50.0, 1e7]),
)
def test_adaptive_follows_its_formula(
    excess: list[float], growth: float, shrink: int, epochs: int, most: float
) -> None:
    values = {"growth": growth, "shrink_epochs": shrink, "epochs": epochs, "lambda_max": most}
    expected, whole = [1.0], min(shrink, epochs)
    for epoch, left in enumerate(excess, 1):
        times = 5.0
        if epoch + 1 < whole:
            times = 7 * math.log((left + 0.01) / ((1 - (epoch + 1) / whole) ** 3 + 0.01))
        expected.append(min(expected[-1] * growth ** min(max(times, 0.0), 5.0), most))
    np.testing.assert_allclose(lagging([excess], **values)[:, 0], expected, rtol=1e-9)


def test_adaptive_leaves_lambda_alone_while_the_gates_keep_to_the_timetable() -> None:
    on_time = [share_left((epoch + 1) / 30) for epoch in range(1, 29)]
    late = [0.5 + left / 2 for left in on_time]
    lambdas = lagging([on_time, late])
    assert (lambdas[:, 0] == 1).all()
    growing = np.diff(lambdas[:, 1])
    assert (growing > 0).all()
    assert lambdas[-1, 1] <= 1.15 ** (5 * 28) * (1 + 1e-9)


def test_adaptive_starts_all_gates_at_its_own_weight(data: Dataset) -> None:
    for initial_weight in (3.0, 5.0):
        run = train(TrialConfig(keep=4, strategy="adaptive", initial_weight=initial_weight), data, [0, 1])
        assert (run.replicas.pruner_weights[0] == Adaptive.first_weight).all()


def test_adaptive_starts_with_the_same_force_on_each_gate_however_many_there_are() -> None:
    for units in (10, 60, 1000):
        strategy = alpha_strategy(TrialConfig(keep=1, strategy="adaptive", lambda_max=2.0), 2)
        strategy.begin(units)
        assert strategy.alpha_R.tolist() == [min(units / 300, 2.0)] * 2


def test_the_excess_of_a_run_is_what_its_gates_sum_up_to_above_n(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[torch.Tensor] = []
    grown = Adaptive.grown

    def watched(self: Adaptive, epoch: EpochMeans) -> torch.Tensor:
        told.append(epoch.excess_R)
        return grown(self, epoch)

    monkeypatch.setattr(Adaptive, "grown", watched)
    run = train(TrialConfig(keep=4, strategy="adaptive", epochs=3), data, [0, 1])
    for epoch, _ in enumerate(run, 1):
        gates_RN = torch.sigmoid(run.replicas.pruner_weights[0].detach().double())
        assert len(told) == epoch
        above_R = (gates_RN.sum(1) - 4).clamp_min(0)
        np.testing.assert_allclose(told[-1], above_R / (gates_RN.shape[1] - 4), rtol=1e-6)
    assert told[0].min() > 0


def test_plateau_really_grows_and_really_waits_in_the_runs_above() -> None:
    values = {"strategy": "plateau", "growth": 2, "patience": 3, "plateau_threshold": 0.05, "lambda_start": 0.5}
    grown = alphas([random_run(s) for s in range(20)], **values)
    assert len(set(grown[-1])) > 3
    assert grown[-1].max() > grown[0].max() == 0.5


def test_each_replica_has_its_own_alpha() -> None:
    runs = [random_run(seed) for seed in range(3)]
    for values in ({"strategy": "ratio"}, {"strategy": "plateau", "mu": "frozen", "growth": 2}):
        together = alphas(runs, **values)
        assert len(set(together[-1])) == 3
        alone = np.concatenate([alphas([run], **values) for run in runs], axis=1)
        np.testing.assert_allclose(together, alone, rtol=1e-12)


def test_fixed_is_lambda_start() -> None:
    assert set(alphas([random_run(0)], strategy="fixed", lambda_start=7.5).ravel()) == {7.5}


def test_ratio_averages_over_the_last_window_epochs() -> None:
    run = [(2.0, 1.0, 0.0), (4.0, 1.0, 0.0), (6.0, 3.0, 0.0)]
    np.testing.assert_allclose(alphas([run], strategy="ratio", window=2).ravel(), [1, 2, 3, 2.5])


def test_the_decks_schedule_runs_from_1_to_ten_million() -> None:
    deck = {"strategy": "stepped", "lambda_start": 1.0, "growth": 10.0, "step_epochs": 20, "mu": "one"}
    alpha = alphas([random_run(0, epochs=200)], **deck).ravel()
    np.testing.assert_allclose(alpha, [10.0 ** min(epoch // 20, 7) for epoch in range(201)])


@pytest.mark.parametrize("strategy", ["stepped", "plateau"])
def test_lambda_never_exceeds_lambda_max(strategy: str) -> None:
    still = [(1.0, 1.0, 0.5)] * 60
    alpha = alphas([still], strategy=strategy, growth=3.0, lambda_max=50.0, mu="one")
    assert alpha.max() == 50.0
    assert (np.diff(alpha, axis=0) >= 0).all()


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    growth=st.floats(1.01, 1e3),
    start=st.floats(1e-4, 1e4),
    window=st.integers(1, 12),
)
def test_lambda_cancels_when_mu_is_read_with_todays_lambda(seed: int, growth: float, start: float, window: int) -> None:
    runs = [random_run(seed), random_run(seed + 1)]
    ratio = alphas(runs, strategy="ratio", window=window)
    for strategy in ("stepped", "plateau"):
        literal = alphas(
            runs,
            strategy=strategy,
            mu="current",
            growth=growth,
            lambda_start=start,
            window=window,
            step_epochs=3,
        )
        np.testing.assert_allclose(literal, ratio, rtol=1e-12)


def test_lambda_cancels_however_small_it_is() -> None:
    runs = [random_run(0, epochs=80)]
    literal = alphas(runs, strategy="stepped", mu="current", lambda_start=1e-14)
    np.testing.assert_allclose(literal, alphas(runs, strategy="ratio"), rtol=1e-12)


def test_windowed_lets_a_step_of_lambda_act_for_window_epochs_and_fade() -> None:
    steady = [(0.6, 0.2, 0.0)] * 29
    alpha = alphas(
        [steady], strategy="stepped", mu="windowed", window=5, step_epochs=20, growth=4.0, lambda_start=2.0
    ).ravel()
    np.testing.assert_allclose(alpha[1:20], 3)
    assert alpha[20] == pytest.approx(4 * 3)
    assert (np.diff(alpha[20:26]) < 0).all()
    np.testing.assert_allclose(alpha[25:], 3)


def test_frozen_measures_mu_at_the_end_of_the_first_window_and_holds_it() -> None:
    run = random_run(3)
    values = {"strategy": "stepped", "mu": "frozen", "window": 6, "step_epochs": 4, "growth": 3.0}
    states = feed(alpha_strategy(TrialConfig(keep=1, **values), 1), [run])[..., 0]
    lam, mu, alpha = states.T
    assert set(mu[:6]) == {1.0}
    measured = mean([c for c, _, _ in run[:6]]) / (lam[5] * mean([p for _, p, _ in run[:6]]))
    np.testing.assert_allclose(mu[6:], measured)
    np.testing.assert_allclose(alpha[6:] / lam[6:], measured)
    assert lam[-1] > lam[6]


def test_plateau_waits_patience_epochs_before_each_growth() -> None:
    still = [(1.0, 1.0, 0.5)] * 12
    alpha = alphas([still], strategy="plateau", patience=3, growth=2.0, lambda_start=1.0, mu="one").ravel()
    assert alpha.tolist() == [1, 1, 1, 1, 2, 2, 2, 4, 4, 4, 8, 8, 8]


def test_plateau_compares_with_the_variance_patience_epochs_ago() -> None:
    creeping = [(1.0, 1.0, 1.04**epoch) for epoch in range(20)]
    values = {
        "strategy": "plateau",
        "plateau_threshold": 0.05,
        "growth": 2.0,
        "lambda_start": 1.0,
        "mu": "one",
    }
    assert alphas([creeping], patience=2, **values).max() == 1
    assert alphas([creeping], patience=1, **values).max() > 1


def test_a_variance_of_zero_that_stays_zero_is_not_changing() -> None:
    nothing = [(1.0, 1.0, 0.0)] * 10
    assert alphas([nothing], strategy="plateau", plateau_threshold=0.0, mu="one").max() > 0.01


@pytest.mark.parametrize("mu", READINGS)
def test_alpha_stays_finite_when_the_pruner_loss_vanishes(mu: str) -> None:
    done = [(0.5, 0.5, 0.1), (0.0, 0.0, 0.1), (0.5, 0.0, 0.1), (0.5, 0.0, 0.1)]
    assert np.isfinite(alphas([done], strategy="stepped", mu=mu, window=2)).all()


@pytest.mark.parametrize("mu", READINGS)
@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_a_saved_strategy_goes_on_exactly_where_it_stood(strategy: str, mu: str) -> None:
    config = TrialConfig.model_validate(
        {"keep": 1, "strategy": strategy, "mu": mu, "window": 8, "patience": 4, "step_epochs": 3}
    )
    runs = [random_run(seed) for seed in range(3)]
    for saved_after in (0, 5, 13):
        first = alpha_strategy(config, 3)
        feed(first, [run[:saved_after] for run in runs])
        file = io.BytesIO()
        torch.save(first.state_dict(), file)
        file.seek(0)
        second = alpha_strategy(config, 3)
        second.load_state_dict(torch.load(file, weights_only=True))
        rest = [run[saved_after:] for run in runs]
        np.testing.assert_array_equal(feed(first, rest), feed(second, rest))


OTHER: dict[str, Any] = {
    "lambda_start": 0.5,
    "lambda_max": 3.0,
    "growth": 1.9,
    "step_epochs": 7,
    "plateau_threshold": 0.4,
    "patience": 5,
    "plateau_monitor": "weights",
    "mu": "frozen",
    "window": 4,
    "alpha": "ratio",
    "delta": 1.0,
    "block": 0.5,
    "proposals": 3,
    "temperature": 1.0,
    "shrink_epochs": 11,
}


WITHOUT_A_SAY = {"plateau_monitor", *(h.name for chain in (Markov, Swap) for h in chain.hyperparameters)}
"""In use, but alpha does not depend on them here: the monitored variance is handed in, and the chain moves weights."""


@pytest.mark.parametrize("name", sorted({*strategy_hyperparameters(), "alpha"}))
@pytest.mark.parametrize("mu", ["windowed", "one"])
@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_alpha_depends_on_the_hyperparameters_in_use_and_on_no_other(strategy: str, mu: str, name: str) -> None:
    base = {"strategy": strategy, "mu": mu, "growth": 1.5, "lambda_max": 10.0, "plateau_threshold": 0.2}
    runs = [random_run(seed) for seed in range(3)]
    same = np.array_equal(alphas(runs, **base), alphas(runs, **{**base, name: OTHER[name]}))
    used = name in TrialConfig.model_validate({"keep": 1, **base}).used()
    idle = name in WITHOUT_A_SAY and name not in {h.name for h in Adaptive.hyperparameters if strategy == "adaptive"}
    assert same == (not used or idle)


@pytest.mark.parametrize(
    "values",
    [
        {"strategy": "fixed"},
        {"strategy": "ratio", "window": 3},
        {"strategy": "stepped", "mu": "windowed", "window": 4, "rejection_weight": 2.0},
        {"strategy": "stepped", "mu": "current", "rejection": "modified"},
        {"strategy": "plateau", "plateau_monitor": "weights", "plateau_threshold": 0.3},
        {"strategy": "plateau", "plateau_monitor": "gates", "plateau_threshold": 0.3},
        {"strategy": "markov", "alpha": "plateau", "plateau_threshold": 0.3, "mu": "frozen", "window": 5},
    ],
    ids=lambda values: "-".join(str(value) for value in values.values()),
)
def test_a_training_run_follows_the_formula_sheet(values: dict[str, Any], data: Dataset) -> None:
    quick = {"hidden": (8,), "lambda_start": 0.3, "growth": 1.7, "pruner_learning_rate": 0.2}
    config = TrialConfig.model_validate({"keep": 4, "epochs": 15, **quick, **values})
    run = train(config, data, range(3), device="cpu")
    records = list(run)
    for r in range(3):
        epochs = [
            (
                float(record.classification_loss[r]),
                float(record.selection_loss[r] + config.rejection_weight * record.rejection_loss[r]),
                float((record.weight_variance if config.plateau_monitor == "weights" else record.gate_variance)[r]),
            )
            for record in records
        ]
        trained_with = [(record.lambda_[r], record.mu[r], record.alpha[r]) for record in records]
        np.testing.assert_allclose(trained_with, formula(config, epochs)[:-1], rtol=1e-5)
    grown = (records[-1].lambda_ > records[0].lambda_).any()
    assert grown == (config.alpha_strategy in ("stepped", "plateau"))
