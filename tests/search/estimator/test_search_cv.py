"""`PruningSearchCV`: the search of a study file, from arrays."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.model_selection import KFold, ShuffleSplit
from torch import nn
from users_shell import users_environment

from pruning_core import PruningClassifier
from search import PruningSearchCV

QUICK = Path(__file__).parents[3] / "studies" / "quick.yaml"
SHORT = {"training.epochs": 40, "training.seeds": 2, "training.folds": 4}
SHORT |= {"search.trials": 3, "search.confirm_seeds": 2}
AS_THE_COMMAND = """
import json, pickle, sys
import numpy as np
import pandas as pd
from pathlib import Path
from sklearn.datasets import load_digits
from pruning_core import PruningClassifier
from search import PruningSearchCV, run_study
from search.study import load_study

command = run_study(load_study(Path(sys.argv[1]), sys.argv[2:]), output="command", progress=False)
space = {
    "lambda_start": {"low": 1e-4, "high": 10.0, "log": True},
    "growth": {"low": 1.02, "high": 10.0, "log": True},
    "plateau_threshold": {"low": 1e-4, "high": 0.5, "log": True},
    "delta": {"low": 0.01, "high": 3.0, "log": True},
    "mu": {"choices": ["frozen", "windowed", "one"]},
}
X, y = load_digits(return_X_y=True, as_frame=True)
search = PruningSearchCV(
    PruningClassifier(16, n_replicas=2, epochs=40, batch_size=64, random_state=0), space, n_trials=3, name="arrays",
    strategies=["stepped", "plateau", "markov"], cv=4,
    output="arrays", study={"search": {"confirm_seeds": 2}}, run={"progress": False},
)
search.fit(X, y)
pd.testing.assert_frame_equal(search.result_.trials, command.trials)
best = command.strategies[command.winner]
assert search.result_.winner == command.winner == search.best_params_["strategy"]
assert search.best_score_ == best["validation"]["mean"] and search.best_index_ == best["trial"]
assert search.result_.strategies[command.winner]["test"] == best["test"]
assert len(search.cv_results_["params"]) == 3
assert search.cv_results_["params"][search.best_index_] == search.best_params_
assert search.best_params_.items() <= search.best_estimator_.get_params().items()
assert search.score(X, y) == np.mean(search.best_estimator_.predict(X) == y) > 0.7
assert search.predict_proba(X).shape == (len(X), 10) and search.n_features_in_ == 64
assert len(search.study_.trials) == 3 and search.study_.study_name == "arrays"
import mlflow
mlflow.set_tracking_uri(search.result_.json["mlflow"]["tracking_uri"])
assert mlflow.get_run(search.mlflow_run_id_).info.status == "FINISHED"
model = mlflow.pyfunc.load_model(search.result_.json["model"]["uri"])
assert np.mean(model.predict(X) == y) > 0.7
loaded = pickle.loads(pickle.dumps(search))
assert (loaded.predict(X) == search.predict(X)).all()
page = search.result_._repr_html_()
assert command.winner in page and "data:image/png;base64" in page
"""


@pytest.mark.slow
def test_the_rows_of_a_study_give_the_trials_of_the_command(tmp_path: Path) -> None:
    overrides = [f"{key}={value}" for key, value in SHORT.items()]
    command = [sys.executable, "-c", AS_THE_COMMAND, str(QUICK), *overrides]
    environment = users_environment()
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"cv": 60}, "training.folds = 60 must be at most 40, since a class has no more rows to train on"),
        ({"cv": KFold(3)}, "makes 3 splits and must make one"),
        ({"cv": ShuffleSplit(1)}, "give fit X_test and y_test too"),
        ({"estimator": PruningClassifier(4, network=lambda *_: nn.Linear(2, 2))}, "estimator.network must be None"),
        ({"estimator": PruningClassifier(13)}, r"data.keep = 13 must lie in 1 \.\.\. 12"),
        ({"param_distributions": {"grwoth": 2}}, "space.grwoth = 2 is not a hyperparameter: did you mean growth"),
        ({"n_trials": 0}, "search.trials = 0 must be"),
        ({"scoring": "f1"}, "search.objective = 'f1' must be"),
        ({"study": {"data": {"split": {"column": "part"}}}}, "must be three fractions: arrays have no columns"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_a_sentence(
    tmp_path: Path, parameters: dict[str, Any], sentence: str
) -> None:
    search = PruningSearchCV(**{"estimator": PruningClassifier(4), **parameters}, output=tmp_path)
    with pytest.raises(ValueError, match=sentence):
        search.fit(*load_wine(return_X_y=True))
    assert list(tmp_path.iterdir()) == []


def test_its_parameters_are_those_of_an_estimator() -> None:
    search = PruningSearchCV(PruningClassifier(4, growth=2.0), n_trials=12)
    copy = clone(search.set_params(estimator__epochs=7))
    assert (copy.get_params()["estimator__growth"], copy.estimator.epochs, copy.n_trials) == (2.0, 7, 12)
