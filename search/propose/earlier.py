"""What earlier searches of a storage give to a new one: `search.start_from`."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pruning_core.config import ARGUMENT
from pruning_core.data import Dataset
from search.propose.ledger import ReadLedger, read_ledger
from search.propose.start import Observed, Start, Taken
from search.stores.addresses import Places
from search.stores.opening import existing_store
from search.study import Study, StudyError
from search.study.entries import is_argument, searchable
from search.study.space import Point
from search.trials.checkpoint import search_folder
from search.trials.ranking import Merit, merit_of, merit_of_confirmed
from search.trials.result import by_keep, saved_result
from search.trials.trial import Trial

POINTS = 3
"""How many points of each earlier search an arm tries."""


def find_start(study: Study, data: Dataset, places: Places) -> Start:
    """What a study takes over from the searches that `search.start_from` names.

    Of each of them an arm takes the point of its strategy's confirmed best and the two next best complete ones, those
    with its own n if there are any, and all trials that would be the very same here, down to the data.

    Args:
        study: the study file; where it is to find its n, no trial is the same.
        data: that it searches on.
        places: where the searches are: their storage, and the folder in which they left what they came to.

    Raises:
        StudyError: there is no such search.
    """
    searches = {search.label: search for name in study.search.start_from for search in [_read(name, study, places)]}
    points: dict[str, list[Point]] = {}
    observed: dict[str, list[Observed]] = {}
    merits: dict[str, Merit] = {}
    taken = {label: Taken(0, 0) for label in searches}
    for arm, fixed in study.arms.items():
        good = [(rank, trial, search) for search in searches.values() for rank, trial in search.good(study, fixed)]
        for _, trial, search in sorted(good, key=lambda each: (-each[0], each[2].merit(each[1])), reverse=True):
            point = study.varied.nearest(str(fixed["strategy"]), search.values(trial)) | fixed
            if point not in points.setdefault(arm, []):
                points[arm].append(point)
                taken[search.label] += Taken(1, 0)
            merits.setdefault(arm, search.merit(trial))
        for search in searches.values():
            if same := search.same_trials(study, data, fixed):
                observed.setdefault(arm, []).extend(same)
                taken[search.label] += Taken(0, len(same))
    best_first = sorted(points, key=lambda arm: merits[arm], reverse=True)
    return Start({arm: points[arm] for arm in best_first}, observed, taken)


def _read(name: str, study: Study, places: Places) -> "_Earlier":
    try:
        ledger = read_ledger(name, existing_store(places.storage, places.output, "optuna.db"))
    except StudyError as error:
        named = ", ".join(study.search.start_from)
        raise StudyError(f"search.start_from = [{named}] must name earlier searches: {error}") from None
    return _Earlier(ledger, saved_result(search_folder(places.output, ledger.label))[0])


@dataclass(frozen=True)
class _Earlier:
    """An earlier search: its ledger, and what it came to, as far as it did."""

    ledger: ReadLedger
    result: Mapping[str, Any]

    @property
    def label(self) -> str:
        return self.ledger.label

    @cached_property
    def confirmed(self) -> dict[int, Merit]:
        """How good the confirmed trials are with their fresh seeds, by number."""
        return {
            entry["trial"]: merit_of_confirmed(entry)
            for part in by_keep(self.result).values()
            for entry in (part.get("strategies") or {}).values()
        }

    def merit(self, trial: Trial) -> Merit:
        """How good a trial is: with fresh seeds if it has been confirmed, else with its own."""
        return self.confirmed.get(trial.number, merit_of(trial))

    def good(self, study: Study, fixed: Point) -> list[tuple[int, Trial]]:
        """What an arm can take, the best first, with its rank: the confirmed best, then others that completed."""
        complete = [trial for trial in self.ledger.trials if trial.strategy == fixed["strategy"] and trial.completed]
        of_this_n = [trial for trial in complete if self.keep(trial) == _keep(study, fixed)]
        best = sorted(
            of_this_n or complete, key=lambda trial: (trial.number in self.confirmed, self.merit(trial)), reverse=True
        )
        return list(enumerate(best[:POINTS]))

    def keep(self, trial: Trial) -> Any:
        """n of a trial; None where its network said it."""
        return trial.params.get("keep", self.ledger.study["data"]["keep"])

    def values(self, trial: Trial) -> dict[str, Any]:
        """What a trial had, but for defaults: what its study said, under what was searched."""
        study = self.ledger.study
        arguments = {f"{ARGUMENT}{name}": value for name, value in study["network"].get("arguments", {}).items()}
        fixed = {name: entry for name, entry in study["space"].items() if not isinstance(entry, Mapping)}
        said = {**study["training"], **arguments, **fixed, **trial.params}
        return {n: v for n, v in said.items() if v is not None and (n in searchable() or is_argument(n))}

    def same_trials(self, study: Study, data: Dataset, fixed: Point) -> list[Observed]:
        """Its trials of an arm that would be the very same in a study: same data, same task, same hyperparameters."""
        if study.data.auto or not self._same_task(study, data):
            return []
        strategy, found = str(fixed["strategy"]), []
        bare = study.model_copy(update={"space": {}})
        for trial in self.ledger.trials:
            if trial.strategy != strategy or self.keep(trial) != _keep(study, fixed):
                continue
            if trial.ending not in ("ended", "stopped") or trial.score is None:
                continue
            point = study.varied.nearest(strategy, self.values(trial)) | fixed
            with suppress(StudyError):  # what it had is no longer allowed
                config = bare.trial_config({**self.values(trial), **fixed})
                if config.used() == study.trial_config(point).used():
                    found.append(Observed.of(trial, point))
        return found

    def _same_task(self, study: Study, data: Dataset) -> bool:
        """Whether it was of the same data, network and training, and for the same objective."""
        here, there = study.model_dump(mode="json"), self.ledger.study
        parts: Sequence[tuple[str, tuple[str, ...]]] = (
            ("network", tuple(here["network"])),
            ("training", tuple(here["training"])),
            ("search", ("objective", "signal_efficiency")),
            ("data", ("class_weight",)),
        )
        same = (key in there[part] and here[part][key] == there[part][key] for part, keys in parts for key in keys)
        return there.get("data fingerprint") == data.fingerprint and all(same)


def _keep(study: Study, fixed: Point) -> Any:
    """n of an arm."""
    return fixed.get("keep", study.data.keeps[0])
