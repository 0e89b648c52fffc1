"""A search in a real MLflow store, and trials as workers leave them, for the tests of what is recorded."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from search.record.tracking import Tracking
from search.study import Study
from search.trials.trial import Trial, TrialEnding

CONFIG = {"strategy": "plateau", "keep": 4, "growth": 1.1, "plateau_threshold": 1e-05, "hidden": [64, 32]}
EPOCHS, REPLICAS, UNITS, KEEP = 30, 3, 12, 4
TEXT = "name: quick\n"


def write_trial(folder: Path, epochs: int = EPOCHS, **changes: Any) -> Path:
    """Writes the folder of a trial as a worker leaves it; `changes` replaces entries of its trial.json."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    shape = (epochs, REPLICAS)
    quantities = "classification_loss selection_loss total_loss alpha lambda active fell complete drift full_accuracy"
    history = {name: random.uniform(size=shape) for name in quantities.split()} | {"mu": np.ones(shape)}
    history["pruned_accuracy"] = np.where(np.arange(epochs)[:, None] % 5 == 4, random.uniform(size=shape), np.nan)
    np.savez(
        folder / "history.npz",
        epoch=np.arange(1, epochs + 1),
        **{name: values.astype(np.float32) for name, values in history.items()},  # type: ignore[arg-type]
    )
    names = [f"x{i}" for i in range(UNITS)]
    gates = random.uniform(size=(epochs + 1, REPLICAS, UNITS)).astype(np.float16)
    np.savez_compressed(folder / "gates.npz", gates=gates, epoch=np.arange(epochs + 1), names=np.array(names))
    trial = {
        "config": CONFIG,
        "seeds": [0, 1, 2],
        "outcome": {"complete": 1.0, "too little": 0.0, "collapsed": 0.0, "undecided": 0.0},
        "pruned_accuracy": {"mean": 0.9, "std": 0.02, "per_seed": [0.88, 0.9, 0.92]},
        "full_accuracy": {"mean": 0.95, "std": 0.01, "per_seed": [0.94, 0.95, 0.96]},
        "completion_epoch": [10, 12, 17],
        "drasticness": [0.1, 0.2, 0.3],
        "selected": [names[:4], names[:4], names[1:5]],
        "epochs_run": epochs,
        "seconds": 2.5,
        "replica_epochs_per_second": 36.0,
    }
    (folder / "trial.json").write_text(json.dumps(trial | changes))
    return folder


def over(number: int, ending: TrialEnding = "ended", why: str = "") -> Trial:
    """A trial at its end; `why` it was stopped, or the traceback of what it failed with."""
    stopped, error = (why if ending == "stopped" else ""), (why if ending == "failed" else "")
    return Trial(number, {"strategy": "plateau"}, ending=ending, stopped=stopped, error=error, node="here")


def search_result(run_id: str) -> dict[str, Any]:
    entry = {
        "trial": 0,
        "trials": 2,
        "completed": 1,
        "config": CONFIG,
        "validation": {"mean": 0.91, "std": 0.01, "per_seed": [0.9, 0.92]},
        "test": {"mean": 0.89, "std": 0.02, "per_seed": [0.87, 0.91]},
        "outcome": {"complete": 0.75, "too little": 0.25, "collapsed": 0, "undecided": 0},
        "completion_epoch": {"mean": 14.5, "std": 1.0},
        "selected": ["x0", "x1"],
        "run_id": run_id,
    }
    return {
        "study": "quick",
        "trials": 2,
        "failed": 0,
        "stopped": 1,
        "seconds": 12.5,
        "replica_epochs": 480,
        "replica_epochs_per_second": 38.4,
        "strategies": {"plateau": entry},
        "winner": "plateau",
    }


def open_tracking(output: Path) -> Tracking:
    return Tracking(f"sqlite:///{output / 'mlflow.db'}", "quick", output / "mlartifacts")


def a_study(objective: str | list[str] = "pruned_accuracy", keep: int | list[int] = 2) -> Study:
    """The study of the search."""
    data = {"source": "wine", "keep": keep}
    return Study.read({"name": "quick", "data": data, "search": {"objective": objective}}, TEXT)


def open_search(
    tracking: Tracking, output: Path, label: str = "quick", resume: bool = False, study: Study | None = None
) -> str:
    return tracking.open_search(label, study or a_study(), "f00d", output, resume)


def curve(client: MlflowClient, run_id: str, name: str) -> dict[int, float]:
    points = client.get_metric_history(run_id, name)
    assert len({point.step for point in points}) == len(points), f"{name} has two points in one epoch"
    return {point.step: point.value for point in points}


def artifacts(client: MlflowClient, run_id: str) -> set[str]:
    return {entry.path for entry in client.list_artifacts(run_id)}


def runs(client: MlflowClient) -> list[Run]:
    experiment = client.get_experiment_by_name("quick")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))
