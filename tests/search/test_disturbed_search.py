"""Searches that are killed, interrupted, or lose a worker: what was done is kept, and they go on to the same end."""

import collections
import os
import signal
import subprocess
from pathlib import Path

import pytest
from optuna.trial import TrialState
from workplace import TRIALS, Workplace, a_workplace, finished

pytestmark = pytest.mark.slow


@pytest.fixture
def workplace(tmp_path: Path, empty_store: Path) -> Workplace:
    return a_workplace(tmp_path, empty_store)


def garble_tunes_files(folder: Path) -> None:
    """What a power cut or a full disk may do to the files that Tune keeps for itself."""
    ours = {"lock", "search.json"}
    files = [path for path in folder.iterdir() if path.is_file() and path.name not in ours]
    assert any(path.name.startswith("experiment_state-") for path in files)
    for path in files:
        path.write_bytes(path.read_bytes()[:-100] + b"garbled")


def test_a_killed_worker_costs_no_trial_and_a_killed_search_goes_on_elsewhere_from_its_own_files(
    workplace: Workplace,
) -> None:
    process = workplace.start()
    workplace.wait_for(lambda trials: len(finished(trials)) >= 1, process)
    kill_one("ImplicitFunc", process)
    workplace.wait_for(lambda trials: len(finished(trials)) >= 3, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = finished(workplace.optuna())
    assert 3 <= len(before) < TRIALS
    assert {trial.state for trial in before.values()} <= {TrialState.COMPLETE, TrialState.PRUNED}
    left = {number: workplace.left_by(number) for number in before}
    garble_tunes_files(workplace.search_folder)
    at_first, workplace.folder = workplace.folder, workplace.folder.with_name("moved, größe")
    at_first.rename(workplace.folder)

    result = workplace.run("--resume", "--trials", str(TRIALS + 2))
    assert not at_first.exists()
    assert {number: workplace.left_by(number) for number in before} == left, "finished trials were trained again"
    assert (result["trials"], result["failed"]) == (TRIALS + 2, 0)
    workplace.assert_agreement(TRIALS + 2)
    after = finished(workplace.optuna())
    for number, trial in before.items():
        assert (after[number].value, after[number].params) == (trial.value, trial.params)
        assert after[number].datetime_complete == trial.datetime_complete


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
    assert {"strategies", "winner", "selection"} == result["keeps"]["4"].keys()
    assert {key: result[key] for key in result["keeps"]["4"]} == result["keeps"]["4"]
    for keep, part in result["keeps"].items():
        for strategy, entry in part["strategies"].items():
            assert len(entry["selected"]) == entry["config"]["keep"] == int(keep)
            assert entry["trials"] == arms[strategy, int(keep)]
            run = children[entry["trial"]]
            assert (run.info.run_id, run.data.params["keep"]) == (entry["run_id"], keep)
            assert run.data.tags["best"].endswith(f" at n = {keep}")
    files = workplace.artifacts(parent)
    assert {"accuracy_against_n.png", "strategies_4.png", "strategies_8.png"} <= {file.name for file in files.iterdir()}


@pytest.mark.long
def test_a_killed_engine_costs_none_of_the_trials_that_it_trains(workplace: Workplace) -> None:
    process = workplace.start("--trials", "48", "--set", "training.batch_size=24", "--set", "training.seeds=8")
    workplace.wait_for(lambda trials: len(finished(trials)) >= 2, process)
    kill_one("SharedEngine", process)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, out + err
    workplace.assert_agreement(48)


def kill_one(role: str, process: subprocess.Popen[str]) -> None:
    """Kills a worker of a search."""
    found = subprocess.run(["pgrep", "-f", f"^ray::{role}"], capture_output=True, text=True, check=True)
    mine = [int(pid) for pid in found.stdout.split() if _descends_from(int(pid), process.pid)]
    assert mine
    os.kill(mine[0], signal.SIGKILL)


def _descends_from(pid: int, ancestor: int) -> bool:
    while pid > 1:
        if pid == ancestor:
            return True
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists():
            return False
        pid = int(stat.read_text().rsplit(")", 1)[1].split()[1])
    return False
