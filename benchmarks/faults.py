"""Rounds of SIGKILL to a worker, to the driver and to the MLflow server of a search, at a random moment each.

    python benchmarks/faults.py [--rounds 20,10,5] [--seed 0] [--folder DIR]

Every round is a search of its own. It must end complete, and Optuna, the search's folder and MLflow must agree on every
trial: its number, its state, its value, and one point per epoch of its curves. A killed driver is followed by
`--resume`, a killed server is started again after 20 s. Prints a Markdown table; exits with 1 if a round failed.
"""

import argparse
import json
import math
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from mlflow.tracking import MlflowClient
from optuna.trial import TrialState

TRIALS = 8
SERVER_AWAY = 20.0
LONGEST_ROUND = 600.0
STUDY = f"""
name: wine
data: {{source: wine, keep: 4}}
training: {{epochs: 40, seeds: 2}}
strategies: [stepped, markov]
search: {{trials: {TRIALS}, confirm_seeds: 2}}
"""
IN_MLFLOW = {TrialState.COMPLETE: "FINISHED", TrialState.PRUNED: "KILLED", TrialState.FAIL: "FAILED"}


def disagreements(output: Path, tracking_uri: str, trials: int, storage: str | None = None) -> list[str]:
    """What is wrong with a finished search, the only one in `output`; empty if nothing is.

    Args:
        output: the folder of the search.
        tracking_uri: of MLflow.
        trials: how many trials the search should have.
        storage: of Optuna; None stands for `output`/optuna.db.
    """
    (folder,) = (output / "ray").iterdir()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    in_optuna = optuna.load_study(
        study_name=folder.name, storage=storage or f"sqlite:///{output / 'optuna.db'}"
    ).get_trials()
    client = MlflowClient(tracking_uri)
    experiments = [e.experiment_id for e in client.search_experiments()]
    runs = client.search_runs(experiments, max_results=1000)
    (parent,) = (r for r in runs if r.data.tags.get("deeppp.output") == str(output.resolve()))
    in_mlflow = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id]

    wrong = []
    expected = list(range(trials))
    for store, numbers in {
        "Optuna": [t.number for t in in_optuna],
        "the search's folder": sorted(int(path.name.removeprefix("trial_")) for path in folder.glob("trial_*")),
        "MLflow": sorted(int(r.data.tags["trial"]) for r in in_mlflow),
    }.items():
        if numbers != expected:
            wrong.append(f"{store} has the trials {numbers}")
    if wrong:
        return wrong
    if parent.info.status != "FINISHED":
        wrong.append(f"the search is {parent.info.status} in MLflow")
    runs_by_number = {int(r.data.tags["trial"]): r for r in in_mlflow}
    for trial in in_optuna:
        run = runs_by_number[trial.number]
        if run.info.status != IN_MLFLOW.get(trial.state):
            wrong.append(f"trial {trial.number} is {trial.state.name} in Optuna and {run.info.status} in MLflow")
            continue
        last = max(trial.intermediate_values)
        value = trial.intermediate_values[last] if trial.value is None else trial.value
        checkpoint = max(folder.glob(f"trial_{trial.number:05d}/checkpoint_*"))
        on_disk = json.loads((checkpoint / "trial.json").read_text())
        history = client.get_metric_history(run.info.run_id, "pruned_accuracy")
        steps = [point.step for point in history]
        values = (on_disk["pruned_accuracy"]["mean"], run.data.metrics["pruned_accuracy"])
        if not all(math.isclose(value, other, abs_tol=1e-6) for other in values):
            wrong.append(f"trial {trial.number} has {value} in Optuna, {values} on disk and in MLflow")
        if len(set(steps)) != len(steps) or max(steps) != on_disk["epochs_run"] or last != on_disk["epochs_run"]:
            wrong.append(f"trial {trial.number} has the epochs {steps} in MLflow, {last} of {on_disk['epochs_run']}")
    return wrong


class Server:
    """An MLflow server on SQLite in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        stores = [
            "--backend-store-uri",
            f"sqlite:///{self.folder}/mlflow.db",
            "--artifacts-destination",
            str(self.folder),
        ]
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", "--port", str(self.port), "--workers", "1", *stores],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            )
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.2)
        raise RuntimeError("the MLflow server does not start")

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass
class Search:
    """A search in a folder of its own, as a process."""

    folder: Path
    server: Server | None = None
    log: list[str] = field(default_factory=list)

    @property
    def output(self) -> Path:
        return self.folder / "runs"

    @property
    def uri(self) -> str:
        return self.server.uri if self.server else f"sqlite:///{self.output / 'mlflow.db'}"

    def start(self, *arguments: str, command: str = "search") -> subprocess.Popen[str]:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "wine.yaml").write_text(STUDY)
        server = ["--tracking-uri", self.uri] if self.server else []
        return subprocess.Popen(
            [sys.executable, "-m", "search", command, "wine.yaml", *server, *arguments],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self, process: subprocess.Popen[str]) -> None:
        """Waits for a process to end well.

        Raises:
            RuntimeError: it failed, or takes too long.
        """
        try:
            out, _ = process.communicate(timeout=LONGEST_ROUND)
        except subprocess.TimeoutExpired:
            process.kill()
            out, _ = process.communicate()
            out += f"\nstill running after {LONGEST_ROUND:.0f} s"
        self.log.append(out)
        if process.returncode != 0:
            raise RuntimeError(f"exit status {process.returncode}")

    def wait_for_trials(self, process: subprocess.Popen[str]) -> None:
        """Until the first trial's folder is there."""
        while not list(self.output.glob("ray/wine/trial_*")):
            if process.poll() is not None:
                raise RuntimeError("the search ended before its first trial")
            time.sleep(0.05)


def workers(driver: int) -> list[int]:
    """The processes in which a driver's trials are trained."""
    processes = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True)
    parents, found = {}, []
    for line in processes.stdout.splitlines()[1:]:
        pid, parent, arguments = line.split(None, 2)
        parents[int(pid)] = int(parent)
        if arguments.startswith(("ray::ImplicitFunc", "ray::SharedEngine")):
            found.append(int(pid))

    def descends(pid: int) -> bool:
        while pid > 1 and pid != driver:
            pid = parents.get(pid, 0)
        return pid == driver

    return [pid for pid in found if descends(pid)]


class TooLateError(Exception):
    """The search was over before the fault came."""


def kill_worker(search: Search, moment: float) -> None:
    process = search.start()
    search.wait_for_trials(process)
    time.sleep(moment)
    while not (victims := workers(process.pid)) and process.poll() is None:
        time.sleep(0.1)  # the first ones are just starting, or it is the end
    if victims:
        os.kill(random.choice(victims), signal.SIGKILL)
    search.finish(process)
    if not victims:
        raise TooLateError


def kill_driver(search: Search, moment: float) -> None:
    process = search.start()
    search.wait_for_trials(process)
    time.sleep(moment)
    if process.poll() is not None:
        raise TooLateError
    process.kill()
    search.log.append(process.communicate()[0])
    search.finish(search.start("--resume"))


def kill_server(search: Search, moment: float) -> None:
    search.server = Server(search.folder / "server")
    process = search.start()
    search.wait_for_trials(process)
    time.sleep(moment)
    if process.poll() is not None:
        raise TooLateError
    search.server.kill()
    time.sleep(SERVER_AWAY)
    search.server.start()
    search.finish(process)
    if "deeppp sync" in search.log[-1]:
        search.finish(search.start(command="sync"))


FAULTS: dict[str, Callable[[Search, float], None]] = {
    "a worker": kill_worker,
    "the driver, then `--resume`": kill_driver,
    "the MLflow server, back after 20 s": kill_server,
}


def training_seconds(search: Search) -> float:
    """From the start of the first trial to the end of the last one."""
    trials = optuna.load_study(study_name="wine", storage=f"sqlite:///{search.output / 'optuna.db'}").get_trials()
    starts, ends = [t.datetime_start for t in trials], [t.datetime_complete for t in trials]
    return (max(filter(None, ends)) - min(filter(None, starts))).total_seconds()


def rounds(name: str, count: int, folder: Path, span: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Carries out the rounds of one kind of fault; returns a row of the table."""
    row: dict[str, Any] = {"fault": name, "rounds": 0, "good": 0, "seconds": []}
    attempt = 0
    while row["rounds"] < count:
        attempt += 1
        search = Search(folder / f"{attempt:02d}")
        moment, began = random.uniform(0, span), time.monotonic()
        try:
            FAULTS[name](search, moment)
            problems = disagreements(search.output, search.uri, TRIALS)
        except TooLateError:
            continue
        except RuntimeError as error:
            problems = [str(error)]
        finally:
            if search.server:
                search.server.kill()
            (search.folder / "log").write_text("\n----\n".join(search.log))
        row["rounds"] += 1
        row["good"] += not problems
        row["seconds"].append(time.monotonic() - began)
        verdict = "; ".join(problems) or "all agree"
        seconds = row["seconds"][-1]
        say(f"{name}, round {row['rounds']} ({attempt}): after {moment:.1f} s, {seconds:.0f} s in all, {verdict}")
    return row


def main() -> int:
    """The rounds and their table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", default="20,10,5", help="of a worker, the driver, the server (default 20,10,5)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    parser.add_argument("--folder", type=Path, help="kept afterwards (default: a temporary one)")
    options = parser.parse_args()
    counts = [int(count) for count in options.rounds.split(",")]
    random.seed(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        undisturbed = Search(folder / "undisturbed")
        process = undisturbed.start()
        undisturbed.wait_for_trials(process)
        undisturbed.finish(process)
        span = training_seconds(undisturbed)
        print(f"undisturbed, {TRIALS} trials train for {span:.0f} s", file=sys.stderr)
        rows = [
            rounds(name, count, folder / str(k), span, lambda line: print(line, file=sys.stderr, flush=True))
            for k, (name, count) in enumerate(zip(FAULTS, counts, strict=True))
        ]
    print("| SIGKILL to | rounds | complete, all three agree | seconds a round |\n| --- | --- | --- | --- |")
    for row in rows:
        seconds = sum(row["seconds"]) / max(1, len(row["seconds"]))
        print(f"| {row['fault']} | {row['rounds']} | {row['good']} | {seconds:.0f} |")
    return int(any(row["good"] < row["rounds"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
