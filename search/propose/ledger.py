"""The ledger of a search: its Optuna study in a storage, found again by `--resume` and `deeppp sync`.

Several searches may share a storage, also from the moment in which its tables are made. One process at a time writes
to a search: it holds the lock in the search's folder.
"""

import contextlib
import time
import warnings
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from pruning_core.data import Dataset
from search.propose.ledger_writer import CONSTRAINT_PREFIX, Ending, ledger_writer
from search.propose.optuna_trials import directions
from search.stores.addresses import without_password
from search.stores.locks import hold
from search.study import Study, StudyError

JOURNAL = "journal:///"
SECONDS_TO_CONNECT = 10
TRIES = 8
RACING = ("exist", "unique", "duplicate", "no such table", "locked")


class Ledger:
    """A search's Optuna study, written through to its storage and read from memory.

    Only this process writes to it, so nothing has to be read back: that would be a fifth of what the driver does.

    Args:
        study: in its storage.
    """

    def __init__(self, study: optuna.Study) -> None:
        self.study = study
        self._writer = ledger_writer(study)

    @cached_property
    def trials(self) -> list[FrozenTrial]:
        """Those in the storage when it is read first, which is to be under the search's lock, and those begun since."""
        return self.study.get_trials()

    @property
    def label(self) -> str:
        """The search's name, unique in its storage."""
        return self.study.study_name

    def begin(self, params: dict[str, Any], distributions: dict[str, BaseDistribution]) -> int:
        """Adds a running trial and returns its number, its place in `trials`."""
        trial = create_trial(state=TrialState.RUNNING, params=params, distributions=distributions)
        trial.number = len(self.trials)
        trial._trial_id = self._writer.begin(trial.number, params, distributions)
        self.trials.append(trial)
        return trial.number

    def report(self, number: int, reports: dict[int, float], user_attrs: dict[str, Any]) -> None:
        """Adds to a running trial: epoch -> finite pruned accuracy, of epochs not reported before, and attributes."""
        trial = self.trials[number]
        self._writer.report(trial._trial_id, reports, user_attrs)
        trial.intermediate_values.update(reports)
        trial.user_attrs.update(user_attrs)

    def end(self, number: int, ending: Ending) -> None:
        """Ends a running trial."""
        trial = self.trials[number]
        self._writer.end(trial._trial_id, ending)
        trial.intermediate_values.update(ending.reports)
        trial.user_attrs.update(ending.user_attrs)
        trial.system_attrs.update({CONSTRAINT_PREFIX + name: value for name, value in ending.constraints.items()})
        trial.state, trial.values, trial.datetime_complete = ending.state, ending.values or None, datetime.now()


def open_storage(url: str) -> BaseStorage:
    """The Optuna storage at a URL of SQLAlchemy, or at `journal:///PATH` for Optuna's journal file.

    Raises:
        StudyError: it cannot be used, or does not answer within seconds.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.logging.disable_default_handler()
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    shown = without_password(f"--storage {url}")
    try:
        if url.startswith(JOURNAL):
            path = Path("/" + url.removeprefix(JOURNAL))
            path.parent.mkdir(parents=True, exist_ok=True)
            return JournalStorage(JournalFileBackend(str(path)))
        dialect = make_url(url).get_backend_name()
        timeout = {"sqlite": {"timeout": 60}, "postgresql": {"connect_timeout": SECONDS_TO_CONNECT}}.get(dialect, {})
        return _open_tables(url, {"connect_args": timeout, "pool_pre_ping": True})
    except (SQLAlchemyError, ImportError, OSError, ValueError) as error:
        reason = " ".join(str(error).split("[SQL:")[0].split())
        raise StudyError(without_password(f"{shown} cannot be used: {reason}")) from None


def _open_tables(url: str, engine: dict[str, Any]) -> RDBStorage:
    """Opens a database; where another search is just making its tables, the one that comes second tries again."""
    for attempt in range(TRIES):
        try:
            return RDBStorage(url, engine_kwargs=engine)
        except (SQLAlchemyError, RuntimeError) as error:
            if attempt == TRIES - 1 or not any(sign in str(error).lower() for sign in RACING):
                raise
            time.sleep(0.25 * (attempt + 1))
    raise AssertionError


def open_ledger(study: Study, data: Dataset, storage_url: str, output: Path, resume: bool) -> Ledger:
    """The ledger of a new search, under the next free label, or of the latest one of `output`, to be resumed.

    Raises:
        StudyError: nothing to resume, or the study file or its data changed since.
    """
    if storage_url.startswith("sqlite:///"):
        path = Path(storage_url.removeprefix("sqlite:///"))
        if resume and not path.exists():
            raise StudyError(f"nothing to resume: there is no {path}")
        path.parent.mkdir(parents=True, exist_ok=True)
    store = open_storage(storage_url)
    essence = _essence(study, data)
    names = set(optuna.get_all_study_names(store))
    if resume:
        labels = [label for label in _labels(study.name, len(names)) if label in names]
        mine = [label for label in labels if search_folder(output, label).is_dir()]
        if not mine:
            where = without_password(storage_url)
            raise StudyError(f"nothing to resume: {output} holds no search of the study {study.name} in {where}")
        found = optuna.load_study(study_name=mine[-1], storage=store)
        before = found.user_attrs.get("study", essence)
        if changed := [key for key, value in essence.items() if before.get(key) != value]:
            raise StudyError(
                f"cannot resume {mine[-1]}: {', '.join(changed)} changed since it was started; "
                "start a new search without --resume"
            )
        return Ledger(found)
    for label in _labels(study.name, len(names) + 1000):
        if label in names:
            continue
        with contextlib.suppress(optuna.exceptions.DuplicatedStudyError):  # another search was quicker: next label
            created = optuna.create_study(study_name=label, storage=store, directions=directions(study))
            search_folder(output, label).mkdir(parents=True, exist_ok=True)
            created.set_user_attr("study", essence)
            return Ledger(created)
    raise StudyError(f"--storage {without_password(storage_url)} holds too many searches of the study {study.name}")


def _labels(name: str, count: int) -> list[str]:
    return [name] + [f"{name}-{k}" for k in range(2, count + 2)]


def search_folder(output: Path, label: str) -> Path:
    """Where a search keeps its trials, as a Tune experiment."""
    return output / "ray" / label


def lock(folder: Path) -> IO[str]:
    """Holds the search in a folder until the returned file is closed, or the process ends in whatever way.

    Raises:
        StudyError: another process holds it.
    """
    try:
        return hold(folder / "lock", wait=False)
    except BlockingIOError:
        raise StudyError(f"the search {folder.name} in {folder.parent.parent} is running in another process") from None


def _essence(study: Study, data: Dataset) -> dict[str, Any]:
    """What must be the same when a search is resumed: not its length, its resources, nor where its data lie."""
    resolved = study.model_dump(mode="json")
    del resolved["resources"], resolved["data"]["source"]
    del resolved["search"]["trials"], resolved["search"]["max_failures"]
    return resolved | {"data fingerprint": data.fingerprint}
