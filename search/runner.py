"""Runs a search: Ray Tune trains, Optuna proposes, MLflow records, and the winners are confirmed.

What a search has done so far lies in its Optuna study (the ledger) and in the folders of its trials; `--resume`
goes on from there after an interruption of any kind.
"""

import gc
import json
import logging
import os
import signal
import time
import warnings
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import optuna
import ray
from optuna.trial import TrialState
from ray import tune
from ray.tune import CheckpointConfig, ResumeConfig
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler
from sqlalchemy.exc import SQLAlchemyError

from pruning_core.datasets import Dataset
from search.confirmation import Confirmed, completed_fraction, confirm, winner
from search.recorder import Recorder
from search.sampler import StudySearch, StudySearcher, budget
from search.study import Study, StudyError
from search.summary import last_line
from search.terminal import SearchDisplay, warn
from search.tracking import SearchEnding, Tracking, TrackingError, without_password
from search.trainable import prune

OBJECT_STORE_BYTES = 256 * 2**20
WORKER_FAULTS = 3
PACKAGES = ("deeppp", "torch", "ray", "optuna", "mlflow", "numpy", "scikit-learn")


class Interrupted(Exception):  # noqa: N818
    """The search was interrupted; everything so far is saved. `label` names it."""

    def __init__(self, label: str) -> None:
        super().__init__(label)
        self.label = label


def search(
    study: Study,
    output: Path,
    *,
    address: str | None = None,
    tracking_uri: str | None = None,
    storage: str | None = None,
    resume: bool = False,
    display: SearchDisplay,
) -> dict[str, Any]:
    """Carries out a study.

    Args:
        study: the study file.
        output: the folder for everything that the search writes.
        address: of a running Ray cluster; None starts Ray on this machine.
        tracking_uri: of MLflow; None stands for `MLFLOW_TRACKING_URI`, else `output`/mlflow.db.
        storage: of Optuna; None stands for `output`/optuna.db.
        resume: go on with the latest search of this study in `output`.
        display: what the user sees meanwhile.

    Returns:
        The JSON of `deeppp search --json`.

    Raises:
        StudyError, DataError: the study cannot be run; nothing has been written then.
        Interrupted: by SIGINT; everything so far is saved.
    """
    started = time.monotonic()
    output = output.absolute()
    data = study.load_data()
    warn(*study.warnings, *data.warnings)
    storage_url = storage or f"sqlite:///{output / 'optuna.db'}"
    ledger = open_ledger(study, data, storage_url, output, resume)
    label = ledger.study_name
    own_mlflow = f"sqlite:///{output / 'mlflow.db'}"
    tracking_uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or own_mlflow
    try:
        tracking = Tracking(tracking_uri, study.name, output / "mlartifacts")
        parent = tracking.open_search(
            label,
            study.text,
            study.model_dump(mode="json"),
            {package: version(package) for package in PACKAGES},
            data.fingerprint,
            output=output,
            resume=resume,
        )
    except TrackingError as error:
        if not resume:
            optuna.delete_study(study_name=label, storage=storage_url)
        raise StudyError(str(error)) from None
    display.begin(study, label, budget(study))
    where = {
        "mlflow": {
            "tracking_uri": without_password(tracking_uri),
            "experiment": study.name,
            "parent_run_id": parent,
        },
        "storage": without_password(storage_url),
    }
    # A full collection over what the libraries have loaded takes 0.2 s, every few trials: leave it out of them.
    gc.collect()
    gc.freeze()
    recorder = Recorder(study, ledger, tracking, display, output / "ray" / label)
    result: dict[str, Any] = {"study": label, "trials": 0, **where}
    ending: SearchEnding = "failed"
    try:
        start_ray(address, data)
        run_tune(study, ledger, data, recorder, resume)
        if unfinished(study, ledger):
            raise KeyboardInterrupt
        display.confirming()
        confirmed = confirm(study, ledger, data)
        result = summarise(study, ledger, confirmed, recorder, time.monotonic() - started) | where
        if result["winner"]:
            result["model"] = recorder.publish(confirmed[result["winner"]], data)
        ending = "finished"
    except KeyboardInterrupt:
        ending = "interrupted"
        raise Interrupted(label) from None
    finally:
        display.end()
        ray.shutdown()
        recorder.close(result, ending)
        ledger.set_user_attr(
            "earlier_seconds", ledger.user_attrs.get("earlier_seconds", 0.0) + time.monotonic() - started
        )
    return result


def open_ledger(study: Study, data: Dataset, storage_url: str, output: Path, resume: bool) -> optuna.Study:
    """The Optuna study of a new search, under the next free label, or of the latest one to be resumed.

    Raises:
        StudyError: nothing to resume, or the study file or its data changed since.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.logging.disable_default_handler()
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    if storage_url.startswith("sqlite:///"):
        path = Path(storage_url.removeprefix("sqlite:///"))
        if resume and not path.exists():
            raise StudyError(f"nothing to resume: there is no {path}")
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        store = optuna.storages.get_storage(storage_url)
        names = set(optuna.get_all_study_names(store))
    except (SQLAlchemyError, ImportError) as error:
        reason = str(error).splitlines()[0]
        raise StudyError(without_password(f"--storage {storage_url} cannot be used: {reason}")) from None
    labels = [study.name] + [f"{study.name}-{k}" for k in range(2, len(names) + 2)]
    taken = [label for label in labels if label in names]
    essence = _essence(study, data)
    if resume:
        if not taken:
            raise StudyError(f"nothing to resume: no search of the study {study.name} in {storage_url}")
        ledger = optuna.load_study(study_name=taken[-1], storage=store)
        changed = [k for k, v in essence.items() if ledger.user_attrs["study"].get(k) != v]
        if changed:
            raise StudyError(
                f"cannot resume {taken[-1]}: {', '.join(changed)} changed since it was started; "
                "start a new search without --resume"
            )
        return ledger
    label = next(label for label in labels if label not in names)
    ledger = optuna.create_study(study_name=label, storage=store, direction="maximize")
    ledger.set_user_attr("study", essence)
    return ledger


def _essence(study: Study, data: Dataset) -> dict[str, Any]:
    """What must be the same when a search is resumed: all of the study but the number of trials and resources."""
    resolved = study.model_dump(mode="json")
    del resolved["resources"], resolved["search"]["trials"], resolved["data"]["source"]
    return resolved | {"data fingerprint": data.fingerprint}


def start_ray(address: str | None, data: Dataset) -> None:
    """Starts Ray on this machine, quietly, or connects to the cluster at `address`."""
    rows = data.train.x.numel() * data.train.x.element_size()
    ray.init(
        address=address,
        include_dashboard=None if address else False,
        object_store_memory=None if address else OBJECT_STORE_BYTES + 4 * rows,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )


def run_tune(study: Study, ledger: optuna.Study, data: Dataset, recorder: Recorder, resume: bool) -> None:
    """Trains all trials that are still to be trained. Returns early after a SIGINT.

    Tune itself takes a trial up again when its worker dies in training. What it leaves behind, such as a trial whose
    reused worker died just before it began, is run again at the end, from its checkpoint; only a trial that keeps
    losing its worker fails.
    """
    for _ in range(1 + WORKER_FAULTS):
        searcher, trials = _run_tune_once(study, ledger, data, recorder, resume)
        lost = [trial for trial in trials if trial.status == Trial.ERROR and trial.config["number"] in searcher.running]
        interrupted = len(searcher.running) > len(lost) or searcher.left()
        if interrupted or not lost:
            return
        resume = True
    for trial in lost:
        searcher.give_up(trial.config["number"], f"its worker died again and again: {trial.get_error()}")
        recorder.ended(trial.config["number"])


def _run_tune_once(
    study: Study, ledger: optuna.Study, data: Dataset, recorder: Recorder, resume: bool
) -> tuple[StudySearcher, list[Trial]]:
    folder = recorder.folder
    in_tune = _trials_in_tune(folder) if resume else []
    searcher = StudySearcher(study, ledger, {trial["trial_id"]: trial["config"]["number"] for trial in in_tune})
    lost = [t for t in in_tune if t["status"] == Trial.ERROR and t["config"]["number"] in searcher.running]
    resume_errored: Any = ResumeConfig.ResumeType.RESUME if lost else ResumeConfig.ResumeType.SKIP
    handler = signal.getsignal(signal.SIGINT)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    try:
        analysis = tune.run(
            tune.with_parameters(prune, data=data.without_test()),
            name=folder.name,
            storage_path=str(folder.parent),
            config={
                "first_seed": 0,
                "threads": study.resources.threads,
                "stop_hopeless": study.search.early_stopping == "hopeless",
            },
            num_samples=-1,
            search_alg=StudySearch(searcher),
            scheduler=make_scheduler(study),
            resources_per_trial={"cpu": study.resources.cpu, "gpu": study.resources.gpu},
            checkpoint_config=CheckpointConfig(num_to_keep=1),
            resume_config=ResumeConfig(errored=resume_errored) if in_tune else None,
            max_failures=WORKER_FAULTS,
            reuse_actors=True,
            raise_on_failed_trial=False,
            callbacks=[recorder],
            trial_dirname_creator=_folder_name,
            trial_name_creator=_folder_name,
            verbose=0,
        )
    finally:
        signal.signal(signal.SIGINT, handler)
    return searcher, list(analysis.trials or ())


def _folder_name(trial: Trial) -> str:
    return f"trial_{trial.config['number']:05d}"


def _trials_in_tune(folder: Path) -> list[dict[str, Any]]:
    """The trials that Tune's last snapshot of a search knows."""
    states = sorted(folder.glob("experiment_state-*.json"))
    if not states:
        return []
    return [json.loads(trial) for trial, _ in json.loads(states[-1].read_text())["trial_data"]]


def make_scheduler(study: Study) -> TrialScheduler:
    """What stops trials from outside: ASHA or the median rule if the study names them, else nothing."""
    epochs = study.training.epochs
    match study.search.early_stopping:
        case "asha":
            return ASHAScheduler(
                time_attr="epoch",
                metric="pruned_accuracy",
                mode="max",
                max_t=epochs,
                grace_period=max(1, epochs // 4),
            )
        case "median":
            return MedianStoppingRule(
                time_attr="epoch", metric="pruned_accuracy", mode="max", grace_period=max(1, epochs // 4)
            )
        case _:
            return FIFOScheduler()


def unfinished(study: Study, ledger: optuna.Study) -> bool:
    """Whether trials are left to be run."""
    trials = ledger.get_trials(deepcopy=False)
    return len(trials) < budget(study) or any(not t.state.is_finished() for t in trials)


def summarise(
    study: Study, ledger: optuna.Study, confirmed: dict[str, Confirmed], recorder: Recorder, seconds: float
) -> dict[str, Any]:
    """The search in numbers: the JSON of `deeppp search --json`, but for where it is stored."""
    trials = ledger.get_trials(deepcopy=False)
    replica_epochs = sum(t.user_attrs.get("epochs_run", 0) for t in trials) * study.training.seeds
    replica_epochs += sum(c.replica_epochs for c in confirmed.values())
    seconds += ledger.user_attrs.get("earlier_seconds", 0.0)
    strategies = {}
    for strategy, best in confirmed.items():
        mine = [t for t in trials if t.params["strategy"] == strategy]
        strategies[strategy] = {
            "trials": len(mine),
            "completed": sum(t.state == TrialState.COMPLETE and completed_fraction(t) == 1 for t in mine),
            "search_accuracy": best.trial.value,
            **best.as_json(),
            "run_id": recorder.run_id(best.trial.number),
        }
    states = Counter(t.state for t in trials)
    errors = Counter(
        last_line(t.user_attrs.get("error", "the loss is not finite")) for t in trials if t.state == TrialState.FAIL
    )
    return {
        "study": ledger.study_name,
        "trials": len(trials),
        "failed": states[TrialState.FAIL],
        "stopped": states[TrialState.PRUNED],
        "errors": dict(errors.most_common()),
        "seconds": seconds,
        "replica_epochs": replica_epochs,
        "replica_epochs_per_second": replica_epochs / seconds,
        "strategies": strategies,
        "winner": winner(confirmed),
    }
