"""Variables that others have set for their own ends: obeyed, refused by name, or without effect, as the table says."""

import subprocess
import sys
from pathlib import Path

import pytest

from search.cli import main
from search.record.moved import tracking_uri
from search.record.store import Store
from search.stores.addresses import places
from search.study import StudyError
from search.train.surroundings import check_surroundings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def short(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and a folder for temporary files that Ray can use."""
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", "/tmp")
    folder = tmp_path_factory.mktemp("desk")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", "")
    return folder


TEMPORARY = {
    "is not there": "{here}/nowhere",
    "is a file": "{here}/file",
    "cannot be written to": "/proc",
    "is too long": "{here}/" + 60 * "x",
}


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
@pytest.mark.parametrize("what", TEMPORARY)
def test_a_folder_in_which_ray_cannot_start_is_refused(
    what: str, variable: str, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (short / "file").touch()
    (short / (60 * "x")).mkdir()
    value = TEMPORARY[what].format(here=short)
    monkeypatch.setenv(variable, value)
    with pytest.raises(StudyError, match=rf"^{variable} = {value} must .*RAY_TMPDIR"):
        check_surroundings()


def test_another_folder_for_ray_is_a_remedy(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(short / "nowhere"))
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    check_surroundings()


@pytest.mark.parametrize("where", ["cwd", "PYTHONPATH"])
@pytest.mark.parametrize("module", ["search.py", "search/__init__.py", "pruning_core.py"])
def test_a_module_that_hides_ours_from_workers_is_refused(
    module: str, where: str, short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = short if where == "cwd" else tmp_path
    monkeypatch.setenv("PYTHONPATH", f"/nowhere:{tmp_path}")
    (folder / module).parent.mkdir(exist_ok=True)
    (folder / module).touch()
    with pytest.raises(StudyError, match=f"{folder / module} hides"):
        check_surroundings()


def test_what_stands_behind_ours_or_is_no_module_is_left_alone(
    short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "search.py").touch()
    (short / "search").mkdir()
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{tmp_path}")
    check_surroundings()


def test_the_command_says_what_hides_its_packages(tmp_path: Path) -> None:
    (tmp_path / "search.py").write_text("raise SystemExit('the wrong one')")
    code = f"import runpy; runpy.run_path({str(ROOT / 'deeppp.py')!r}, run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, "check", "s.yaml"],
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr == f"deeppp: {tmp_path}/search.py hides deepPP's own package search: take it off PYTHONPATH\n"


def test_the_store_that_mlflow_is_told_of_is_obeyed_by_every_command(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    named = f"sqlite:///{empty_store}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", named)
    assert places(Path("runs"), None, None).tracking_uri == Store(None, Path("runs")).uri == tracking_uri() == named
    assert main(["ui"]) == 2
    assert f"MLflow at {named} holds no search yet" in capfd.readouterr().err
    absent = f"sqlite:///{tmp_path}/absent.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", absent)
    for arguments in (["ui"], ["replay", "f00d"], ["export", "f00d"]):
        assert main(arguments) == 2
        assert f"there is no {tmp_path}/absent.db" in capfd.readouterr().err
    assert main(["ui", "--tracking-uri", named]) == 2
    assert named in capfd.readouterr().err
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert main(["ui"]) == 2
    assert "MLflow at http://127.0.0.1:9 cannot be reached" in capfd.readouterr().err
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:absent.db")
    assert main(["ui"]) == 2
    assert "must have the form sqlite:///FILE" in capfd.readouterr().err
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert tracking_uri() == f"sqlite:///{tmp_path}/runs/mlflow.db"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "variables",
    [
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "POSIX", "LANG": "POSIX"},
        {"PYTHONIOENCODING": "latin-1"},
    ],
)
def test_any_encoding_of_the_terminal_will_do(variables: dict[str, str], tmp_path: Path) -> None:
    lines = [f"{i % 7},{i % 5},{'uv'[i % 2]}\n" for i in range(60)]
    (tmp_path / "sizes.csv").write_text("größe,b,y\n" + "".join(lines), encoding="utf-8")
    (tmp_path / "s.yaml").write_text(
        "name: s\ndata: {source: sizes.csv, target: y, keep: 1}\ntraining: {epochs: 2, seeds: 2}\n", encoding="utf-8"
    )
    done = subprocess.run(
        [sys.executable, "-m", "search", "trial", "s.yaml"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "", **variables},
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert b"pruned accuracy" in done.stdout
