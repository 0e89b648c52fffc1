"""A small search of wine in a file, run once as a process of its own, for the tests of what is done with its trials.

All pytest workers share it, each in a copy of its own: some tests take files away for a moment.
"""

import contextlib
import functools
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from sklearn.datasets import load_wine
from users_shell import users_environment

STUDY = """
name: cellar
data: {source: wine.csv, target: target, keep: 4}
training: {epochs: 40, batch_size: 16, seeds: 2, settle_epochs: 5}
strategies: [stepped, plateau, markov]
space:
  {alpha: stepped, lambda_start: {choices: [0.01, 1.0e+6]}, growth: 1.5, step_epochs: 1, plateau_threshold: 0.5,
   patience: 2, plateau_monitor: gates, mu: one, delta: 1, block: 1, learning_rate: 0.003, pruner_learning_rate: 0.2}
search: {trials: 6, sampler: grid, confirm_seeds: 1}
"""


@dataclass(frozen=True)
class SmallSearch:
    """Six trials, two of each strategy: from 0.01, which completes, and from 10^6, which collapses."""

    folder: Path

    @property
    def output(self) -> Path:
        return self.folder / "runs"

    @property
    def data(self) -> Path:
        return self.folder / "wine.csv"

    @functools.cached_property
    def runs(self) -> list[Run]:
        """The run of each trial, in their order, and last the parent's."""
        client = MlflowClient(f"sqlite:///{self.output / 'mlflow.db'}")
        experiment = client.get_experiment_by_name("cellar")
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id])
        return sorted(runs, key=lambda run: int(run.data.tags.get("trial", len(runs))))

    def run(self, strategy: str, *, stopped: bool) -> Run:
        """The run of the strategy's trial that was stopped early, or of the other one."""
        return next(
            run
            for run in self.runs
            if run.data.tags.get("strategy") == strategy and (run.info.status == "KILLED") == stopped
        )

    def trial(self, run: Run) -> dict[str, Any]:
        """A trial's trial.json."""
        folder = self.output / "mlartifacts" / "cellar" / run.info.run_id / "artifacts"
        return dict(json.loads((folder / "trial.json").read_text()))


@functools.cache
def small_search(root: Path) -> SmallSearch:
    """Runs the search once in a test session; it lies in the folder of this pytest, or of this one of its workers."""
    folder = root / "small_search"
    if "PYTEST_XDIST_WORKER" not in os.environ:
        _search_in(folder)
        return SmallSearch(folder)
    first = root.parent / "small_search"
    with FileLock(first.with_suffix(".lock")):
        if not first.exists():
            _search_in(first)
    _copy_as_if_it_had_run_there(first, folder)
    return SmallSearch(folder)


def _copy_as_if_it_had_run_there(first: Path, folder: Path) -> None:
    """With its own paths in all databases and in all files that are text."""
    shutil.copytree(first, folder)
    for file in filter(Path.is_file, folder.rglob("*")):
        if file.suffix == ".db":
            with contextlib.closing(sqlite3.connect(file)) as connection, connection:
                _replace_everywhere(connection, str(first), str(folder))
        elif b"\0" not in (content := file.read_bytes()):
            file.write_bytes(content.replace(bytes(first), bytes(folder)))


def _replace_everywhere(connection: sqlite3.Connection, old: str, new: str) -> None:
    for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        for _, column, *_ in connection.execute(f'PRAGMA table_info("{table}")').fetchall():
            changed = f"""UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?) WHERE instr("{column}", ?)"""
            connection.execute(changed, (old, new, old))


def _search_in(folder: Path) -> None:
    folder.mkdir()
    load_wine(as_frame=True).frame.to_csv(folder / "wine.csv", index=False)
    (folder / "cellar.yaml").write_text(STUDY)
    command = [sys.executable, "-m", "search", "search", "cellar.yaml"]
    environment = users_environment()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
