"""The command as users type it: what it prints, writes, refuses and imports."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from users_shell import users_environment

from search.cli import main
from search.record.tracking import Tracking
from search.study import Study

HEAVY = {"ray", "optuna", "mlflow"}


def deeppp(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "search", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=users_environment(), timeout=120)


Refused = Callable[[Sequence[str | Path], list[str]], None]


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Refused:
    """Runs the command in `tmp_path`: exit 2, one sentence with the given words, and nothing written."""

    def run(arguments: Sequence[str | Path], names: list[str]) -> None:
        monkeypatch.chdir(tmp_path)
        before = sorted(tmp_path.rglob("*"))
        assert main([str(a) for a in arguments]) == 2
        sentence = capfd.readouterr().err
        assert len(sentence.strip().splitlines()) == 1
        assert all(name in sentence for name in names), sentence
        assert sorted(tmp_path.rglob("*")) == before

    return run


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "wine.yaml"
    path.write_text(
        "name: wine\ndata: {source: wine, keep: 4}\ntraining: {epochs: 12, seeds: 2}\nstrategies: [stepped]\n"
    )
    return path


def test_check_shows_the_resolved_study_and_its_space(study: Path) -> None:
    done = deeppp("check", study)
    assert done.returncode == 0
    assert "keep 4 of 13 features of wine, 3 classes" in done.stdout
    assert "lambda_start" in done.stdout
    assert "0.0001 ... 10, log" in done.stdout


def test_trial_trains_without_ray_optuna_and_mlflow(study: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from search.cli import main\n"
        f"status = main(['trial', {str(study)!r}, '--json', {str(tmp_path / 'trial.json')!r}])\n"
        f"assert status == 0; print('heavy:', sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("heavy: []\n")
    result = json.loads((tmp_path / "trial.json").read_text())
    assert result["seeds"] == [0, 1]
    assert result["epochs_run"] == 12
    assert len(result["selected"]) == 2
    assert all(len(names) == 4 for names in result["selected"])
    assert sum(result["outcome"].values()) == 1


def test_trial_prints_a_line_per_epoch_and_takes_seeds_and_overrides(study: Path, tmp_path: Path) -> None:
    done = deeppp(
        "trial", study, "--set", "training.epochs=3", "--set", "growth=2", "--seed", "5", "--seeds", "3",
        "--json", tmp_path / "t.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines() if "/3 " in line[:11]] == [
        "1/3",
        "2/3",
        "3/3",
    ]
    result = json.loads((tmp_path / "t.json").read_text())
    assert result["seeds"] == [5, 6, 7]
    assert result["config"]["growth"] == 2


def test_a_trial_keeps_large_data_prepared_and_checking_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pruning_core.data.large.LARGE", 100)
    monkeypatch.chdir(tmp_path)
    rows = [f"{i},{i % 7},{i * i % 11},{'ab'[i % 2]}" for i in range(60)]
    Path("table.csv").write_text("\n".join(["x,y,z,kind", *rows]))
    Path("s.yaml").write_text("{name: s, data: {source: table.csv, target: kind, keep: 2}, training: {epochs: 2}}")
    assert main(["check", "s.yaml"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"table.csv", "s.yaml"}
    results = []
    for _ in range(2):
        assert main(["trial", "s.yaml", "--output", "out", "--json", "s.json"]) == 0
        results.append(json.loads(Path("s.json").read_text())["pruned_accuracy"])
        assert len(list(Path("out").glob("data/*/train.x.npy"))) == 1
    assert results[0] == results[1]


def test_a_replica_is_the_same_in_any_company(study: Path, tmp_path: Path) -> None:
    for name, arguments in {"all": ["--seeds", "4"], "one": ["--seed", "2", "--seeds", "1"]}.items():
        done = deeppp("trial", study, *arguments, "--set", "training.epochs=120", "--json", tmp_path / f"{name}.json")
        assert done.returncode == 0
    of_four = json.loads((tmp_path / "all.json").read_text())
    alone = json.loads((tmp_path / "one.json").read_text())
    assert of_four["selected"][2] == alone["selected"][0]
    assert of_four["completion_epoch"][2] == alone["completion_epoch"][0]
    assert of_four["pruned_accuracy"]["per_seed"][2] == pytest.approx(alone["pruned_accuracy"]["per_seed"][0], abs=0.04)


GOOD = "a,b,c,y\n" + "".join(f"{i % 7},{i % 5},{i % 3},{'uv'[i % 2]}\n" for i in range(60))


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (("name: wine", "name: ["), ["not valid YAML"]),
        (("name: wine", "name: wine\nnonsense: 1"), ["nonsense"]),
        (("keep: 4", "keep: 0"), ["keep", "0"]),
        (("keep: 4", "keep: 13"), ["keep", "13"]),
        (("[stepped]", "[nonsense]"), ["strategies", "nonsense"]),
        (("[stepped]", "[stepped]\nspace: {growth: {low: 3, high: 2}}"), ["growth", "3", "2"]),
        (
            ("[stepped]", "[stepped]\nspace: {lambda_start: {low: 0, high: 2, log: true}}"),
            ["lambda_start", "0"],
        ),
        (("source: wine", "source: nowhere.csv, target: y"), ["nowhere.csv"]),
    ],
)
@pytest.mark.parametrize("command", ["check", "trial", "search"])
def test_a_wrong_study_is_refused_in_one_sentence(
    study: Path, change: tuple[str, str], names: list[str], command: str, refused: Refused
) -> None:
    study.write_text(study.read_text().replace(*change))
    refused([command, study], names)


@pytest.mark.parametrize(
    ("rows", "target", "names"),
    [
        (GOOD, "z", ["target", "z"]),
        (GOOD.replace("0,0,0,u", ",0,0,u", 1), "y", ["a", "impute"]),
        (GOOD.replace("0,0,0,u", "zero,0,0,u", 1), "y", ["a", "numeric"]),
        (GOOD.replace(",v", ",u"), "y", ["class"]),
    ],
)
def test_unusable_rows_are_refused_in_one_sentence(
    tmp_path: Path, rows: str, target: str, names: list[str], refused: Refused
) -> None:
    (tmp_path / "rows.csv").write_text(rows)
    (tmp_path / "rows.yaml").write_text(f"name: rows\ndata: {{source: rows.csv, target: {target}, keep: 2}}\n")
    refused(["search", tmp_path / "rows.yaml"], names)


@pytest.mark.parametrize("command", ["trial", "search"])
def test_wrong_overrides_and_a_missing_study_are_refused(command: str, study: Path, refused: Refused) -> None:
    refused([command, study, "--set", "nonsense=1"], ["nonsense"])
    refused([command, "missing.yaml"], ["missing.yaml"])


def test_wrong_options_are_refused(study: Path, refused: Refused) -> None:
    refused(["search", study, "--trials", "0"], ["search.trials", "0"])
    refused(["search", study, "--resume"], ["nothing to resume"])
    refused(["trial", study, "--seeds", "0"], ["seeds", "0"])
    refused(["ui"], ["mlflow.db"])


def test_what_is_refused_shows_no_traceback_and_exits_with_2(study: Path, tmp_path: Path) -> None:
    done = deeppp("search", study, "--set", "nonsense=1", cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == [study]


def test_the_ui_refuses_a_store_without_a_search(refused: Refused, tmp_path: Path, empty_store: Path) -> None:
    refused(["ui", "--output", "nowhere"], ["--output nowhere", "mlflow.db"])
    for name in ("hollow", "empty", "nonsense"):
        (tmp_path / name).mkdir()
    (tmp_path / "hollow" / "mlflow.db").touch()
    refused(["ui", "--output", "hollow"], ["--output hollow", "mlflow.db"])
    shutil.copy(empty_store, tmp_path / "empty" / "mlflow.db")
    refused(["ui", "--output", "empty"], ["--output empty", "no search"])
    (tmp_path / "nonsense" / "mlflow.db").write_text("this is no database, however long it may be")
    refused(["ui", "--output", "nonsense"], ["nonsense/mlflow.db", "not a database"])


def test_an_impossible_port_is_refused(refused: Refused, tmp_path: Path, empty_store: Path) -> None:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    tracking = Tracking(f"sqlite:///{tmp_path / 'mlflow.db'}", "wine", tmp_path / "mlartifacts")
    wine = Study.model_validate({"name": "wine", "data": {"source": "wine", "keep": 4}})
    tracking.open_search("wine", wine, "", tmp_path, resume=False)
    refused(["ui", "--output", ".", "--port", "99999"], ["--port 99999", "65535"])
