"""Confirming the best trial of each strategy with fresh seeds, and only then reading the test part.

Runs as plain Ray tasks, in pieces of a few seeds each, so that all workers have something to do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import ray
import torch

from pruning_core.compaction import CompactionError, PrunedReplica, describe
from pruning_core.config import TrialConfig
from pruning_core.data import Dataset
from pruning_core.progress import best_complete, frequencies, kept_most, summary
from pruning_core.replicas import one_replica
from pruning_core.training import Training
from search.study import Study
from search.study.objectives import metric_name
from search.study.sections import Resources
from search.train.devices import device_of
from search.train.kit import Contents, Kit, begin, pack
from search.train.pieces import cut, seeds_per_task, wait_for
from search.train.resources import slots
from search.trials.defaults import default_trial, needed
from search.trials.estimate import estimate, standard_error
from search.trials.kept import CANDIDATES
from search.trials.ranking import Merit, merit, ranked
from search.trials.result import SIGNAL_EFFICIENCIES
from search.trials.trial import Trial
from search.trials.watcher import Watcher


@dataclass(frozen=True)
class Confirmed:
    """A trial and how its configuration fared with fresh seeds: entries of `trial.json`, and the test part's.

    `replica_epochs` are those of all that were trained to confirm its strategy.

    `validation` and `test` are in the study's metric, a value per seed; `beside` has the other metrics of both parts,
    such as `test_accuracy`. `selected` are the inputs that each seed keeps, and `pruners` tells of each where there are
    several. `roc` are the background's efficiencies at `SIGNAL_EFFICIENCIES` on the test part, (R, K),
    of two classes. `network` is that of the complete seed with the best value on validation, or why there is
    none; the test part has no say in it. `above_defaults` is by how much the best of its strategy's trials is above the
    strategy's defaults on validation: the mean of the difference seed by seed, half its 95 % interval and its standard
    error; None where the defaults were not tried. `refit` is its network trained from the start on `kept`.
    """

    trial: Trial
    config: dict[str, Any]
    outcome: dict[str, float]
    completion_epochs: list[int | None]
    validation: list[float]
    test: list[float]
    beside: dict[str, list[float]]
    roc: list[list[float]]
    selected: list[list[str]]
    pruners: dict[str, dict[str, Any]]
    replica_epochs: int
    network: PrunedReplica | str
    above_defaults: dict[str, float | None] | None = None
    refit: "Confirmed | None" = None

    def merit(self) -> Merit:
        """How good it is: completion with fresh seeds first, then validation; never test."""
        return merit(self.outcome["complete"], float(np.mean(self.validation)))

    def kept(self) -> list[str]:
        """The n units that most of the seeds keep, most frequent first."""
        return kept_most(self.selected, len(self.selected[0]))

    def result(self) -> "Confirmed":
        """Of the network that learnt while gates closed and the refitted one, the better on validation; never test."""
        better = self.refit and np.mean(self.refit.validation) >= np.mean(self.validation)
        return self.refit if self.refit and better else self

    def as_json(self) -> dict[str, Any]:
        """The confirmation's part of a strategy's entry in `deeppp search --json`; its scores are those of `result`."""
        counts = self.result()
        return {
            "config": self.config,
            "trial": self.trial.number,
            **counts._scores(),
            "network": "pruned" if counts is self else "refitted",
            "pruned": self._scores(),
            **({"refit": {**self.refit._scores(), "epochs": self.refit.config["epochs"]}} if self.refit else {}),
            "outcome": self.outcome,
            "completion_epoch": _epochs(self.completion_epochs),
            "selected": self.kept(),
            "selection_frequency": frequencies(self.selected),
            "above_defaults": self.above_defaults,
            **({"pruners": self.pruners} if self.pruners else {}),
            **({"roc": counts._roc()} if counts.roc else {}),
        }

    def _scores(self) -> dict[str, Any]:
        return {
            "validation": summary(self.validation),
            "test": summary(self.test),
            **{name: summary(values) for name, values in self.beside.items()},
        }

    def _roc(self) -> dict[str, list[float]]:
        efficiencies = np.array(self.roc)
        return {
            "signal_efficiency": list(SIGNAL_EFFICIENCIES),
            "background_efficiency": efficiencies.mean(0).tolist(),
            "background_efficiency_std": efficiencies.std(0).tolist(),
        }


def candidates(trials: Sequence[Trial], strategy: str) -> list[Trial]:
    """A strategy's trials that did not fail, best first."""
    return ranked([trial for trial in trials if trial.strategy == strategy])


def train_afresh(
    config: dict[str, Any], contents: Contents, seeds: Sequence[int], resources: Resources
) -> dict[str, Any]:
    """Trains a configuration with the given seeds to its end.

    Returns:
        Its `trial.json`; the metrics on the test part as `test`, a value per seed, and of two classes its curves as
        `roc`; as `network` what `best_network` gives; as `validation` the study's metric after each epoch, (E, R).
    """
    test = contents.data.test
    assert test is not None
    torch.set_num_threads(resources.threads)
    without_test = contents._replace(data=contents.data.without_test())
    run = begin(TrialConfig(**config), without_test, seeds, device_of(resources.device))
    for _ in run:
        pass
    scores = run.scores(test)
    return {
        **run.result(),
        "test": scores,
        "roc": run.roc(test, SIGNAL_EFFICIENCIES),
        "network": best_network(run, scores["accuracy"]),
        "validation": run.history.array(f"pruned_{run.metric.name}"),
    }


def _train_piece(config: dict[str, Any], kit: Kit, seeds: Sequence[int], resources: Resources) -> dict[str, Any]:
    """Runs on a node."""
    return train_afresh(config, kit.open(), seeds, resources)


def best_network(run: Training, test_R: Sequence[float]) -> PrunedReplica | str:
    """The pruned network of the complete replica that is best on validation, or why there is none.

    Args:
        run: that has ended.
        test_R: its accuracies on the test part, which have no say.
    """
    result: dict[str, Any] = run.result()
    score_R, data = result[f"pruned_{run.metric.name}"]["per_seed"], run.data
    best = best_complete(result["completion_epoch"], score_R)
    if best is None:
        return "no seed completed the pruning"
    features = len(data.feature_names)
    try:
        compacted = run.network.compact(one_replica(run.replicas, best), torch.zeros(features), torch.ones(features))
        layers = describe(compacted.network)
    except CompactionError as error:
        return str(error)
    return PrunedReplica(
        seed=result["seeds"][best],
        validation_score=score_R[best],
        validation_accuracy=result["pruned_accuracy"]["per_seed"][best],
        test_accuracy=test_R[best],
        inputs=tuple(data.feature_names[int(i)] for i in compacted.inputs),
        layers=layers,
        tensors={name: tensor.numpy() for name, tensor in compacted.network.state_dict().items()},
    )


def confirm(study: Study, trials: Sequence[Trial], data: Dataset, watcher: Watcher) -> dict[str, Confirmed]:
    """Confirms the best trial of each strategy that has one.

    The best three of each are trained, and the one that fares best with fresh seeds is taken, by completion and by
    validation: the best of many trials owes some of its score to the seeds of the search. The strategy's defaults are
    trained as well, and taken where the best is above them by a standard error at most. Of the others the test part is
    not looked at.

    Args:
        study: the study file (`confirm_seeds`, `resources`).
        trials: the search's trials; of several n, those with one of them.
        data: the data with its test part.
        watcher: is told how many pieces of training there are, and of each that is done.
    """
    points = study.varied.known_points()
    chosen, defaults = dict[str, list[Trial]](), dict[str, Trial | None]()
    for strategy in study.strategies:
        found = candidates(trials, strategy)
        defaults[strategy] = default_trial(found, points, strategy)
        others = [trial for trial in found[CANDIDATES:] if trial is defaults[strategy]]
        chosen[strategy] = found[:CANDIDATES] + others
    kit = pack(data, study)
    task = ray.remote(_train_piece).options(num_cpus=study.resources.cpu, num_gpus=study.resources.gpu)
    seeds = study.search.fresh_seeds
    attempted = [trial for best in chosen.values() for trial in best]
    pieces = cut(seeds, seeds_per_task(len(seeds), len(attempted), slots(study.resources)))
    # The longest first: the shortest ones then even out when the workers come to their end.
    tasks = {
        trial.number: [
            task.remote(study.trial_config(trial.params).model_dump(), kit, piece, study.resources) for piece in pieces
        ]
        for trial in sorted(attempted, key=lambda trial: -trial.epochs_run)
    }
    wait_for([piece for pieces_of_trial in tasks.values() for piece in pieces_of_trial], watcher)
    confirmed: dict[str, Confirmed] = {}
    for strategy, best in chosen.items():
        parts = {trial.number: ray.get(tasks[trial.number]) for trial in best}
        attempts = [joined(trial, parts[trial.number], metric_name(study.search.score), data) for trial in best]
        if attempts:
            taken = best_or_defaults(attempts, defaults[strategy])
            confirmed[strategy] = replace(taken, replica_epochs=sum(attempt.replica_epochs for attempt in attempts))
    return confirmed


def best_or_defaults(attempts: Sequence[Confirmed], defaults: Trial | None) -> Confirmed:
    """The best of a strategy's configurations, or its defaults unless the best is `needed`.

    Args:
        attempts: what was trained with the same fresh seeds.
        defaults: the trial that has the strategy's defaults, if it is among them.
    """
    best = max(attempts, key=Confirmed.merit)
    plain = next((attempt for attempt in attempts if attempt.trial is defaults), None)
    if plain is None:
        return best
    gains = (np.asarray(best.validation) - np.asarray(plain.validation)).tolist()
    gain = estimate(gains)
    above = {"mean": gain.mean, "half": gain.half, "standard_error": standard_error(gains)}
    level = plain.outcome["complete"] >= best.outcome["complete"] and not needed(above)
    return replace(plain if level else best, above_defaults=above)


def joined(trial: Trial, parts: list[dict[str, Any]], metric: str, data: Dataset) -> Confirmed:
    """A trial with what `train_afresh` returned of its pieces, in the order of the seeds."""
    weights = [len(part["seeds"]) for part in parts]

    def all_of(read: Any) -> list[Any]:
        return [value for part in parts for value in read(part)]

    def validation(of: str) -> list[float]:
        return all_of(lambda p: p[f"pruned_{of}"]["per_seed"])

    def test(of: str) -> list[float]:
        return all_of(lambda p: p["test"][of])

    parts_of = {"validation": validation, "test": test}
    others = [name for name in parts[0]["test"] if name != metric]
    return Confirmed(
        trial=trial,
        config=parts[0]["config"],
        outcome=_shares([part["outcome"] for part in parts], weights),
        completion_epochs=all_of(lambda p: p["completion_epoch"]),
        validation=validation(metric),
        test=test(metric),
        roc=all_of(lambda p: p["roc"]),
        beside={f"{part}_{name}": of(name) for name in others for part, of in parts_of.items()},
        selected=[[name for name in names if name in data.feature_names] for names in all_of(lambda p: p["selected"])],
        pruners=_pruners(parts),
        replica_epochs=sum(p["epochs_run"] * w for p, w in zip(parts, weights, strict=True)),
        network=_best([part["network"] for part in parts]),
    )


def _pruners(parts: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """How each of several pruners fared over all seeds; empty where there is one."""
    weights = [len(part["seeds"]) for part in parts]
    found: dict[str, dict[str, Any]] = {}
    for name, first in parts[0].get("pruners", {}).items():
        of_parts = [part["pruners"][name] for part in parts]
        epochs = [epoch for of_part in of_parts for epoch in of_part["completion_epoch"]]
        found[name] = {
            "keep": len(first["selected"][0]),
            "outcome": _shares([of_part["outcome"] for of_part in of_parts], weights),
            "completion_epoch": _epochs(epochs),
        }
    return found


def _shares(outcomes: Sequence[Mapping[str, float]], weights: Sequence[int]) -> dict[str, float]:
    return {name: float(np.average([o[name] for o in outcomes], weights=weights)) for name in outcomes[0]}


def _epochs(found: Sequence[int | None]) -> dict[str, float | None]:
    """Mean and standard deviation of the seeds that completed."""
    epochs = [epoch for epoch in found if epoch is not None]
    return {
        "mean": float(np.mean(epochs)) if epochs else None,
        "std": float(np.std(epochs)) if epochs else None,
    }


def _best(found: Sequence[PrunedReplica | str]) -> PrunedReplica | str:
    networks = [network for network in found if isinstance(network, PrunedReplica)]
    return max(networks, key=lambda network: network.validation_score) if networks else found[0]


def winner(confirmed: Mapping[str, Confirmed]) -> str | None:
    """The strategy that completes with every fresh seed and is best on validation, refitted or not (never on test)."""
    return max(confirmed, key=lambda strategy: confirmed[strategy].result().merit(), default=None)
