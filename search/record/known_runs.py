"""The runs of earlier searches in MLflow: by which tags they are known, and how a search finds its own again."""

from dataclasses import dataclass, field
from pathlib import Path

from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from search.stores.opening import sqlite_file

PARENT, SEARCH, OUTPUT = "mlflow.parentRunId", "deeppp.search", "deeppp.output"
BEST, PARETO = "best", "pareto"


@dataclass
class Child:
    """A trial's run: its start (ms), the status it was logged with or "", whether this process opened it.

    `marks` are those of the tags `best` (of its strategy) and `pareto` (in the Pareto set) that it bears.
    """

    run_id: str
    start_time: int
    logged: str = ""
    opened: bool = False
    marks: set[str] = field(default_factory=set)


def runs_with(client: MlflowClient, experiment_id: str, tag: str, value: str) -> list[Run]:
    """All runs of an experiment with this tag, newest first."""
    runs: list[Run] = []
    token: str | None = None
    while True:
        order = ["attributes.start_time DESC"]
        page = client.search_runs([experiment_id], f"tags.`{tag}` = '{value}'", order_by=order, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs


def find_parent(client: MlflowClient, experiment_id: str, tracking_uri: str, label: str, output: Path) -> str:
    """The newest parent run of this label and output folder, or ""; both may have moved together."""
    database = sqlite_file(tracking_uri)
    inside = database is not None and database.resolve().is_relative_to(output)
    for run in runs_with(client, experiment_id, SEARCH, label):
        if inside or run.data.tags.get(OUTPUT) == str(output):
            return str(run.info.run_id)
    return ""


def find_children(client: MlflowClient, experiment_id: str, parent: str) -> dict[int, Child]:
    """The runs of a search's trials by their number."""
    children = {}
    for run in runs_with(client, experiment_id, PARENT, parent):
        tags, info = run.data.tags, run.info
        if "trial" in tags:
            logged = info.status if "outcome" in tags and info.status != "RUNNING" else ""
            marks = {BEST, PARETO} & set(tags)
            children[int(tags["trial"])] = Child(info.run_id, info.start_time, logged, marks=marks)
    return children
