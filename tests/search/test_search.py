"""A search as users run it, from start to end: what the stores hold then."""

import collections
import json
import os
from pathlib import Path

import pytest
from free_port import free_port
from workplace import TRIALS, Workplace, a_workplace

from search.propose.reading import CONSTRAINT

pytestmark = pytest.mark.slow


@pytest.fixture
def workplace(tmp_path: Path, empty_store: Path) -> Workplace:
    return a_workplace(tmp_path, empty_store)


def test_a_search_from_start_to_end(workplace: Workplace) -> None:
    result = workplace.run_as_process()
    workplace.assert_agreement(TRIALS)
    assert result["trials"] == TRIALS
    assert sum(entry["trials"] for entry in result["strategies"].values()) == TRIALS
    assert set(result["strategies"]) == {"stepped", "markov"}
    assert result["winner"] in result["strategies"]

    trials = {t.number: t for t in workplace.optuna()}
    _, children = workplace.mlflow()
    for child in children:
        trial = trials[int(child.data.tags["trial"])]
        for name, value in trial.params.items():
            recorded = child.data.params[name]
            assert (recorded if isinstance(value, str) else json.loads(recorded)) == value
        assert child.data.metrics["complete"] == pytest.approx(1 - trial.constraints[CONSTRAINT])
    for strategy, entry in result["strategies"].items():
        best = trials[entry["trial"]]
        feasible = [
            t.value for t in trials.values() if t.params["strategy"] == strategy and t.constraints[CONSTRAINT] == 0
        ]
        if feasible and entry["outcome"]["complete"] == 1:
            assert best.value in sorted(filter(None, feasible))[-3:]
        assert len(entry["test"]["per_seed"]) == 3
        assert len(entry["selected"]) == 4
        assert entry["run_id"] == children[entry["trial"]].info.run_id
    won = result["strategies"][result["winner"]]
    assert won["outcome"]["complete"] == 1
    networks = {"pruned": won["pruned"], "refitted": won["refit"]}
    assert won["test"] == networks[won["network"]]["test"]
    assert won["validation"]["mean"] == max(network["validation"]["mean"] for network in networks.values())
    logged = children[won["trial"]].data.metrics
    for name, scores in (("test", won), ("pruned_test", won["pruned"]), ("refit_test", won["refit"])):
        assert len(scores["test"]["per_seed"]) == 3
        assert logged[f"{name}_accuracy"] == pytest.approx(scores["test"]["mean"])
    assert logged["refit_epochs"] == won["refit"]["epochs"] <= 40


def test_known_points_come_first_and_strategies_share_the_trials_also_with_two_objectives(workplace: Workplace) -> None:
    settings = ["search.confirm_seeds=1", "space.growth.low=1.1", "training.epochs=60"]
    settings += ["search.objective=[pruned_accuracy,completion_epoch]"]
    result = workplace.run("--trials", "4", *(word for setting in settings for word in ("--set", setting)))
    trials = workplace.optuna()
    assert collections.Counter(t.params["strategy"] for t in trials) == {"stepped": 2, "markov": 2}
    first = next(t for t in trials if t.params["strategy"] == "stepped")
    assert first.params["lambda_start"] == 0.2
    assert first.params["growth"] == 1.15

    (parent,), children = workplace.mlflow()
    for member in result["pareto"]:
        assert trials[member["trial"]].values == [member["pruned_accuracy"], member["completion_epoch"]]
        run = children[member["trial"]]
        assert (member["run_id"], member["completion_epoch"]) == (run.info.run_id, run.data.metrics["completion_epoch"])
    marked = {c.info.run_id for c in children if "pareto" in c.data.tags}
    assert marked == {member["run_id"] for member in result["pareto"]}
    assert marked
    files = workplace.artifacts(parent)
    assert json.loads((files / "pareto.json").read_text()) == result["pareto"]
    assert (files / "pareto.png").exists()


def test_a_trial_that_raises_is_recorded_with_its_error(workplace: Workplace) -> None:
    result = workplace.run("--trials", "2", "--set", "network.hidden=[1000000000000]")
    assert (result["failed"], result["winner"]) == (2, None)
    (error,) = result["errors"]
    assert "allocate" in error
    _, children = workplace.mlflow()
    assert [c.info.status for c in children] == ["FAILED"] * 2
    assert {c.data.tags["error"] for c in children} == {error}
    assert {t["status"] for t in workplace.tune()} == {"TERMINATED"}
    assert "Traceback" in (workplace.artifacts(children[0]) / "error.txt").read_text()


HARMLESS = {
    **{"MLFLOW_EXPERIMENT_NAME": "other", "MLFLOW_RUN_ID": "f00d", "OMP_NUM_THREADS": "3", "CUDA_VISIBLE_DEVICES": ""},
    **{"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "LC_ALL": "C", "PYTHONPATH": "/nowhere"},
}


@pytest.mark.long
def test_what_others_have_set_does_not_keep_a_search_from_running_here(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where somebody has a cluster that is gone, an experiment of their own, a proxy, and no home.

    What workers occupy is left to a measurement.
    """
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free_port()}")
    for name, value in HARMLESS.items():
        monkeypatch.setenv(name, f"{os.environ.get(name, '')}:{value}" if name == "PYTHONPATH" else value)
    monkeypatch.delenv("HOME", raising=False)
    settings = ("--set", "resources=auto", "--set", "search.confirm_seeds=1")
    assert workplace.run_as_process("--trials", "2", *settings)["trials"] == 2
    workplace.assert_agreement(2)
    assert sorted(path.name for path in workplace.folder.iterdir()) == ["result.json", "runs", "wine.yaml"]
    (parent,), _ = workplace.mlflow()
    resources = json.loads((workplace.artifacts(parent) / "study.json").read_text())["resources"]
    assert resources["cpu"] >= 1
    assert resources["gpu"] >= 0
