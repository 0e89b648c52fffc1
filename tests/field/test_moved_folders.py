"""A folder of results that was copied, renamed and moved, under any name that the system allows."""

import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

import mlflow
import pandas as pd
import pytest
from free_port import free_port
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mlflow.tracking import MlflowClient
from small_search import small_search
from tracked import a_study, open_search, over, write_trial

from pruning_core.data import Dataset
from search import tracking_uri
from search.cli import main
from search.propose.ledger import open_ledger
from search.record.private import PLACES
from search.record.store import Store
from search.record.tracking import Tracking, TrackingError
from search.stores.addresses import places, sqlite_address
from search.stores.opening import sqlite_file

any_name = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60).filter(
    lambda name: name not in (".", "..") and len(name.encode()) <= 200
)
"""What a folder may be called on Linux."""


def contents(folder: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of every file."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


def places_in(database: Path) -> set[str]:
    """Every place of a file that the database names, but for the experiment that MLflow makes itself."""
    with closing(sqlite3.connect(database)) as connection:
        found = [connection.execute(f"SELECT {column} FROM {table}").fetchall() for table, column in PLACES]
    return {place for rows in found for (place,) in rows if place and "/mlruns/" not in place}


@given(name=any_name)
@example(name="two words, a#b+c&d=e")
@example(name="50% more, 50%25, what?")
@example(name="-größe:b@c")
@example(name="x" * 190 + ".db")
@settings(max_examples=8, deadline=None, derandomize=True)
def test_a_search_is_recorded_and_found_under_any_name(name: str, empty_store: Path, data: Dataset) -> None:
    with tempfile.TemporaryDirectory() as above:
        output = Path(above) / name
        output.mkdir()
        shutil.copy(empty_store, output / "mlflow.db")
        where = places(output, None, None)
        assert sqlite_file(where.tracking_uri) == output / "mlflow.db"
        assert open_ledger(a_study(), data, where, resume=False).label == "quick"
        tracking = Tracking(where.tracking_uri, "quick", output / "mlartifacts")
        parent = open_search(tracking, output)
        run_id = tracking.start_trial(0, {"strategy": "stepped"})
        tracking.finish_trial(over(0), write_trial(output / "trial"))
        assert list(Path(above).iterdir()) == [output]
        moved = Path(above) / "moved"
        output.rename(moved)
        store = Store(None, moved)
        assert store.artifact_names(store.run(run_id)) >= {"trial.json", "history.npz"}
        there = places(moved, None, None)
        assert open_ledger(a_study(), data, there, resume=True).label == "quick"
        again = Tracking(there.tracking_uri, "quick", moved / "mlartifacts")
        assert open_search(again, moved, resume=True) == parent
        again.start_trial(1, {"strategy": "stepped"})
        again.finish_trial(over(1), write_trial(moved / "trial"))
        assert list(Path(above).iterdir()) == [moved]
        assert all(place.startswith((moved / "mlartifacts").as_uri()) for place in places_in(moved / "mlflow.db"))


def test_a_copy_is_on_its_own(tmp_path: Path, empty_store: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    shutil.copy(empty_store, first / "mlflow.db")
    open_search(Tracking(tracking_uri(first), "quick", first / "mlartifacts"), first)
    shutil.copytree(first, second)
    before = contents(first)
    tracking = Tracking(tracking_uri(second), "quick", second / "mlartifacts")
    open_search(tracking, second, label="quick-2")
    assert contents(first) == before
    link = tmp_path / "link"
    link.symlink_to(second)
    assert MlflowClient(tracking_uri(link)).get_experiment(tracking.experiment_id).artifact_location == (
        (second / "mlartifacts" / "quick").as_uri()
    )


def test_a_store_elsewhere_does_not_follow_and_says_what_is_gone(tmp_path: Path, empty_store: Path) -> None:
    shutil.copy(empty_store, tmp_path / "team.db")
    uri = sqlite_address(tmp_path / "team.db")
    runs = tmp_path / "runs"
    open_search(Tracking(uri, "quick", runs / "mlartifacts"), runs)
    before = places_in(tmp_path / "team.db")
    open_search(Tracking(uri, "quick", tmp_path / "other" / "mlartifacts"), tmp_path / "other", label="quick-2")
    assert places_in(tmp_path / "team.db") >= before, "the experiment of a team stays where it is"
    runs.rename(tmp_path / "moved")
    with pytest.raises(TrackingError, match=r"quick in file://.*/runs/mlartifacts/quick, which is gone"):
        Tracking(uri, "quick", tmp_path / "moved" / "mlartifacts")
    assert not runs.exists()


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command that `deeppp ui` becomes; here it ends instead."""
    command: list[str] = []

    def become(program: str, arguments: list[str]) -> NoReturn:
        command.extend(arguments)
        raise SystemExit

    monkeypatch.setattr(os, "execv", become)
    return command


@pytest.fixture
def colleagues() -> Iterator[Path]:
    """A folder of results that has moved, and that whoever runs this may read only."""
    with tempfile.TemporaryDirectory() as above:
        Path(above).chmod(0o755)
        yield Path(above) / "colleague's"
        os.seteuid(os.getuid())


def test_the_ui_follows_a_folder_that_moves(tmp_path: Path, empty_store: Path, served: list[str]) -> None:
    output, moved = tmp_path / "runs", tmp_path / "two words"
    output.mkdir()
    shutil.copy(empty_store, output / "mlflow.db")
    open_search(Tracking(tracking_uri(output), "quick", output / "mlartifacts"), output)
    output.rename(moved)
    with pytest.raises(SystemExit):
        main(["ui", "--output", str(moved), "--port", str(free_port())])
    assert served[-1] == sqlite_address(moved / "mlflow.db")
    assert places_in(moved / "mlflow.db") >= {(moved / "mlartifacts" / "quick").as_uri()}


def test_the_ui_says_what_it_cannot_show_of_a_colleagues_folder_that_moved(
    colleagues: Path, empty_store: Path, served: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    output = colleagues.with_name("runs")
    output.mkdir()
    shutil.copy(empty_store, output / "mlflow.db")
    open_search(Tracking(tracking_uri(output), "quick", output / "mlartifacts"), output)
    output.rename(colleagues)
    (colleagues / "mlflow.db").chmod(0o444)
    colleagues.chmod(0o555)
    if os.getuid() == 0:
        os.seteuid(65534)
    with pytest.raises(SystemExit):
        main(["ui", "--output", str(colleagues), "--port", str(free_port())])
    said = " ".join(capsys.readouterr().out.split())
    assert "has moved and cannot be written to: MLflow looks for its artifacts where they were, in" in said
    assert "quick, the best trial of each strategy" in said
    assert served[-1] == sqlite_address(colleagues / "mlflow.db")


@pytest.fixture
def moves(tmp_path: Path) -> Iterator[Path]:
    """A folder to move results within; in the end nothing lies in any of the places but the last."""
    desk = tmp_path / "desk #1 + größe"
    yield desk
    assert len([path for path in desk.iterdir() if path.is_dir()]) == 1


@pytest.mark.slow
def test_every_command_follows_a_folder_that_moves(
    tmp_path_factory: pytest.TempPathFactory, moves: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = small_search(tmp_path_factory.getbasetemp())
    before = contents(searched.output)
    shutil.copytree(searched.folder, moves)
    monkeypatch.chdir(moves)
    home = Path("runs")

    def move(name: str) -> Path:
        home.rename(name)
        return Path(name)

    run: Any = searched.run("stepped", stopped=False)
    parent = searched.runs[-1].info.run_id
    home = move("two 50% ?")
    assert main(["report", "cellar", "--output", str(home)]) == 0
    assert (home / "reports" / "cellar.html").exists()
    assert (home / "mlartifacts" / "cellar" / parent / "artifacts" / "report" / "cellar.html").exists()
    home = move("drei#&=.db")
    assert main(["replay", run.info.run_id, "--output", str(home), "--json", "replayed.json"]) == 0
    assert json.loads(Path("replayed.json").read_text())["selected"] == searched.trial(run)["selected"]
    home = move("-vier")
    assert main(["export", run.info.run_id, f"--output={home}"]) == 0
    assert len(list((home / "export").rglob("pruned.onnx"))) == 1
    home = move("fünf")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri(home))
    frame = pd.read_csv("wine.csv")
    answers = mlflow.pyfunc.load_model("models:/cellar/1").predict(frame.drop(columns="target"))
    assert (answers == frame["target"]).mean() > 0.7
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert all(place.startswith((moves / "fünf" / "mlartifacts").as_uri()) for place in places_in(home / "mlflow.db"))
    assert contents(searched.output) == before
