"""MLflow read back: the runs of searches and trials in plain data, and their files."""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from search.record.known_runs import OUTPUT, PARENT, SEARCH, runs_with
from search.record.moved import follow
from search.record.views import links
from search.stores.addresses import check_server, without_password
from search.stores.opening import existing_store, readable
from search.study import StudyError


@dataclass(frozen=True)
class LoggedRun:
    """A run in plain data; `status` is MLflow's word."""

    run_id: str
    name: str
    status: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]

    @classmethod
    def of(cls, run: Run) -> "LoggedRun":
        """What MLflow's own object says."""
        data, info = run.data, run.info
        return cls(info.run_id, str(info.run_name), info.status, data.tags, data.params, data.metrics)


class Store:
    """A store of MLflow in which searches were recorded.

    Args:
        tracking_uri: of MLflow; None stands for `MLFLOW_TRACKING_URI`, else `output`/mlflow.db.
        output: the folder of the searches' results.

    Raises:
        StudyError: there is none.
    """

    def __init__(self, tracking_uri: str | None, output: Path) -> None:
        follow(output)
        named = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
        self.is_default = not named
        self.uri = existing_store(named, output, "mlflow.db")
        self.output = output
        check_server(self.uri, "MLflow at")
        with readable(self.uri, MlflowException):
            self._client = MlflowClient(self.uri)

    def views(self, ui: str) -> list[tuple[str, str, str]]:
        """The views of all studies, the latest first: study, name of the view, and its address in the UI at `ui`.

        Raises:
            StudyError: the store cannot be read.
        """
        with readable(self.uri, MlflowException):
            return links(self.uri, ui)

    def run(self, run_id: str) -> LoggedRun:
        """A run by its id.

        Raises:
            StudyError: there is none, or the store cannot be read.
        """
        try:
            with readable(self.uri, MlflowException):
                return LoggedRun.of(self._client.get_run(run_id))
        except StudyError as error:
            address = without_password(self.uri)
            if getattr(error.__cause__, "error_code", "") == "RESOURCE_DOES_NOT_EXIST":
                raise StudyError(f"RUN_ID = {run_id!r} is no run in MLflow at {address}") from None
            reason = " ".join(str(error.__cause__).split())[:200]
            raise StudyError(f"RUN_ID = {run_id!r} cannot be read from MLflow at {address}: {reason}") from None

    def search(self, study: str, label: str) -> tuple[LoggedRun, dict[int, LoggedRun]]:
        """The run of a search and those of its trials by their number; of several of one label that of this output.

        Raises:
            StudyError: there is none, or the store cannot be read.
        """
        with readable(self.uri, MlflowException):
            found = self._client.get_experiment_by_name(study)
            parents = runs_with(self._client, found.experiment_id, SEARCH, label) if found else []
            here = str(self.output.resolve())
            parent = next((run for run in parents if run.data.tags.get(OUTPUT) == here), None)
            parent = parent or next(iter(parents), None)
            if found is None or parent is None:
                raise StudyError(
                    f"MLflow at {without_password(self.uri)} holds no search {label}: "
                    "--tracking-uri must name the store that the search was recorded in"
                )
            runs = runs_with(self._client, found.experiment_id, PARENT, parent.info.run_id)
            children = {int(run.data.tags["trial"]): LoggedRun.of(run) for run in runs if "trial" in run.data.tags}
        return LoggedRun.of(parent), children

    def artifact(self, run: LoggedRun, name: str, folder: Path) -> Path | None:
        """A file of a run, from the output folder, which may have been moved, else brought into `folder`; or None."""
        here = self.output / "mlartifacts" / run.tags.get("study", "") / run.run_id / "artifacts" / name
        if here.is_file():
            return here
        try:
            return Path(self._client.download_artifacts(run.run_id, name, str(folder)))
        except (MlflowException, OSError):
            return None

    def json(self, run: LoggedRun, name: str) -> dict[str, Any]:
        """The object in a JSON file of a run, empty if there is no such file."""
        with tempfile.TemporaryDirectory() as folder:
            path = self.artifact(run, name, Path(folder))
            return dict(json.loads(path.read_text())) if path else {}

    def log(self, run: LoggedRun, folder: Path, place: str) -> str:
        """Files become artifacts of a run below `place`; returns "", or why MLflow did not take them."""
        try:
            self._client.log_artifacts(run.run_id, str(folder), place)
        except (MlflowException, OSError) as error:
            return " ".join(str(error).split())[:200]
        return ""

    def artifact_names(self, run: LoggedRun, place: str | None = None) -> set[str]:
        """The names of a run's files, or of those below `place`."""
        return {Path(file.path).name for file in self._client.list_artifacts(run.run_id, place)}
