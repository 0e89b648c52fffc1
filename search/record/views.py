"""Saved views of an experiment for the MLflow UI: which runs, which columns and which order a person sees first.

The UI keeps a view as a tag of the experiment and offers it by name under "Views"; an address with its key opens it.
Without one, the table of runs shows neither parameters nor metrics, and only the parent runs.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from pruning_core.config import search_ranges
from pruning_core.metrics import ACCURACY
from search.record.private import view_address, view_state, view_tag
from search.study.objectives import metric_in

ENDING = {"tags.`strategy`": 85, "tags.`best`": 100, "tags.`outcome`": 90, "tags.`search`": 90}
PRUNING = {
    "metrics.`completion_epoch`": 130,
    "metrics.`drasticness`": 105,
    "metrics.`active`": 75,
    "metrics.`complete`": 85,
}


@dataclass(frozen=True)
class View:
    """A view: its name, a filter, columns with their widths in pixels, and the metric that the best has most of."""

    name: str
    search: str
    columns: Mapping[str, int]
    order: str

    def over_several_n(self) -> "View":
        """The same view with a column for n, and room for it in the tags that name it."""
        wider = {name: 150 for name in ("tags.`pareto`", "tags.`best`") if name in self.columns}
        return replace(self, columns={**self.columns, **wider, "params.`keep`": 65})

    def state(self) -> str:
        """The view as the UI reads it."""
        return view_state(self.search, self.order, self.columns)


def _scores(metric: str) -> dict[str, int]:
    """What is shown of every trial: what the study maximises, and the accuracy in any case."""
    beside = {} if metric == ACCURACY.name else {f"metrics.`pruned_{ACCURACY.name}`": 130}
    return {f"metrics.`pruned_{metric}`": 130, f"metrics.`pruned_{metric}_std`": 150} | beside


def _confirmed(metric: str) -> dict[str, int]:
    """What is shown of confirmed trials besides."""
    return {
        f"metrics.`test_{metric}`": 115,
        f"metrics.`test_{metric}_std`": 135,
        f"metrics.`confirmed_validation_{metric}`": 150,
        "metrics.`confirmed_complete`": 145,
    }


def views(metric: str = ACCURACY.name) -> dict[str, View]:
    """Every view by its key; they show what a search varies of the strategies known here.

    Args:
        metric: the name of what the study maximises.
    """
    score, best = f"pruned_{metric}", f"confirmed_validation_{metric}"
    schedule = {f"params.`{name}`": 110 for name in search_ranges()}
    return {
        "best": View(
            "The best trial of each strategy",
            "tags.best LIKE '%'",
            ENDING | _scores(metric) | _confirmed(metric) | PRUNING | schedule,
            best,
        ),
        "pareto": View(
            "The Pareto front",
            "tags.pareto LIKE '%'",
            {"tags.`pareto`": 85} | ENDING | _scores(metric) | PRUNING | schedule,
            score,
        ),
        "trials": View("All trials", "tags.trial LIKE '%'", ENDING | _scores(metric) | PRUNING | schedule, score),
    }


def save(client: MlflowClient, experiment_id: str, tags: Mapping[str, str], study: Mapping[str, Any]) -> None:
    """Gives an experiment its views, but for those that it has already.

    Args:
        tags: that the experiment has.
        study: the resolved study: only one with two objectives has a Pareto front, one over several n a column for n.
    """
    now = time.time_ns() // 1_000_000
    for place, (key, view) in enumerate(views(metric_in(study["search"]).name).items()):
        if key == "pareto" and not isinstance(study["search"]["objective"], list):
            continue
        view = view.over_several_n() if isinstance(study["data"]["keep"], list) else view
        known = json.loads(tags.get(view_tag(key), "{}"))
        if known.get("state") != view.state():
            envelope = {"name": view.name, "createdAt": now - place, "state": view.state()}
            _set_once(client, experiment_id, view_tag(key), json.dumps(envelope))


def _set_once(client: MlflowClient, experiment_id: str, tag: str, value: str) -> None:
    """Sets a tag, unless a search that began at the same moment has set it in between: the store refuses the second."""
    try:
        client.set_experiment_tag(experiment_id, tag, value)
    except MlflowException:
        if tag not in client.get_experiment(experiment_id).tags:
            raise


def links(tracking_uri: str, address: str) -> list[tuple[str, str, str]]:
    """The views of all studies in a store, the latest first: study, name of the view, and its address in the UI.

    Args:
        tracking_uri: of the store.
        address: of the UI, such as `http://127.0.0.1:5000`.

    Raises:
        MlflowException: the store cannot be read.
    """
    experiments = MlflowClient(tracking_uri).search_experiments(order_by=["last_update_time DESC"])
    return [
        (found.name, view.name, view_address(address, found.experiment_id, key))
        for found in experiments
        for key, view in views().items()
        if view_tag(key) in found.tags
    ]
