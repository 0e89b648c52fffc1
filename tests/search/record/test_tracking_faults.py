"""Drivers that die, threads that follow each other, stores that cannot be used: nothing is logged twice or lost."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from free_port import free_port
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from tracked import CONFIG, EPOCHS, artifacts, curve, open_search, open_tracking, over, runs, write_trial

from search.record.private import RunWriter
from search.record.tracking import Tracking, TrackingError


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


def test_a_trial_may_be_started_and_finished_twice(tracking: Tracking, client: MlflowClient, output: Path) -> None:
    folder = write_trial(output / "trial")
    run_id = tracking.start_trial(0, CONFIG)
    assert tracking.start_trial(0, CONFIG) == run_id
    tracking.finish_trial(over(0), folder)
    tracking.finish_trial(over(0), folder)
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
    client: MlflowClient, output: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, where: str
) -> None:
    if owner is MlflowClient:  # what a store other than SQLite is given
        monkeypatch.setattr("search.record.private.create_engine", lambda *a, **k: None)
    tracking = open_tracking(output)
    open_search(tracking, output)
    folder = write_trial(output / "trial")
    run_id = tracking.start_trial(0, CONFIG)

    def die(*arguments: Any, **named: Any) -> None:
        raise MlflowException("out of power")

    with monkeypatch.context() as patch:
        patch.setattr(owner, where, die)
        with pytest.raises(TrackingError, match="failed to log trial 0: out of power"):
            tracking.finish_trial(over(0), folder)
    again = open_tracking(output)
    open_search(again, output, resume=True)
    assert again.start_trial(0, CONFIG) == run_id
    again.finish_trial(over(0), folder)
    assert client.get_run(run_id).info.status == "FINISHED"
    assert len(curve(client, run_id, "alpha")) == EPOCHS
    assert "gates.png" in artifacts(client, run_id)


def test_resuming_goes_on_with_the_same_runs(
    tracking: Tracking, client: MlflowClient, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [tracking.start_trial(number, CONFIG) for number in range(5)]
    for number in range(3):
        tracking.finish_trial(over(number), write_trial(output / "trial"))
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


def test_one_thread_may_follow_another(tracking: Tracking, client: MlflowClient, output: Path) -> None:
    folder = write_trial(output / "trial")
    with ThreadPoolExecutor(1) as writer:
        run_id = writer.submit(tracking.start_trial, 0, CONFIG).result()
        writer.submit(tracking.finish_trial, over(0), folder).result()
    tracking.close_search({}, "finished")
    assert client.get_run(run_id).info.status == "FINISHED"


def test_a_deleted_experiment_comes_back(tracking: Tracking, client: MlflowClient, output: Path) -> None:
    client.delete_experiment(tracking.experiment_id)
    again = open_tracking(output)
    assert again.experiment_id == tracking.experiment_id
    open_search(again, output)
    assert client.get_experiment(tracking.experiment_id).lifecycle_stage == "active"


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


def test_a_server_that_does_not_answer_is_refused_within_seconds(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(TrackingError, match="failed to open"):
        Tracking(f"http://127.0.0.1:{free_port()}", "quick", tmp_path)
    assert time.monotonic() - start < 20
