"""Writes the curves of a trial to MLflow. Into SQLite they go as two statements, through MLflow's own table models.

`MlflowClient.log_batch` makes an object of every point and looks each up again: 0.1 ms a point, which for the 1,600
points of a usual trial was most of what the driver did.
"""

from collections.abc import Sequence

from mlflow.entities import Metric
from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlMetric
from mlflow.tracking import MlflowClient
from sqlalchemy import create_engine
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.pool import NullPool

LATEST = ("value", "timestamp", "step", "is_nan")


class MetricWriter:
    """Writes metrics of runs to which nobody else writes.

    Args:
        client: of the store.
        tracking_uri: its address; all but SQLite is left to the client.
    """

    def __init__(self, client: MlflowClient, tracking_uri: str) -> None:
        self._client = client
        self._engine = create_engine(tracking_uri, poolclass=NullPool) if tracking_uri.startswith("sqlite:") else None

    def write(self, run_id: str, metrics: Sequence[Metric]) -> None:
        """Writes finite values; points that are there already are left alone."""
        if self._engine is None or not metrics:
            self._client.log_batch(run_id, metrics=metrics)
            return
        rows = [
            {
                "run_uuid": run_id,
                "key": m.key,
                "value": m.value,
                "timestamp": m.timestamp,
                "step": m.step,
                "is_nan": False,
            }
            for m in metrics
        ]
        latest = {row["key"]: row for row in sorted(rows, key=lambda row: (row["step"], row["timestamp"]))}
        update = insert(SqlLatestMetric)
        with self._engine.begin() as connection:
            connection.execute(insert(SqlMetric).on_conflict_do_nothing(), rows)
            connection.execute(
                update.on_conflict_do_update(
                    index_elements=["key", "run_uuid"], set_={name: update.excluded[name] for name in LATEST}
                ),
                list(latest.values()),
            )
