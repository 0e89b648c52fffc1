"""A search from beginning to end: opens, proposes and trains, confirms, records. The order of things, nothing else.

What a search has done so far lies in its Optuna study (the ledger) and in the folders of its trials; `resume` goes on
from there after an interruption of any kind, and `sync_study` logs from there what MLflow has missed. The libraries
are imported while Ray starts, which takes as long.
"""

import gc
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pruning_core.data import Dataset
from search.record import settings as record_settings
from search.stores.addresses import Places, Stored, cache_folder, places, without_password
from search.stores.process import process_settings
from search.study import Study, StudyError, load_study
from search.study.files import read_study
from search.study.sections import AUTO
from search.study.trying import on, with_some_n
from search.train import settings as train_settings
from search.trials.defaults import default_trial
from search.trials.trial import SearchEnding, Trial
from search.trials.watcher import Watcher

if TYPE_CHECKING:
    from search.propose.ledger import Ledger
    from search.record.recorder import Recorder
    from search.result import SearchResult
    from search.train.confirmation import Confirmed
    from search.trials.kept import KeptNetworks


class Stopped(Exception):  # noqa: N818
    """The search ended early; everything so far is saved. `label` names it, `reason` says why ("" after SIGINT)."""

    def __init__(self, label: str, reason: str = "") -> None:
        super().__init__(label, reason)
        self.label = label
        self.reason = reason


@contextmanager
def settings() -> Iterator[None]:
    """What Ray and MLflow need of the process, for as long as the context lasts."""
    environment = train_settings.ENVIRONMENT | record_settings.ENVIRONMENT
    with process_settings(environment, [*train_settings.QUIET_LOGGERS, *record_settings.QUIET_LOGGERS]):
        yield


def run_study(
    study: Study | Mapping[str, Any] | Path | str,
    data: Dataset | None = None,
    *,
    output: Path | str = "runs",
    trials: int | None = None,
    storage: str | None = None,
    tracking_uri: str | None = None,
    address: str | None = None,
    resume: bool = False,
    progress: bool = True,
) -> "SearchResult":
    """Carries out a study.

    Parameters
    ----------
    study : Study, mapping, Path or str
        A study, what stands in a study file, or the path of one.
    data : Dataset, optional
        In place of what `data.source` names. Its parts stay what they are unless `training.folds` is a number.
    output : Path or str, default="runs"
        The folder of the results, which is made if need be.
    trials : int, optional
        In place of `search.trials`.
    storage : str, optional
        Of Optuna; None stands for a database in `output`.
    tracking_uri : str, optional
        Of MLflow; None stands for `MLFLOW_TRACKING_URI`, else a database in `output`.
    address : str, optional
        Of a running Ray cluster; None starts Ray on this machine.
    resume : bool, default=False
        Go on with the latest search of this study in `output`.
    progress : bool, default=True
        Show how the search goes; warnings are logged to the logger `deeppp` where it is off.

    Raises
    ------
    StudyError
        The study cannot be run; nothing has been written then.
    pruning_core.data.DataError
        Its data cannot be used.
    Stopped
        By SIGINT, too many failures, a full disk, or a lost storage or cluster; everything so far is saved.

    Examples
    --------
    >>> from search import run_study
    >>> result = run_study({"name": "a", "data": {"source": "wine", "keep": 4}}, trials=12)  # doctest: +SKIP
    """
    started = time.monotonic()
    study = _with_trials(_as_study(study), trials)
    where = places(Path(output), storage, tracking_uri)
    with settings():
        if data is None:
            data = _load(study, where.output, progress)
        elif study.training.folds == AUTO:
            study = study.in_folds(None)
        study = on(study, data)
        watcher = _terminal() if progress else Watcher()
        watcher.warn(*study.warnings, *data.warnings)
        if re.search("%[0-9A-Fa-f]{2}", str(where.output)):
            watcher.warn(
                f"MLflow loads models from --output {where.output}, which looks escaped, by dst_path=FOLDER only"
            )
        from search.train.cluster import started_ray

        with started_ray(study, data, where.output, address) as ray_is_up:
            return _Run(study, data, where, watcher, resume, started).carry_out(ray_is_up)


def sync_study(study: Study, output: Path, storage: str | None = None, tracking_uri: str | None = None) -> str:
    """Delivers to MLflow what the latest search of a study could not log; returns a sentence about it.

    Raises:
        StudyError: there is no such search, it is running, or MLflow does not take it all.
    """
    where = places(output, storage, tracking_uri)
    data = study.load_data(cache_folder(where.output))
    study = on(study, data)
    with settings():
        from search.propose.ledger import lock, open_ledger
        from search.propose.storage import quiet_optuna
        from search.record.recorder import open_recorder, open_tracking
        from search.record.tracking import TrackingError
        from search.trials.checkpoint import search_folder
        from search.trials.result import save_result, saved_result

        with quiet_optuna():
            ledger = open_ledger(study, data, where, resume=True)
            folder = search_folder(where.output, ledger.label)
            with lock(folder):
                if study.data.auto:
                    study = study.at(ledger.found_keep())
                recorder = open_recorder(open_tracking(study, where), study, data, ledger, where, True, Watcher())
                result, ending = saved_result(folder)
                result["mlflow"] = recorder.tracking.where
                try:
                    recorder.deliver(result, ending)
                except TrackingError as error:
                    raise StudyError(str(error)) from None
                save_result(folder, result, ending)
    ended = sum(trial.ending is not None for trial in ledger.trials)
    there = without_password(recorder.tracking.tracking_uri)
    return f"{ledger.label}: its {ended} trials and its end ({ending}) are in MLflow at {there}"


def _as_study(study: Study | Mapping[str, Any] | Path | str) -> Study:
    if isinstance(study, Study):
        return study
    if isinstance(study, Mapping):
        return read_study(study)
    return load_study(Path(study))


def _with_trials(study: Study, trials: int | None) -> Study:
    if trials is None:
        return study
    document = study.model_dump(mode="json")
    return read_study({**document, "search": {**document["search"], "trials": trials}}, text=study.text)


def _load(study: Study, output: Path, progress: bool) -> Dataset:
    if not progress:
        return study.load_data(cache_folder(output))
    from search.terminal import reading

    with reading() as told:
        return study.load_data(cache_folder(output), told)


def _terminal() -> Watcher:
    from search.terminal import SearchDisplay

    return SearchDisplay()


@dataclass(frozen=True)
class _Run:
    """One run of a search."""

    study: Study
    data: Dataset
    places: Places
    watcher: Watcher
    resume: bool
    started: float

    def carry_out(self, ray_is_up: Callable[[], object]) -> "SearchResult":
        """The whole search; until it needs Ray, which `ray_is_up` waits for, the databases are opened."""
        from search.propose.earlier import find_start
        from search.propose.ledger import lock, open_ledger
        from search.propose.storage import quiet_optuna
        from search.record.recorder import open_recorder, open_tracking
        from search.result import SearchResult
        from search.train.resources import measure_resources
        from search.trials.checkpoint import search_folder

        run = self
        if self.study.resources.auto:
            ray_is_up()
            measured = measure_resources(with_some_n(self.study, self.data), self.data)
            run = replace(self, study=self.study.model_copy(update={"resources": measured}))
        with quiet_optuna():
            start = None if run.resume else find_start(run.study, run.data, run.places)
            ledger = open_ledger(run.study, run.data, run.places, run.resume)
            if start and start.taken:
                ledger.note_start(start)
            folder = search_folder(run.places.output, ledger.label)
            with lock(folder):
                try:
                    tracking = open_tracking(run.study, run.places)
                    run = run._with_n(ledger, ray_is_up)
                    recorder = open_recorder(tracking, run.study, run.data, ledger, run.places, run.resume, run.watcher)
                except StudyError:
                    if not run.resume and ledger.curve is None:
                        ledger.discard()
                        (folder / "lock").unlink()
                        folder.rmdir()
                    raise
                result = run._search(ledger, recorder, ray_is_up)
        stored = Stored(run.places.output, run.places.storage, run.places.tracking_uri)
        return SearchResult(result, stored, run.data)

    def _with_n(self, ledger: "Ledger", ray_is_up: Callable[[], object]) -> "_Run":
        """The same run once n is known, which `data.keep: auto` leaves to a curve; that is trained once a search."""
        if not self.study.data.auto:
            return self
        curve = ledger.curve
        if curve is None:
            from search.train.enough import find_curve

            try:
                with self._stopping(ledger.label):
                    ray_is_up()
                    curve = find_curve(self.study, self.data, self.watcher)
            finally:
                self.watcher.end()
            if curve.chosen is None:
                raise StudyError("data.keep = 'auto' finds no n with which every seed completes: it must be a number")
            ledger.note_curve(curve)
        self.watcher.found(curve, self.study.metric(self.data))
        return replace(self, study=self.study.at(ledger.found_keep()))

    @contextmanager
    def _stopping(self, label: str) -> Iterator[None]:
        """Tells of whatever ends a search early as `Stopped`."""
        from search.propose.storage import STORAGE_ERRORS
        from search.train.tune import CLUSTER_ERRORS, Halted, no_space

        try:
            yield
        except KeyboardInterrupt:
            raise Stopped(label) from None
        except Halted as halted:
            raise Stopped(label, str(halted)) from None
        except (OSError, *STORAGE_ERRORS, *CLUSTER_ERRORS) as error:
            raise Stopped(label, no_space(self.places.output) or _one_line(error)) from error

    def _search(self, ledger: "Ledger", recorder: "Recorder", ray_is_up: Callable[[], object]) -> dict[str, Any]:
        from search.propose.optimiser import budget
        from search.propose.storage import STORAGE_ERRORS
        from search.train.tune import Trials
        from search.trials.checkpoint import search_folder
        from search.trials.kept import KeptNetworks

        result: dict[str, Any] = {
            **{"study": ledger.label, "trials": 0},
            **{"mlflow": recorder.tracking.where, "storage": without_password(self.places.storage)},
        }
        ending: SearchEnding = "failed"
        thaw = gc.get_freeze_count() == 0
        if ledger.start.taken:
            self.watcher.starts(ledger.start.sentence())
        self.watcher.begin(self.study, ledger.label, budget(self.study))
        recorder.show_earlier()
        try:
            with self._stopping(ledger.label):
                ray_is_up()
                if thaw:
                    # A full collection over what the libraries have loaded takes 0.2 s, every few trials: leave it out.
                    gc.collect()
                    gc.freeze()
                over = [trial for trial in ledger.trials if trial.ending]
                folder = search_folder(self.places.output, ledger.label)
                kept = KeptNetworks(folder, lambda trial: self.study.arm(trial.params), self._is_default, over)
                hours = self.study.search.hours
                until = None if hours is None else self.started + 3600 * hours
                if early := Trials(self.study, ledger, self.data, self.places.output, recorder, kept, until).train():
                    reached = f"{len(ledger.trials)} of {budget(self.study)} trials"
                    result["ended_early"] = f"stopped after {reached}: {early}"
                    self.watcher.warn(result["ended_early"])
                result |= self._confirm(ledger, kept)
                ending = "finished"
        except Stopped as stopped:
            ending = "failed" if stopped.reason else "interrupted"
            raise
        finally:
            if thaw:
                gc.unfreeze()
            self.watcher.end()
            recorder.close(result, ending)
            with suppress(*STORAGE_ERRORS):  # the storage may be what ended the search
                ledger.add_seconds(time.monotonic() - self.started)
        return result

    def _is_default(self, trial: Trial) -> bool:
        return default_trial([trial], self.study.varied.known_points(), trial.strategy) is not None

    def _confirm(self, ledger: "Ledger", kept: "KeptNetworks") -> dict[str, Any]:
        from search.result import largest_class_warnings, summarise
        from search.train.confirmation import confirm
        from search.train.refit import refitted
        from search.trials.checkpoint import search_folder
        from search.trials.network import WINNER, write_network

        trials, keeps = ledger.trials, self.study.data.keeps
        confirmed = {
            keep: confirm(self.study.at(keep), [trial for trial in trials if trial.has(keep)], self.data, self.watcher)
            for keep in keeps
        }
        confirmed = {
            keep: refitted(self.study.at(keep), of_n, self.data, self.watcher) for keep, of_n in confirmed.items()
        }
        selections = {
            keep: found for keep, of_n in confirmed.items() if (found := self._selection(self.study.at(keep), of_n))
        }
        kept.reduce_to([entry.trial.number for of_n in confirmed.values() for entry in of_n.values()])
        result = summarise(self.study, ledger, confirmed, selections, time.monotonic() - self.started)
        self.watcher.warn(*largest_class_warnings(result, self.data))
        best = confirmed[keeps[0]].get(result["winner"])
        network = best.result().network if best else None
        if isinstance(network, str):
            self.watcher.warn(f"no pruned network of {result['winner']} is registered in MLflow: {network}")
            network = None
        write_network(search_folder(self.places.output, ledger.label) / WINNER, network)
        return result

    def _selection(self, study: Study, confirmed: Mapping[str, "Confirmed"]) -> dict[str, Any] | None:
        """What can be said of the inputs that the winner keeps; None where there is none, or it keeps all."""
        from pruning_core.compaction import PrunedReplica
        from search.train.confirmation import winner
        from search.train.decoys import kept_beside_decoys
        from search.trials.selection import selection

        name = winner(confirmed)
        best = confirmed[name] if name else None
        if best is None or not best.selected[0]:
            return None
        beside = kept_beside_decoys(study, best.config, self.data, self.watcher) if study.search.decoys else None
        network = best.network if isinstance(best.network, PrunedReplica) else None
        return selection(best.selected, self.data, network, beside)


def _one_line(error: BaseException) -> str:
    """An error as a part of a sentence."""
    cause = getattr(error, "cause", None) or error
    return " ".join(f"{type(cause).__name__}: {cause}".split("[SQL:")[0].split())[:300]
