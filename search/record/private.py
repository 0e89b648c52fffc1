"""The only file that uses what MLflow does not document: its tables, its artifact repositories, the UI's views.

`RunWriter` writes the beginning and the end of a run into SQLite as one transaction each. Why: through `MlflowClient` a
run would be a dozen transactions, and every point of its curves an object that is looked up again: 0.1 ms a point, of
which a usual trial has 1,600. Its files go to one artifact repository; the client makes one for each run, and keeps it
with a pool of threads. What breaks when the tables change: the first run of a search on SQLite; for every other store
`MlflowClient` does it already.

`experiment_places` and `move_places` read and change where its tables say that files lie. Why: those places are
absolute, and nothing documented moves them. What breaks when the tables change: a folder that was moved is refused.

`view_tag` and `view_address` know how the UI keeps a saved view. Why: nothing documented saves one. What breaks when
the UI changes: experiments open without a chosen view.
"""

import json
import sqlite3
import time
import uuid
from collections.abc import Mapping, Sequence
from functools import cached_property

from mlflow.entities import Experiment, LifecycleStage, Metric, Param, RunTag, SourceType
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlMetric, SqlParam, SqlRun, SqlTag
from mlflow.tracking import MlflowClient
from mlflow.utils.uri import append_to_uri_path
from sqlalchemy import Connection, create_engine, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.pool import NullPool

PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
POINT = ("key", "value", "timestamp", "step", "is_nan", "run_uuid")
LATEST = ("value", "timestamp", "step", "is_nan")
ARTIFACTS = "artifacts"


def experiment_places(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """The name of every experiment in a database, and where its files lie."""
    return connection.execute("SELECT name, artifact_location FROM experiments").fetchall()


def move_places(connection: sqlite3.Connection, old: str, new: str) -> None:
    """Has a database say that what lay in one place lies in another."""
    for table, column in PLACES:
        connection.execute(
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE {column} = ? OR substr({column}, 1, ?) = ?",
            (new, len(old) + 1, old, len(old) + 1, f"{old}/"),
        )


def view_tag(key: str) -> str:
    """The tag of an experiment that holds the view with a key."""
    return f"mlflow.sharedViewState.{key}"


def view_state(search: str, order: str, columns: Mapping[str, int]) -> str:
    """A view of the table of runs as the UI reads it.

    Args:
        search: a filter.
        order: the metric that the best has most of.
        columns: with their widths in pixels.
    """
    return json.dumps(
        {
            "searchFilter": search,
            "orderByKey": f"metrics.`{order}`",
            "orderByAsc": False,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "modelVersionFilter": "All Runs",
            "datasetsFilter": [],
            "selectedColumns": list(columns),
            "columnOrder": ["attributes.`Run Name`", *columns],
            "columnWidths": columns,
        }
    )


def view_address(ui: str, experiment_id: str, key: str) -> str:
    """Where the UI at an address shows a view of an experiment."""
    return f"{ui}/#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={key}"


class RunWriter:
    """Writes to runs to which nobody else writes. Again does no harm: what is there already is left as it is.

    Args:
        client: of the store.
        tracking_uri: its address; all but SQLite is left to the client.
        experiment: of the runs.
    """

    def __init__(self, client: MlflowClient, tracking_uri: str, experiment: Experiment) -> None:
        self._client = client
        self._tracking_uri = tracking_uri
        self._experiment = experiment
        self._engine = create_engine(tracking_uri, poolclass=NullPool) if tracking_uri.startswith("sqlite:") else None

    def create(self, name: str, tags: Mapping[str, str], params: Sequence[Param] = ()) -> tuple[str, int]:
        """Makes a run that is running; returns its id and its start in ms. The tags name `mlflow.user`."""
        if self._engine is None:
            info = self._client.create_run(self._experiment.experiment_id, tags=dict(tags), run_name=name).info
            self.begin(info.run_id, params)
            return info.run_id, info.start_time
        run_id, start_time = uuid.uuid4().hex, time.time_ns() // 1_000_000
        run = {
            "run_uuid": run_id,
            "name": name,
            "artifact_uri": append_to_uri_path(self._experiment.artifact_location, run_id, ARTIFACTS),
            "experiment_id": self._experiment.experiment_id,
            "source_type": SourceType.to_string(SourceType.UNKNOWN),
            **dict.fromkeys(("source_name", "source_version", "entry_point_name"), ""),
            "user_id": tags["mlflow.user"],
            "status": "RUNNING",
            "start_time": start_time,
            "lifecycle_stage": LifecycleStage.ACTIVE,
        }
        named = {**tags, "mlflow.runName": name}
        with self._engine.begin() as connection:
            connection.execute(insert(SqlRun), run)
            connection.execute(insert(SqlTag), [{"run_uuid": run_id, "key": k, "value": v} for k, v in named.items()])
            _write_params(connection, run_id, params)
        return run_id, start_time

    def begin(self, run_id: str, params: Sequence[Param]) -> None:
        """Gives a run its parameters."""
        if self._engine is None:
            self._client.log_batch(run_id, params=params)
            return
        with self._engine.begin() as connection:
            _write_params(connection, run_id, params)

    def log_artifacts(self, run_id: str, folder: str) -> None:
        """The files of a folder become artifacts of a run."""
        if self._engine is None:
            self._client.log_artifacts(run_id, folder)
        else:
            self._repository.log_artifacts(folder, f"{run_id}/{ARTIFACTS}")

    @cached_property
    def _repository(self) -> ArtifactRepository:
        return get_artifact_repository(self._experiment.artifact_location, tracking_uri=self._tracking_uri)

    def end(self, run_id: str, metrics: Sequence[Metric], tags: Sequence[RunTag], status: str) -> None:
        """Writes finite values and tags, and ends the run with a status such as `FINISHED`."""
        if self._engine is None:
            self._client.log_batch(run_id, metrics=metrics)
            self._client.log_batch(run_id, tags=tags)
            self._client.set_terminated(run_id, status)
            return
        with self._engine.begin() as connection:
            if metrics:
                _write_metrics(connection, run_id, metrics)
            add_tag = insert(SqlTag)
            connection.execute(
                add_tag.on_conflict_do_update(
                    index_elements=["key", "run_uuid"], set_={"value": add_tag.excluded.value}
                ),
                [{"run_uuid": run_id, "key": tag.key, "value": tag.value} for tag in tags],
            )
            ended = {"status": status, "end_time": time.time_ns() // 1_000_000}
            connection.execute(update(SqlRun).where(SqlRun.run_uuid == run_id).values(ended))


def _write_params(connection: Connection, run_id: str, params: Sequence[Param]) -> None:
    if params:
        rows = [{"run_uuid": run_id, "key": param.key, "value": param.value} for param in params]
        connection.execute(insert(SqlParam).on_conflict_do_nothing(), rows)


def _write_metrics(connection: Connection, run_id: str, metrics: Sequence[Metric]) -> None:
    points = [(m.key, m.value, m.timestamp, m.step, False, run_id) for m in metrics]
    statement = insert(SqlMetric).on_conflict_do_nothing().compile(dialect=connection.dialect, column_keys=POINT)
    connection.exec_driver_sql(str(statement), points)
    latest = {p[0]: dict(zip(POINT, p, strict=True)) for p in sorted(points, key=lambda p: (p[3], p[2]))}
    update_latest = insert(SqlLatestMetric)
    connection.execute(
        update_latest.on_conflict_do_update(
            index_elements=["key", "run_uuid"], set_={name: update_latest.excluded[name] for name in LATEST}
        ),
        list(latest.values()),
    )
