"""A search as users run it: the command in a folder, and what Optuna, Tune and MLflow say about it."""

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from optuna.trial import FrozenTrial, TrialState
from users_shell import users_environment

from search.cli import main

TRIALS = 6
STUDY = f"""
name: wine
data: {{source: wine, keep: 4}}
training: {{epochs: 40, seeds: 2}}
strategies: [stepped, markov]
space:
  {{growth: {{low: 1.2, high: 1.5}}, pruner_learning_rate: 0.2, learning_rate: 0.01, weight_decay: 0,
   label_smoothing: 0.1}}
search: {{trials: {TRIALS}, confirm_seeds: 3}}
"""


@dataclass
class Workplace:
    """A folder with a study file, the command on it, and what the three stores say."""

    folder: Path

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "search", "search", "wine.yaml", "--json", "result.json", *arguments],
            cwd=self.folder,
            env=users_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> dict[str, Any]:
        """The search to its end, in this process: a process of its own takes ten seconds to import what it needs."""
        with contextlib.chdir(self.folder):
            assert main(["search", "wine.yaml", "--json", "result.json", *arguments]) == 0
        return self.result()

    def run_as_process(self, *arguments: str) -> dict[str, Any]:
        out, err = (process := self.start(*arguments)).communicate(timeout=240)
        assert process.returncode == 0, out + err
        return self.result()

    def result(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "result.json").read_text()))

    def optuna(self, label: str = "wine") -> list[FrozenTrial]:
        """The trials of the ledger."""
        storage = f"sqlite:///{self.folder / 'runs' / 'optuna.db'}"
        return optuna.load_study(study_name=label, storage=storage).get_trials()

    def has_trials(self) -> bool:
        """Looks without Optuna, which would create what the search is only just creating itself."""
        database = self.folder / "runs" / "optuna.db"
        try:
            with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
                return bool(connection.execute("SELECT count(*) FROM trials").fetchone()[0])
        except sqlite3.OperationalError:
            return False

    def tune(self, label: str = "wine") -> list[dict[str, Any]]:
        """The trials of the last run of Tune, which knows of no earlier ones."""
        newest = max((self.folder / "runs" / "ray" / label).glob("experiment_state-*.json"))
        return [json.loads(trial) for trial, _ in json.loads(newest.read_text())["trial_data"]]

    def left_by(self, number: int) -> str:
        """A trial's `trial.json`, which says how long it trained; it has one checkpoint."""
        (trial,) = self.search_folder.glob(f"trial_{number:05d}/checkpoint_*/trial.json")
        return trial.read_text()

    @property
    def search_folder(self) -> Path:
        """Where the search keeps its trials, and Tune its files."""
        return self.folder / "runs" / "ray" / "wine"

    def artifacts(self, run: Run) -> Path:
        """The files of a run in MLflow."""
        return self.folder / "runs" / "mlartifacts" / "wine" / run.info.run_id / "artifacts"

    def mlflow(self) -> tuple[list[Run], list[Run]]:
        """The parents and the children, in the order of their trials."""
        client = MlflowClient(f"sqlite:///{self.folder / 'runs' / 'mlflow.db'}")
        experiment = client.get_experiment_by_name("wine")
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id], max_results=1000)
        children = [r for r in runs if "mlflow.parentRunId" in r.data.tags]
        parents = [r for r in runs if "mlflow.parentRunId" not in r.data.tags]
        return parents, sorted(children, key=lambda r: int(r.data.tags["trial"]))

    def wait_for(self, condition: Callable[[list[FrozenTrial]], bool], process: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + 120
        while not (self.has_trials() and condition(self.optuna())):
            assert time.monotonic() < deadline
            assert process.poll() is None, "the search ended before it could be disturbed"
            time.sleep(0.1)

    def assert_agreement(self, trials: int) -> None:
        """Optuna and MLflow hold the same trials, each once and each at its end; Tune those of its last run."""
        in_optuna = self.optuna()
        assert [t.number for t in in_optuna] == list(range(trials))
        assert all(t.state.is_finished() for t in in_optuna)
        in_tune = self.tune()
        numbers = [t["config"]["number"] for t in in_tune]
        assert len(set(numbers)) == len(numbers)
        assert set(numbers) <= set(range(trials))
        assert {t["status"] for t in in_tune} <= {"TERMINATED"}
        parents, children = self.mlflow()
        assert [p.info.status for p in parents] == ["FINISHED"]
        assert [int(c.data.tags["trial"]) for c in children] == list(range(trials))
        expected = {TrialState.COMPLETE: "FINISHED", TrialState.PRUNED: "KILLED", TrialState.FAIL: "FAILED"}
        assert [c.info.status for c in children] == [expected[t.state] for t in in_optuna]


def finished(trials: list[FrozenTrial]) -> dict[int, FrozenTrial]:
    """Those that are over, by their number."""
    return {t.number: t for t in trials if t.state.is_finished()}


def a_workplace(folder: Path, empty_store: Path, study: str = STUDY) -> Workplace:
    """One with a study of wine, and MLflow's tables, which take seconds to make."""
    (folder / "wine.yaml").write_text(study)
    (folder / "runs").mkdir()
    shutil.copy(empty_store, folder / "runs" / "mlflow.db")
    return Workplace(folder)
