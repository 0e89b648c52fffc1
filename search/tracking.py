"""Everything that a search writes to MLflow: one parent run per search, one child run per trial.

Only the driver writes, through one client and in batches, and a trial is logged once, at its end, from the folder
that its worker left behind. Logging the same trial again, after a crash in between, changes nothing.
"""

import getpass
import json
import logging
import math
import os
import sqlite3
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from search import figures

# What goes wrong is raised and reaches the user as one sentence; the libraries would print a traceback besides.
for _logger in ("mlflow", "alembic", "urllib3.connectionpool"):
    logging.getLogger(_logger).setLevel(logging.CRITICAL)

TrialEnding = Literal["complete", "stopped", "failed"]
SearchEnding = Literal["finished", "interrupted", "failed"]
STATUS = {
    "complete": "FINISHED",
    "stopped": "KILLED",
    "failed": "FAILED",
    "finished": "FINISHED",
    "interrupted": "KILLED",
}

# The quantities of history.npz that become curves, with their names in MLflow.
PER_EPOCH = {
    "classification_loss": "classification_loss",
    "selection_loss": "selection_loss",
    "rejection_loss": "rejection_loss",
    "total_loss": "total_loss",
    "alpha": "alpha",
    "lambda": "lambda",
    "mu": "mu",
    "active": "active",
    "gate_variance": "gate_variance",
    "weight_variance": "weight_variance",
    "pruned_accuracy": "pruned_accuracy",
    "full_accuracy": "full_accuracy",
    "acceptance": "acceptance",
    "complete": "complete_fraction",
}
WITH_SPREAD = ("active", "pruned_accuracy")
POINTS = 200
FILES = ("trial.json", "history.npz", "gates.npz")
PARENT, NOTE, SEARCH, OUTPUT = "mlflow.parentRunId", "mlflow.note.content", "deeppp.search", "deeppp.output"
CONNECTION_RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
LONGEST_TAG = 8000


class TrackingError(RuntimeError):
    """MLflow cannot be used as asked; the message is one sentence."""


@dataclass(frozen=True)
class _Remains:
    """What a worker left in a trial's folder; a file that is absent or unreadable counts as empty."""

    folder: Path | None
    trial: dict[str, Any]
    history: dict[str, NDArray[Any]]
    gates: dict[str, NDArray[Any]]


@dataclass
class _Child:
    """A trial's run: when it began (ms), and the status it was logged with, "" as long as it was not."""

    run_id: str
    start_time: int
    logged: str


class Tracking:
    """The MLflow side of one search.

    An experiment of that name is created, or gone on with; one that had been deleted is restored with its runs.

    Args:
        tracking_uri: `sqlite:///…/mlflow.db`, another database, or the address of a server.
        experiment: its name, the study's name.
        artifact_root: the folder for the artifacts of a database of our own; None leaves the place to the server.

    Raises:
        TrackingError: the store cannot be opened or reached; as every method does when a call to it fails.

    >>> tracking = Tracking("sqlite:////tmp/runs/mlflow.db", "quick", Path("/tmp/runs/mlartifacts"))  # doctest: +SKIP
    """

    def __init__(self, tracking_uri: str, experiment: str, artifact_root: Path | None) -> None:
        self.tracking_uri = tracking_uri
        self.experiment = experiment
        self._own_store = artifact_root is not None
        self._parent = ""
        self._children: dict[int, _Child] = {}
        with self._reporting("open"), _few_retries():
            _check_sqlite(tracking_uri)
            self._client = MlflowClient(tracking_uri)
            found = self._client.get_experiment_by_name(experiment)
            if found is None:
                place = (artifact_root.resolve() / experiment).as_uri() if artifact_root is not None else None
                self.experiment_id = self._client.create_experiment(experiment, place)
            else:
                self.experiment_id = found.experiment_id
                if found.lifecycle_stage == "deleted":
                    self._client.restore_experiment(found.experiment_id)

    def open_search(
        self,
        label: str,
        study_text: str,
        resolved_study: Mapping[str, Any],
        versions: Mapping[str, str],
        fingerprint: str,
        *,
        output: Path,
        resume: bool,
    ) -> str:
        """Starts the parent run, or goes on with the one of an earlier run of the same search.

        Args:
            label: the search's name, unique within `output`.
            study_text: the study file as the user wrote it.
            resolved_study: the study with everything filled in.
            versions: package name to version.
            fingerprint: of the data.
            output: the output folder; on a shared server it tells searches of the same label apart.
            resume: whether to go on with an earlier parent run, where there is one, and with its children.

        Returns:
            The parent's run id.
        """
        tags = {
            SEARCH: label,
            OUTPUT: str(output.resolve()),
            "study": self.experiment,
            "fingerprint": fingerprint,
            **{f"version.{package}": version for package, version in versions.items()},
        }
        with self._reporting("start a search"):
            self._children = {}
            earlier = self._find_parent(label, tags[OUTPUT]) if resume else None
            if earlier is None:
                self._parent = self._create_run(label, tags).info.run_id
            else:
                self._parent = earlier
                self._client.update_run(earlier, status="RUNNING")
                self._client.log_batch(earlier, tags=_tags(tags))
                self._children = self._find_children()
            with self._staged_artifacts(self._parent) as folder:
                (folder / "study.yaml").write_text(study_text)
                (folder / "study.json").write_text(json.dumps(resolved_study, indent=1))
        return self._parent

    def start_trial(self, number: int, config: Mapping[str, Any]) -> str:
        """Starts the child run of a trial, or goes on with the one it has already.

        Args:
            number: the trial's Optuna number.
            config: the hyperparameters that the trial uses (`TrialConfig.used()`), which become its parameters.

        Returns:
            The child's run id.
        """
        with self._reporting(f"start trial {number}"):
            child = self._children.get(number)
            if child is None:
                strategy = str(config["strategy"])
                tags = {"trial": str(number), "strategy": strategy, "study": self.experiment}
                run = self._create_run(f"{strategy} #{number}", tags | {PARENT: self._parent})
                child = _Child(run.info.run_id, run.info.start_time, "")
                self._children[number] = child
            elif not child.logged:
                self._client.update_run(child.run_id, status="RUNNING")
            if not child.logged:
                self._client.log_batch(child.run_id, params=[Param(k, _text(v)) for k, v in config.items()])
        return child.run_id

    def finish_trial(self, number: int, folder: Path | None, ending: TrialEnding, note: str = "") -> None:
        """Logs a trial that ended from its folder: metrics per epoch, outcome, artifacts and the picture of its gates.

        A curve has a point per epoch up to 200, beyond that 200 evenly chosen ones with the first and the last;
        of a quantity that never changed only those two. Values that are not finite are left out. The points bear times
        that follow from the folder alone, so that a repetition finds them there already.

        Args:
            number: a trial that `start_trial` has seen.
            folder: what its worker wrote, whole, in part or (None) not at all.
            ending: `complete` for a trial that came to its own end, `stopped` for one given up, `failed`.
            note: why it was stopped, or what failed.
        """
        child = self._child(number)
        if child.logged == STATUS[ending]:
            return
        remains = _read(folder)
        tags = {"outcome": _outcome(remains.trial, ending), NOTE: _describe(remains.trial, note)}
        if _drastic(remains.trial):
            tags["drastic"] = "true"
        if note:
            tags["error" if ending == "failed" else "stopped"] = note
        with self._reporting(f"log trial {number}"):
            self._log_remains(child.run_id, number, remains)
            metrics = _metrics(remains, child.start_time)
            self._client.log_batch(child.run_id, metrics=metrics, tags=_tags(tags))
            self._client.set_terminated(child.run_id, STATUS[ending])
            child.logged = STATUS[ending]

    def log_confirmation(self, number: int, confirmation: Mapping[str, Any]) -> None:
        """Adds to a trial's run how its configuration fared with fresh seeds and on the test part.

        Args:
            number: a trial that `start_trial` has seen.
            confirmation: the trial's entry among the `strategies` of `deeppp search --json`.
        """
        run_id = self._child(number).run_id
        values = _accuracies(confirmation) | {
            "confirmed_complete_fraction": _share(confirmation, "complete"),
            "confirmed_completion_epoch": _number(confirmation.get("completion_epoch"), "mean"),
        }
        with self._reporting(f"log the confirmation of trial {number}"):
            known = self._client.get_run(run_id).data.metrics
            self._log_now(run_id, {name: value for name, value in values.items() if known.get(name) != value}, {})
            with self._staged_artifacts(run_id) as folder:
                (folder / "confirmation.json").write_text(json.dumps(confirmation, indent=1))

    def close_search(self, result: Mapping[str, Any], ending: SearchEnding) -> None:
        """Ends the parent run: the winner's accuracies, a tag for the best trial of each strategy, `search.json`.

        Trials that are still open, as after an interruption, are marked as killed; resuming opens them again.

        Args:
            result: what `deeppp search --json` writes; of an interrupted search as much as there is.
            ending: `finished`, `interrupted` or `failed`.
        """
        strategies: Mapping[str, Mapping[str, Any]] = result.get("strategies") or {}
        counts = ("trials", "failed", "stopped", "seconds", "replica_epochs", "replica_epochs_per_second")
        values = {name: _number(result, name) for name in counts}
        winner = str(result.get("winner") or "")
        values |= _accuracies(strategies.get(winner, {}))
        values |= {f"test_accuracy.{name}": _number(entry.get("test"), "mean") for name, entry in strategies.items()}
        tags = {f"best.{name}": _describe_best(entry) for name, entry in strategies.items()}
        best = f"{winner} does best: {tags[f'best.{winner}']}" if f"best.{winner}" in tags else "no trial confirmed"
        trials = f"{result.get('trials', len(self._children))} trials"
        tags |= {"winner": winner or "none", NOTE: f"{trials}, search {ending}  \n{best}"}
        with self._reporting("close the search"):
            for child in self._children.values():
                if not child.logged:
                    self._client.set_terminated(child.run_id, "KILLED")
            self._log_now(self._parent, values, tags)
            with self._staged_artifacts(self._parent) as folder:
                (folder / "search.json").write_text(json.dumps(result, indent=1))
                if strategies:
                    figures.strategy_summary(result, folder / "strategies.png")
            self._client.set_terminated(self._parent, STATUS[ending])

    def _child(self, number: int) -> _Child:
        if number not in self._children:
            raise TrackingError(f"trial {number} has no run in MLflow, start_trial comes first")
        return self._children[number]

    def _find_parent(self, label: str, output: str) -> str | None:
        """The newest parent run of this label; on a shared server only one of this output folder."""
        for run in self._runs(f"tags.`{SEARCH}` = '{label}'"):
            if self._own_store or run.data.tags.get(OUTPUT) == output:
                return str(run.info.run_id)
        return None

    def _find_children(self) -> dict[int, _Child]:
        children = {}
        for run in self._runs(f"tags.`{PARENT}` = '{self._parent}'"):
            tags, info = run.data.tags, run.info
            logged = info.status if "outcome" in tags and info.status != "RUNNING" else ""
            children[int(tags["trial"])] = _Child(info.run_id, info.start_time, logged)
        return children

    def _runs(self, filter_string: str) -> Iterator[Run]:
        """All runs of the experiment that match, newest first, page by page."""
        token = None
        while True:
            page = self._client.search_runs(
                [self.experiment_id], filter_string, order_by=["attributes.start_time DESC"], page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return

    def _create_run(self, name: str, tags: Mapping[str, str]) -> Run:
        source = {"mlflow.source.name": "deeppp", "mlflow.user": _user()}
        return self._client.create_run(self.experiment_id, tags={**tags, **source}, run_name=name)

    def _log_now(self, run_id: str, values: Mapping[str, float | None], tags: Mapping[str, str]) -> None:
        now = time.time_ns() // 1_000_000
        metrics = [Metric(name, value, now, 0) for name, value in values.items() if value is not None]
        self._client.log_batch(run_id, metrics=metrics, tags=_tags(tags))

    def _log_remains(self, run_id: str, number: int, remains: _Remains) -> None:
        """Uploads a trial's files, the selected inputs and the picture of its gates."""
        for name in FILES:
            if remains.folder is not None and (remains.folder / name).exists():
                self._client.log_artifact(run_id, str(remains.folder / name))
        trial, gates = remains.trial, remains.gates
        if not trial:
            return
        with self._staged_artifacts(run_id) as staging:
            counts = Counter(name for names in trial["selected"] for name in names)
            selection = {"seeds": trial["seeds"], "selected": trial["selected"], "kept_in": dict(counts.most_common())}
            (staging / "selected.json").write_text(json.dumps(selection, indent=1))
            if not gates or not remains.history:
                return
            kept = [set(names) for names in trial["selected"]]
            strategy = trial["config"]["strategy"]
            figures.gate_trajectories(
                staging / "gates.png",
                title=f"{strategy} #{number}: {_completions(trial)}",
                gates=gates["gates"],
                gate_epochs=gates["epoch"],
                active=remains.history["active"],
                alpha=remains.history["alpha"],
                epochs=remains.history["epoch"],
                selected=np.array([[name in names for name in gates["names"].tolist()] for names in kept]),
                seeds=trial["seeds"],
                completion=trial["completion_epoch"],
            )

    @contextmanager
    def _staged_artifacts(self, run_id: str) -> Iterator[Path]:
        """A temporary folder whose files become artifacts of the run."""
        with tempfile.TemporaryDirectory() as name:
            yield Path(name)
            self._client.log_artifacts(run_id, name)

    @contextmanager
    def _reporting(self, what: str) -> Iterator[None]:
        """Turns the errors of the store and of its folder into a `TrackingError` of one sentence."""
        try:
            yield
        except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise TrackingError(f"MLflow at {self.tracking_uri} failed to {what}: {reason}") from error


@contextmanager
def _few_retries() -> Iterator[None]:
    """Makes a wrong server address fail within seconds; MLflow's default of 7 retries takes minutes."""
    before = os.environ.get(CONNECTION_RETRIES)
    os.environ.setdefault(CONNECTION_RETRIES, "1")
    try:
        yield
    finally:
        if before is None:
            del os.environ[CONNECTION_RETRIES]


def _check_sqlite(tracking_uri: str) -> None:
    """Opens the file behind a SQLite URI once: MLflow would try an unusable one for over a minute."""
    if not tracking_uri.startswith("sqlite:"):
        return
    path = Path(make_url(tracking_uri).database or ":memory:")
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA schema_version")


def _read(folder: Path | None) -> _Remains:
    if folder is None:
        return _Remains(None, {}, {}, {})
    try:
        trial = json.loads((folder / "trial.json").read_text())
    except (OSError, ValueError):
        trial = {}
    return _Remains(folder, trial, _arrays(folder / "history.npz"), _arrays(folder / "gates.npz"))


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return {}
    return arrays if len(arrays.get("epoch", ())) else {}


def _metrics(remains: _Remains, start_time: int) -> list[Metric]:
    """The curves of a trial, and its summary as their last points, at times spread over its `seconds`."""
    points: dict[tuple[str, int], float] = {}
    epochs = remains.history.get("epoch", np.array([1]))
    last = int(epochs[-1])
    for name, values_ER in remains.history.items():
        with np.errstate(all="ignore"):
            if name in PER_EPOCH:
                points |= _curve(PER_EPOCH[name], epochs, values_ER.mean(1, dtype=float))
            if name in WITH_SPREAD:
                points |= _curve(f"{name}_std", epochs, values_ER.std(1, dtype=float))
    trial = remains.trial
    completed = [epoch for epoch in trial.get("completion_epoch", []) if epoch is not None]
    summary = {
        "pruned_accuracy": _number(trial.get("pruned_accuracy"), "mean"),
        "pruned_accuracy_std": _number(trial.get("pruned_accuracy"), "std"),
        "full_accuracy": _number(trial.get("full_accuracy"), "mean"),
        "complete_fraction": _share(trial, "complete"),
        "completion_epoch": float(np.mean(completed)) if completed else None,
        "drasticness": float(np.mean(trial["drasticness"])) if trial else None,
        "replica_epochs_per_second": _number(trial, "replica_epochs_per_second"),
    }
    points |= {(name, last): value for name, value in summary.items() if value is not None}
    pace = 1000 * (_number(trial, "seconds") or 0.0) / last
    return [
        Metric(name, value, start_time + round(pace * step), step)
        for (name, step), value in points.items()
        if math.isfinite(value)
    ]


def _curve(name: str, epochs: NDArray[Any], values_E: NDArray[np.float64]) -> dict[tuple[str, int], float]:
    """The finite points of a curve, thinned to `POINTS`, or to its two ends if it never moved."""
    finite = np.flatnonzero(np.isfinite(values_E))
    if not len(finite):
        return {}
    limit = 2 if (values_E[finite] == values_E[finite[0]]).all() else POINTS
    chosen = finite[np.unique(np.linspace(0, len(finite) - 1, min(limit, len(finite))).round().astype(int))]
    return {(name, int(epochs[row])): float(values_E[row]) for row in chosen}


def _outcome(trial: Mapping[str, Any], ending: TrialEnding) -> str:
    """The outcome that all seeds share, else `mixed`; without a trial.json the ending itself."""
    found = [name for name, seeds in trial.get("outcome", {}).items() if seeds]
    if ending == "failed" or not found:
        return ending
    return found[0] if len(found) == 1 else "mixed"


def _drastic(trial: Mapping[str, Any]) -> bool:
    """Whether most of the complete seeds dropped more than half of their gates within one epoch."""
    pairs = zip(trial.get("drasticness", []), trial.get("completion_epoch", []), strict=True)
    complete = [drasticness > 0.5 for drasticness, epoch in pairs if epoch is not None]
    return 2 * sum(complete) > len(complete)


def _completions(trial: Mapping[str, Any]) -> str:
    epochs = trial["completion_epoch"]
    return f"{sum(epoch is not None for epoch in epochs)} of {len(epochs)} seeds complete"


def _describe(trial: Mapping[str, Any], note: str) -> str:
    """A trial in two lines of Markdown."""
    if not trial:
        return note or "no result was left behind"
    reached = [epoch for epoch in trial["completion_epoch"] if epoch is not None]
    when = f", at epoch {np.mean(reached):.0f} on average" if reached else ""
    reason = f"; {note}" if note else ""
    pruned, full = _spread(trial["pruned_accuracy"]), _spread(trial["full_accuracy"])
    accuracy = f"pruned accuracy {pruned}, unpruned {full}"
    return f"{_completions(trial)}{when}{reason}  \n{accuracy}, {trial['epochs_run']} epochs in {trial['seconds']:.1f} s"


def _describe_best(entry: Mapping[str, Any]) -> str:
    test, validation = _spread(entry.get("test")), _spread(entry.get("validation"))
    of = f"{entry.get('completed', 0)} of {entry.get('trials', 0)} trials complete"
    return f"test {test}, validation {validation}, {of}, run {entry.get('run_id', 'unknown')}"


def _spread(accuracy: Mapping[str, Any] | None) -> str:
    mean, std = _number(accuracy, "mean"), _number(accuracy, "std")
    return "not measured" if mean is None else f"{mean:.4f} ± {std or 0.0:.4f}"


def _accuracies(entry: Mapping[str, Any]) -> dict[str, float | None]:
    parts = {"test_accuracy": entry.get("test"), "confirmed_validation_accuracy": entry.get("validation")}
    return {
        name + suffix: _number(part, key)
        for name, part in parts.items()
        for suffix, key in (("", "mean"), ("_std", "std"))
    }


def _share(entry: Mapping[str, Any], outcome: str) -> float | None:
    """The fraction of the seeds with this outcome, whether they were counted or already divided."""
    counts = entry.get("outcome") or {}
    return counts.get(outcome, 0) / sum(counts.values()) if any(counts.values()) else None


def _number(entry: Mapping[str, Any] | None, key: str) -> float | None:
    """A finite number of a JSON object, else None."""
    value = (entry or {}).get(key)
    return float(value) if value is not None and math.isfinite(value) else None


def _tags(tags: Mapping[str, str]) -> list[RunTag]:
    return [RunTag(key, value[:LONGEST_TAG]) for key, value in tags.items()]


def _text(value: Any) -> str:
    """A hyperparameter as a parameter: strings as they are, anything else as JSON, which reads back exactly."""
    return value if isinstance(value, str) else json.dumps(value)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
