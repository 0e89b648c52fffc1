"""A search that nobody ran: real Optuna and MLflow stores filled with drawn trials, thousands of them in seconds."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState
from PIL import Image

from pruning_core.hyperparameters import Choices, Range
from search.propose.reading import CONSTRAINT, EPOCHS, STOPPED, as_trial, directions, distribution
from search.propose.storage import quiet_optuna
from search.record.tracking import Tracking
from search.study import Study
from search.trials.ranking import merit

SEEDS, CONFIRM_SEEDS, KEEP = 4, 5, 4
METRICS = ("classification_loss", "total_loss", "alpha", "lambda", "mu", "active", "full_accuracy", "drasticness")


@dataclass
class Drawn:
    """What a synthetic trial came to."""

    trial: FrozenTrial
    outcome: str
    complete: float
    completion_epoch: float | None
    drastic: bool
    run_id: str = ""


def study(**changes: Any) -> Study:
    """The study whose search is made up; it trains in a moment."""
    document: dict[str, Any] = {
        "name": "made",
        "data": {"source": "wine", "keep": KEEP},
        "network": {"hidden": [8]},
        "training": {"epochs": 30, "seeds": SEEDS},
        "strategies": ["stepped", "plateau", "markov"],
        "search": {"trials": 200, "confirm_seeds": CONFIRM_SEEDS},
    }
    return Study.model_validate(document | changes)


def draw(study: Study, number: int, random: np.random.Generator) -> Drawn:
    """A trial that tends to complete where lambda grows fast, and is the more accurate the larger its learning rate."""
    params: dict[str, Any] = dict(list(study.arms.values())[number % len(study.arms)])
    strategy = params["strategy"]
    distributions: dict[str, BaseDistribution] = {"strategy": CategoricalDistribution(study.strategies)}
    if "keep" in params:
        distributions["keep"] = CategoricalDistribution(study.data.keeps)
    alpha = str(random.choice(["stepped", "plateau"])) if strategy == "markov" else None
    for name, entry in study.varied.searched(strategy, alpha).items():
        distributions[name] = distribution(entry)
        if isinstance(entry, Choices):
            params[name] = alpha if name == "alpha" else entry.values[random.integers(len(entry.values))]
        elif entry.log:
            params[name] = float(entry.low * (entry.high / entry.low) ** random.uniform())
        else:
            params[name] = float(random.uniform(entry.low, entry.high))
        if isinstance(entry, Range) and entry.integer:
            params[name] = round(params[name])
    fast = params.get("growth", 1.0) > 1.6
    complete = float(np.clip(random.normal(1.3 if fast else 0.1, 0.35), 0, 1).round(2))
    accuracy = float(np.clip(0.9 + 0.03 * np.log10(params.get("learning_rate", 1e-3) / 1e-3), 0, 1))
    accuracy = float(np.clip(accuracy - 0.3 * (1 - complete) + random.normal(0, 0.01), 0.1, 1))
    state = ([TrialState.PRUNED, TrialState.FAIL] + [TrialState.COMPLETE] * 18)[random.integers(20)]
    epoch = float(random.uniform(5, 25)) if complete > 0 else None
    two = len(study.search.objectives) > 1
    attributes: dict[str, Any] = {EPOCHS: 30} | ({study.search.score: accuracy} if two else {})
    trial = optuna.trial.create_trial(
        state=state,
        values=[accuracy, epoch or 30.0][: len(study.search.objectives)] if state == TrialState.COMPLETE else None,
        params=params,
        distributions=distributions,
        intermediate_values={} if two else dict.fromkeys((10, 20, 30), accuracy),
        user_attrs=attributes | ({STOPPED: "collapsed and frozen"} if state == TrialState.PRUNED else {}),
        constraints=None if state == TrialState.FAIL else {CONSTRAINT: 1 - complete},
    )
    outcome = "complete" if complete == 1 else "mixed" if complete > 0.5 else "too little"
    outcome = "failed" if state == TrialState.FAIL else outcome
    return Drawn(trial, outcome, complete, epoch, bool(complete == 1 and random.uniform() < 0.2))


def make_search(
    output: Path, trials: int, *, label: str = "made", finished: bool = True, made: Study | None = None
) -> dict[str, Any]:
    """Fills `output`/optuna.db and `output`/mlflow.db with one search; returns the content of its search.json."""
    made = made or study()
    data = made.load_data()
    random = np.random.default_rng(0)
    drawn = [draw(made, number, random) for number in range(trials)]
    output.mkdir(parents=True, exist_ok=True)
    with quiet_optuna():
        ledger = optuna.create_study(
            study_name=label,
            storage=f"sqlite:///{output / 'optuna.db'}",
            directions=directions(made),
            load_if_exists=True,
        )
        ledger.set_user_attr("study", made.model_dump(mode="json"))
        ledger.add_trials([d.trial for d in drawn])
    tracking = Tracking(f"sqlite:///{output / 'mlflow.db'}", made.name, output / "mlartifacts")
    parent = tracking.open_search(label, made, data.fingerprint, output, resume=False)
    _add_children(output, tracking.experiment_id, parent, drawn)
    result: dict[str, Any] = {"study": label, "trials": trials, "strategies": {}, "winner": None}
    if finished:
        numbered = list(enumerate(drawn))
        parts = {
            keep: _confirmed(made, keep, data.feature_names, [p for p in numbered if _keep(p[1], keep) == keep])
            for keep in made.data.keeps
        }
        result |= parts[made.data.keeps[0]]
        if len(parts) > 1:
            result["keeps"] = {
                str(keep): {name: part[name] for name in ("strategies", "winner")} for keep, part in parts.items()
            }
    tracking.close_search(result, "finished" if finished else "interrupted")
    for trial in drawn:
        folder = output / "mlartifacts" / made.name / trial.run_id / "artifacts"
        folder.mkdir(parents=True)
        Image.new("RGB", (100, 62), "white").save(folder / "gates.png")
    return result


def _add_children(output: Path, experiment_id: str, parent: str, drawn: list[Drawn]) -> None:
    """Writes the trials' runs into the database itself: through a client, each would take 50 ms."""
    statuses = {TrialState.COMPLETE: "FINISHED", TrialState.PRUNED: "KILLED", TrialState.FAIL: "FAILED"}
    runs, tags, params, metrics = [], [], [], []
    for number, trial in enumerate(drawn):
        trial.run_id = f"{parent[:8]}{number:024x}"
        strategy = trial.trial.params["strategy"]
        place = (output / "mlartifacts" / "made" / trial.run_id / "artifacts").resolve().as_uri()
        status = statuses[trial.trial.state]
        runs.append((trial.run_id, f"{strategy} #{number}", "", status, number, number, "active", place, experiment_id))
        named = {"trial": str(number), "strategy": strategy, "mlflow.parentRunId": parent, "outcome": trial.outcome}
        named |= {"drastic": "true"} if trial.drastic else {}
        tags += [(name, value, trial.run_id) for name, value in named.items()]
        params += [(name, str(value), trial.run_id) for name, value in trial.trial.params.items()]
        values = dict.fromkeys(METRICS, 0.5) | {"complete": trial.complete}
        if trial.completion_epoch is not None:
            values["completion_epoch"] = trial.completion_epoch
        metrics += [(name, value, 0, 30, 0, trial.run_id) for name, value in values.items()]
    with sqlite3.connect(output / "mlflow.db") as database:
        columns = "run_uuid, name, user_id, status, start_time, end_time, lifecycle_stage, artifact_uri, experiment_id"
        database.executemany(f"INSERT INTO runs ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", runs)
        database.executemany("INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)", tags)
        database.executemany("INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)", params)
        columns = "key, value, timestamp, step, is_nan, run_uuid"
        database.executemany(f"INSERT INTO latest_metrics ({columns}) VALUES (?, ?, ?, ?, ?, ?)", metrics)
    database.close()


def _keep(drawn: Drawn, default: int) -> int:
    return int(drawn.trial.params.get("keep", default))


def _confirmed(made: Study, keep: int, features: tuple[str, ...], drawn: list[tuple[int, Drawn]]) -> dict[str, Any]:
    strategies = {}
    for rank, strategy in enumerate(made.strategies):
        mine = [(n, d) for n, d in drawn if d.trial.params["strategy"] == strategy and d.trial.values]
        if not mine:
            continue
        number, best = max(mine, key=lambda pair: merit(pair[1].complete, as_trial(pair[1].trial).score))
        accuracies = [0.95 - 0.01 * rank + 0.002 * seed for seed in range(CONFIRM_SEEDS)]
        test = [accuracy - 0.02 for accuracy in accuracies]
        kept = list(features[rank : rank + keep])
        strategies[strategy] = {
            "trials": sum(d.trial.params["strategy"] == strategy for _, d in drawn),
            "completed": sum(d.complete == 1 and d.trial.state == TrialState.COMPLETE for _, d in mine),
            "config": made.trial_config(best.trial.params).used(),
            "trial": number,
            "validation": {"mean": float(np.mean(accuracies)), "std": 0.003, "per_seed": accuracies},
            "test": {"mean": float(np.mean(test)), "std": 0.003, "per_seed": test},
            "outcome": {"complete": 1.0, "too little": 0.0, "collapsed": 0.0, "undecided": 0.0},
            "completion_epoch": {"mean": 12.0 + rank, "std": 1.5},
            "selected": kept,
            "selection_frequency": dict.fromkeys(kept[:-1], 1.0) | {kept[-1]: 0.8, features[-1]: 0.2},
            "run_id": best.run_id,
        }
    winner = next(iter(strategies), None)
    if winner is None:
        return {"strategies": {}, "winner": None}
    best = strategies[winner]["trial"]
    model = {"uri": "models:/made/1", "trial": best, "seed": 1_000_002, "validation_accuracy": 0.954}
    return {"strategies": strategies, "winner": winner, "model": model | {"test_accuracy": 0.9259}}
