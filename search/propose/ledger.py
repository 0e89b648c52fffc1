"""The ledger of a search: its Optuna study in a storage, found again by `--resume`, `deeppp sync` and `deeppp report`.

Several searches may share a storage, also from the moment in which its tables are made. One process at a time writes
to a search: it holds the lock in the search's folder.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from pruning_core.data import Dataset
from search.propose.private import CONSTRAINT_PREFIX, Told, begun_trial, id_of, ledger_writer
from search.propose.reading import ERROR, as_trial, directions
from search.propose.start import NO_START, Start
from search.propose.storage import open_storage, quiet_optuna, storage_to_read
from search.stores.addresses import Places, without_password
from search.stores.locks import hold
from search.stores.opening import readable, sqlite_file
from search.study import Study, StudyError
from search.trials.checkpoint import search_folder
from search.trials.enough import Curve
from search.trials.overview import NOT_FINITE, last_line
from search.trials.plateau import Ended
from search.trials.trial import Trial

EARLIER_SECONDS = "earlier_seconds"
CURVE = "keep"
START = "start"
PLATEAU = "plateau"


class Ledger:
    """A search's Optuna study, written through to its storage and read from memory.

    Only this process writes to it, so nothing has to be read back: that would be a fifth of what the driver does.

    Args:
        study: in its storage.
        storage: that it lies in.
    """

    def __init__(self, study: optuna.Study, storage: BaseStorage) -> None:
        self.study = study
        self.storage = storage
        self._writer = ledger_writer(storage, study.study_name)

    @cached_property
    def entries(self) -> list[FrozenTrial]:
        """Those in the storage when it is read first, which is to be under the search's lock, and those begun since."""
        return self.study.get_trials()

    @property
    def trials(self) -> list[Trial]:
        """All trials in plain data, by their number."""
        return [as_trial(entry) for entry in self.entries]

    def trial(self, number: int) -> Trial:
        """One of them."""
        return as_trial(self.entries[number])

    @property
    def over(self) -> list[Trial]:
        """The trials that are over, in the order of their ends."""
        over = [entry for entry in self.entries if entry.state.is_finished()]
        return [as_trial(entry) for entry in sorted(over, key=lambda entry: entry.datetime_complete or datetime.max)]

    @property
    def failures(self) -> list[str]:
        """The last line of what each failed trial raised, the latest last."""
        failed = [entry for entry in self.entries if entry.state == TrialState.FAIL]
        return [last_line(entry.user_attrs.get(ERROR, NOT_FINITE)) for entry in failed]

    @property
    def label(self) -> str:
        """The search's name, unique in its storage."""
        return self.study.study_name

    @property
    def earlier_seconds(self) -> float:
        """How long earlier runs of this search took, together."""
        return float(self.study.user_attrs.get(EARLIER_SECONDS, 0.0))

    def add_seconds(self, seconds: float) -> None:
        """Notes how long this run of the search took."""
        self.study.set_user_attr(EARLIER_SECONDS, self.earlier_seconds + seconds)

    @property
    def curve(self) -> Curve | None:
        """The score against n, of a search that has found its n."""
        entry = self.study.user_attrs.get(CURVE)
        return None if entry is None else Curve.read(entry)

    def found_keep(self) -> int:
        """The n that the curve tells.

        Raises:
            StudyError: there is none yet.
        """
        if self.curve is None or self.curve.chosen is None:
            raise StudyError(f"the search {self.label} has not found its n yet: go on with it by --resume")
        return self.curve.chosen.keep

    def note_curve(self, curve: Curve) -> None:
        """Notes from what the search has its n."""
        self.study.set_user_attr(CURVE, curve.as_json())

    @property
    def start(self) -> Start:
        """What the search took over from earlier ones when it was begun."""
        entry = self.study.user_attrs.get(START)
        return NO_START if entry is None else Start.read(entry)

    def note_start(self, start: Start) -> None:
        """Notes what the search takes over."""
        self.study.set_user_attr(START, start.as_json())

    @property
    def plateau(self) -> Ended | None:
        """That the search ended on a plateau, if it did."""
        entry = self.study.user_attrs.get(PLATEAU)
        return None if entry is None else Ended(**entry)

    def note_plateau(self, ended: Ended) -> None:
        """Notes that the search ends on a plateau."""
        self.study.set_user_attr(PLATEAU, asdict(ended))

    def discard(self) -> None:
        """Removes the search from its storage, as if it had never been begun."""
        optuna.delete_study(study_name=self.label, storage=self.storage)

    def begin(self, params: dict[str, Any], distributions: dict[str, BaseDistribution]) -> int:
        """Adds a running trial and returns its number, its place in `trials`."""
        number = len(self.entries)
        trial_id = self._writer.begin(number, params, distributions)
        self.entries.append(begun_trial(number, trial_id, params, distributions))
        return number

    def report(self, number: int, reports: dict[int, float], user_attrs: dict[str, Any]) -> None:
        """Adds to a running trial: epoch -> finite score, of epochs not reported before, and attributes."""
        trial = self.entries[number]
        self._writer.report(id_of(trial), reports, user_attrs)
        trial.intermediate_values.update(reports)
        trial.user_attrs.update(user_attrs)

    def end(self, number: int, told: Told) -> None:
        """Ends a running trial."""
        trial = self.entries[number]
        self._writer.end(id_of(trial), told)
        trial.intermediate_values.update(told.reports)
        trial.user_attrs.update(told.user_attrs)
        trial.system_attrs.update({CONSTRAINT_PREFIX + name: value for name, value in told.constraints.items()})
        trial.state, trial.values, trial.datetime_complete = told.state, told.values or None, datetime.now()


def open_ledger(study: Study, data: Dataset, places: Places, resume: bool) -> Ledger:
    """The ledger of a new search, under the next free label, or of the latest one of the output folder, to be resumed.

    Raises:
        StudyError: nothing to resume, or the study file or its data changed since.
    """
    if path := sqlite_file(places.storage):
        if resume and not path.exists():
            raise StudyError(f"nothing to resume: there is no {path}")
        path.parent.mkdir(parents=True, exist_ok=True)
    store = open_storage(places.storage)
    essence = _essence(study, data)
    names = set(optuna.get_all_study_names(store))
    if resume:
        return _to_be_resumed(study, store, places, essence)
    for label in _labels(study.name, len(names) + 1000):
        if label in names:
            continue
        with contextlib.suppress(optuna.exceptions.DuplicatedStudyError):  # another search was quicker: next label
            created = optuna.create_study(study_name=label, storage=store, directions=directions(study))
            search_folder(places.output, label).mkdir(parents=True, exist_ok=True)
            created.set_metric_names(list(study.search.objectives))
            created.set_user_attr("study", essence)
            return Ledger(created, store)
    where = without_password(places.storage)
    raise StudyError(f"--storage {where} holds too many searches of the study {study.name}")


def _to_be_resumed(study: Study, store: BaseStorage, places: Places, essence: Mapping[str, Any]) -> Ledger:
    names = set(optuna.get_all_study_names(store))
    labels = [label for label in _labels(study.name, len(names)) if label in names]
    mine = [label for label in labels if search_folder(places.output, label).is_dir()]
    if not mine:
        where = without_password(places.storage)
        raise StudyError(f"nothing to resume: {places.output} holds no search of the study {study.name} in {where}")
    found = optuna.load_study(study_name=mine[-1], storage=store)
    before = found.user_attrs.get("study", essence)
    if changed := [_named(key, before.get(key), now) for key, now in essence.items() if _differs(before.get(key), now)]:
        raise StudyError(
            f"cannot resume {mine[-1]}: {', '.join(changed)} changed since it was started; "
            "start a new search without --resume"
        )
    return Ledger(found, store)


def _named(key: str, before: Any, now: Any) -> str:
    """A part of a study; of a network of the user's with the files that hold another text."""
    texts, texts_now = ((of or {}).get("source") or {} if key == "network" else {} for of in (before, now))
    files = [name for name in texts | texts_now if texts.get(name) != texts_now.get(name)]
    return f"{key} ({', '.join(files)})" if files else key


def _differs(before: Any, now: Any) -> bool:
    """Whether a part of a study changed; a key of which an earlier version knew nothing has not."""
    if isinstance(before, dict) and isinstance(now, dict):
        return any(_differs(before[key], value) for key, value in now.items() if key in before) or bool(
            before.keys() - now
        )
    return bool(before != now)


def _labels(name: str, count: int) -> list[str]:
    return [name] + [f"{name}-{k}" for k in range(2, count + 2)]


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
    for key in ("trials", "hours", "plateau", "max_failures"):
        del resolved["search"][key]
    return resolved | {"data fingerprint": data.fingerprint}


@dataclass(frozen=True)
class ReadLedger:
    """A search as its storage tells it: its label, its study (without its data's source) and its trials."""

    label: str
    study: Mapping[str, Any]
    trials: Sequence[Trial]


def read_ledger(name: str, url: str) -> ReadLedger:
    """Reads the ledger of a search without changing anything.

    Args:
        name: of a study, which stands for its latest search, or a search's label such as `quick-2`; `quick-1` is
            the first one.
        url: of the storage.

    Raises:
        StudyError: the storage cannot be read, or holds no such search.
    """
    with quiet_optuna(), readable(url):
        store = storage_to_read(url)
        labels = optuna.get_all_study_names(store)
        first = name.removesuffix("-1")
        numbered = [first, *(f"{name}-{k}" for k in range(2, len(labels) + 2))]
        searches = [optuna.load_study(study_name=label, storage=store) for label in numbered if label in labels]
        of_this_study = [search for search in searches if search.user_attrs.get("study", {}).get("name") == name]
        found = of_this_study[-1] if of_this_study else None
        if found is None and (name in labels or first in labels):
            found = optuna.load_study(study_name=name if name in labels else first, storage=store)
        if found is not None:
            trials = [as_trial(trial) for trial in found.get_trials(deepcopy=False)]
            return ReadLedger(found.study_name, _with_n(found.user_attrs), trials)
    known = f"there are {_some(labels)}" if labels else "it is empty, run a search first"
    raise StudyError(f"there is no study or search {name} in {without_password(url)}: {known}")


def _with_n(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """The study of a search, with the n that was found where it was to be found."""
    study: Mapping[str, Any] = attributes["study"]
    chosen = attributes.get(CURVE, {}).get("chosen")
    return {**study, "data": {**study["data"], "keep": chosen}} if chosen else study


def optuna_study(label: str, url: str) -> optuna.Study:
    """A search as Optuna has it, to be read.

    Args:
        label: of the search.
        url: of its storage.
    """
    with quiet_optuna(), readable(url):
        return optuna.load_study(study_name=label, storage=storage_to_read(url))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
