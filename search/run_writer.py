"""Writes the beginning and the end of a trial's run to MLflow: into SQLite as one transaction each.

It uses MLflow's own table models. Through `MlflowClient` a run would be a dozen transactions, and every point of its
curves an object that is looked up again: 0.1 ms a point, of which a usual trial has 1,600.
"""

import time
from collections.abc import Sequence

from mlflow.entities import Metric, Param, RunTag
from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlMetric, SqlParam, SqlRun, SqlTag
from mlflow.tracking import MlflowClient
from sqlalchemy import Connection, create_engine, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.pool import NullPool

POINT = ("key", "value", "timestamp", "step", "is_nan", "run_uuid")
LATEST = ("value", "timestamp", "step", "is_nan")


class RunWriter:
    """Writes to runs to which nobody else writes. Again does no harm: what is there already is left as it is.

    Args:
        client: of the store.
        tracking_uri: its address; all but SQLite is left to the client.
    """

    def __init__(self, client: MlflowClient, tracking_uri: str) -> None:
        self._client = client
        self._engine = create_engine(tracking_uri, poolclass=NullPool) if tracking_uri.startswith("sqlite:") else None

    def begin(self, run_id: str, params: Sequence[Param]) -> None:
        """Gives a run its parameters."""
        if self._engine is None:
            self._client.log_batch(run_id, params=params)
            return
        rows = [{"run_uuid": run_id, "key": param.key, "value": param.value} for param in params]
        with self._engine.begin() as connection:
            connection.execute(insert(SqlParam).on_conflict_do_nothing(), rows)

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
