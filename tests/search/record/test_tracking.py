"""What a search leaves in MLflow: read back with a client of its own, from real stores."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from search.record.run_writer import RunWriter

from pruning_core.compaction import PrunedReplica
from pruning_core.data import load_dataset
from search.record.tracking import Tracking, TrackingError
from search.record.views import links

CONFIG = {"strategy": "plateau", "keep": 4, "growth": 1.1, "plateau_threshold": 1e-05, "hidden": [64, 32]}
EPOCHS, REPLICAS, UNITS, KEEP = 30, 3, 12, 4


def write_trial(folder: Path, epochs: int = EPOCHS, **changes: Any) -> Path:
    """Writes the folder of a trial as a worker leaves it; `changes` replaces entries of its trial.json."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    shape = (epochs, REPLICAS)
    quantities = "classification_loss selection_loss total_loss alpha lambda active fell complete drift full_accuracy"
    history = {name: random.uniform(size=shape) for name in quantities.split()} | {"mu": np.ones(shape)}
    history["pruned_accuracy"] = np.where(np.arange(epochs)[:, None] % 5 == 4, random.uniform(size=shape), np.nan)
    np.savez(
        folder / "history.npz",
        epoch=np.arange(1, epochs + 1),
        **{name: values.astype(np.float32) for name, values in history.items()},  # type: ignore[arg-type]
    )
    names = [f"x{i}" for i in range(UNITS)]
    gates = random.uniform(size=(epochs + 1, REPLICAS, UNITS)).astype(np.float16)
    np.savez_compressed(folder / "gates.npz", gates=gates, epoch=np.arange(epochs + 1), names=np.array(names))
    trial = {
        "config": CONFIG,
        "seeds": [0, 1, 2],
        "outcome": {"complete": 1.0, "too little": 0.0, "collapsed": 0.0, "undecided": 0.0},
        "pruned_accuracy": {"mean": 0.9, "std": 0.02, "per_seed": [0.88, 0.9, 0.92]},
        "full_accuracy": {"mean": 0.95, "std": 0.01, "per_seed": [0.94, 0.95, 0.96]},
        "completion_epoch": [10, 12, 17],
        "drasticness": [0.1, 0.2, 0.3],
        "selected": [names[:4], names[:4], names[1:5]],
        "epochs_run": epochs,
        "seconds": 2.5,
        "replica_epochs_per_second": 36.0,
    }
    (folder / "trial.json").write_text(json.dumps(trial | changes))
    return folder


def search_result(run_id: str) -> dict[str, Any]:
    entry = {
        "trial": 0,
        "trials": 2,
        "completed": 1,
        "config": CONFIG,
        "validation": {"mean": 0.91, "std": 0.01, "per_seed": [0.9, 0.92]},
        "test": {"mean": 0.89, "std": 0.02, "per_seed": [0.87, 0.91]},
        "outcome": {"complete": 0.75, "too little": 0.25, "collapsed": 0, "undecided": 0},
        "completion_epoch": {"mean": 14.5, "std": 1.0},
        "selected": ["x0", "x1"],
        "run_id": run_id,
    }
    return {
        "study": "quick",
        "trials": 2,
        "failed": 0,
        "stopped": 1,
        "seconds": 12.5,
        "replica_epochs": 480,
        "replica_epochs_per_second": 38.4,
        "strategies": {"plateau": entry},
        "winner": "plateau",
    }


@pytest.fixture
def output(tmp_path: Path, empty_store: Path) -> Path:
    """The output folder of a search, with its store."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return tmp_path


@pytest.fixture
def client(output: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{output / 'mlflow.db'}")


def open_tracking(output: Path) -> Tracking:
    return Tracking(f"sqlite:///{output / 'mlflow.db'}", "quick", output / "mlartifacts")


def open_search(
    tracking: Tracking,
    output: Path,
    label: str = "quick",
    resume: bool = False,
    objective: str | list[str] = "pruned_accuracy",
    keep: int | list[int] = 2,
) -> str:
    versions = {"torch": "2.13.0", "ray": "2.60.0"}
    study = {"name": "quick", "data": {"keep": keep}, "search": {"objective": objective}}
    return tracking.open_search(label, "name: quick\n", study, versions, "f00d", output=output, resume=resume)


@pytest.fixture
def tracking(output: Path) -> Tracking:
    """A search that has begun."""
    tracking = open_tracking(output)
    open_search(tracking, output)
    return tracking


def curve(client: MlflowClient, run_id: str, name: str) -> dict[int, float]:
    points = client.get_metric_history(run_id, name)
    assert len({point.step for point in points}) == len(points), f"{name} has two points in one epoch"
    return {point.step: point.value for point in points}


def artifacts(client: MlflowClient, run_id: str) -> set[str]:
    return {entry.path for entry in client.list_artifacts(run_id)}


def runs(client: MlflowClient) -> list[Run]:
    experiment = client.get_experiment_by_name("quick")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def test_a_search_is_a_parent_run_that_holds_the_study(tracking: Tracking, client: MlflowClient, output: Path) -> None:
    (parent,) = runs(client)
    assert parent.info.run_name == "quick"
    assert parent.info.status == "RUNNING"
    assert parent.data.tags["deeppp.search"] == "quick"
    assert parent.data.tags["study"] == "quick"
    assert parent.data.tags["fingerprint"] == "f00d"
    assert parent.data.tags["version.torch"] == "2.13.0"
    assert artifacts(client, parent.info.run_id) == {"study.yaml", "study.json"}
    assert list((output / "mlartifacts").rglob("study.yaml"))


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
    open_search(again, output, resume=True, objective=["pruned_accuracy", "completion_epoch"], keep=[2, 3])
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
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        pytest.skip("not a checkout")
    head = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert parent.data.tags["mlflow.source.git.commit"] == head.stdout.strip()
    assert parent.data.tags["git.dirty"] in ("true", "false")


def test_runs_are_written_as_mlflow_would(tracking: Tracking, client: MlflowClient) -> None:
    experiment = client.get_experiment(tracking.experiment_id)
    writer = RunWriter(client, tracking.tracking_uri, experiment)
    started = {"trial": "0", "mlflow.user": "me"}
    created = writer.create("stepped #0", started, [Param("keep", "4")])
    run_ids = [created[0], client.create_run(tracking.experiment_id, tags=started, run_name="stepped #0").info.run_id]
    client.log_param(run_ids[1], "keep", "4", synchronous=True)
    random = np.random.default_rng(0)
    order = random.permutation(40)
    points = [Metric(name, float(random.normal()), 1000 + int(k), int(k)) for name in ("a", "b") for k in order]
    params, tags = (
        [Param("growth", "1.5"), Param("hidden", "[64]")],
        [RunTag("outcome", "complete"), RunTag("trial", "1")],
    )
    for _ in range(2):
        writer.begin(run_ids[0], params)
    writer.end(run_ids[0], points[:50], tags[:1], "KILLED")
    writer.end(run_ids[0], points, tags, "FAILED")
    client.log_batch(run_ids[1], points, params, tags)
    client.set_terminated(run_ids[1], "FAILED")

    def everything(run_id: str) -> dict[str, Any]:
        run = client.get_run(run_id)
        names = run.data.metrics
        history = {n: [(m.step, m.timestamp, m.value) for m in client.get_metric_history(run_id, n)] for n in names}
        info = {name: str(value).replace(run_id, "ID") for name, value in dict(run.info).items()}
        for name in ("start_time", "end_time"):
            assert abs(int(info.pop(name)) - time.time() * 1000) < 60_000
        return {
            **{"latest": names, "params": run.data.params, "tags": run.data.tags, "info": info},
            **{name: sorted(values) for name, values in history.items()},
        }

    assert everything(run_ids[0]) == everything(run_ids[1])
    assert created[1] == client.get_run(run_ids[0]).info.start_time
    assert client.get_run(run_ids[0]).data.metrics["a"] == next(p.value for p in points if (p.key, p.step) == ("a", 39))


def test_pictures_take_a_small_share_of_the_time_and_the_best_trials_have_theirs(
    tracking: Tracking, client: MlflowClient, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.record.pictures.SHARE", 1e-6)
    folder = write_trial(output / "trial")
    ids = [tracking.start_trial(number, CONFIG) for number in range(3)]
    for number in range(3):
        tracking.finish_trial(number, folder, "complete")
    assert ["gates.png" in artifacts(client, run_id) for run_id in ids] == [True, False, False]
    tracking.log_confirmation(2, search_result(ids[2])["strategies"]["plateau"], folder)
    assert ["gates.png" in artifacts(client, run_id) for run_id in ids] == [True, False, True]


def test_metrics_are_curves_over_epochs_with_the_summary_as_last_value(
    tracking: Tracking, client: MlflowClient, output: Path
) -> None:
    folder = write_trial(output / "trial")
    run_id = tracking.start_trial(0, CONFIG)
    tracking.finish_trial(0, folder, "complete")
    with np.load(folder / "history.npz") as history:
        loss = history["classification_loss"].mean(1, dtype=float)
        active = history["active"].std(1, dtype=float)
    assert curve(client, run_id, "classification_loss") == pytest.approx(dict(enumerate(loss, start=1)))
    assert curve(client, run_id, "active_std") == pytest.approx(dict(enumerate(active, start=1)))
    assert list(curve(client, run_id, "pruned_accuracy")) == [5, 10, 15, 20, 25, 30]
    last = client.get_run(run_id).data.metrics
    assert last["pruned_accuracy"] == 0.9
    assert last["pruned_accuracy_std"] == 0.02
    assert last["full_accuracy"] == 0.95
    assert last["complete"] == 1
    assert last["completion_epoch"] == 13
    assert last["drasticness"] == pytest.approx(0.2)
    assert len(last) < 25


def test_times_of_the_points_spread_over_the_training(tracking: Tracking, client: MlflowClient, output: Path) -> None:
    run_id = tracking.start_trial(0, CONFIG)
    tracking.finish_trial(0, write_trial(output / "trial"), "complete")
    points = sorted(client.get_metric_history(run_id, "alpha"), key=lambda point: point.step)
    assert points[-1].timestamp - client.get_run(run_id).info.start_time == 2500
    assert all(a.timestamp < b.timestamp for a, b in pairwise(points))


def test_long_curves_are_thinned_and_constant_ones_have_two_points(
    tracking: Tracking, client: MlflowClient, output: Path
) -> None:
    run_id = tracking.start_trial(0, CONFIG)
    tracking.finish_trial(0, write_trial(output / "trial", epochs=1000), "complete")
    steps = sorted(curve(client, run_id, "alpha"))
    assert len(steps) == 200
    assert (steps[0], steps[-1]) == (1, 1000)
    assert max(np.diff(steps)) <= 6
    assert curve(client, run_id, "mu") == {1: 1, 1000: 1}


def test_values_that_are_not_finite_are_left_out(
    tracking: Tracking, client: MlflowClient, output: Path, recwarn: pytest.WarningsRecorder
) -> None:
    folder = write_trial(output / "trial", drasticness=[float("nan")] * 3)
    with np.load(folder / "history.npz") as archive:
        history = dict(archive)
    history["total_loss"][10, 0] = np.inf
    history["total_loss"][11, 0] = np.nan
    history["alpha"][:] = np.inf
    np.savez(folder / "history.npz", **history)
    run_id = tracking.start_trial(0, CONFIG)
    tracking.finish_trial(0, folder, "complete")
    assert set(range(1, 31)) - set(curve(client, run_id, "total_loss")) == {11, 12}
    assert client.get_run(run_id).data.metrics.keys().isdisjoint({"alpha", "drasticness"})
    assert not [warning for warning in recwarn if issubclass(warning.category, RuntimeWarning)]


def test_artifacts_of_a_trial(tracking: Tracking, client: MlflowClient, output: Path) -> None:
    folder = write_trial(output / "trial")
    (folder / "state.pt").write_bytes(b"not for MLflow")
    run_id = tracking.start_trial(0, CONFIG)
    tracking.finish_trial(0, folder, "complete")
    expected = {"trial.json", "history.npz", "gates.npz", "gates.png", "selected.json"}
    assert artifacts(client, run_id) == expected
    stored = Path(client.download_artifacts(run_id, "trial.json", str(output)))
    assert stored.read_bytes() == (folder / "trial.json").read_bytes()
    selected = json.loads(Path(client.download_artifacts(run_id, "selected.json", str(output))).read_text())
    assert selected["selected"][0] == ["x0", "x1", "x2", "x3"]
    assert selected["kept_in_seeds"] == {"x1": 3, "x2": 3, "x3": 3, "x0": 2, "x4": 1}


@pytest.mark.parametrize(("ending", "status"), [("complete", "FINISHED"), ("stopped", "KILLED"), ("failed", "FAILED")])
def test_status(tracking: Tracking, client: MlflowClient, output: Path, ending: Any, status: str) -> None:
    run_id = tracking.start_trial(0, CONFIG)
    tracking.finish_trial(0, write_trial(output / "trial"), ending, "for a reason")
    run = client.get_run(run_id)
    assert run.info.status == status
    assert run.data.tags["error" if ending == "failed" else "stopped"] == "for a reason"
    assert "for a reason" in run.data.tags["mlflow.note.content"]
    assert len(run.data.tags["mlflow.note.content"].splitlines()) == 2


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ({"complete": 3, "too little": 0, "collapsed": 0, "undecided": 0}, "complete"),
        ({"complete": 0.0, "too little": 1.0, "collapsed": 0.0, "undecided": 0.0}, "too little"),
        ({"complete": 0.0, "too little": 0.0, "collapsed": 1.0, "undecided": 0.0}, "collapsed"),
        ({"complete": 2, "too little": 0, "collapsed": 1, "undecided": 0}, "mixed"),
    ],
)
def test_outcome_tag(
    tracking: Tracking, client: MlflowClient, output: Path, outcome: dict[str, float], expected: str
) -> None:
    run_id = tracking.start_trial(0, CONFIG)
    tracking.finish_trial(0, write_trial(output / "trial", outcome=outcome), "complete")
    run = client.get_run(run_id)
    assert run.data.tags["outcome"] == expected
    assert run.data.metrics["complete"] == pytest.approx(outcome["complete"] / sum(outcome.values()))


@pytest.mark.parametrize(
    ("drasticness", "completion", "drastic"),
    [
        ([0.9, 0.9, 0.1], [10, 10, 10], True),
        ([0.5, 0.5, 0.5], [10, 10, 10], False),
        ([0.9, 0.9, 0.1], [None, None, 10], False),
        ([0.9, 0.9, 0.9], [None, None, None], False),
    ],
)
def test_drastic_mark(
    tracking: Tracking,
    client: MlflowClient,
    output: Path,
    drasticness: list[float],
    completion: list[int | None],
    drastic: bool,
) -> None:
    folder = write_trial(output / "trial", drasticness=drasticness, completion_epoch=completion)
    run_id = tracking.start_trial(0, CONFIG)
    tracking.finish_trial(0, folder, "complete")
    assert ("drastic" in client.get_run(run_id).data.tags) == drastic


def test_a_trial_that_left_nothing_behind(tracking: Tracking, client: MlflowClient) -> None:
    run_id = tracking.start_trial(0, CONFIG)
    tracking.finish_trial(0, None, "failed", "the worker died")
    run = client.get_run(run_id)
    assert (run.info.status, run.data.tags["outcome"], run.data.metrics) == ("FAILED", "failed", {})
    assert run.data.tags["error"] == "the worker died"


@pytest.mark.parametrize("name", ["trial.json", "history.npz", "gates.npz"])
@pytest.mark.parametrize("damage", ["absent", "empty", "truncated"])
def test_a_damaged_folder_is_logged_as_far_as_it_can_be_read(
    tracking: Tracking, client: MlflowClient, output: Path, name: str, damage: str
) -> None:
    folder = write_trial(output / "trial")
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(b"" if damage == "empty" else whole[: len(whole) // 2])
    if damage == "absent":
        (folder / name).unlink()
    run_id = tracking.start_trial(0, CONFIG)
    tracking.finish_trial(0, folder, "stopped", "cut off")
    run = client.get_run(run_id)
    assert run.info.status == "KILLED"
    assert run.data.tags["outcome"] == ("unknown" if name == "trial.json" else "complete")
    assert ("alpha" in run.data.metrics) == (name != "history.npz")
    assert ("completion_epoch" in run.data.metrics) == (name != "trial.json")


def test_a_long_error_is_cut_to_what_a_tag_holds(tracking: Tracking, client: MlflowClient) -> None:
    run_id = tracking.start_trial(0, CONFIG)
    tracking.finish_trial(0, None, "failed", "x" * 20_000)
    assert len(client.get_run(run_id).data.tags["error"]) == 8000


def test_a_trial_may_be_started_and_finished_twice(tracking: Tracking, client: MlflowClient, output: Path) -> None:
    folder = write_trial(output / "trial")
    run_id = tracking.start_trial(0, CONFIG)
    assert tracking.start_trial(0, CONFIG) == run_id
    tracking.finish_trial(0, folder, "complete")
    tracking.finish_trial(0, folder, "complete")
    assert tracking.start_trial(0, CONFIG) == run_id
    assert client.get_run(run_id).info.status == "FINISHED"
    assert len(curve(client, run_id, "alpha")) == EPOCHS
    assert len(runs(client)) == 2


@pytest.mark.parametrize(
    ("owner", "where"),
    [
        (RunWriter, "log_artifacts"),
        (RunWriter, "end"),
        (MlflowClient, "log_artifacts"),
        (MlflowClient, "log_batch"),
        (MlflowClient, "set_terminated"),
    ],
)
def test_a_trial_is_logged_once_though_the_driver_dies_in_between(
    tracking: Tracking, client: MlflowClient, output: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, where: str
) -> None:
    if owner is MlflowClient:  # what a store other than SQLite is given
        monkeypatch.setattr("search.record.run_writer.create_engine", lambda *a, **k: None)
        tracking._writer._engine = None
    folder = write_trial(output / "trial")
    run_id = tracking.start_trial(0, CONFIG)

    def die(*arguments: Any, **named: Any) -> None:
        raise MlflowException("out of power")

    with monkeypatch.context() as patch:
        patch.setattr(owner, where, die)
        with pytest.raises(TrackingError, match="failed to log trial 0: out of power"):
            tracking.finish_trial(0, folder, "complete")
    again = open_tracking(output)
    open_search(again, output, resume=True)
    assert again.start_trial(0, CONFIG) == run_id
    again.finish_trial(0, folder, "complete")
    assert client.get_run(run_id).info.status == "FINISHED"
    assert len(curve(client, run_id, "alpha")) == EPOCHS
    assert "gates.png" in artifacts(client, run_id)


def test_resuming_goes_on_with_the_same_runs(
    tracking: Tracking, client: MlflowClient, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [tracking.start_trial(number, CONFIG) for number in range(5)]
    for number in range(3):
        tracking.finish_trial(number, write_trial(output / "trial"), "complete")
    tracking.close_search({}, "interrupted")
    states = [client.get_run(run_id).info.status for run_id in ids]
    assert states == ["FINISHED"] * 3 + ["KILLED"] * 2
    (parent,) = (run for run in runs(client) if "deeppp.search" in run.data.tags)
    assert parent.info.status == "KILLED"

    whole: Callable[..., Any] = MlflowClient.search_runs
    monkeypatch.setattr(MlflowClient, "search_runs", lambda *a, **k: whole(*a, **{**k, "max_results": 2}))
    again = open_tracking(output)
    assert open_search(again, output, resume=True) == parent.info.run_id
    assert [again.start_trial(number, CONFIG) for number in range(5)] == ids
    states = [client.get_run(run_id).info.status for run_id in ids]
    assert states == ["FINISHED"] * 3 + ["RUNNING"] * 2
    assert client.get_run(parent.info.run_id).info.status == "RUNNING"


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


def test_confirmation_twice(tracking: Tracking, client: MlflowClient, output: Path) -> None:
    run_id = tracking.start_trial(0, CONFIG)
    tracking.finish_trial(0, write_trial(output / "trial"), "complete")
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
    tracking.finish_trial(0, write_trial(output / "trial"), "complete")
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


def test_a_trial_has_to_be_started_first(tracking: Tracking) -> None:
    with pytest.raises(TrackingError, match="trial 3 has no run"):
        tracking.finish_trial(3, None, "failed")


def test_one_thread_may_follow_another(tracking: Tracking, client: MlflowClient, output: Path) -> None:
    folder = write_trial(output / "trial")
    with ThreadPoolExecutor(1) as writer:
        run_id = writer.submit(tracking.start_trial, 0, CONFIG).result()
        writer.submit(tracking.finish_trial, 0, folder, "complete").result()
    tracking.close_search({}, "finished")
    assert client.get_run(run_id).info.status == "FINISHED"


def test_a_deleted_experiment_comes_back(tracking: Tracking, client: MlflowClient, output: Path) -> None:
    client.delete_experiment(tracking.experiment_id)
    again = open_tracking(output)
    assert again.experiment_id == tracking.experiment_id
    open_search(again, output)
    assert client.get_experiment(tracking.experiment_id).lifecycle_stage == "active"


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tracking = open_tracking(tmp_path / "fresh")
    open_search(tracking, tmp_path / "fresh")
    tracking.start_trial(0, CONFIG)
    tracking.finish_trial(0, write_trial(tmp_path / "trial"), "complete")
    tracking.close_search({}, "finished")
    assert capfd.readouterr() == ("", "")


def test_an_unusable_store_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("this is no database, however long it may be, and never was")
    (tmp_path / "file").touch()
    for path in (tmp_path / "mlflow.db", tmp_path / "file" / "mlflow.db", tmp_path):
        with pytest.raises(TrackingError, match=f"MLflow at sqlite:///{path} failed to open: ") as error:
            Tracking(f"sqlite:///{path}", "quick", tmp_path / "mlartifacts")
        assert "\n" not in str(error.value)


def test_a_password_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=r"nosuchstore://me:\*\*\*@host/db") as error:
        Tracking("nosuchstore://me:secret@host/db", "quick", tmp_path)
    assert "secret" not in str(error.value)


def test_a_server_that_does_not_answer_is_refused_within_seconds(free_port: int, tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(TrackingError, match="failed to open"):
        Tracking(f"http://127.0.0.1:{free_port}", "quick", tmp_path)
    assert time.monotonic() - start < 20


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def server(tmp_path: Path, free_port: int) -> Iterator[str]:
    """A real MLflow server that keeps runs and artifacts in a folder of its own."""
    home = tmp_path / "server"
    home.mkdir()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(free_port)]
    command += ["--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}", "--workers", "1"]
    command += ["--artifacts-destination", str(home / "artifacts")]
    address = f"http://127.0.0.1:{free_port}"
    with (
        (home / "log").open("w") as log,
        subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            cwd=home,
            env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            start_new_session=True,
        ) as process,
    ):
        try:
            wait_until_healthy(address, process)
            yield address
        finally:
            stop(process)


def wait_until_healthy(address: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(240):
        try:
            urllib.request.urlopen(f"{address}/health", timeout=1)
        except OSError:
            assert process.poll() is None, "the server did not start"
            time.sleep(0.25)
        else:
            return
    pytest.fail("the server did not answer within a minute")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends the server together with the workers that it started."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_search_on_a_server(
    server: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking = Tracking(server, "quick", tmp_path / "mlartifacts")
    parent = open_search(tracking, tmp_path)
    run_id = tracking.start_trial(0, CONFIG)
    tracking.finish_trial(0, write_trial(tmp_path / "trial"), "complete")
    tracking.log_confirmation(0, search_result(run_id)["strategies"]["plateau"])
    data = load_dataset("wine", folder=tmp_path)
    layers: list[dict[str, Any]] = [{"type": "linear", "inputs": 2, "outputs": 3}]
    tensors = {"0.weight": np.ones((3, 2), np.float32), "0.bias": np.array([0, 1, 0], np.float32)}
    network = PrunedReplica(7, 0.9, 0.8, data.feature_names[:2], layers, tensors)
    model = tracking.log_model(0, network, data, None)
    tracking.close_search(search_result(run_id) | {"model": model}, "finished")
    client = MlflowClient(server)
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.info.artifact_uri.startswith("mlflow-artifacts:")
    assert run.data.metrics["pruned_accuracy"] == 0.9
    assert len(curve(client, run_id, "alpha")) == EPOCHS
    assert artifacts(client, run_id) >= {"trial.json", "gates.npz", "gates.png", "confirmation.json"}
    assert client.get_run(parent).info.status == "FINISHED"
    assert client.get_run(parent).data.metrics["model_test_accuracy"] == 0.8
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    assert list(mlflow.pyfunc.load_model("models:/quick/1").predict(np.ones((4, 13)))) == ["class_1"] * 4
    assert list((tmp_path / "server" / "artifacts").rglob("gates.png"))
    assert list((tmp_path / "server" / "artifacts").rglob("network.safetensors"))
    assert not (tmp_path / "mlartifacts").exists()
    assert capfd.readouterr() == ("", "")
