"""`PruningClassifier`: what it learns, keeps and says, and how it behaves among scikit-learn's own parts."""

import pickle
import subprocess
import sys
import time
import warnings
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from pruning_core import Pruner, PruningClassifier, Strategy, TrialConfig, from_arrays, register, train
from pruning_core.hyperparameters import Hyperparameter
from pruning_core.progress import best_complete
from pruning_core.strategies import STRATEGIES

INFORMATIVE = [1, 4, 6]
Frame = tuple[pd.DataFrame, pd.Series]


@pytest.fixture(scope="module")
def rows() -> Frame:
    """Nine columns of which three tell three classes apart, and a constant one."""
    random = np.random.RandomState(0)
    y = np.arange(240) % 3
    x = random.normal(5, 2, size=(240, 10))
    x[:, INFORMATIVE] += 6 * np.eye(3)[y]
    x[:, 2] = 7
    return pd.DataFrame(x, columns=[f"column {i}" for i in range(10)]), pd.Series(np.array(["u", "d", "s"])[y])


def quick(**parameters: Any) -> PruningClassifier:
    """A classifier that completes within some thirty epochs."""
    return PruningClassifier(
        **{"n_features_to_select": 3, "n_replicas": 3, "growth": 1.5, "epochs": 60, "random_state": 0, **parameters}
    )


@pytest.fixture(scope="module")
def fitted(rows: Frame) -> PruningClassifier:
    return quick().fit(*rows)


def test_it_keeps_what_tells_the_classes_apart_and_predicts_from_that_alone(
    fitted: PruningClassifier, rows: Frame
) -> None:
    x, y = rows
    assert np.flatnonzero(fitted.support_).tolist() == INFORMATIVE
    assert fitted.support_frequency_[INFORMATIVE].tolist() == [1, 1, 1]
    assert (fitted.n_features_, fitted.n_features_in_) == (3, 10)
    assert fitted.feature_names_in_.tolist() == x.columns.tolist()
    assert fitted.outcomes_ == ["complete"] * 3
    assert fitted.n_iter_ == len(fitted.history_) < 60
    assert fitted.score(x, y) > 0.95
    others = x.copy()
    others.loc[:, ~fitted.support_] = 1e3
    np.testing.assert_array_equal(fitted.predict_proba(others), fitted.predict_proba(x))


def test_what_it_says_of_a_row_is_consistent(fitted: PruningClassifier, rows: Frame) -> None:
    probabilities, decision = fitted.predict_proba(rows[0]), fitted.decision_function(rows[0])
    assert fitted.classes_.tolist() == ["d", "s", "u"]
    np.testing.assert_array_equal(fitted.classes_[decision.argmax(1)], fitted.predict(rows[0]))
    np.testing.assert_allclose(probabilities.sum(1), 1)
    np.testing.assert_allclose(np.log(probabilities[:, 0] / probabilities[:, 1]), decision[:, 0] - decision[:, 1])


def test_with_decoys_the_inputs_that_tell_the_classes_apart_are_claimed(rows: Frame) -> None:
    X, y = rows
    fitted = PruningClassifier(4, n_replicas=4, n_decoys=4, random_state=0).fit(X, y)
    told = np.argsort(-fitted.support_frequency_, kind="stable")[:3]
    assert (fitted.q_values_[told] <= 0.1).all()
    assert fitted.q_values_.shape == (X.shape[1],)
    assert not hasattr(PruningClassifier(4, n_replicas=1, epochs=1).fit(X, y), "q_values_")


def test_the_ranking_tells_in_which_order_gates_closed(fitted: PruningClassifier) -> None:
    ranking = fitted.ranking_
    assert np.flatnonzero(ranking == 1).tolist() == INFORMATIVE
    assert sorted(ranking[ranking > 1].tolist()) == [2, 3, 4, 5, 6, 7, 8]
    assert ranking[2] == 8, "the constant column was never in question"
    closed_last, closed_first = np.flatnonzero(ranking == 2)[0], np.flatnonzero(ranking == 7)[0]
    replica = fitted.history_.seeds.index(min(fitted.history_.seeds))
    names = list(fitted.history_.names)
    gates = np.stack([gates[replica] for _, gates in fitted.history_.gates])
    open_epochs = [(gates[:, names.index(f"column {i}")] > 0.5).sum() for i in (closed_last, closed_first)]
    assert len(fitted.history_.gates) > open_epochs[0] >= open_epochs[1] > 0


def test_the_most_accurate_complete_replica_predicts_as_train_does_with_the_same_rows(rows: Frame) -> None:
    x, y = rows
    fitting, judging = (x[:180], y[:180]), (x[180:], y[180:])
    fitted = quick(random_state=5).fit(*fitting, X_val=judging[0], y_val=judging[1])
    data = from_arrays(fitting, judging)
    run = train(TrialConfig(keep=3, seeds=3, growth=1.5, epochs=60), data, range(5, 8))
    for _ in run:
        pass
    result: dict[str, Any] = run.result()
    best = best_complete(result["completion_epoch"], result["pruned_accuracy"]["per_seed"])
    assert best is not None
    assert fitted.score(*judging) == pytest.approx(run.accuracy(data.validation)[best], abs=1e-12)
    assert x.columns[fitted.support_].tolist() == result["selected"][best]


def test_an_incomplete_pruning_warns_and_says_what_to_change(rows: Frame) -> None:
    with pytest.warns(ConvergenceWarning, match=r"within 2 epochs \(3 too little\): a larger growth or more epochs"):
        fitted = quick(epochs=2).fit(*rows)
    assert fitted.support_.sum() == 3
    assert fitted.predict(rows[0]).shape == (240,)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick().fit(*rows)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"n_features_to_select": 9}, r"n_features_to_select = 9 keeps 9 features and must keep 1 \.\.\. 8: 9 of 10"),
        ({"n_features_to_select": 1.5}, "n_features_to_select = 1.5 must be a count, or a fraction between 0 and 1"),
        ({"n_features_to_select": True}, "n_features_to_select = True must be a count"),
        ({"growth": 0.5}, "growth = 0.5 must be greater than 1"),
        ({"n_replicas": 0}, "n_replicas = 0 must be greater than or equal to 1"),
        ({"strategy": "stepped", "lambda_max": 1e-3}, "lambda_max must not be below lambda_start"),
        ({"validation_fraction": 1.0}, "validation_fraction = 1.0 must lie between 0 and 1"),
    ],
)
def test_a_parameter_out_of_range_is_refused_in_a_sentence(
    rows: Frame, parameters: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        quick(**parameters).fit(*rows)


def test_an_unknown_parameter_is_refused() -> None:
    with pytest.raises(TypeError, match="PruningClassifier takes no parameter 'grwoth'"):
        PruningClassifier(grwoth=2)


def test_its_parameters_are_the_hyperparameters_with_their_defaults() -> None:
    parameters = PruningClassifier().get_params()
    fields = {
        name: info.default
        for name, info in TrialConfig.model_fields.items()
        if name not in ("keep", "seeds", "arguments")
    }
    assert {name: parameters[name] for name in fields} == fields
    assert parameters["n_replicas"] == TrialConfig.model_fields["seeds"].default
    assert repr(PruningClassifier(growth=2.0)) == "PruningClassifier(growth=2.0)"


def test_a_strategy_of_ones_own_brings_its_hyperparameters(rows: Frame) -> None:
    class Ramp(Strategy):
        label = "ramp of a user"
        hyperparameters = (Hyperparameter("slope_of_a_user", float, 0.3, "rise of alpha per epoch"),)

        def grown(self, epoch: Any) -> Any:
            return self.lambda_R + self.config.slope_of_a_user

    before, known = PruningClassifier(strategy="ramp of a user"), dict(STRATEGIES)
    register(Ramp)
    try:
        assert before.get_params()["slope_of_a_user"] == 0.3
        copy = clone(before.set_params(slope_of_a_user=0.5, n_features_to_select=3, n_replicas=2, random_state=0))
        assert copy.fit(*rows).history_.config.slope_of_a_user == 0.5
    finally:
        STRATEGIES.clear()
        STRATEGIES.update(known)
        register(known["markov"])  # the fields of `TrialConfig` follow the strategies that are known


def test_a_network_of_ones_own(rows: Frame) -> None:
    def two_pruners(config: TrialConfig, features: int, classes: int) -> nn.Module:
        return nn.Sequential(
            Pruner(features, config.keep), nn.Linear(features, 12), nn.ReLU(), nn.BatchNorm1d(12), Pruner(12, 6),
            nn.Dropout(0.1), nn.Linear(12, classes),
        )  # fmt: skip

    fitted = quick(network=two_pruners, n_replicas=2).fit(*rows)
    assert fitted.support_.sum() == 3
    assert fitted.score(*rows) > 0.9
    with pytest.raises(ValueError, match="network must have a Pruner on its inputs"):
        quick(network=lambda config, features, classes: nn.Sequential(nn.Linear(features, 4), Pruner(4, 2))).fit(*rows)


def test_rows_of_weight_zero_are_absent_and_weights_steer_what_is_learnt(rows: Frame) -> None:
    x, y = rows
    weight = np.ones(len(y))
    weight[:60] = 0
    weighted = quick().fit(x, y, sample_weight=weight)
    absent = quick().fit(x[60:], y[60:], sample_weight=weight[60:])
    np.testing.assert_array_equal(weighted.predict_proba(x), absent.predict_proba(x))
    lies = y.to_numpy().copy()
    lies[::2] = np.roll(lies, 1)[::2]
    trusting = quick().fit(x, lies, sample_weight=np.where(np.arange(len(y)) % 2, 1.0, 1e-3))
    assert trusting.score(x[1::2], y[1::2]) > 0.9


def test_random_state_says_everything(rows: Frame, fitted: PruningClassifier) -> None:
    again = clone(fitted).fit(*rows)
    np.testing.assert_array_equal(again.predict_proba(rows[0]), fitted.predict_proba(rows[0]))
    assert fitted.history_.seeds == [0, 1, 2]
    drawn = [clone(fitted).set_params(random_state=np.random.RandomState(s), epochs=1) for s in (0, 0, 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        seeds = [classifier.fit(*rows).history_.seeds for classifier in drawn]
    assert seeds[0] == seeds[1] != seeds[2]


def test_it_says_what_it_does_if_asked(rows: Frame, capsys: pytest.CaptureFixture[str]) -> None:
    quick(epochs=40, n_replicas=2).fit(*rows)
    assert capsys.readouterr() == ("", "")
    fitted = quick(epochs=40, n_replicas=2, verbose=True).fit(*rows)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("epoch 4/40  loss ")
    assert "complete 0/2" in lines[0]
    assert lines[-1].startswith(f"epoch {fitted.n_iter_}/40")
    assert "complete 2/2" in lines[-1]


def test_in_a_grid_search_over_growth(rows: Frame) -> None:
    grid = GridSearchCV(quick(n_replicas=2), {"growth": [1.0001, 1.5]}, cv=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        grid.fit(*rows)
    assert grid.best_estimator_.get_params()["growth"] == grid.best_params_["growth"]
    assert grid.best_score_ > 0.9


def test_in_a_cross_validation_with_two_jobs(rows: Frame) -> None:
    pipeline = make_pipeline(StandardScaler(), quick(n_replicas=2))
    alone, together = (cross_validate(pipeline, *rows, cv=2, n_jobs=jobs)["test_score"] for jobs in (None, 2))
    assert together.tolist() == alone.tolist()
    assert together.min() > 0.9


@pytest.mark.parametrize("dump", [pickle.dumps, joblib.dump])
def test_it_is_saved_and_loaded(fitted: PruningClassifier, rows: Frame, dump: Any, tmp_path: Any) -> None:
    if dump is pickle.dumps:
        loaded = pickle.loads(dump(fitted))
    else:
        dump(fitted, tmp_path / "classifier")
        loaded = joblib.load(tmp_path / "classifier")
    np.testing.assert_array_equal(loaded.predict_proba(rows[0]), fitted.predict_proba(rows[0]))
    assert len(loaded.history_) == fitted.n_iter_


def test_weights_are_routed_through_a_grid_search(rows: Frame) -> None:
    x, y = rows
    lies = y.to_numpy().copy()
    lies[::2] = np.roll(lies, 1)[::2]
    weight = np.where(np.arange(len(y)) % 2, 1.0, 1e-3)
    with sklearn.config_context(enable_metadata_routing=True):
        asked = quick(n_replicas=2).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        grid = GridSearchCV(asked, {"growth": [1.5]}, cv=2).fit(x, lies, sample_weight=weight)
    assert grid.best_score_ > 0.9 > np.mean(lies == y)
    assert grid.best_estimator_.score(x[1::2], y[1::2]) > 0.9


LOADED = "import sys, pruning_core.estimators; print(*{'ray', 'optuna', 'mlflow', 'search'} & set(sys.modules))"


def test_importing_it_loads_no_part_of_a_search() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == []


@pytest.mark.slow
def test_a_thousand_rows_take_less_than_three_seconds() -> None:
    x, y = make_classification(1000, 60, n_informative=10, random_state=0)
    PruningClassifier(epochs=2, random_state=0).fit(x, y)
    started = time.process_time()
    PruningClassifier(random_state=0).fit(x, y)
    assert time.process_time() - started < 3
