"""A search as users run it: a process, SQLite files, folders; also interrupted, killed, and gone on with."""

import collections
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from optuna.trial import FrozenTrial, TrialState
from search.propose.optuna_trials import CONSTRAINT

TRIALS = 6
STUDY = f"""
name: wine
data: {{source: wine, keep: 4}}
training: {{epochs: 40, seeds: 2}}
strategies: [stepped, markov]
space: {{growth: {{low: 1.2, high: 1.5}}, pruner_learning_rate: 0.2, learning_rate: 0.01}}
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
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> dict[str, Any]:
        out, err = (process := self.start(*arguments)).communicate(timeout=240)
        assert process.returncode == 0, out + err
        return dict(json.loads((self.folder / "result.json").read_text()))

    def optuna(self, label: str = "wine") -> list[FrozenTrial]:
        storage = f"sqlite:///{self.folder / 'runs' / 'optuna.db'}"
        return optuna.load_study(study_name=label, storage=storage).get_trials()

    def has_trials(self) -> bool:
        """Looks without Optuna, which would create what the search is only just creating itself."""
        database = self.folder / "runs" / "optuna.db"
        try:
            with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
                return bool(connection.execute("SELECT count(*) FROM trials").fetchone()[0])
        except sqlite3.OperationalError:
            return False

    def tune(self, label: str = "wine") -> list[dict[str, Any]]:
        newest = max((self.folder / "runs" / "ray" / label).glob("experiment_state-*.json"))
        return [json.loads(trial) for trial, _ in json.loads(newest.read_text())["trial_data"]]

    def left_by(self, number: int) -> str:
        """A trial's `trial.json`, which says how long it trained; it has one checkpoint."""
        (trial,) = (self.folder / "runs" / "ray" / "wine").glob(f"trial_{number:05d}/checkpoint_*/trial.json")
        return trial.read_text()

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
        """Optuna, Tune and MLflow hold the same trials, each once and each at its end."""
        in_optuna = self.optuna()
        assert [t.number for t in in_optuna] == list(range(trials))
        assert all(t.state.is_finished() for t in in_optuna)
        in_tune = self.tune()
        assert sorted(t["config"]["number"] for t in in_tune) == list(range(trials))
        assert {t["status"] for t in in_tune} == {"TERMINATED"}
        parents, children = self.mlflow()
        assert [p.info.status for p in parents] == ["FINISHED"]
        assert [int(c.data.tags["trial"]) for c in children] == list(range(trials))
        expected = {TrialState.COMPLETE: "FINISHED", TrialState.PRUNED: "KILLED", TrialState.FAIL: "FAILED"}
        assert [c.info.status for c in children] == [expected[t.state] for t in in_optuna]


def finished(trials: list[FrozenTrial]) -> dict[int, FrozenTrial]:
    return {t.number: t for t in trials if t.state.is_finished()}


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    (tmp_path / "wine.yaml").write_text(STUDY)
    return Workplace(tmp_path)


def test_a_search_from_start_to_end_and_beyond(workplace: Workplace) -> None:
    result = workplace.run()
    workplace.assert_agreement(TRIALS)
    assert result["trials"] == TRIALS
    assert sum(entry["trials"] for entry in result["strategies"].values()) == TRIALS
    assert set(result["strategies"]) == {"stepped", "markov"}
    assert result["winner"] in result["strategies"]

    trials = {t.number: t for t in workplace.optuna()}
    _, children = workplace.mlflow()
    for child in children:
        trial = trials[int(child.data.tags["trial"])]
        for name, value in trial.params.items():
            recorded = child.data.params[name]
            assert (recorded if isinstance(value, str) else json.loads(recorded)) == value
        assert child.data.metrics["complete"] == pytest.approx(1 - trial.constraints[CONSTRAINT])
    for strategy, entry in result["strategies"].items():
        best = trials[entry["trial"]]
        feasible = [
            t.value for t in trials.values() if t.params["strategy"] == strategy and t.constraints[CONSTRAINT] == 0
        ]
        if feasible and entry["outcome"]["complete"] == 1:
            assert best.value in sorted(filter(None, feasible))[-3:]
        assert len(entry["test"]["per_seed"]) == 3
        assert len(entry["selected"]) == 4
        assert entry["run_id"] == children[entry["trial"]].info.run_id

    more = workplace.run("--resume", "--trials", str(TRIALS + 2))
    assert more["trials"] == TRIALS + 2
    workplace.assert_agreement(TRIALS + 2)
    assert [t.params for t in workplace.optuna()][:TRIALS] == [t.params for t in trials.values()]


def test_known_points_come_first_and_strategies_share_the_trials_also_with_two_objectives(workplace: Workplace) -> None:
    settings = ["search.confirm_seeds=1", "space.growth.low=1.1", "training.epochs=60"]
    settings += ["search.objective=[pruned_accuracy,completion_epoch]"]
    result = workplace.run("--trials", "4", *(word for setting in settings for word in ("--set", setting)))
    trials = workplace.optuna()
    assert collections.Counter(t.params["strategy"] for t in trials) == {"stepped": 2, "markov": 2}
    first = next(t for t in trials if t.params["strategy"] == "stepped")
    assert first.params["lambda_start"] == 0.2
    assert first.params["growth"] == 1.15

    (parent,), children = workplace.mlflow()
    for member in result["pareto"]:
        assert trials[member["trial"]].values == [member["pruned_accuracy"], member["completion_epoch"]]
        run = children[member["trial"]]
        assert (member["run_id"], member["completion_epoch"]) == (run.info.run_id, run.data.metrics["completion_epoch"])
    marked = {c.info.run_id for c in children if "pareto" in c.data.tags}
    assert marked == {member["run_id"] for member in result["pareto"]}
    assert marked
    files = workplace.folder / "runs" / "mlartifacts" / "wine" / parent.info.run_id / "artifacts"
    assert json.loads((files / "pareto.json").read_text()) == result["pareto"]
    assert (files / "pareto.png").exists()


def test_a_killed_search_is_finished_by_resume(workplace: Workplace) -> None:
    process = workplace.start()
    workplace.wait_for(lambda trials: len(finished(trials)) >= 2, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = finished(workplace.optuna())
    assert 2 <= len(before) < TRIALS
    left = {number: workplace.left_by(number) for number in before}

    result = workplace.run("--resume")
    assert {number: workplace.left_by(number) for number in before} == left, "finished trials were trained again"
    assert result["trials"] == TRIALS
    workplace.assert_agreement(TRIALS)
    after = finished(workplace.optuna())
    for number, trial in before.items():
        assert after[number].value == trial.value
        assert after[number].datetime_complete == trial.datetime_complete


def test_a_trial_that_tune_alone_holds_for_lost_is_told_to_have_ended(workplace: Workplace) -> None:
    """As after a kill between what Optuna and what Tune write, and a worker lost on the second run."""
    workplace.run("--trials", "2", "--set", "search.confirm_seeds=1")
    before = finished(workplace.optuna())
    newest = max((workplace.folder / "runs" / "ray" / "wine").glob("experiment_state-*.json"))
    state = json.loads(newest.read_text())
    trial, runtime = state["trial_data"][0]
    state["trial_data"][0] = [json.dumps(json.loads(trial) | {"status": "ERROR"}), runtime]
    newest.write_text(json.dumps(state))
    workplace.run("--resume", "--trials", "2", "--set", "search.confirm_seeds=1")
    workplace.assert_agreement(2)
    assert finished(workplace.optuna()) == before


@pytest.mark.parametrize("name", ["experiment_state", "search_gen_state"])
def test_a_snapshot_that_a_full_disk_cut_off_is_left_out_of_a_resume(workplace: Workplace, name: str) -> None:
    """The ledger knows all trials, and the checkpoints what they came to."""
    workplace.run("--trials", "2", "--set", "search.confirm_seeds=1")
    before = finished(workplace.optuna())
    (snapshot,) = (workplace.folder / "runs" / "ray" / "wine").glob(f"{name}-*.json")
    snapshot.write_bytes(snapshot.read_bytes()[:-100])
    workplace.run("--resume", "--trials", "3", "--set", "search.confirm_seeds=1")
    assert not snapshot.exists()
    workplace.assert_agreement(3)
    assert finished(workplace.optuna()).items() >= before.items()


def test_an_interrupted_search_says_how_to_go_on_also_over_several_n(workplace: Workplace) -> None:
    several = ("--set", "data.keep=[4, 8]", "--set", "search.confirm_seeds=1")
    process = workplace.start(*several)
    workplace.wait_for(lambda trials: len(finished(trials)) >= 1, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "--resume" in err
    assert "Traceback" not in out + err
    parents, _ = workplace.mlflow()
    assert [p.info.status for p in parents] == ["KILLED"]
    result = workplace.run("--resume", *several)
    workplace.assert_agreement(TRIALS)

    in_optuna, ((parent,), children) = workplace.optuna(), workplace.mlflow()
    arms = collections.Counter((t.params["strategy"], t.params["keep"]) for t in in_optuna)
    assert arms == {("stepped", 4): 2, ("markov", 4): 2, ("stepped", 8): 1, ("markov", 8): 1}
    assert {"strategies": result["strategies"], "winner": result["winner"]} == result["keeps"]["4"]
    for keep, part in result["keeps"].items():
        for strategy, entry in part["strategies"].items():
            assert len(entry["selected"]) == entry["config"]["keep"] == int(keep)
            assert entry["trials"] == arms[strategy, int(keep)]
            run = children[entry["trial"]]
            assert (run.info.run_id, run.data.params["keep"]) == (entry["run_id"], keep)
            assert run.data.tags["best"].endswith(f" at n = {keep}")
    files = workplace.folder / "runs" / "mlartifacts" / "wine" / parent.info.run_id / "artifacts"
    assert {"accuracy_against_n.png", "strategies_4.png", "strategies_8.png"} <= {file.name for file in files.iterdir()}


def test_a_killed_worker_costs_no_trial(workplace: Workplace) -> None:
    process = workplace.start()
    workplace.wait_for(lambda trials: len(finished(trials)) >= 1, process)
    found = subprocess.run(["pgrep", "-f", "^ray::ImplicitFunc"], capture_output=True, text=True, check=True)
    mine = [int(pid) for pid in found.stdout.split() if _descends_from(int(pid), process.pid)]
    assert mine
    os.kill(mine[0], signal.SIGKILL)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, out + err
    workplace.assert_agreement(TRIALS)


def test_a_killed_engine_costs_none_of_the_trials_that_it_trains(workplace: Workplace) -> None:
    process = workplace.start("--trials", "48", "--set", "training.batch_size=24", "--set", "training.seeds=8")
    workplace.wait_for(lambda trials: len(finished(trials)) >= 2, process)
    found = subprocess.run(["pgrep", "-f", "^ray::SharedEngine"], capture_output=True, text=True, check=True)
    mine = [int(pid) for pid in found.stdout.split() if _descends_from(int(pid), process.pid)]
    assert mine
    os.kill(mine[0], signal.SIGKILL)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, out + err
    workplace.assert_agreement(48)


def test_a_trial_that_raises_is_recorded_with_its_error(workplace: Workplace) -> None:
    result = workplace.run("--trials", "2", "--set", "network.hidden=[1000000000000]")
    assert (result["failed"], result["winner"]) == (2, None)
    (error,) = result["errors"]
    assert "allocate" in error
    _, children = workplace.mlflow()
    assert [c.info.status for c in children] == ["FAILED"] * 2
    assert {c.data.tags["error"] for c in children} == {error}
    assert {t["status"] for t in workplace.tune()} == {"TERMINATED"}
    files = workplace.folder / "runs" / "mlartifacts" / "wine" / children[0].info.run_id / "artifacts"
    assert "Traceback" in (files / "error.txt").read_text()


def _descends_from(pid: int, ancestor: int) -> bool:
    while pid > 1:
        if pid == ancestor:
            return True
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists():
            return False
        pid = int(stat.read_text().rsplit(")", 1)[1].split()[1])
    return False
