"""A search read back from its stores: its trials from Optuna, how each of them ended from MLflow.

Optuna says which trials there are, their hyperparameters and their accuracies; the MLflow run of a trial adds its
outcome and its completion epoch, and the parent run the study and the confirmed winners. Reading writes nothing.
"""

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import optuna
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from optuna.trial import FrozenTrial, TrialState

from search.propose.optuna_trials import last_accuracy
from search.record.tracking import OUTPUT, PARENT, SEARCH
from search.stores.addresses import without_password
from search.stores.opening import existing_store, readable, runs_with
from search.study import StudyError

Ending = Literal["ended", "stopped", "failed"]
ENDINGS: dict[TrialState, Ending] = {
    TrialState.COMPLETE: "ended",
    TrialState.PRUNED: "stopped",
    TrialState.FAIL: "failed",
}


@dataclass(frozen=True)
class TrialRecord:
    """One trial that is over.

    `complete` is the fraction of its seeds that completed the pruning and `completion_epoch` their mean, both None
    where MLflow holds no run of the trial. `outcome` is that of all seeds, `mixed`, or `unknown` without a run.
    """

    optuna: FrozenTrial
    ending: Ending
    run_id: str
    outcome: str
    drastic: bool
    complete: float | None
    completion_epoch: float | None

    @property
    def number(self) -> int:
        return self.optuna.number

    @property
    def strategy(self) -> str:
        return str(self.optuna.params["strategy"])

    @property
    def category(self) -> str:
        """What it counts as: `stopped`, `failed`, or else its outcome."""
        return self.outcome if self.ending == "ended" else self.ending

    @property
    def accuracy(self) -> float | None:
        """The pruned accuracy on the validation part when the trial ended, a mean over its seeds."""
        return self.optuna.values[0] if self.optuna.values else last_accuracy(self.optuna)

    @property
    def completed(self) -> bool:
        """Whether it came to its own end with every seed complete."""
        return self.ending == "ended" and self.complete == 1


@dataclass(frozen=True)
class SearchRecord:
    """A search: `study` is the resolved study, `result` the content of search.json as far as the search came."""

    label: str
    study: dict[str, Any]
    result: dict[str, Any]
    trials: tuple[TrialRecord, ...]
    unfinished: int
    finished: bool
    parent_run_id: str
    tags: Mapping[str, str]
    client: MlflowClient
    output: Path

    def artifact(self, run_id: str, name: str, folder: Path) -> Path | None:
        """A file of a run, from the output folder, which may have been moved, else brought into `folder`."""
        return _artifact(self.client, self.tags["study"], run_id, name, self.output, folder)

    @property
    def strategies(self) -> tuple[str, ...]:
        """The study's strategies, the winner first and the others as they were confirmed: best first."""
        confirmed = self.result.get("strategies", {})
        return tuple(sorted(self.study["strategies"], key=lambda s: _rank(confirmed.get(s)), reverse=True))

    @property
    def keeps(self) -> tuple[int, ...]:
        """Every n of the search, the first one first."""
        keep = self.study["data"]["keep"]
        return tuple(keep) if isinstance(keep, list) else (keep,)

    def at(self, keep: int) -> "SearchRecord":
        """What a search over several n did at one of them, as a search of its own."""
        nothing: dict[str, Any] = {"strategies": {}, "winner": None}
        mine = self.result.get("keeps", {}).get(str(keep), nothing)
        model = self.result.get("model") if keep == self.keeps[0] else None
        return replace(
            self,
            study={**self.study, "data": {**self.study["data"], "keep": keep}},
            result={**self.result, **mine, "model": model},
            trials=tuple(t for t in self.trials if t.optuna.params["keep"] == keep),
        )

    def of(self, strategy: str) -> list[TrialRecord]:
        """The trials of one strategy."""
        return [trial for trial in self.trials if trial.strategy == strategy]


def _rank(entry: Mapping[str, Any] | None) -> tuple[float, float]:
    """How the search itself ranks confirmed strategies: completion first, then validation accuracy."""
    return (entry["outcome"]["complete"], entry["validation"]["mean"]) if entry else (-1, -1)


def read_search(name: str, output: Path, storage: str | None = None, tracking_uri: str | None = None) -> SearchRecord:
    """Reads a search back.

    Args:
        name: of a study, which stands for its latest search, or a search's label such as `quick-2`; `quick-1` is
            the first one.
        output: the folder of the search's results.
        storage: of Optuna; None stands for `output`/optuna.db.
        tracking_uri: of MLflow; None stands for `MLFLOW_TRACKING_URI`, else `output`/mlflow.db.

    Raises:
        StudyError: a store cannot be opened, or holds no such search.
    """
    ledger = _find_ledger(name, existing_store(storage, output, "optuna.db"))
    uri = existing_store(tracking_uri or os.environ.get("MLFLOW_TRACKING_URI"), output, "mlflow.db")
    experiment = str(ledger.user_attrs["study"]["name"])
    with readable(uri):
        client = MlflowClient(uri)
        found = client.get_experiment_by_name(experiment)
        parents = runs_with(client, found.experiment_id, SEARCH, ledger.study_name) if found else []
        parent = next((run for run in parents if run.data.tags.get(OUTPUT) == str(output.resolve())), None)
        parent = parent or next(iter(parents), None)
        if found is None or parent is None:
            raise StudyError(
                f"MLflow at {without_password(uri)} holds no search {ledger.study_name}: "
                "--tracking-uri must name the store that the search was recorded in"
            )
        children = {
            run.data.tags["trial"]: run
            for run in runs_with(client, found.experiment_id, PARENT, parent.info.run_id)
            if "trial" in run.data.tags
        }
        with tempfile.TemporaryDirectory() as folder:
            study, result = (
                _read_json(_artifact(client, experiment, parent.info.run_id, name, output, Path(folder)))
                for name in ("study.json", "search.json")
            )
    trials = ledger.get_trials(deepcopy=False)
    return SearchRecord(
        label=ledger.study_name,
        study=study or ledger.user_attrs["study"],
        result=result,
        trials=tuple(_record(t, children.get(str(t.number))) for t in trials if t.state in ENDINGS),
        unfinished=sum(t.state not in ENDINGS for t in trials),
        finished=parent.info.status == "FINISHED",
        parent_run_id=parent.info.run_id,
        tags=parent.data.tags,
        client=client,
        output=output,
    )


def _artifact(client: MlflowClient, experiment: str, run_id: str, name: str, output: Path, folder: Path) -> Path | None:
    here = output / "mlartifacts" / experiment / run_id / "artifacts" / name
    if here.is_file():
        return here
    try:
        return Path(client.download_artifacts(run_id, name, str(folder)))
    except (MlflowException, OSError):
        return None


def _read_json(path: Path | None) -> dict[str, Any]:
    """The object in a file, empty if there is no file."""
    return json.loads(path.read_text()) if path else {}


def _record(trial: FrozenTrial, run: Run | None) -> TrialRecord:
    tags: Mapping[str, str] = run.data.tags if run else {}
    metrics: Mapping[str, float] = run.data.metrics if run else {}
    return TrialRecord(
        optuna=trial,
        ending=ENDINGS[trial.state],
        run_id=run.info.run_id if run else "",
        outcome=tags.get("outcome", "unknown"),
        drastic=tags.get("drastic") == "true",
        complete=metrics.get("complete"),
        completion_epoch=metrics.get("completion_epoch"),
    )


def _find_ledger(name: str, storage: str) -> optuna.Study:
    """The Optuna study of the search that `name` stands for."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with readable(storage):
        store = optuna.storages.get_storage(storage)
        labels = optuna.get_all_study_names(store)
        first = name.removesuffix("-1")
        numbered = [first, *(f"{name}-{k}" for k in range(2, len(labels) + 2))]
        searches = [optuna.load_study(study_name=label, storage=store) for label in numbered if label in labels]
        of_this_study = [search for search in searches if search.user_attrs.get("study", {}).get("name") == name]
        if of_this_study:
            return of_this_study[-1]
        if name in labels or first in labels:
            return optuna.load_study(study_name=name if name in labels else first, storage=store)
    known = f"there are {_some(labels)}" if labels else "it is empty, run a search first"
    raise StudyError(f"there is no study or search {name} in {without_password(storage)}: {known}")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
