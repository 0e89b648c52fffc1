"""From finished searches to the numbers of FINDINGS.md, one function per claim of the deck.

Each returns plain numbers and text that the page's template puts into sentences and tables. Accuracies are fractions.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pruning_core.config import TrialConfig
from pruning_core.data import Dataset
from pruning_core.losses import modified_rejection_loss, rejection_loss, selection_loss
from pruning_core.metrics import ACCURACY
from pruning_core.networks import GATED_MLP
from search.propose.importance import importance
from search.report.search_record import read_search
from search.stores.addresses import Stored
from search.study.sections import FIRST_FRESH_SEED, Resources
from search.train.confirmation import train_afresh
from search.train.kit import Contents
from search.trials.estimate import Estimate, estimate, paired
from search.trials.result import pruned
from studies.searches import SAMPLERS, DataSet, Trial, read_result, read_trials

UNITS = (2, 5, 13, 30, 64, 100, 200, 500, 1000)
MOVED = 0.05


def slopes(units: Sequence[int] = UNITS, initial_weight: float = 3.0) -> list[dict[str, float]]:
    """Slopes dL/dw_i at the starting point, where all weights are w_0, times N; one entry for each N.

    `selection` and `rejection` are those of the two losses, `product` that of the modified loss's extra term, and
    `plain` and `modified` those of L_pru. A positive slope closes gates.
    """
    entries = []
    for count in units:
        start_N = torch.full((count,), initial_weight, dtype=torch.float64)
        keep = max(1, count // 4)

        def slope(loss: Any, at: Tensor = start_N) -> float:
            return float(torch.func.grad(loss)(at)[0]) * len(at)

        selection = slope(lambda w, n=keep: selection_loss(torch.sigmoid(w), n))
        rejection = slope(lambda w: rejection_loss(torch.sigmoid(w)))
        modified = slope(modified_rejection_loss)
        entries.append(
            {
                **{"units": count, "selection": selection, "rejection": rejection, "product": modified - rejection},
                **{"plain": selection + rejection, "modified": selection + modified},
            }
        )
    return entries


def first_move(trial: Trial) -> float:
    """The first epoch after which the mean gate has fallen by 0.05, a mean over the replicas; NaN if never."""
    means_ER = trial.gates["gates"].astype(float).mean(2)
    moved_ER = means_ER[0] - means_ER >= MOVED
    epochs = [float(trial.gates["epoch"][np.argmax(column)]) for column in moved_ER.T if column.any()]
    return float(np.mean(epochs)) if epochs else float("nan")


def rejection(output: Path, sets: Iterable[str]) -> list[dict[str, Any]]:
    """Plain against modified rejection loss: for each data set and w_0 the first move, completion and accuracy."""
    rows = []
    for name in sets:
        trials = read_trials(output, f"rejection_loss_{name}")
        for start in sorted({t["initial_weight"] for t in trials}):
            row: dict[str, Any] = {"data": name, "initial_weight": start}
            for trial in trials:
                if trial["initial_weight"] == start:
                    row["units"] = len(trial.gates["names"])
                    row[trial["rejection"]] = _row(trial) | {"first_move": first_move(trial)}
            rows.append(row)
    return rows


def _row(trial: Trial) -> dict[str, Any]:
    """What tables show of a trial."""
    alpha_R = trial.history["alpha"][[0, -1]].mean(1)
    active = float(trial.history["active"][-1].mean())
    return {
        **{"complete": trial.complete, "completion_epoch": trial.completion_epoch, "accuracy": trial.accuracy},
        **{"drasticness": trial.drasticness, "active": active, "outcome": trial.result["outcome"]},
        **{"alpha_start": float(alpha_R[0]), "alpha_end": float(alpha_R[1])},
    }


def by_alpha(output: Path, name: str) -> dict[float, list[dict[str, Any]]]:
    """Fixed alpha: for each pruner learning rate the rows in the order of alpha."""
    trials = sorted(read_trials(output, name), key=lambda t: t["lambda_start"])
    rates = sorted({t["pruner_learning_rate"] for t in trials})
    return {
        rate: [{"alpha": t["lambda_start"], **_row(t)} for t in trials if t["pruner_learning_rate"] == rate]
        for rate in rates
    }


def fixed_summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a fixed alpha comes to over all values of it: where all replicas complete, and how drastically."""
    whole = [row for row in rows if row["complete"] == 1]
    return {
        "values": len(rows),
        "complete": len(whole),
        "gentle": sum(row["drasticness"] <= 0.5 for row in whole),
        "lowest": min((row["alpha"] for row in whole), default=None),
        "highest": max((row["alpha"] for row in whole), default=None),
        "best": max((row["accuracy"] for row in whole), default=None),
        "least_drastic": min((row["drasticness"] for row in whole), default=None),
        "too_little_below": max((r["alpha"] for r in rows if r["outcome"]["too little"] > 0), default=None),
    }


def table(output: Path, name: str, by: Sequence[str]) -> list[dict[str, Any]]:
    """The trials of a search as rows, with the hyperparameters `by` in front and in their order."""
    rows = [{key: t.result["config"].get(key, "") for key in by} | _row(t) for t in read_trials(output, name)]
    return sorted(rows, key=lambda row: tuple(str(row[key]) for key in by))


def marginals(rows: Sequence[Mapping[str, Any]], by: Sequence[str]) -> list[dict[str, Any]]:
    """For each value of each hyperparameter: how many of its trials complete whole, and the best accuracy of these."""
    found = []
    for name in by:
        for value in sorted({row[name] for row in rows if row[name] != ""}, key=lambda v: (str(type(v)), v)):
            mine = [row for row in rows if row[name] == value]
            whole = [row for row in mine if row["complete"] == 1]
            found.append(
                {
                    **{"name": name, "value": value, "trials": len(mine), "complete": len(whole)},
                    "best": max((row["accuracy"] for row in whole), default=None),
                    "epoch": float(np.median([row["completion_epoch"] for row in whole])) if whole else None,
                }
            )
    return found


def against_chain(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The chain against back-propagation on one data set, with the same schedule of alpha.

    `passes` are forward passes until completion in units of one epoch of back-propagation: a chain makes
    1 + `proposals` of them where back-propagation makes one.
    """
    chains = [row for row in rows if row["strategy"] == "markov"]
    deck = [row for row in chains if row["block"] == 1 and row["proposals"] == 1]
    whole = [row for row in chains if row["complete"] == 1]
    best = max(chains, key=lambda row: (row["complete"], row["accuracy"]))
    (backpropagation,) = [row for row in rows if row["strategy"] != "markov"]
    return {
        **{"trials": len(chains), "whole": len(whole), "deck_trials": len(deck)},
        "deck_complete": float(np.mean([row["complete"] for row in deck])) if deck else None,
        "best": {**best, "passes": _passes(best, 1 + best["proposals"])},
        "backpropagation": {**backpropagation, "passes": _passes(backpropagation, 1)},
    }


def _passes(row: Mapping[str, Any], each: int) -> float | None:
    return None if row["completion_epoch"] is None else each * row["completion_epoch"]


def confirmed(output: Path, name: str) -> dict[str, dict[str, Any]]:
    """The best of each strategy, without a refit: test accuracy with its interval, completion, epoch, configuration."""
    return {
        strategy: {
            **{"trials": entry["trials"], "completed": entry["completed"], "complete": entry["outcome"]["complete"]},
            **{"epoch": entry["completion_epoch"]["mean"], "config": entry["config"]},
            **{"validation": scores["validation"]["mean"], "test": estimate(scores["test"]["per_seed"])},
            "per_seed": scores["test"]["per_seed"],
        }
        for strategy, entry in read_result(output, name)["strategies"].items()
        for scores in [pruned(entry)]
    }


def ranks(tables: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, Estimate]:
    """The rank of each strategy (1 is best) with its interval over the data sets, best first.

    Ranked by completion with fresh seeds, then by test accuracy.
    """
    found: dict[str, list[float]] = {}
    for entries in tables.values():
        order = sorted(entries, key=lambda s: (entries[s]["complete"], entries[s]["test"].mean), reverse=True)
        for rank, strategy in enumerate(order, start=1):
            found.setdefault(strategy, []).append(float(rank))
    return dict(sorted(((s, estimate(r)) for s, r in found.items()), key=lambda item: item[1].mean))


def importances(output: Path, sets: Iterable[str], strategy: str) -> dict[str, list[tuple[str, float]]]:
    """The three most important hyperparameters of a strategy, by data set (Optuna's PED-ANOVA)."""
    found = {}
    for name in sets:
        trials = [t for t in read_search(f"ranking_{name}", Stored(output)).of(strategy) if t.ending == "ended"]
        found[name] = list(importance(trials).items())[:3] if len(trials) > 3 else []
    return found


def train_on(config: Mapping[str, Any], data: Dataset, keep: int, seeds: Sequence[int]) -> dict[str, Any]:
    """A configuration trained with fresh seeds: fraction complete, mean epoch, test accuracy, and that by seed."""
    contents = Contents(data, GATED_MLP, ACCURACY)
    result = train_afresh({**config, "keep": keep, "seeds": len(seeds)}, contents, seeds, Resources())
    epochs = [epoch for epoch in result["completion_epoch"] if epoch is not None]
    return {
        "complete": result["outcome"]["complete"],
        "epoch": float(np.mean(epochs)) if epochs else None,
        "last_epoch": max(epochs, default=None),
        "test": estimate(result["test"][ACCURACY.name]),
        "per_seed": result["test"][ACCURACY.name],
    }


def carry_over(
    output: Path, sets: Mapping[str, DataSet], data: Mapping[str, Dataset], count: int
) -> dict[str, dict[str, dict[str, Any]]]:
    """The winner of each data set, and the defaults of two strategies, trained on every data set: [of][on]."""
    seeds = range(FIRST_FRESH_SEED, FIRST_FRESH_SEED + count)
    winners: dict[str, Mapping[str, Any]] = {
        f"defaults of {strategy}": TrialConfig(keep=1, strategy=strategy).used() for strategy in ("adaptive", "stepped")
    }
    for name in sets:
        result = read_result(output, f"ranking_{name}")
        winners[name] = result["strategies"][result["winner"]]["config"]
    return {
        of: {on: train_on({**config, "epochs": 120}, data[on], sets[on].keep, seeds) for on in sets}
        for of, config in winners.items()
    }


def samplers(output: Path, seeds: Iterable[int]) -> dict[str, Any]:
    """Constrained TPE against random search over repeated studies: the best feasible trial, and the winner on test."""
    found: dict[str, dict[str, Any]] = {}
    for sampler in SAMPLERS:
        best, test, feasible = [], [], []
        for seed in seeds:
            name = f"samplers_{sampler}_{seed}"
            whole = [t for t in read_trials(output, name) if t.complete == 1]
            best.append(max((t.accuracy for t in whole), default=0.0))
            feasible.append(float(len(whole)))
            result = read_result(output, name)
            test.append(pruned(result["strategies"][result["winner"]])["test"]["mean"])
        found[sampler] = {"best": best, "median": float(np.median(best)), "feasible": estimate(feasible)}
        found[sampler] |= {"low": min(best), "high": max(best), "test": estimate(test)}
    difference = paired(found["tpe"]["best"], found["random"]["best"])
    return found | {"difference": difference}


def stopping(output: Path) -> dict[str, dict[str, Any]]:
    """What giving up hopeless trials saves on the quick study: trials stopped, epochs, the winner's accuracy."""
    found = {}
    for rule in ("hopeless", "none"):
        result = read_result(output, f"stopping_{rule}")
        won = pruned(result["strategies"][result["winner"]])
        epochs = sum(t.result["epochs_run"] for t in read_trials(output, f"stopping_{rule}"))
        found[rule] = {"trials": result["trials"], "stopped": result["stopped"], "epochs": epochs}
        found[rule] |= {"validation": won["validation"]["mean"], "test": estimate(won["test"]["per_seed"])}
    return found
