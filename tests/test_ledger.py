"""The ledger: storages that several searches open at once, labels, the lock."""

import subprocess
import sys
from pathlib import Path

import pytest

from pruning_core.data import Dataset
from search.propose.ledger import lock, open_ledger, open_storage, search_folder
from search.study import Study, StudyError

RACE = """
import sys, time
from pathlib import Path
from optuna.study import StudyDirection
from search.propose.ledger import open_storage
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
    url, mine, yours = storage.format(tmp_path), tmp_path / "mine", tmp_path / "yours"
    labels = [open_ledger(a_study(), data, url, output, resume=False).label for output in (mine, yours, mine)]
    assert labels == ["s", "s-2", "s-3"]
    assert open_ledger(a_study(), data, url, yours, resume=True).label == "s-2"
    assert open_ledger(a_study(), data, url, mine, resume=True).label == "s-3"
    longer = a_study(search={"trials": 90, "max_failures": 1}, resources={"cpu": 2})
    assert open_ledger(longer, data, url, mine, resume=True).label == "s-3"
    with pytest.raises(StudyError, match="cannot resume s-3: strategies changed"):
        open_ledger(a_study(strategies=["markov"]), data, url, mine, resume=True)
    with pytest.raises(StudyError, match="nothing to resume"):
        open_ledger(a_study(), data, url, tmp_path / "nobody", resume=True)


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
