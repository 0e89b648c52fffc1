"""What a search leaves in MLflow, read back with another client: its parent run, marks of its best trials, views."""

import json
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient
from tracked import (
    CONFIG,
    TEXT,
    a_study,
    artifacts,
    curve,
    open_search,
    open_tracking,
    over,
    runs,
    search_result,
    write_trial,
)

from search.record.tracking import Tracking
from search.record.views import links


def test_a_search_is_a_parent_run_that_holds_the_study(tracking: Tracking, client: MlflowClient, output: Path) -> None:
    (parent,) = runs(client)
    assert parent.info.run_name == "quick"
    assert parent.info.status == "RUNNING"
    assert parent.data.tags["deeppp.search"] == "quick"
    assert parent.data.tags["study"] == "quick"
    assert parent.data.tags["fingerprint"] == "f00d"
    assert parent.data.tags["version.torch"] == version("torch")
    assert artifacts(client, parent.info.run_id) == {"study.yaml", "study.json"}
    folder = output / "mlartifacts" / "quick" / parent.info.run_id / "artifacts"
    assert (folder / "study.yaml").read_text() == TEXT
    assert json.loads((folder / "study.json").read_text()) == a_study().model_dump(mode="json")


def test_a_trial_is_a_nested_run_with_its_hyperparameters_as_parameters(
    tracking: Tracking, client: MlflowClient
) -> None:
    run = client.get_run(tracking.start_trial(17, CONFIG))
    (parent,) = (r for r in runs(client) if "deeppp.search" in r.data.tags)
    assert run.info.run_name == "plateau #17"
    assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert run.data.tags["trial"] == "17"
    assert run.data.tags["strategy"] == "plateau"
    assert run.data.params.keys() == CONFIG.keys()
    assert run.data.params["strategy"] == "plateau"
    assert {k: json.loads(v) for k, v in run.data.params.items() if k != "strategy"} == {
        k: v for k, v in CONFIG.items() if k != "strategy"
    }


def test_the_best_trial_of_each_strategy_bears_a_mark_that_moves_with_it(
    tracking: Tracking, client: MlflowClient, output: Path
) -> None:
    ids = [tracking.start_trial(number, CONFIG) for number in range(3)]
    entry = search_result(ids[0])["strategies"]["plateau"]
    both = {"plateau": entry, "stepped": {**entry, "trial": 1}}
    tracking.close_search({"strategies": both, "winner": "plateau"}, "finished")
    assert [client.get_run(i).data.tags.get("best") for i in ids] == ["of all", "of stepped", None]
    again = open_tracking(output)
    open_search(again, output, resume=True)
    again.close_search({"strategies": {"plateau": {**entry, "trial": 2}}, "winner": "plateau"}, "finished")
    assert [client.get_run(i).data.tags.get("best") for i in ids] == [None, None, "of all"]


def test_the_trials_of_the_pareto_set_bear_their_place_in_it(
    tracking: Tracking, client: MlflowClient, output: Path
) -> None:
    ids = [tracking.start_trial(number, CONFIG) for number in range(3)]
    front = [{"trial": k, "strategy": "plateau", "pruned_accuracy": 0.9, "completion_epoch": 9.5} for k in (2, 0)]
    tracking.close_search({"pareto": front}, "finished", lambda to: (to / "drawn.png").touch())
    assert [client.get_run(i).data.tags.get("pareto") for i in ids] == ["2 of 2", None, "1 of 2"]
    (parent,) = (run for run in runs(client) if "deeppp.search" in run.data.tags)
    assert artifacts(client, parent.info.run_id) >= {"pareto.json", "drawn.png"}
    again = open_tracking(output)
    both = a_study(objective=["pruned_accuracy", "completion_epoch"], keep=[2, 3])
    open_search(again, output, resume=True, study=both)
    none: dict[str, Any] = {"strategies": {}, "winner": None, "pareto": []}
    again.close_search({"keeps": {"2": {**none, "pareto": front[:1]}, "3": none}}, "finished")
    assert [client.get_run(i).data.tags.get("pareto") for i in ids] == [None, None, "1 of 1 at n = 2"]
    assert "The Pareto front" in [view for _, view, _ in links(tracking.tracking_uri, "http://here")]
    view = json.loads(client.get_experiment(tracking.experiment_id).tags["mlflow.sharedViewState.pareto"])
    assert {"tags.`pareto`", "params.`keep`"} <= set(json.loads(view["state"])["selectedColumns"])


def test_an_experiment_has_views_for_the_ui(tracking: Tracking, client: MlflowClient, output: Path) -> None:
    saved = client.get_experiment(tracking.experiment_id).tags
    views = {key: json.loads(value) for key, value in saved.items() if key.startswith("mlflow.sharedViewState.")}
    assert [view["name"] for view in views.values()] == ["The best trial of each strategy", "All trials"]
    for view in views.values():
        state = json.loads(view["state"])
        assert {"tags.`outcome`", "metrics.`pruned_accuracy`", "metrics.`active`"} <= set(state["selectedColumns"])
    assert all(len(value) <= 5000 for value in saved.values())
    open_search(open_tracking(output), output)
    assert client.get_experiment(tracking.experiment_id).tags == saved
    found = links(tracking.tracking_uri, "http://here")
    assert [(study, view) for study, view, _ in found] == [("quick", view["name"]) for view in views.values()]
    assert found[0][2].startswith(f"http://here/#/experiments/{tracking.experiment_id}/runs?")
    assert found[0][2].endswith("viewStateShareKey=best")


def test_a_search_from_a_checkout_names_its_commit(tracking: Tracking, client: MlflowClient) -> None:
    (parent,) = runs(client)
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        pytest.skip("not a checkout")
    head = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert parent.data.tags["mlflow.source.git.commit"] == head.stdout.strip()
    assert parent.data.tags["git.dirty"] in ("true", "false")


def test_confirmation_twice(tracking: Tracking, client: MlflowClient, output: Path) -> None:
    run_id = tracking.start_trial(0, CONFIG)
    tracking.finish_trial(over(0), write_trial(output / "trial"))
    entry = search_result(run_id)["strategies"]["plateau"]
    tracking.log_confirmation(0, entry)
    tracking.log_confirmation(0, entry)
    metrics = client.get_run(run_id).data.metrics
    assert metrics["test_accuracy"] == 0.89
    assert metrics["test_accuracy_std"] == 0.02
    assert metrics["confirmed_validation_accuracy"] == 0.91
    assert metrics["confirmed_complete"] == 0.75
    assert metrics["confirmed_completion_epoch"] == 14.5
    assert len(curve(client, run_id, "test_accuracy")) == 1
    assert "confirmation.json" in artifacts(client, run_id)
    assert client.get_run(run_id).info.status == "FINISHED"


def test_closing_a_search(tracking: Tracking, client: MlflowClient, output: Path) -> None:
    run_id = tracking.start_trial(0, CONFIG)
    tracking.finish_trial(over(0), write_trial(output / "trial"))
    result = search_result(run_id)
    tracking.close_search(result, "finished")
    (parent,) = (run for run in runs(client) if "deeppp.search" in run.data.tags)
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["trials"] == 2
    assert parent.data.metrics["test_accuracy"] == 0.89
    assert parent.data.metrics["test_accuracy.plateau"] == 0.89
    assert parent.data.tags["winner"] == "plateau"
    assert run_id in parent.data.tags["best.plateau"]
    assert len(parent.data.tags["mlflow.note.content"].splitlines()) == 2
    assert artifacts(client, parent.info.run_id) >= {"search.json", "strategies.png"}
    stored = Path(client.download_artifacts(parent.info.run_id, "search.json", str(output)))
    assert json.loads(stored.read_text()) == result


def test_a_failed_search_is_marked_so(tracking: Tracking, client: MlflowClient) -> None:
    tracking.close_search({}, "failed")
    assert runs(client)[0].info.status == "FAILED"


def test_a_new_search_never_takes_over_an_earlier_one(tracking: Tracking, output: Path) -> None:
    first = open_search(tracking, output)
    second = open_search(tracking, output)
    other = open_search(tracking, output, label="quick-2", resume=True)
    assert len({first, second, other}) == 3
    assert open_search(tracking, output, resume=True) == second


def test_in_a_shared_store_only_a_search_of_the_same_output_is_resumed(output: Path) -> None:
    shared = open_tracking(output)
    mine = open_search(shared, output / "mine")
    theirs = open_search(shared, output / "theirs")
    assert mine != theirs
    assert open_search(shared, output / "mine", resume=True) == mine
    assert open_search(shared, output / "third", resume=True) not in {mine, theirs}


def test_a_moved_output_folder_is_still_resumed(tracking: Tracking, output: Path, tmp_path: Path) -> None:
    parent = open_search(tracking, output)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    shutil.copy(output / "mlflow.db", moved)
    assert open_search(open_tracking(moved), moved, resume=True) == parent


def test_runs_that_a_user_adds_below_a_search_do_no_harm(
    tracking: Tracking, client: MlflowClient, output: Path
) -> None:
    parent = open_search(tracking, output)
    client.create_run(tracking.experiment_id, tags={"mlflow.parentRunId": parent})
    assert open_search(tracking, output, resume=True) == parent


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tracking = open_tracking(tmp_path / "fresh")
    open_search(tracking, tmp_path / "fresh")
    tracking.start_trial(0, CONFIG)
    tracking.finish_trial(over(0), write_trial(tmp_path / "trial"))
    tracking.close_search({}, "finished")
    assert capfd.readouterr() == ("", "")
