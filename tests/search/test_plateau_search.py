"""A search that ends once its trials bring nothing more, as users run it."""

from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from search import run_study

pytestmark = pytest.mark.long

STUDY: dict[str, Any] = {
    "name": "flat",
    "data": {"source": "wine", "keep": 4},
    "network": {"hidden": [16]},
    "training": {"epochs": 30, "seeds": 2, "settle_epochs": 4},
    "strategies": ["stepped"],
    "space": {
        **{"learning_rate": 0.01, "pruner_learning_rate": 0.2, "weight_decay": 0, "label_smoothing": 0.1},
        "growth": {"low": 1.3, "high": 1.301},
    },
    "search": {"trials": 30, "confirm_seeds": 2, "plateau": 4},
}


def test_a_search_on_a_plateau_ends_early_with_a_confirmed_winner(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    result = run_study(STUDY, output=tmp_path)
    reached = len(result.trials)
    assert 5 <= reached < 20
    early = f"stopped after {reached} of 30 trials: the last 4 brought no gain beyond the spread of the seeds"
    assert result.json["ended_early"] == early
    assert f"warning: {early}" in " ".join(capfd.readouterr().out.split())
    assert result.trials.ending.notna().all(), "those on their way came to their end"
    assert result.winner == "stepped"
    assert early in result.report().read_text()
    parent = MlflowClient(result.json["mlflow"]["tracking_uri"]).get_run(result.json["mlflow"]["parent_run_id"])
    assert parent.data.tags["ended_early"] == early

    again = run_study(STUDY, output=tmp_path, progress=False, resume=True)
    assert (len(again.trials), again.json["ended_early"]) == (reached, early)
    more = run_study(STUDY, output=tmp_path, trials=reached + 2, progress=False, resume=True)
    assert len(more.trials) == reached, "fewer trials than before are no more"
    more = run_study(STUDY, output=tmp_path, trials=32, progress=False, resume=True)
    assert reached + 4 <= len(more.trials) < 32, "with more trials the count begins anew"
