"""The core training function as a Ray Tune trainable: reports, checkpoints, early stopping, going on after a fault.

Runs in the workers, so it imports neither MLflow nor Optuna.
"""

import json
import math
import pickle
import shutil
import tempfile
import time
import traceback
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from ray import tune

from pruning_core.config import TrialConfig
from pruning_core.datasets import Dataset
from pruning_core.progress import completion_epochs
from pruning_core.training import Training, train

STATE = "state.pt"
PARTIAL = "partial_"
CURVE_POINTS = 10
FAILURE = {
    "epoch": 0,
    "total_loss": math.nan,
    "pruned_accuracy": math.nan,
    "curve": [],
    "completed": 0.0,
    "completion_epoch": math.nan,
    "active": math.nan,
    "ended": True,
    "stopped": "",
}


def prune(config: Mapping[str, Any], data: Dataset) -> None:
    """Trains one trial and reports to Tune at its end and now and then on the way, each time with a checkpoint.

    A report holds `epoch`, `total_loss` and `pruned_accuracy` (means over the replicas), `curve` (pairs of epoch and
    that accuracy, at each tenth of `epochs` and now), `completed` (fraction of the replicas), `completion_epoch` (mean,
    in which an incomplete replica counts as if it completed at the end of `epochs`), `active` (mean), `ended` (whether
    the trial came to its own end), `stopped` (why it was given up, or "") and `error` (the traceback of what the
    training raised, or ""). What the training raises is thus the trial's own failure; an error of any other kind is a
    fault of the machine, after which Tune tries again.

    A checkpoint is what the trial has come to (see `History.write`) and the state to go on from, in the trial's own
    folder; only the newest stays. Tune knows nothing of it: its own ones are bound to its last snapshot, which is
    seconds old when the driver dies.

    Args:
        config: `number`, `folder` (of the search), `hyperparameters` (of `TrialConfig`), `first_seed`, `threads`,
            `device`, `stop_hopeless`, and `report_after`: the seconds that pass before the next tenth of the epochs is
            reported.
        data: the data without its test part.
    """
    torch.set_num_threads(config["threads"])
    folder = trial_folder(Path(config["folder"]), config["number"])
    due = reports_due(config, data, folder)
    while True:
        try:
            run, stopped = next(due)
        except StopIteration:
            return
        except Exception:
            tune.report(FAILURE | {"error": traceback.format_exc()})
            return
        report(run, stopped, folder)


def reports_due(config: Mapping[str, Any], data: Dataset, folder: Path) -> Iterator[tuple[Training, str]]:
    """Trains, and yields whenever a report is due: the run, and why it is given up now, or ""."""
    trial_config = TrialConfig(**config["hyperparameters"])
    seeds = range(config["first_seed"], config["first_seed"] + trial_config.seeds)
    run = train(trial_config, data, seeds, device=config["device"])
    stopped = restore(run, folder)
    if stopped or run.finished:
        yield run, stopped
        return
    reported = time.monotonic()
    for record in run:
        stopped = (run.history.hopeless() or "") if config["stop_hopeless"] and not run.finished else ""
        waited = time.monotonic() - reported >= config["report_after"]
        if stopped or run.finished or (waited and record.epoch % _curve_step(trial_config) == 0):
            yield run, stopped
            reported = time.monotonic()
        if stopped:
            return


def report(run: Training, stopped: str, folder: Path) -> None:
    """Reports the last epoch to Tune, after a checkpoint of it; from then on the checkpoint before it is gone."""
    last = run.history.records[-1]
    checkpoint = folder / f"checkpoint_{last.epoch:06d}"
    if not checkpoint.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=folder))
        run.history.write(partial, run.selected())
        torch.save({"training": run.state_dict(), "stopped": stopped}, partial / STATE)
        partial.rename(checkpoint)
    for older in checkpoints(folder)[1:]:
        shutil.rmtree(older, ignore_errors=True)
    tune.report(
        {
            "epoch": last.epoch,
            "total_loss": float(last.total_loss.mean()),
            "pruned_accuracy": float(last.pruned_accuracy.mean()),
            "curve": _curve(run),
            "completed": float(last.complete.mean()),
            "completion_epoch": _completion_epoch(run),
            "active": float(last.active.mean()),
            "ended": run.finished or bool(stopped),
            "stopped": stopped,
            "error": "",
        }
    )


def _curve_step(config: TrialConfig) -> int:
    return max(1, config.epochs // CURVE_POINTS)


def _curve(run: Training) -> list[tuple[int, float]]:
    step, records = _curve_step(run.config), run.history.records
    shown = [*records[step - 1 :: step], records[-1]]
    return [(record.epoch, float(record.pruned_accuracy.mean())) for record in shown]


def _completion_epoch(run: Training) -> float:
    epochs = completion_epochs(run.history.array("complete").astype(bool))
    return sum(run.config.epochs if epoch is None else epoch for epoch in epochs) / len(epochs)


def trial_folder(search_folder: Path, number: int) -> Path:
    """Where a trial of the search in a folder keeps what it leaves behind."""
    return search_folder / f"trial_{number:05d}"


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a trial's folder, newest first; one that bears this name is whole."""
    return sorted(folder.glob("checkpoint_*"), reverse=True)


def restore(run: Training, folder: Path) -> str:
    """Brings a run back to the newest checkpoint in its trial's folder; returns why it was stopped, or "".

    What a power cut left unreadable is removed, and what a killed worker left half written.
    """
    for partial in folder.glob(f"{PARTIAL}*"):
        shutil.rmtree(partial, ignore_errors=True)
    for checkpoint in checkpoints(folder):
        try:
            json.loads((checkpoint / "trial.json").read_text())
            state = torch.load(checkpoint / STATE, weights_only=True, map_location=run.settled_R.device)
        except (OSError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError):
            shutil.rmtree(checkpoint, ignore_errors=True)
            continue
        run.load_state_dict(state["training"])
        return state["stopped"]
    return ""
