"""Everything that a search writes to MLflow: one parent run per search, one child run per trial.

Only the driver writes, through one client and in batches, and a trial is logged once, at its end, from the
folder that its worker left behind. Logging a trial again, after a crash in between, adds nothing twice.
"""

import getpass
import json
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import SQLAlchemyError

from pruning_core.compaction import PrunedReplica
from pruning_core.data import Dataset
from pruning_core.metrics import ACCURACY
from pruning_core.metrics import Metric as Measured
from search.record import summary, views
from search.record.known_runs import BEST, OUTPUT, PARENT, PARETO, SEARCH, Child, find_children, find_parent
from search.record.moved import artifact_place, follow, is_gone
from search.record.pictures import Pictures
from search.record.private import RunWriter
from search.record.provenance import git_tags
from search.stores.addresses import without_password
from search.stores.opening import alone
from search.study import Study
from search.study.objectives import PRUNED, metric_in
from search.trials.overview import last_line
from search.trials.result import at, by_keep
from search.trials.selection import as_latex
from search.trials.trial import SearchEnding, Trial, TrialEnding

TRIAL_STATUS: dict[TrialEnding, str] = {"ended": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
SEARCH_STATUS: dict[SearchEnding, str] = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}

NOTE = "mlflow.note.content"
LONGEST_TAG = 8000
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
PACKAGES = ("deeppp", "torch", "ray", "optuna", "mlflow", "numpy", "scikit-learn")


class TrackingError(RuntimeError):
    """MLflow cannot be used as asked; the message is one sentence."""


class Tracking:
    """The MLflow side of one search.

    The experiment is created, or gone on with; one that had been deleted is restored, with its runs.
    To be used by one thread at a time.

    Args:
        tracking_uri: `sqlite:///…/mlflow.db`, another database, or the address of a server.
        experiment: its name, the study's name.
        artifact_root: the folder for artifacts where MLflow is a database; None leaves the place to MLflow,
            as it is always left to a server.

    Raises:
        TrackingError: the store cannot be opened or reached; as every method does when a call to it fails.

    >>> tracking = Tracking("sqlite:////tmp/mlflow.db", "quick", Path("/tmp/mlartifacts"))  # doctest: +SKIP
    """

    def __init__(self, tracking_uri: str, experiment: str, artifact_root: Path | None) -> None:
        self.tracking_uri = tracking_uri
        self.experiment = experiment
        self._parent = self._label = ""
        self._metric: Measured = ACCURACY
        self._pictures = Pictures()
        self._children: dict[int, Child] = {}
        if artifact_root is not None:
            follow(artifact_root.parent)
        self._doubtful = False  # after a failure: the server may have made a run and not have said so
        with self._reporting("open"), alone(tracking_uri):
            self._client = MlflowClient(tracking_uri)
            found = self._client.get_experiment_by_name(experiment)
            if found is not None and found.lifecycle_stage == "deleted":
                self._client.restore_experiment(found.experiment_id)
            self.experiment_id = found.experiment_id if found else self._create_experiment(artifact_root)
            found = found or self._client.get_experiment(self.experiment_id)
            self._check_place(found.artifact_location, artifact_root)
            self._writer = RunWriter(self._client, tracking_uri, found)

    def _create_experiment(self, artifact_root: Path | None) -> str:
        place = artifact_place(artifact_root.parent, self.experiment) if artifact_root and self._is_database else None
        kind = {"mlflow.experimentKind": "custom_model_development"}  # the UI opens on the runs, not on traces
        try:
            return self._client.create_experiment(self.experiment, place, kind)
        except MlflowException:
            found = self._client.get_experiment_by_name(self.experiment)
            if found is None:
                raise
            return found.experiment_id  # another search was quicker

    @property
    def _is_database(self) -> bool:
        return urlsplit(self.tracking_uri).scheme.partition("+")[0] in DATABASES

    def _check_place(self, place: str, artifact_root: Path | None) -> None:
        """Refuses a database outside of the folder of results that names a place which the folder has left."""
        if artifact_root is None or not self._is_database or not is_gone(place):
            return
        if place != artifact_place(artifact_root.parent, self.experiment):
            raise TrackingError(
                f"MLflow at {without_password(self.tracking_uri)} keeps the files of {self.experiment} in {place}, "
                "which is gone: move them back there, or name another store by --tracking-uri"
            )

    @property
    def where(self) -> dict[str, str]:
        """Where this search is, as `deeppp search --json` says it."""
        uri = without_password(self.tracking_uri)
        return {"tracking_uri": uri, "experiment": self.experiment, "parent_run_id": self._parent}

    def open_search(self, label: str, study: Study, fingerprint: str, output: Path, resume: bool) -> str:
        """Starts the parent run, or goes on with the one of an earlier run of the same search.

        Args:
            label: the search's name, unique within `output`.
            study: what is searched.
            fingerprint: of the data.
            output: the output folder, which tells searches of the same label on a shared store apart.
            resume: whether to go on with an earlier parent run, if there is one, and with its children.

        Returns:
            The parent's run id.
        """
        resolved = study.model_dump(mode="json")
        self._metric = metric_in(resolved["search"])
        tags = {
            SEARCH: label,
            OUTPUT: str(output.resolve()),
            "study": self.experiment,
            "fingerprint": fingerprint,
            **git_tags(),
            **{f"version.{package}": version(package) for package in PACKAGES},
        }
        self._label = label
        with self._reporting("start a search"):
            saved = self._client.get_experiment(self.experiment_id).tags
            views.save(self._client, self.experiment_id, saved, resolved)
            place = (self._client, self.experiment_id)
            earlier = find_parent(*place, self.tracking_uri, label, output.resolve()) if resume else ""
            self._parent = earlier or self._create_run(label, tags)[0]
            self._children = find_children(*place, earlier) if earlier else {}
            if earlier:
                self._client.update_run(earlier, status="RUNNING")
                self._client.log_batch(earlier, tags=_tags(tags))
            with self._artifacts(self._parent) as staging:
                (staging / "study.yaml").write_text(study.text, encoding="utf-8")
                _write(staging / "study.json", resolved)
        return self._parent

    def start_trial(self, number: int, config: Mapping[str, Any]) -> str:
        """Starts the child run of a trial, or goes on with the one it has already.

        Args:
            number: the trial's Optuna number.
            config: the hyperparameters that the trial uses (`TrialConfig.used()`), which become parameters.

        Returns:
            The child's run id.
        """
        with self._reporting(f"start trial {number}"):
            if self._doubtful:
                self._children = find_children(self._client, self.experiment_id, self._parent) | self._children
                self._doubtful = False
            child = self._children.get(number)
            if child and (child.logged or child.opened):
                return child.run_id
            params = [Param(name, _text(value)) for name, value in config.items()]
            if child:
                self._client.update_run(child.run_id, status="RUNNING")
                self._writer.begin(child.run_id, params)
            else:
                strategy = str(config["strategy"])
                tags = {"trial": str(number), "strategy": strategy, "study": self.experiment, "search": self._label}
                made = self._create_run(f"{strategy} #{number}", tags | {PARENT: self._parent}, params)
                child = self._children[number] = Child(*made)
            child.opened = True
        return child.run_id

    def finish_trial(self, trial: Trial, folder: Path | None) -> None:
        """Logs a trial that ended from its folder: curves, outcome, artifacts and, time allowing, its gates' picture.

        A curve has a point per epoch up to 200, beyond that 200 evenly chosen ones, the first and the last
        among them; if it never moved it has only these two. Values that are not finite are left out. The
        points bear times that follow from the folder alone, so that a repetition finds them there already.

        Args:
            trial: one that `start_trial` has seen; what it failed with becomes `error.txt`.
            folder: what its worker wrote, whole, in part or (None) not at all.
        """
        assert trial.ending is not None
        number, ending = trial.number, trial.ending
        child = self._child(number)
        if child.logged == TRIAL_STATUS[ending]:
            return
        remains = summary.read_remains(folder)
        traceback = trial.stopped or trial.error
        note = last_line(traceback)
        tags = {
            "outcome": summary.outcome(remains.trial, ending),
            NOTE: summary.describe(remains.trial, note),
        }
        if trial.node:
            tags["node"] = trial.node
        if summary.is_drastic(remains.trial):
            tags["drastic"] = "true"
        if note:
            tags["error" if ending == "failed" else "stopped"] = note
        with self._reporting(f"log trial {number}"):
            with self._artifacts(child.run_id) as staging:
                for path in remains.files():
                    shutil.copy(path, staging)
                if remains.trial:
                    _write(staging / "selected.json", summary.selection(remains.trial))
                if ending == "failed" and note:
                    (staging / "error.txt").write_text(traceback, encoding="utf-8")
                if self._pictures.affordable():
                    self._pictures.draw(staging, number, remains)
            metrics = summary.metrics(remains, child.start_time, f"{PRUNED}{self._metric.name}")
            self._writer.end(child.run_id, metrics, _tags(tags), TRIAL_STATUS[ending])
        child.logged = TRIAL_STATUS[ending]

    def log_confirmation(self, number: int, confirmation: Mapping[str, Any], folder: Path | None = None) -> None:
        """Adds to a trial's run how its configuration fared with fresh seeds and on the test part.

        Args:
            number: a trial that `start_trial` has seen.
            confirmation: the trial's entry among the `strategies` of `deeppp search --json`.
            folder: what its worker wrote, from which its gates are drawn if they have not been.
        """
        run_id = self._child(number).run_id
        values = summary.scores(confirmation, self._metric.name) | {
            "confirmed_complete": summary.complete_fraction(confirmation),
            "confirmed_completion_epoch": summary.number(confirmation.get("completion_epoch"), "mean"),
        }
        with self._reporting(f"log the confirmation of trial {number}"):
            self._log_now(run_id, values, {})
            with self._artifacts(run_id) as staging:
                _write(staging / "confirmation.json", confirmation)
                if number not in self._pictures.drawn:
                    self._pictures.draw(staging, number, summary.read_remains(folder))

    def log_model(
        self, number: int, network: PrunedReplica, data: Dataset, impute: str | None
    ) -> dict[str, str | int | float | bool]:
        """Registers a trial's pruned network as a model, under the study's name.

        It belongs to the run of the trial, whose parameters made it, and the parent run shows it too.

        Args:
            number: a trial that `start_trial` has seen.
            network: of one of its confirmation seeds.
            data: that it was trained on.
            impute: how the study fills missing values.

        Returns:
            The entry `model` of `deeppp search --json`.
        """
        from search.record.model import publish

        run_id = self._child(number).run_id
        values = {
            "model_validation_accuracy": network.validation_accuracy,
            "model_test_accuracy": network.test_accuracy,
        }
        with self._reporting("register the pruned network"):
            address = publish(self._client, self.experiment, (run_id, self._parent), network, data, impute)
            self._log_now(run_id, values, {"model": address})
        return {
            "uri": address,
            "trial": number,
            "seed": network.seed,
            "refitted": network.refitted,
            "validation_accuracy": network.validation_accuracy,
            "test_accuracy": network.test_accuracy,
        }

    def close_search(
        self, result: Mapping[str, Any], ending: SearchEnding, draw: Callable[[Path], None] = lambda folder: None
    ) -> None:
        """Ends the parent run: the winner's scores, the best trial of each strategy, `search.json`, `pareto.json`.

        Trials that are still open, as after an interruption, are marked as killed; resuming opens them again.

        Args:
            result: what `deeppp search --json` writes; of an interrupted search as much as there is.
            ending: `finished`, `interrupted` or `failed`.
            draw: adds figures of the whole search to a folder.
        """
        values, tags = summary.search_metrics(result), summary.search_tags(result)
        trials = result.get("trials", len(self._children))
        note = f"{trials} trials, search {ending}  \nbest: {summary.winners(result)}"
        with self._reporting("close the search"):
            for child in self._children.values():
                if not child.logged:
                    self._client.set_terminated(child.run_id, "KILLED")
            self._mark(BEST, summary.best_marks(result))
            self._mark(PARETO, summary.pareto_marks(result))
            self._log_now(self._parent, values, tags | {NOTE: note})
            from search.figures.selection import selection_picture
            from search.figures.strategies import (
                strategy_summary,  # takes half a second for which the start of a search need not wait
            )

            with self._artifacts(self._parent) as staging:
                _write(staging / "search.json", result)
                for keep, part in by_keep(result).items():
                    which = f"_{keep}" if keep else ""
                    if part.get("strategies"):
                        study = f"{result.get('study', 'study')}{at(keep)}"
                        path = staging / f"strategies{which}.png"
                        strategy_summary({**part, "study": study}, path, self._metric)
                    if part.get("selection"):
                        _write(staging / f"selection{which}.json", part["selection"])
                        (staging / f"selection{which}.tex").write_text(as_latex(part["selection"]), encoding="utf-8")
                        selection_picture(staging / f"selection{which}.png", part["selection"])
                    if part.get("pareto"):
                        _write(staging / f"pareto{which}.json", part["pareto"])
                draw(staging)
            self._client.set_terminated(self._parent, SEARCH_STATUS[ending])

    def _mark(self, tag: str, values: Mapping[int, str]) -> None:
        """Gives these trials the tag, and takes it from those that bear it no longer."""
        for number, child in self._children.items():
            if number in values:
                self._client.set_tag(child.run_id, tag, values[number])
                child.marks.add(tag)
            elif tag in child.marks:
                self._client.delete_tag(child.run_id, tag)
                child.marks.remove(tag)

    def _child(self, number: int) -> Child:
        if number not in self._children:
            raise TrackingError(f"trial {number} has no run in MLflow, start_trial comes first")
        return self._children[number]

    def _create_run(self, name: str, tags: Mapping[str, str], params: Sequence[Param] = ()) -> tuple[str, int]:
        source = {"mlflow.source.name": "deeppp", "mlflow.user": _user()}
        return self._writer.create(name, {**tags, **source}, params)

    def _log_now(self, run_id: str, values: Mapping[str, float | None], tags: Mapping[str, str]) -> None:
        """Logs what is not there yet of single values, at the present time: the newest is the last one."""
        known = self._client.get_run(run_id).data.metrics
        now = time.time_ns() // 1_000_000
        fresh = {name: value for name, value in values.items() if value is not None and known.get(name) != value}
        metrics = [Metric(name, value, now, 0) for name, value in fresh.items()]
        self._client.log_batch(run_id, metrics=metrics, tags=_tags(tags))

    @contextmanager
    def _artifacts(self, run_id: str) -> Iterator[Path]:
        """A temporary folder whose files become artifacts of the run."""
        with tempfile.TemporaryDirectory() as staging:
            yield Path(staging)
            if any(Path(staging).iterdir()):
                self._writer.log_artifacts(run_id, staging)

    @contextmanager
    def _reporting(self, what: str) -> Iterator[None]:
        """Turns the errors of the store and of its folder into a `TrackingError` of one sentence."""
        try:
            yield
        except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
            self._doubtful = True
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            message = f"MLflow at {self.tracking_uri} failed to {what}: {reason}"
            raise TrackingError(without_password(message)) from error


def _write(path: Path, value: Mapping[str, Any] | Sequence[Any]) -> None:
    path.write_text(json.dumps(value, indent=1))


def _tags(tags: Mapping[str, str]) -> list[RunTag]:
    return [RunTag(key, value[:LONGEST_TAG]) for key, value in tags.items()]


def _text(value: object) -> str:
    """A hyperparameter as a parameter: a string as it is, anything else as JSON, which reads back exactly."""
    return value if isinstance(value, str) else json.dumps(value)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
