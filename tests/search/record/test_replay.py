"""A recorded trial again, from MLflow alone: the same numbers to the last digit, or a sentence why not."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mlflow.tracking import MlflowClient
from small_search import SmallSearch, small_search

from pruning_core.inner_loop import InnerLoop
from search.cli import main
from search.record.replay import RecordedTrial, differences, other_versions, read_trial, start, vary
from search.study import StudyError

pytestmark = pytest.mark.slow

SAME = "the same numbers as recorded, to the last digit"


@pytest.fixture
def searched(tmp_path_factory: pytest.TempPathFactory) -> SmallSearch:
    return small_search(tmp_path_factory.getbasetemp())


@pytest.fixture
def moved(searched: SmallSearch, tmp_path: Path) -> Path:
    """A copy of the search's output folder, to be changed."""
    return shutil.copytree(searched.output, tmp_path / "moved")


@pytest.fixture
def recorded(searched: SmallSearch) -> RecordedTrial:
    return read_trial(searched.run("stepped", stopped=False).info.run_id, searched.output)


Replay = Callable[..., tuple[int, str]]


@pytest.fixture
def replay(searched: SmallSearch, capfd: pytest.CaptureFixture[str]) -> Replay:
    """Runs `deeppp replay` here; the exit status and what was printed."""

    def run(run_id: str, *options: str | Path, output: Path = searched.output) -> tuple[int, str]:
        capfd.readouterr()
        status = main(["replay", run_id, "--output", str(output), *map(str, options)])
        return status, "".join(capfd.readouterr())

    return run


def without_clock(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name not in ("seconds", "replica_epochs_per_second")}


@pytest.mark.parametrize("number", range(6))
def test_every_trial_replays_to_the_last_digit(
    number: int, searched: SmallSearch, replay: Replay, tmp_path: Path
) -> None:
    run = searched.runs[number]
    status, printed = replay(run.info.run_id, "--json", tmp_path / "again.json")
    assert status == 0
    assert printed.endswith(f"{SAME}\n")
    again, record = json.loads((tmp_path / "again.json").read_text()), searched.trial(run)
    assert without_clock(again) == without_clock(record)
    lines = [line for line in printed.splitlines() if "/40 " in line[:11]]
    assert len(lines) == record["epochs_run"]


@pytest.mark.parametrize("strategy", ["stepped", "plateau"])
def test_a_trial_that_was_stopped_early_replays_up_to_there(
    strategy: str, searched: SmallSearch, replay: Replay
) -> None:
    run = searched.run(strategy, stopped=True)
    epochs = searched.trial(run)["epochs_run"]
    assert epochs < 40
    _, printed = replay(run.info.run_id)
    assert f"was stopped after epoch {epochs}\n" in printed
    assert f" {epochs}/40 " in printed
    assert f" {epochs + 1}/40 " not in printed


def test_curves_and_weights_are_those_of_the_worker(recorded: RecordedTrial, searched: SmallSearch) -> None:
    run = start(recorded)
    list(run)
    assert set(recorded.history) > {"pruned_accuracy", "lambda", "drift", "epoch"}
    assert recorded.history["total_loss"].shape == (len(run.history), 2)
    assert differences(recorded, run) == []
    (state,) = (searched.output / "ray" / "cellar" / f"trial_{recorded.number:05d}").glob("checkpoint_*/state.pt")
    trained = torch.load(state, weights_only=True)["training"]["parameters"]
    for name, parameter in run.replicas.parameters.items():
        assert torch.equal(parameter, trained[name])


def test_replay_runs_under_a_debugger_without_ray_and_optuna(searched: SmallSearch) -> None:
    _, first_statement, *_ = sorted({line for *_, line in InnerLoop.epoch.__code__.co_lines() if line})
    commands = [f"b pruning_core/inner_loop.py:{first_statement}", "c", "p ('stopped at', self.losses.rejection)"]
    commands += ["import sys", "p sorted({'ray', 'optuna'} & set(sys.modules))", "q"]
    options = [argument for command in commands for argument in ("-c", command)]
    run = searched.run("stepped", stopped=False).info.run_id
    done = subprocess.run(
        [sys.executable, "-m", "pdb", *options, "-m", "search", "replay", run, "--output", searched.output],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[3],
        stdin=subprocess.DEVNULL,
    )
    assert "('stopped at', 'modified')\n[]\n" in done.stdout, done.stdout + done.stderr


def test_epochs_and_hyperparameters_can_be_varied(searched: SmallSearch, replay: Replay, tmp_path: Path) -> None:
    run = searched.run("stepped", stopped=True).info.run_id
    varied = ["--set", "growth=3", "--set", "network.hidden=[8]", "--set", "space.delta=2", "--set", "seeds=3"]
    status, printed = replay(run, "--epochs", "14", *varied, "--json", tmp_path / "varied.json")
    assert status == 0
    assert SAME not in printed
    assert "not compared" in printed
    result = json.loads((tmp_path / "varied.json").read_text())
    assert result["epochs_run"] == 14
    assert result["seeds"] == [0, 1, 2]
    assert (result["config"]["growth"], result["config"]["hidden"]) == (3, [8])


def test_another_setting_gives_other_numbers(recorded: RecordedTrial) -> None:
    run = start(vary(recorded, ["learning_rate=0.0030000001"]))
    list(run)
    assert differences(recorded, run)


def test_other_threads_than_here_are_set_as_the_study_says(recorded: RecordedTrial) -> None:
    study = recorded.study.model_copy(update={"resources": recorded.study.resources.model_copy(update={"cpu": 2.5})})
    try:
        start(replace(recorded, study=study))
        assert torch.get_num_threads() == 2
        start(recorded)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(1)


def test_the_record_of_a_failed_trial_may_end_before_its_replay(recorded: RecordedTrial) -> None:
    history = {name: curve[:7] for name, curve in recorded.history.items()}
    failed = replace(recorded, failed=True, history=history, result={**recorded.result, "epochs_run": 7})
    run = start(failed)
    list(run)
    assert differences(failed, run) == []
    history["total_loss"] = history["total_loss"] + np.eye(7, 2, -3)
    assert differences(failed, run) == ["the curve of total_loss from epoch 4 on"]


def test_a_moved_output_folder_is_enough(
    searched: SmallSearch, moved: Path, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = searched.output.rename(searched.folder / "gone")
    try:
        monkeypatch.chdir(moved.parent)
        status, printed = replay(searched.runs[3].info.run_id, output=Path("moved"))
        assert (status, printed.splitlines()[-1]) == (0, SAME)
    finally:
        original.rename(searched.output)


def test_numbers_that_differ_are_named(searched: SmallSearch, moved: Path, replay: Replay) -> None:
    run = searched.run("stepped", stopped=False)
    folder = moved / "mlartifacts" / "cellar" / run.info.run_id / "artifacts"
    result = searched.trial(run)
    result["pruned_accuracy"]["per_seed"][1] += 1e-16
    result["selected"][0][0] = "ash"
    (folder / "trial.json").write_text(json.dumps(result))
    with np.load(folder / "history.npz") as archive:
        history = dict(archive)
    history["alpha"][4:, 1] *= 1.001
    np.savez(folder / "history.npz", **history)
    client = MlflowClient(f"sqlite:///{moved / 'mlflow.db'}")
    client.set_tag(run.data.tags["mlflow.parentRunId"], "version.torch", "2.0.0")
    status, printed = replay(run.info.run_id, output=moved)
    assert status == 1
    sentence = printed.splitlines()[-1]
    assert "not the recorded numbers: pruned_accuracy, selected, the curve of alpha from epoch 5 on" in sentence
    assert f"torch 2.0.0 (here {torch.__version__})" in sentence


def test_the_same_versions_are_not_blamed(recorded: RecordedTrial) -> None:
    assert other_versions(recorded) == []


def test_a_trial_that_left_no_result_replays_to_its_end(searched: SmallSearch, moved: Path, replay: Replay) -> None:
    run = searched.run("stepped", stopped=False)
    for name in ("trial.json", "history.npz"):
        (moved / "mlartifacts" / "cellar" / run.info.run_id / "artifacts" / name).unlink()
    client = MlflowClient(f"sqlite:///{moved / 'mlflow.db'}")
    location = client.get_run(run.info.run_id).info.artifact_uri
    assert location is not None
    artifacts = Path(location.removeprefix("file://"))
    hidden = artifacts.rename(artifacts.with_name("hidden"))
    try:
        status, printed = replay(run.info.run_id, output=moved)
    finally:
        hidden.rename(artifacts)
    assert status == 0
    assert f" {searched.trial(run)['epochs_run']}/40 " in printed
    assert "no recorded numbers" in printed


def test_a_data_file_that_moved_is_named_again(searched: SmallSearch, replay: Replay, tmp_path: Path) -> None:
    run = searched.run("stepped", stopped=False).info.run_id
    moved = searched.data.rename(tmp_path / "elsewhere.csv")
    try:
        status, printed = replay(run)
        assert (status, len(printed.splitlines())) == (2, 1)
        assert "data.source" in printed
        assert str(searched.data) in printed
        assert "--data" in printed
        status, printed = replay(run, "--data", moved)
        assert (status, printed.splitlines()[-1]) == (0, SAME)
    finally:
        moved.rename(searched.data)


def test_changed_data_is_refused(searched: SmallSearch, replay: Replay, tmp_path: Path) -> None:
    rows = searched.data.read_text()
    (tmp_path / "changed.csv").write_text(rows.replace("14.23,", "14.24,", 1))
    status, printed = replay(searched.runs[0].info.run_id, "--data", tmp_path / "changed.csv")
    assert (status, len(printed.splitlines())) == (2, 1)
    assert "changed.csv" in printed
    assert "has changed" in printed


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("nonsense=1", ["nonsense", "hyperparameter"]),
        ("growth=1", ["growth", "1"]),
        ("growth", ["growth", "KEY=VALUE"]),
        ("hidden=[0]", ["hidden", "0"]),
        ("keep=13", ["keep", "13"]),
        ("strategy=nonsense", ["strategy", "nonsense"]),
    ],
)
def test_wrong_overrides_are_refused(override: str, words: list[str], searched: SmallSearch, replay: Replay) -> None:
    status, printed = replay(searched.runs[0].info.run_id, "--set", override)
    assert (status, len(printed.splitlines())) == (2, 1)
    assert all(word in printed for word in words), printed


@pytest.mark.parametrize("command", ["replay", "export"])
def test_what_is_no_trial_is_refused(
    command: str, searched: SmallSearch, moved: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    uri = f"sqlite:///{moved / 'mlflow.db'}"
    client = MlflowClient(uri)
    other = client.create_run("0", run_name="something else").info.run_id
    empty = tmp_path / "empty"
    empty.mkdir()
    cases: list[tuple[list[str | Path], list[str]]] = [
        (["0" * 32, "--output", moved], ["0" * 32, "no run"]),
        (["stepped #3", "--output", moved], ["stepped #3"]),
        ([searched.runs[-1].info.run_id, "--output", moved], ["the search cellar as a whole"]),
        ([other, "--output", moved], [other, "something else"]),
        (["0" * 32, "--output", empty], ["mlflow.db", str(empty)]),
        (["0" * 32, "--tracking-uri", f"sqlite:///{empty}/none.db"], ["none.db"]),
        (["0" * 32, "--tracking-uri", "http://127.0.0.1:9"], ["http://127.0.0.1:9"]),
        (["0" * 32, "--tracking-uri", "nonsense://x"], ["nonsense://x"]),
    ]
    for arguments, words in cases:
        capfd.readouterr()
        assert main([command, *map(str, arguments)]) == 2
        sentence = capfd.readouterr().err
        assert len(sentence.splitlines()) == 1
        assert all(word in sentence for word in words), sentence
    assert list(empty.iterdir()) == []


def test_a_parent_without_its_study_is_named(searched: SmallSearch, moved: Path) -> None:
    parent = searched.runs[-1].info.run_id
    child = searched.runs[0].info.run_id
    study = moved / "mlartifacts" / "cellar" / parent / "artifacts" / "study.json"
    content = json.loads(study.read_text())
    study.write_text(json.dumps({**content, "training": {"epochs": -1}}))
    with pytest.raises(StudyError, match=rf"study\.json.*{parent}.*training\.epochs = -1"):
        read_trial(child, moved)


def test_the_tracking_uri_of_the_environment_counts(
    searched: SmallSearch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{searched.output / 'mlflow.db'}")
    recorded = read_trial(searched.runs[0].info.run_id, tmp_path)
    assert recorded.name == "stepped #0"
    assert recorded.search == "cellar"
    assert recorded.config.lambda_start == 1e6
    assert os.path.isabs(str(recorded.study.data.source))
