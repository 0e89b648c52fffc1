"""A search that starts from an earlier one, as users run it: on the same data, on other data, after an interruption."""

from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest

from search import SearchResult, run_study

pytestmark = pytest.mark.long

STUDY: dict[str, Any] = {
    "name": "cellar",
    "data": {"source": "wine", "keep": 4},
    "network": {"hidden": [16]},
    "training": {"epochs": 30, "seeds": 2, "settle_epochs": 4},
    "strategies": ["plateau", "stepped"],
    "space": {"learning_rate": 0.01, "pruner_learning_rate": 0.2, "growth": {"low": 1.3, "high": 1.6}},
    "search": {"trials": 6, "confirm_seeds": 2},
}
LATER = {**STUDY, "name": "later", "search": {"trials": 1, "confirm_seeds": 2, "start_from": ["cellar"]}}
SHIPS: dict[str, Any] = {**LATER, "name": "ships", "data": {"source": "breast_cancer", "keep": 5}}


def params(result: SearchResult, number: int) -> dict[str, Any]:
    """A trial's hyperparameters."""
    row = result.trials.loc[number].drop(["ending", "complete", "accuracy", "epochs_run"])
    return {str(name): value for name, value in row.items() if not pd.isna(value)}


def test_a_search_begins_with_the_best_of_an_earlier_one(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first = run_study(STUDY, output=tmp_path, progress=False)
    assert first.winner is not None
    best = params(first, first.strategies[first.winner]["trial"])

    later = run_study(LATER, output=tmp_path)
    assert params(later, 0) == best
    assert later.strategies.keys() == {first.winner}
    taken = later.json["start_from"]["cellar"]
    assert taken["observed"] == (first.trials.ending != "failed").sum()
    said = f"starts with {taken['points']} points to try first and {taken['observed']} trials for the samplers to know"
    assert f"{said} from cellar\n" in capfd.readouterr().out

    elsewhere = run_study(SHIPS, output=tmp_path, progress=False)
    assert params(elsewhere, 0) == best
    assert elsewhere.json["start_from"]["cellar"] == {**taken, "observed": 0}

    optuna.delete_study(study_name="cellar", storage=f"sqlite:///{tmp_path}/optuna.db")
    resumed = run_study(LATER, output=tmp_path, trials=2, progress=False, resume=True)
    assert params(resumed, 0) == best
    assert params(resumed, 1)["strategy"] != first.winner
    assert resumed.json["start_from"]["cellar"] == taken
