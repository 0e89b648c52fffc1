"""What a trial's folder and a search's result say about it, as the metrics, tags and sentences that MLflow shows.

Pure functions: nothing here talks to a store.
"""

import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.entities import Metric
from numpy.typing import NDArray

from pruning_core.history import STATES
from pruning_core.metrics import METRICS
from pruning_core.progress import DRASTIC, frequencies
from search.study.objectives import PRUNED, SCORES, metric_name
from search.trials.result import at, by_keep, network_of, pruned
from search.trials.trial import TrialEnding

FILES = ("trial.json", "history.npz", "gates.npz")
NO_CURVES = ("epoch", "fell", "drift")
BALANCED = ("pruned_balanced_accuracy", "full_balanced_accuracy")
POINTS = 200


@dataclass(frozen=True)
class Remains:
    """What a worker left in a trial's folder; a file that is absent or unreadable counts as empty."""

    folder: Path | None
    trial: dict[str, Any]
    history: dict[str, NDArray[Any]]
    gates: dict[str, NDArray[Any]]

    def files(self) -> list[Path]:
        """Those of the files that a trial leaves behind that are there."""
        return [self.folder / name for name in FILES if (self.folder / name).exists()] if self.folder else []


def read_remains(folder: Path | None) -> Remains:
    if folder is None:
        return Remains(None, {}, {}, {})
    try:
        trial = json.loads((folder / "trial.json").read_text())
    except (OSError, ValueError):
        trial = {}
    return Remains(folder, trial, read_arrays(folder / "history.npz"), read_arrays(folder / "gates.npz"))


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return {}
    return arrays if len(arrays.get("epoch", ())) else {}


def metrics(remains: Remains, start_time: int, score: str) -> list[Metric]:
    """The curves of a trial, with its summary as their last points, at times spread over its `seconds`.

    Args:
        remains: of the trial.
        start_time: in milliseconds.
        score: what the study maximises; of balanced accuracies that it does not, only the last point is told.
    """
    without = NO_CURVES if score in BALANCED else (*NO_CURVES, *BALANCED)
    points: dict[tuple[str, int], float] = {}
    epochs = remains.history.get("epoch", np.array([1]))
    for name, values_ER in remains.history.items():
        with np.errstate(all="ignore"):
            if name.partition(".")[0] not in without:
                points |= curve(name, epochs, values_ER.mean(1, dtype=float))
            if name in ("active", "pruned_accuracy", score):
                points |= curve(f"{name}_std", epochs, values_ER.std(1, dtype=float))
    trial = remains.trial
    last = int(trial.get("epochs_run") or epochs[-1])
    completed = [epoch for epoch in trial.get("completion_epoch", ()) if epoch is not None]
    summary = {
        **_means(trial),
        "complete": complete_fraction(trial),
        "completion_epoch": float(np.mean(completed)) if completed else None,
        "drasticness": float(np.mean(trial["drasticness"])) if trial else None,
        "replica_epochs_per_second": number(trial, "replica_epochs_per_second"),
        **_of_pruners(trial),
    }
    points |= {(name, last): value for name, value in summary.items() if value is not None}
    pace = 1000 * (number(trial, "seconds") or 0.0) / last
    return [
        Metric(name, value, start_time + round(pace * step), step)
        for (name, step), value in points.items()
        if math.isfinite(value)
    ]


def _of_pruners(trial: Mapping[str, Any]) -> dict[str, float | None]:
    """The mean completion epoch of each of several pruners, over the seeds in which it is complete."""
    found: dict[str, float | None] = {}
    for name, pruner in trial.get("pruners", {}).items():
        epochs = [epoch for epoch in pruner["completion_epoch"] if epoch is not None]
        found[f"completion_epoch.{name}"] = float(np.mean(epochs)) if epochs else None
    return found


def _means(trial: Mapping[str, Any]) -> dict[str, float | None]:
    """The mean over the seeds of each metric in a trial's JSON, and of those of the pruned networks their spread."""
    names = [name for name in trial if name.startswith(tuple(f"{state}_" for state in STATES))]
    spreads = [name for name in names if name.startswith(PRUNED)]
    means = {name: number(trial[name], "mean") for name in names}
    return means | {f"{name}_std": number(trial[name], "std") for name in spreads}


def curve(name: str, epochs: NDArray[Any], values_E: NDArray[np.float64]) -> dict[tuple[str, int], float]:
    """The finite points of a curve, thinned to `POINTS`, or to its two ends if it never moved."""
    finite = np.flatnonzero(np.isfinite(values_E))
    if not len(finite):
        return {}
    moved = np.ptp(values_E[finite]) > 0
    count = min(POINTS if moved else 2, len(finite))
    rows = finite[np.linspace(0, len(finite) - 1, count).round().astype(int)]
    return {(name, int(epochs[row])): float(values_E[row]) for row in rows}


def outcome(trial: Mapping[str, Any], ending: TrialEnding) -> str:
    """The outcome that all seeds share, else `mixed`; `failed`, or `unknown` if nothing was left behind."""
    if ending == "failed":
        return "failed"
    found = [name for name, seeds in trial.get("outcome", {}).items() if seeds]
    return "mixed" if len(found) > 1 else next(iter(found), "unknown")


def selection(trial: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs that each seed of a trial keeps, and how many seeds keep each of them."""
    seeds = len(trial["seeds"])
    kept = {name: round(seeds * share) for name, share in frequencies(trial["selected"]).items()}
    return {"seeds": trial["seeds"], "selected": trial["selected"], "kept_in_seeds": kept}


def is_drastic(trial: Mapping[str, Any]) -> bool:
    """Whether most of the complete seeds dropped more than half of their gates within one epoch."""
    seeds = zip(trial.get("drasticness", ()), trial.get("completion_epoch", ()), strict=True)
    drastic = [drasticness > DRASTIC for drasticness, epoch in seeds if epoch is not None]
    return 2 * sum(drastic) > len(drastic)


def completions(trial: Mapping[str, Any]) -> str:
    epochs = trial["completion_epoch"]
    return f"{sum(epoch is not None for epoch in epochs)} of {len(epochs)} seeds complete"


def describe(trial: Mapping[str, Any], note: str) -> str:
    """A trial in two lines of Markdown."""
    if not trial:
        return note or "no result was left behind"
    epochs = [epoch for epoch in trial["completion_epoch"] if epoch is not None]
    when = f", at epoch {np.mean(epochs):.0f} on average" if epochs else ""
    why = f"; {note}" if note else ""
    measured = [name.removeprefix(PRUNED) for name in trial if name.startswith(PRUNED)]
    accuracy = "; ".join(
        f"pruned {name.replace('_', ' ')} {spread(trial[PRUNED + name])}, full {spread(trial[f'full_{name}'])}"
        for name in measured
    )
    effort = f"{trial['epochs_run']} epochs in {trial['seconds']:.1f} s"
    return f"{completions(trial)}{when}{why}  \n{accuracy}, {effort}"


def describe_best(entry: Mapping[str, Any]) -> str:
    completed = f"{entry.get('completed', 0)} of {entry.get('trials', 0)} trials complete"
    accuracies = f"test {spread(entry.get('test'))}, validation {spread(entry.get('validation'))}"
    return f"{network_of(entry)}: {accuracies}, {completed}, run {entry.get('run_id', 'unknown')}"


def winners(result: Mapping[str, Any]) -> str:
    """The winner and how it fared, for each n."""
    said = []
    for keep, part in by_keep(result).items():
        winner = part.get("winner")
        fared = describe_best(part["strategies"][winner]) if winner else "no trial was confirmed"
        said.append(f"{winner or 'none'}{at(keep)}, {fared}")
    return "; ".join(said)


def spread(values: Mapping[str, Any] | None) -> str:
    mean, std = number(values, "mean"), number(values, "std")
    return "not measured" if mean is None else f"{mean:.4f} ± {std or 0.0:.4f}"


def search_metrics(result: Mapping[str, Any]) -> dict[str, float | None]:
    """What `deeppp search --json` says of a search as metrics: its size, and how well the winner and the others did."""
    strategies: Mapping[str, Mapping[str, Any]] = result.get("strategies") or {}
    counts = ("trials", "failed", "stopped", "seconds", "replica_epochs", "replica_epochs_per_second")
    values = {name: number(result, name) for name in counts}
    metric = metric_name(result.get("objective", SCORES[0]))
    values |= scores(strategies.get(str(result.get("winner")), {}), metric)
    values |= {f"test_{metric}.{name}": number(entry.get("test"), "mean") for name, entry in strategies.items()}
    values |= {
        f"test_{metric}.{name}.n{keep}": number(entry.get("test"), "mean")
        for keep, part in (result.get("keeps") or {}).items()
        for name, entry in part["strategies"].items()
    }
    model, found = result.get("model"), result.get("keep")
    return (
        values
        | {"keep": number(found, "chosen")}
        | {f"model_{n}": number(model, n) for n in ("validation_accuracy", "test_accuracy")}
    )


def search_tags(result: Mapping[str, Any]) -> dict[str, str]:
    """The winner, the best trial of each strategy, the address of the model, and why the search ended early if so."""
    tags = {
        f"best.{name}{f'.n{keep}' if keep else ''}": describe_best(entry)
        for keep, part in by_keep(result).items()
        for name, entry in (part.get("strategies") or {}).items()
    }
    model = {"model": result["model"]["uri"]} if result.get("model") else {}
    early = {"ended_early": result["ended_early"]} if result.get("ended_early") else {}
    return tags | model | early | {"winner": str(result.get("winner") or "none")}


def best_marks(result: Mapping[str, Any]) -> dict[int, str]:
    """For the best trials of each strategy, by number: `of all` or `of stepped`, at which n if there are several."""
    return {
        entry["trial"]: f"of {'all' if name == part.get('winner') else name}{at(keep)}"
        for keep, part in by_keep(result).items()
        for name, entry in (part.get("strategies") or {}).items()
    }


def pareto_marks(result: Mapping[str, Any]) -> dict[int, str]:
    """For the members of the Pareto set, by number, their place in it, such as `1 of 4` for the most accurate."""
    return {
        member["trial"]: f"{place} of {len(part['pareto'])}{at(keep)}"
        for keep, part in by_keep(result).items()
        for place, member in enumerate(part.get("pareto") or (), 1)
    }


def scores(entry: Mapping[str, Any], metric: str) -> dict[str, float | None]:
    """How a confirmed trial fared, as metrics.

    Args:
        entry: of the trial among the `strategies` of `deeppp search --json`.
        metric: the name of what the search maximises.
    """
    found: dict[str, float | None] = {}
    parts = [(entry, "test", "test"), (entry, "validation", "confirmed_validation")]
    if refit := entry.get("refit"):
        for scored, of in ((pruned(entry), "pruned"), (refit, "refit")):
            parts += [(scored, part, f"{of}_{part}") for part in ("test", "validation")]
        found["refit_epochs"] = refit["epochs"]
    for scored, part, prefix in parts:
        for name in (metric, *METRICS):
            values = scored.get(part if name == metric else f"{part}_{name}")
            if values or name == metric:
                found[f"{prefix}_{name}"] = number(values, "mean")
                found[f"{prefix}_{name}_std"] = number(values, "std")
    return found


def complete_fraction(entry: Mapping[str, Any]) -> float | None:
    """The fraction of the seeds that are complete, whether `outcome` holds counts or fractions."""
    seeds: Mapping[str, float] = entry.get("outcome") or {}
    return seeds.get("complete", 0) / sum(seeds.values()) if any(seeds.values()) else None


def number(entry: Mapping[str, Any] | None, key: str) -> float | None:
    """A finite number of a JSON object, else None."""
    value = (entry or {}).get(key)
    return float(value) if value is not None and math.isfinite(value) else None
