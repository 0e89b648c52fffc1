"""Any trial of any study again, from its MLflow run alone, in this process and without Ray and Optuna.

`read_trial` reads configuration, seeds, study and recorded numbers from MLflow, `start` prepares the same training
on the same data, and `differences` says whether the numbers came out the same.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from pruning_core.config import TrialConfig
from pruning_core.data import DataError, Progress
from pruning_core.history import QUANTITIES
from pruning_core.training import Training, train
from search.record.known_runs import OUTPUT, PARENT, SEARCH
from search.record.store import LoggedRun, Store
from search.record.summary import read_arrays
from search.stores.addresses import cache_folder
from search.study import Study, StudyError
from search.study.entries import HOMES, check_hyperparameter
from search.study.errors import sentence
from search.study.files import parse_override
from search.study.paths import are_there, moved
from search.trials.checkpoint import Checkpoint, read_checkpoints, search_folder, trial_folder

CLOCK = ("seconds", "replica_epochs_per_second")
VERSION = "version."


@dataclass(frozen=True)
class RecordedTrial:
    """A trial as its MLflow run and its parent's run tell it.

    `result` is its `trial.json` and `history` its curves, (E, R) each; both are empty if it left none, or if `vary`
    made another trial of it. `last_epoch` is where it was stopped early, None if it came to its own end. The
    versions are those of the packages that trained it, `output` the folder that its search wrote to.
    """

    run_id: str
    name: str
    number: int
    search: str
    study: Study
    config: TrialConfig
    seeds: tuple[int, ...]
    fingerprint: str
    versions: Mapping[str, str]
    output: Path
    failed: bool
    last_epoch: int | None
    result: Mapping[str, Any]
    history: Mapping[str, NDArray[Any]]


def read_trial(run_id: str, output: Path, tracking_uri: str | None = None) -> RecordedTrial:
    """Reads a trial's record.

    Args:
        run_id: of a trial's run in MLflow.
        output: the folder of the search's results.
        tracking_uri: of MLflow; None stands for `MLFLOW_TRACKING_URI`, else `output`/mlflow.db.

    Raises:
        StudyError: the store cannot be read, or the run is no trial of a search.
    """
    store = Store(tracking_uri, output)
    run = store.run(run_id)
    if SEARCH in run.tags:
        raise StudyError(
            f"RUN_ID = {run_id!r} is the search {run.tags[SEARCH]} as a whole: name one of its trials' runs"
        )
    if "trial" not in run.tags or PARENT not in run.tags:
        raise StudyError(f"RUN_ID = {run_id!r} must be the run of a trial of deepPP, and is not: {run.name}")
    parent = store.run(run.tags[PARENT])
    study = _study(store, parent)
    with tempfile.TemporaryDirectory() as folder:
        history = store.artifact(run, "history.npz", Path(folder))
        curves = read_arrays(history) if history else {}
    result = store.json(run, "trial.json")
    config = _config(run.params, run_id)
    return RecordedTrial(
        run_id=run_id,
        name=run.name,
        number=int(run.tags["trial"]),
        search=parent.tags.get(SEARCH, study.name),
        study=study,
        config=config,
        seeds=tuple(result.get("seeds", range(config.seeds))),
        fingerprint=parent.tags.get("fingerprint", ""),
        versions={k.removeprefix(VERSION): v for k, v in parent.tags.items() if k.startswith(VERSION)},
        output=Path(parent.tags.get(OUTPUT, output)),
        failed=run.status == "FAILED",
        last_epoch=result["epochs_run"] if result and run.status == "KILLED" else None,
        result=result,
        history=curves,
    )


def _study(store: Store, parent: LoggedRun) -> Study:
    document = store.json(parent, "study.json")
    if not document:
        raise StudyError(f"the run {parent.run_id} of the search {parent.name} has lost its study.json")
    try:
        return Study.model_validate(document)
    except ValidationError as error:
        raise StudyError(f"study.json of the run {parent.run_id} cannot be used: {sentence(error)}") from None


def _config(params: Mapping[str, str], run_id: str) -> TrialConfig:
    """The configuration from a run's parameters: strings as they are, anything else as JSON."""

    def value(text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError:
            return text

    try:
        return TrialConfig(**{name: value(text) for name, text in params.items()})
    except ValidationError as error:
        raise StudyError(f"the parameters of the run {run_id} cannot be used: {sentence(error)}") from None


def move_data(recorded: RecordedTrial, path: Path) -> RecordedTrial:
    """The same trial, whose data now lies elsewhere, see `moved`."""
    return replace(recorded, study=_with_data(recorded.study, **moved(recorded.study.data.model_dump(), path)))


def _with_data(study: Study, **changes: object) -> Study:
    return study.model_copy(update={"data": study.data.model_copy(update=changes)})


def vary(recorded: RecordedTrial, overrides: Sequence[str]) -> RecordedTrial:
    """Another trial like the recorded one, trained to its own end, without numbers to compare with.

    Args:
        recorded: the trial.
        overrides: `NAME=VALUE` each, with a hyperparameter or its key in the study file (`growth=2`,
            `training.epochs=80`).

    Raises:
        StudyError: an override is wrong.
    """
    names = {key: name for name, key in HOMES.items()}
    changes: dict[str, Any] = {}
    for key, value in map(parse_override, overrides):
        name = names.get(key, key.removeprefix("space."))
        changes[name] = check_hyperparameter(name, value, key)
    try:
        config = TrialConfig(**{**recorded.config.model_dump(), **changes})
    except ValidationError as error:
        raise StudyError(sentence(error)) from None
    seeds = tuple(range(recorded.seeds[0], recorded.seeds[0] + config.seeds)) if "seeds" in changes else recorded.seeds
    study = _with_data(recorded.study, keep=config.keep)
    return replace(recorded, study=study, config=config, seeds=seeds, last_epoch=None, result={}, history={})


def start(recorded: RecordedTrial, output: Path | None = None, progress: Progress = lambda share: None) -> Training:
    """Prepares the training of a recorded trial, with as many threads as it had.

    Args:
        recorded: the trial.
        output: the folder of results in which large data is kept prepared, if it shall be.
        progress: is told how much of the data has been read.

    Raises:
        StudyError: the data cannot be read any more, or has changed.
    """
    try:
        data = recorded.study.load_data(cache_folder(output) if output else None, progress)
    except DataError as error:
        hint = "" if are_there(recorded.study.data.model_dump()) else "; --data PATH says where it is now"
        raise StudyError(f"{error}{hint}") from None
    if data.fingerprint != recorded.fingerprint:
        raise StudyError(
            f"data.source = {recorded.study.data.source!r} must hold the data that {recorded.name} was trained on "
            f"(fingerprint {recorded.fingerprint[:12]}), and has changed since (now {data.fingerprint[:12]})"
        )
    torch.set_num_threads(recorded.study.resources.threads)
    study = recorded.study
    return train(recorded.config, data.without_test(), recorded.seeds, study.network.spec, metric=study.metric(data))


def from_checkpoint(recorded: RecordedTrial, output: Path) -> Training | None:
    """The training as it ended, from the trial's checkpoint in the folder of its search; None if that is gone.

    A checkpoint is the trial's if it holds the same `trial.json` as MLflow, to the last digit of the seconds.

    Args:
        recorded: the trial.
        output: where the folder may have been moved to.

    Raises:
        StudyError: as `start` does.
    """
    for place in dict.fromkeys((output.absolute(), recorded.output)):
        folder = trial_folder(search_folder(place, recorded.search), recorded.number)
        for checkpoint in read_checkpoints(folder, "cpu"):
            if not isinstance(checkpoint, Checkpoint) or checkpoint.result != recorded.result:
                continue
            run = start(recorded, output)
            with suppress(KeyError):  # an older version wrote it
                run.load_state_dict(checkpoint.training)
                return run
    return None


def differences(recorded: RecordedTrial, run: Training) -> list[str]:
    """What of the recorded numbers came out otherwise, to the last digit; empty if nothing did.

    The curves are compared over the epochs that both have, the result unless the trial failed: its record then ends
    before its end.
    """
    here = run.result()
    found = (
        [] if recorded.failed else [k for k, v in recorded.result.items() if k not in CLOCK and _differ(v, here.get(k))]
    )
    for quantity in (*QUANTITIES, *run.history.beside):
        curve_ER = recorded.history.get(quantity.rstrip("_"))
        if curve_ER is None:
            continue
        epochs = min(len(curve_ER), len(run.history))
        here_ER = run.history.array(quantity)[:epochs].astype(curve_ER.dtype)
        same_ER = (here_ER == curve_ER[:epochs]) | (np.isnan(here_ER) & np.isnan(curve_ER[:epochs]))
        if not same_ER.all():
            first = int(np.flatnonzero(~same_ER.all(1))[0]) + 1
            found.append(f"the curve of {quantity.rstrip('_')} from epoch {first} on")
    return found


def _differ(value: Any, other: Any) -> bool:
    """Whether two parts of a JSON file differ; NaN is equal to itself."""
    return json.dumps(value, sort_keys=True) != json.dumps(other, sort_keys=True)


def other_versions(recorded: RecordedTrial) -> list[str]:
    """What the trial was trained with that is of another version here, such as `torch 2.12.0 (here 2.13.0)`."""
    packages = [package for package in ("torch", "numpy", "deeppp") if package in recorded.versions]
    changed = [package for package in packages if recorded.versions[package] != version(package)]
    return [f"{package} {recorded.versions[package]} (here {version(package)})" for package in changed]
