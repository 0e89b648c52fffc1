"""The ledger: storages that several searches open at once, labels, the lock, and what is read back."""

import subprocess
import sys
from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from pruning_core.data import Dataset
from pruning_core.hyperparameters import Range
from search.propose.ledger import Ledger, lock, open_ledger, read_ledger
from search.propose.private import Told
from search.propose.storage import open_storage
from search.stores.addresses import Places
from search.study import Study, StudyError
from search.trials.checkpoint import search_folder
from search.trials.enough import Curve, Point

RACE = """
import sys, time
from pathlib import Path
from optuna.study import StudyDirection
from search.propose.storage import open_storage
from search.record.tracking import Tracking
folder = Path(sys.argv[1])
(folder / f"ready-{sys.argv[2]}").touch()
while len(list(folder.glob("ready-*"))) < 3:
    time.sleep(0.001)
for k in range(4):
    open_storage(f"sqlite:///{folder}/{k}.db").create_new_study([StudyDirection.MAXIMIZE], f"study-{sys.argv[2]}")
Tracking(f"sqlite:///{folder}/mlflow.db", "shared", folder)
"""


def a_study(**changes: object) -> Study:
    return Study.model_validate({"name": "s", "data": {"source": "digits", "keep": 3}, **changes})


def test_searches_may_make_a_storage_and_an_experiment_at_the_same_moment(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", RACE, str(tmp_path), str(k)], stderr=subprocess.PIPE, text=True)
        for k in range(3)
    ]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], "".join(errors)
    for k in range(4):
        studies = open_storage(f"sqlite:///{tmp_path}/{k}.db").get_all_studies()
        assert sorted(study.study_name for study in studies) == ["study-0", "study-1", "study-2"]


@pytest.mark.parametrize("storage", ["sqlite:///{}/shared.db", "journal:///{}/shared.log"])
def test_every_search_in_a_shared_storage_has_its_label_and_resumes_its_own(
    storage: str, tmp_path: Path, data: Dataset
) -> None:
    mine, yours, nobody = (Places(tmp_path / name, storage.format(tmp_path), "") for name in ("mine", "yours", "none"))
    labels = [open_ledger(a_study(), data, place, resume=False).label for place in (mine, yours, mine)]
    assert labels == ["s", "s-2", "s-3"]
    assert open_ledger(a_study(), data, yours, resume=True).label == "s-2"
    assert open_ledger(a_study(), data, mine, resume=True).label == "s-3"
    longer = a_study(search={"trials": 90, "max_failures": 1}, resources={"cpu": 2})
    assert open_ledger(longer, data, mine, resume=True).label == "s-3"
    with pytest.raises(StudyError, match="cannot resume s-3: strategies changed"):
        open_ledger(a_study(strategies=["markov"]), data, mine, resume=True)
    with pytest.raises(StudyError, match="nothing to resume"):
        open_ledger(a_study(), data, nobody, resume=True)


@pytest.fixture
def ledger(tmp_path: Path, data: Dataset) -> Ledger:
    """Of a search in `tmp_path` with a trial that ended, one that failed and one on its way."""
    ledger = open_ledger(a_study(), data, places_in(tmp_path), resume=False)
    for _ in range(3):
        ledger.begin(
            {"strategy": "stepped", "growth": 2.0},
            {"strategy": CategoricalDistribution(["stepped"]), "growth": FloatDistribution(1.5, 3, log=True)},
        )
    ledger.end(0, Told(TrialState.COMPLETE, [0.9], {8: 0.8, 16: 0.9}, {"epochs_run": 16}, {"incomplete": 0.25}))
    ledger.end(1, Told(TrialState.FAIL, user_attrs={"error": "Traceback ...\nRuntimeError: no memory"}))
    ledger.report(2, {8: 0.7}, {})
    return ledger


def places_in(folder: Path) -> Places:
    return Places(folder, f"sqlite:///{folder / 'optuna.db'}", "")


def test_a_ledger_is_read_back_as_plain_trials(ledger: Ledger, tmp_path: Path, data: Dataset) -> None:
    ended, failed, running = ledger.trials
    assert (ended.ending, ended.score, ended.complete, ended.epochs_run) == ("ended", 0.9, 0.75, 16)
    assert ended.searched == {"growth": Range(1.5, 3, log=True)}
    assert (failed.ending, failed.complete, running.ending, running.score) == ("failed", 0.0, None, 0.7)
    assert ledger.failures == ["RuntimeError: no memory"]
    assert [ledger.trial(number) for number in range(3)] == ledger.trials
    read = read_ledger("s", places_in(tmp_path).storage)
    assert (read.label, list(read.trials), read.study["name"]) == ("s", ledger.trials, "s")
    assert open_ledger(a_study(), data, places_in(tmp_path), resume=True).trials == ledger.trials


def test_the_time_of_all_runs_of_a_search_adds_up(ledger: Ledger, tmp_path: Path, data: Dataset) -> None:
    assert ledger.earlier_seconds == 0
    ledger.add_seconds(2)
    again = open_ledger(a_study(), data, places_in(tmp_path), resume=True)
    again.add_seconds(3)
    assert again.earlier_seconds == 5


def test_a_discarded_search_leaves_its_label_free(ledger: Ledger, tmp_path: Path, data: Dataset) -> None:
    ledger.discard()
    with pytest.raises(StudyError, match="there is no study or search s in"):
        read_ledger("s", places_in(tmp_path).storage)
    assert open_ledger(a_study(), data, places_in(tmp_path), resume=False).label == "s"


def test_reading_changes_nothing(ledger: Ledger, tmp_path: Path) -> None:
    before = (tmp_path / "optuna.db").read_bytes()
    read_ledger("s", places_in(tmp_path).storage)
    with pytest.raises(StudyError, match=r"there is no study or search unknown in .*: there are s"):
        read_ledger("unknown", places_in(tmp_path).storage)
    assert (tmp_path / "optuna.db").read_bytes() == before


def test_a_search_of_a_version_that_knew_fewer_keys_is_resumed(tmp_path: Path, data: Dataset) -> None:
    where = Places(tmp_path, f"sqlite:///{tmp_path}/optuna.db", "")
    ledger = open_ledger(a_study(), data, where, resume=False)
    essence = ledger.study.user_attrs["study"]
    del essence["data"]["cut"], essence["search"]["objective"]
    ledger.study.set_user_attr("study", essence)
    assert open_ledger(a_study(), data, where, resume=True).label == "s"
    with pytest.raises(StudyError, match="cannot resume s: training changed"):
        open_ledger(a_study(training={"epochs": 7}), data, where, resume=True)


def test_a_search_is_run_by_one_process_at_a_time(tmp_path: Path) -> None:
    folder = search_folder(tmp_path, "s")
    folder.mkdir(parents=True)
    with lock(folder), pytest.raises(StudyError, match=f"the search s in {tmp_path} is running"):
        lock(folder)
    lock(folder).close()


@pytest.mark.parametrize("url", ["nonsense", "nonsense://x", "sqlite:////proc/no/such.db", "oracle://h/x"])
def test_a_storage_that_cannot_be_used_is_named(url: str) -> None:
    with pytest.raises(StudyError, match=f"--storage {url} cannot be used: "):
        open_storage(url)


def test_n_is_found_once_and_read_back_with_the_study(data: Dataset, tmp_path: Path) -> None:
    study = a_study(data={"source": "digits", "keep": "auto"})
    where = Places(tmp_path, f"sqlite:///{tmp_path}/optuna.db", "")
    ledger = open_ledger(study, data, where, resume=False)
    assert ledger.curve is None
    with pytest.raises(StudyError, match="the search s has not found its n yet: go on with it by --resume"):
        ledger.found_keep()
    ledger.note_curve(Curve((Point(2, 0.7, 0.01, 1, 2, {}), Point(5, 0.9, 0.01, 1, 5, {"strategy": "stepped"}))))
    again = open_ledger(study, data, where, resume=True)
    assert (again.found_keep(), again.curve) == (5, ledger.curve)
    assert read_ledger("s", where.storage).study["data"]["keep"] == 5
