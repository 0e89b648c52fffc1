"""A search from Python: what comes back, and that the process is afterwards what it was."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from users_shell import users_environment

from pruning_core.data import DataError, Dataset
from search import run_study
from search.report.baselines import fit
from search.study import StudyError
from search.study.sections import FIRST_FRESH_SEED

STUDY = {
    "name": "cellar",
    "data": {"source": "wine", "keep": 4},
    "network": {"hidden": [16]},
    "training": {"epochs": 40, "seeds": 2, "settle_epochs": 4},
    "strategies": ["stepped"],
    "space": {"learning_rate": 0.01, "pruner_learning_rate": 0.2, "growth": {"low": 1.3, "high": 1.6}},
    "search": {"trials": 9, "confirm_seeds": 2},
}
SCRIPT = """
import gc, json, logging, os, signal, sys, warnings

def state():
    # What a library sets up when it is imported for the first time is its own; what stands here is not.
    numbers = (signal.SIGINT, signal.SIGUSR1)
    return dict(os.environ), gc.get_freeze_count(), gc.get_threshold(), [signal.getsignal(n) for n in numbers]

import numpy as np, optuna, torch
import mlflow
from search import run_study
from pruning_core.data import load_dataset

before, filters, verbosity = state(), list(warnings.filters), optuna.logging.get_verbosity()
levels = {name: logging.getLogger(name).level for name in ("mlflow", "ray.tune", "matplotlib.font_manager")}
result = run_study(json.loads(sys.argv[1]), trials=3, progress=False)
assert state() == before
assert [f for f in warnings.filters if f not in filters] == []
assert optuna.logging.get_verbosity() == verbosity
assert {name: logging.getLogger(name).level for name in levels} == levels

assert result.winner == "stepped" and result.json["trials"] == 3
assert result.strategies["stepped"]["outcome"]["complete"] == 1
trials = result.trials
assert list(trials.index) == [0, 1, 2] and set(trials.ending) <= {"ended", "stopped"}
assert {"strategy", "lambda_start", "accuracy", "complete"} <= set(trials.columns)
assert trials.loc[result.strategies["stepped"]["trial"], "accuracy"] == result.strategies["stepped"]["search_accuracy"]

data = result.data
network = result.network()
raw = data.test.x.double() * data.scale + data.mean
columns = [data.feature_names.index(name) for name in network.columns]
answers = network(raw[:, columns].float()).argmax(1)
mlflow.set_tracking_uri(result.json["mlflow"]["tracking_uri"])
model = mlflow.pyfunc.load_model(result.json["model"]["uri"])
assert [network.classes[a] for a in answers] == model.predict(raw.numpy()).tolist()
assert (answers == data.test.y).double().mean().item() == result.json["model"]["test_accuracy"]
page = result.report()
assert page.read_text().startswith("<!")
again = run_study(json.loads(sys.argv[1]), trials=4, progress=False, resume=True)
assert again.json["study"] == "cellar" and again.json["trials"] == 4
"""


@pytest.mark.slow
def test_a_search_from_python_gives_what_the_command_writes_and_leaves_the_process_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, json.dumps(STUDY)]
    environment = users_environment()
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == ""


def test_a_study_from_python_is_checked_like_a_file(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="strategies"):
        run_study({**STUDY, "strategies": ["nobody"]}, output=tmp_path)
    with pytest.raises(StudyError, match=r"search\.trials = 0 must be"):
        run_study(STUDY, trials=0, output=tmp_path)
    few = Dataset(**{**vars(data), "feature_names": ("a", "b")})
    with pytest.raises(DataError, match=r"data\.keep = 4 must lie in 1 \.\.\. 1"):
        run_study(STUDY, few, output=tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_a_search_that_runs_out_of_hours_ends_with_a_confirmed_winner(tmp_path: Path, data: Dataset) -> None:
    search = {**STUDY["search"], "trials": 10_000, "hours": 0.01}  # type: ignore[dict-item]
    result = run_study({**STUDY, "search": search}, data, output=tmp_path, progress=False)
    reached = len(result.trials)
    assert result.json["ended_early"] == f"stopped after {reached} of 10000 trials: the hours are used up"
    assert result.winner == "stepped"
    entry = result.strategies["stepped"]
    assert entry["outcome"]["complete"] == 1
    columns = [data.feature_names.index(name) for name in entry["selected"]]
    again = fit(columns, entry["config"], data, range(FIRST_FRESH_SEED, FIRST_FRESH_SEED + 2))
    assert again.test == entry["refit"]["test"]["per_seed"]
    assert "The search stopped after" in result.report().read_text()
