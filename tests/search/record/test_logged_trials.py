"""What a trial leaves in MLflow: curves, artifacts, its outcome, whatever of its folder can be read."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow.tracking import MlflowClient
from tracked import CONFIG, artifacts, curve, over, search_result, write_trial

from search.record.tracking import Tracking, TrackingError


def test_pictures_take_a_small_share_of_the_time_and_the_best_trials_have_theirs(
    tracking: Tracking, client: MlflowClient, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.record.pictures.SHARE", 1e-6)
    folder = write_trial(output / "trial")
    ids = [tracking.start_trial(number, CONFIG) for number in range(3)]
    for number in range(3):
        tracking.finish_trial(over(number), folder)
    assert ["gates.png" in artifacts(client, run_id) for run_id in ids] == [True, False, False]
    tracking.log_confirmation(2, search_result(ids[2])["strategies"]["plateau"], folder)
    assert ["gates.png" in artifacts(client, run_id) for run_id in ids] == [True, False, True]


def test_metrics_are_curves_over_epochs_with_the_summary_as_last_value(
    tracking: Tracking, client: MlflowClient, output: Path
) -> None:
    folder = write_trial(output / "trial")
    run_id = tracking.start_trial(0, CONFIG)
    tracking.finish_trial(over(0), folder)
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
    tracking.finish_trial(over(0), write_trial(output / "trial"))
    points = sorted(client.get_metric_history(run_id, "alpha"), key=lambda point: point.step)
    assert points[-1].timestamp - client.get_run(run_id).info.start_time == 2500
    assert all(a.timestamp < b.timestamp for a, b in pairwise(points))


def test_long_curves_are_thinned_and_constant_ones_have_two_points(
    tracking: Tracking, client: MlflowClient, output: Path
) -> None:
    run_id = tracking.start_trial(0, CONFIG)
    tracking.finish_trial(over(0), write_trial(output / "trial", epochs=1000))
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
    tracking.finish_trial(over(0), folder)
    assert set(range(1, 31)) - set(curve(client, run_id, "total_loss")) == {11, 12}
    assert client.get_run(run_id).data.metrics.keys().isdisjoint({"alpha", "drasticness"})
    assert not [warning for warning in recwarn if issubclass(warning.category, RuntimeWarning)]


def test_artifacts_of_a_trial(tracking: Tracking, client: MlflowClient, output: Path) -> None:
    folder = write_trial(output / "trial")
    (folder / "state.pt").write_bytes(b"not for MLflow")
    run_id = tracking.start_trial(0, CONFIG)
    tracking.finish_trial(over(0), folder)
    expected = {"trial.json", "history.npz", "gates.npz", "gates.png", "selected.json"}
    assert artifacts(client, run_id) == expected
    stored = Path(client.download_artifacts(run_id, "trial.json", str(output)))
    assert stored.read_bytes() == (folder / "trial.json").read_bytes()
    selected = json.loads(Path(client.download_artifacts(run_id, "selected.json", str(output))).read_text())
    assert selected["selected"][0] == ["x0", "x1", "x2", "x3"]
    assert selected["kept_in_seeds"] == {"x1": 3, "x2": 3, "x3": 3, "x0": 2, "x4": 1}


def test_a_trial_that_came_to_its_end_says_where_and_no_reason(
    tracking: Tracking, client: MlflowClient, output: Path
) -> None:
    run_id = tracking.start_trial(0, CONFIG)
    tracking.finish_trial(over(0), write_trial(output / "trial"))
    run = client.get_run(run_id)
    assert (run.info.status, run.data.tags["node"]) == ("FINISHED", "here")
    assert {"stopped", "error"} & set(run.data.tags) == set()
    assert len(run.data.tags["mlflow.note.content"].splitlines()) == 2


@pytest.mark.parametrize(("ending", "status"), [("stopped", "KILLED"), ("failed", "FAILED")])
def test_status(tracking: Tracking, client: MlflowClient, output: Path, ending: Any, status: str) -> None:
    run_id = tracking.start_trial(0, CONFIG)
    tracking.finish_trial(over(0, ending, "Traceback ...\nfor a reason"), write_trial(output / "trial"))
    run = client.get_run(run_id)
    assert run.info.status == status
    assert run.data.tags["error" if ending == "failed" else "stopped"] == "for a reason"
    assert ("error.txt" in artifacts(client, run_id)) == (ending == "failed")
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
    tracking.finish_trial(over(0), write_trial(output / "trial", outcome=outcome))
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
    tracking.finish_trial(over(0), folder)
    assert ("drastic" in client.get_run(run_id).data.tags) == drastic


def test_a_trial_that_left_nothing_behind(tracking: Tracking, client: MlflowClient) -> None:
    run_id = tracking.start_trial(0, CONFIG)
    tracking.finish_trial(over(0, "failed", "the worker died"), None)
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
    tracking.finish_trial(over(0, "stopped", "cut off"), folder)
    run = client.get_run(run_id)
    assert run.info.status == "KILLED"
    assert run.data.tags["outcome"] == ("unknown" if name == "trial.json" else "complete")
    assert ("alpha" in run.data.metrics) == (name != "history.npz")
    assert ("completion_epoch" in run.data.metrics) == (name != "trial.json")


def test_a_long_error_is_cut_to_what_a_tag_holds(tracking: Tracking, client: MlflowClient) -> None:
    run_id = tracking.start_trial(0, CONFIG)
    tracking.finish_trial(over(0, "failed", "x" * 20_000), None)
    assert len(client.get_run(run_id).data.tags["error"]) == 8000


def test_a_trial_has_to_be_started_first(tracking: Tracking) -> None:
    with pytest.raises(TrackingError, match="trial 3 has no run"):
        tracking.finish_trial(over(3, "failed"), None)
