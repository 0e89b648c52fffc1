"""Runs a search: Ray Tune trains, Optuna proposes, MLflow records, and the winners are confirmed.

What a search has done so far lies in its Optuna study (the ledger) and in the folders of its trials; `--resume`
goes on from there after an interruption of any kind, and `sync` logs from there what MLflow has missed.
"""

import gc
import json
import logging
import os
import pickle
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "30")  # what a snapshot lacks, the ledger knows
os.environ.setdefault("TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import optuna
import ray
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, TrialState
from ray import tune
from ray.exceptions import RayError
from ray.tune import ResumeConfig, TuneError
from ray.tune.experiment import Trial
from sqlalchemy.exc import SQLAlchemyError

from pruning_core.data import Dataset
from search.propose.ledger import Ledger, lock, open_ledger, search_folder
from search.propose.optuna_trials import completed, last_accuracy, with_keep
from search.propose.sampler import StudySearch, StudySearcher, budget
from search.record.recorder import WINNER, Recorder, save_result, saved_result
from search.record.summary import last_line
from search.record.tracking import SearchEnding, Tracking, TrackingError
from search.stores.addresses import Places, without_password
from search.study import Study, StudyError
from search.terminal import SearchDisplay
from search.train.cluster import measure_resources, slots
from search.train.confirmation import Confirmed, confirm, winner, write_network
from search.train.engine import trials_together
from search.train.halt import Halt, Halted, no_space
from search.train.scheduler import make_scheduler
from search.train.shared_engine import stop_engines
from search.train.trainable import prune
from search.trials.folder import trial_folder
from search.trials.pareto import pareto_set

WORKER_FAULTS = 3
SECONDS_BETWEEN_REPORTS = 5
LOST = (OSError, SQLAlchemyError, StorageInternalError, RayError, TuneError)
PACKAGES = ("deeppp", "torch", "ray", "optuna", "mlflow", "numpy", "scikit-learn")


class Stopped(Exception):  # noqa: N818
    """The search ended early; everything so far is saved. `label` names it, `reason` says why ("" after SIGINT)."""

    def __init__(self, label: str, reason: str = "") -> None:
        super().__init__(label, reason)
        self.label = label
        self.reason = reason


def search(
    study: Study,
    data: Dataset,
    places: Places,
    ray_is_up: Callable[[], object],
    display: SearchDisplay,
    *,
    resume: bool = False,
    started: float,
) -> dict[str, Any]:
    """Carries out a study.

    Args:
        study: the study file.
        data: that it names.
        places: where the search writes.
        ray_is_up: waits for Ray, see `started_ray`; until then the databases are opened.
        display: what the user sees meanwhile.
        resume: go on with the latest search of this study in its output folder.
        started: when the user began to wait, by `time.monotonic()`.

    Returns:
        The JSON of `deeppp search --json`.

    Raises:
        StudyError: the study cannot be run; nothing has been written then.
        Stopped: by SIGINT, too many failures, a full disk, or a lost storage or cluster; everything so far is saved.
    """
    output = places.output
    if study.resources.auto:
        ray_is_up()
        study = study.model_copy(update={"resources": measure_resources(study, data)})
    ledger = open_ledger(study, data, places.storage, output, resume)
    label = ledger.label
    folder = search_folder(output, label)
    with lock(folder):
        try:
            recorder = open_recorder(study, data, ledger, places, resume, display)
        except StudyError:
            if not resume:
                optuna.delete_study(study_name=label, storage=ledger.study._storage)
                (folder / "lock").unlink()
                folder.rmdir()
            raise
        display.begin(study, label, budget(study))
        result: dict[str, Any] = {
            **{"study": label, "trials": 0},
            **{"mlflow": recorder.tracking.where, "storage": without_password(places.storage)},
        }
        ending: SearchEnding = "failed"
        try:
            ray_is_up()
            # A full collection over what the libraries have loaded takes 0.2 s, every few trials: leave it out of them.
            gc.collect()
            gc.freeze()
            run_tune(study, ledger, data, recorder, resume)
            display.confirming()
            trials = ledger.trials
            confirmed = {keep: confirm(study.at(keep), with_keep(trials, keep), data) for keep in study.data.keeps}
            result |= summarise(study, ledger, confirmed, time.monotonic() - started)
            best = confirmed[study.data.keeps[0]].get(result["winner"])
            write_network(folder / WINNER, best.network if best else None)
            ending = "finished"
        except KeyboardInterrupt:
            ending = "interrupted"
            raise Stopped(label) from None
        except Halted as halted:
            raise Stopped(label, str(halted)) from None
        except LOST as error:
            raise Stopped(label, no_space(output) or one_line(error)) from error
        finally:
            display.end()
            recorder.close(result, ending)
            with suppress(SQLAlchemyError, StorageInternalError):  # the storage may be what ended the search
                seconds = ledger.study.user_attrs.get("earlier_seconds", 0.0) + time.monotonic() - started
                ledger.study.set_user_attr("earlier_seconds", seconds)
    return result


def sync(study: Study, data: Dataset, places: Places) -> str:
    """Delivers to MLflow what the latest search of a study could not log; returns a sentence about it.

    Raises:
        StudyError: there is no such search, it is running, or MLflow does not take it all.
    """
    ledger = open_ledger(study, data, places.storage, places.output, resume=True)
    folder = search_folder(places.output, ledger.label)
    with lock(folder):
        recorder = open_recorder(study, data, ledger, places, True, SearchDisplay())
        result, ending = saved_result(folder)
        result["mlflow"] = recorder.tracking.where
        try:
            recorder.deliver(result, ending)
        except TrackingError as error:
            raise StudyError(str(error)) from None
        save_result(folder, result, ending)
    ended = sum(trial.state.is_finished() for trial in ledger.trials)
    where = without_password(recorder.tracking.tracking_uri)
    return f"{ledger.label}: its {ended} trials and its end ({ending}) are in MLflow at {where}"


def open_recorder(
    study: Study,
    data: Dataset,
    ledger: Ledger,
    places: Places,
    resume: bool,
    display: SearchDisplay,
) -> Recorder:
    """The recorder of a search, its parent run opened.

    Raises:
        StudyError: MLflow cannot be used or reached.
    """
    try:
        tracking = Tracking(places.tracking_uri, study.name, places.output / "mlartifacts")
        tracking.open_search(
            ledger.label,
            study.text,
            study.model_dump(mode="json"),
            {package: version(package) for package in PACKAGES},
            data.fingerprint,
            output=places.output,
            resume=resume,
        )
    except TrackingError as error:
        raise StudyError(str(error)) from None
    return Recorder(study, ledger, tracking, display, search_folder(places.output, ledger.label), data)


def one_line(error: BaseException) -> str:
    """An error as a part of a sentence."""
    cause = getattr(error, "cause", None) or error
    return " ".join(f"{type(cause).__name__}: {cause}".split("[SQL:")[0].split())[:300]


def run_tune(study: Study, ledger: Ledger, data: Dataset, recorder: Recorder, resume: bool) -> None:
    """Trains all trials that are still to be trained.

    Tune itself takes a trial up again when its worker dies in training. What it leaves behind, such as a trial whose
    reused worker died just before it began, is run again at the end, from its checkpoint; only a trial that keeps
    losing its worker fails.

    Raises:
        KeyboardInterrupt: SIGINT, or SIGUSR1 from outside.
        Halted: see `Halt`.
    """
    halt = Halt(study, ledger, recorder.folder)
    halt.check()
    for _ in range(1 + WORKER_FAULTS):
        searcher, trials = _run_tune_once(study, ledger, data, recorder, halt, resume)
        halt.check()
        lost = {t.config["number"]: t for t in trials if _is_lost(t.status, t.config["number"], ledger)}
        if set(searcher.running) - set(lost) or searcher.left():
            raise KeyboardInterrupt
        if not lost:
            return
        resume = True
    for number in list(searcher.running):
        searcher.give_up(number, f"its worker died again and again: {lost[number].get_error()}")
        recorder.ended(number)
    halt.check()


def _is_lost(status: str, number: int, ledger: Ledger) -> bool:
    """Whether Tune holds a trial for failed that has not failed, or of which it has not seen the end before a fault."""
    return status == Trial.ERROR and ledger.trials[number].state != TrialState.FAIL


def _run_tune_once(
    study: Study, ledger: Ledger, data: Dataset, recorder: Recorder, halt: Halt, resume: bool
) -> tuple[StudySearcher, list[Trial]]:
    folder = recorder.folder
    in_tune = _trials_in_tune(folder) if resume else []
    searcher = StudySearcher(study, ledger, {trial["trial_id"]: trial["config"]["number"] for trial in in_tune})
    lost = [t for t in in_tune if _is_lost(t["status"], t["config"]["number"], ledger)]
    resume_errored: Any = ResumeConfig.ResumeType.RESUME if lost else ResumeConfig.ResumeType.SKIP
    part, resources = data.without_test(), study.resources
    together = trials_together(study, part, slots(resources), budget(study))
    handler = signal.getsignal(signal.SIGINT)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    try:
        analysis = tune.run(
            tune.with_parameters(prune, data=[ray.put(part)]),
            name=folder.name,
            storage_path=str(folder.parent),
            config={
                "folder": str(folder),
                "first_seed": 0,
                "threads": resources.threads,
                "device": resources.device,
                "together": together,
                "worker": {"cpu": resources.cpu, "gpu": resources.gpu},
                "stop_hopeless": study.search.early_stopping == "hopeless",
                "report_after": 0 if study.search.early_stopping in ("asha", "median") else SECONDS_BETWEEN_REPORTS,
            },
            num_samples=-1,
            search_alg=StudySearch(searcher),
            scheduler=make_scheduler(study),
            resources_per_trial={"cpu": (resources.cpu or 1) / together, "gpu": (resources.gpu or 0) / together},
            resume_config=ResumeConfig(errored=resume_errored) if in_tune else None,
            max_failures=WORKER_FAULTS,
            reuse_actors=True,
            raise_on_failed_trial=False,
            callbacks=[recorder, halt],
            trial_dirname_creator=_folder_name,
            trial_name_creator=_folder_name,
            verbose=0,
        )
    finally:
        signal.signal(signal.SIGINT, handler)
        stop_engines()
    return searcher, list(analysis.trials or ())


def _folder_name(trial: Trial) -> str:
    return trial_folder(Path(), trial.config["number"]).name


def _trials_in_tune(folder: Path) -> list[dict[str, Any]]:
    """The trials that Tune's last snapshot of a search knows; one that a full disk cut off is removed."""
    for snapshot in sorted(folder.glob("experiment_state-*.json"), reverse=True):
        generator = folder / snapshot.name.replace("experiment_state", "search_gen_state")
        with suppress(OSError, ValueError):
            trials = [json.loads(trial) for trial, _ in json.loads(snapshot.read_text())["trial_data"]]
            if generator.read_bytes().endswith(pickle.STOP):
                return trials
        snapshot.unlink()
        generator.unlink(missing_ok=True)
    return []


def summarise(
    study: Study, ledger: Ledger, confirmed: dict[int, dict[str, Confirmed]], seconds: float
) -> dict[str, Any]:
    """The search in numbers: the JSON of `deeppp search --json`, but for where it is stored, and the run ids.

    Args:
        study: the study file.
        ledger: the search's trials.
        confirmed: for every n the best of each strategy.
        seconds: that this run of the search took.
    """
    trials = ledger.trials
    replica_epochs = sum(t.user_attrs.get("epochs_run", 0) for t in trials) * study.training.seeds
    replica_epochs += sum(c.replica_epochs for best in confirmed.values() for c in best.values())
    seconds += ledger.study.user_attrs.get("earlier_seconds", 0.0)
    states = Counter(t.state for t in trials)
    errors = Counter(
        last_line(t.user_attrs.get("error", "the loss is not finite")) for t in trials if t.state == TrialState.FAIL
    )
    results = {keep: _result(study, with_keep(trials, keep), best) for keep, best in confirmed.items()}
    first, *others = results.values()
    return {
        "study": ledger.label,
        "trials": len(trials),
        "failed": states[TrialState.FAIL],
        "stopped": states[TrialState.PRUNED],
        "errors": dict(errors.most_common()),
        "seconds": seconds,
        "replica_epochs": replica_epochs,
        "replica_epochs_per_second": replica_epochs / seconds,
        **first,
        **({"keeps": {str(keep): result for keep, result in results.items()}} if others else {}),
    }


def _result(study: Study, trials: Sequence[FrozenTrial], confirmed: dict[str, Confirmed]) -> dict[str, Any]:
    """What came out for one n: `strategies`, `winner` and, of two objectives, `pareto`."""
    strategies = {}
    for strategy, best in confirmed.items():
        mine = [t for t in trials if t.params["strategy"] == strategy]
        strategies[strategy] = {
            "trials": len(mine),
            "completed": sum(map(completed, mine)),
            "search_accuracy": last_accuracy(best.trial),
            **best.as_json(),
            "run_id": None,
        }
    result: dict[str, Any] = {"strategies": strategies, "winner": winner(confirmed)}
    return result | ({"pareto": pareto_set(trials)} if len(study.search.objectives) > 1 else {})
