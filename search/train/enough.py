"""The curve from which `data.keep: auto` takes n, trained as plain Ray tasks, in pieces of a few seeds each."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import ray
import torch
from ray.exceptions import RayTaskError

from pruning_core.config import TrialConfig
from pruning_core.data import Dataset
from search.propose.optimiser import drawn
from search.study import Study
from search.study.costs import costs_of
from search.study.sections import Resources
from search.train.devices import device_of
from search.train.kit import Kit, begin, pack
from search.train.pieces import cut, seeds_per_task
from search.train.resources import slots
from search.trials.enough import CONFIGURATIONS, Curve, Hyperparameters, Measured, find
from search.trials.watcher import Watcher


def find_curve(study: Study, data: Dataset, watcher: Watcher) -> Curve:
    """Trains the curve of a study whose n is to be found.

    Args:
        study: the study file (its space, `training.seeds`, `confirm_seeds`, `data.costs`, `resources`).
        data: that it is about; the test part is not looked at.
        watcher: is told how many pieces of training there are, and of each that is done.

    Raises:
        RayTaskError: no configuration could be trained at all.
    """
    kit = pack(data.without_test(), study)
    costs = costs_of(study.data.costs, data)
    task = ray.remote(_train_piece).options(num_cpus=study.resources.cpu, num_gpus=study.resources.gpu)
    at_once = slots(study.resources)

    def measure(pairs: Sequence[tuple[int, Hyperparameters]], fresh: bool) -> list[Measured | None]:
        seeds = study.search.curve_seeds if fresh else range(study.training.seeds)
        pieces = cut(seeds, seeds_per_task(len(seeds), len(pairs), at_once))
        configs = [study.at(keep).trial_config(params).model_dump() for keep, params in pairs]
        tasks = [[task.remote(config, kit, piece, study.resources) for piece in pieces] for config in configs]
        waiting = [piece for of_pair in tasks for piece in of_pair]
        watcher.looking([keep for keep, _ in pairs], len(waiting))
        while waiting:
            _, waiting = ray.wait(waiting)
            watcher.looked()
        found, errors = [], []
        for of_pair in tasks:
            try:
                found.append(_measured(ray.get(of_pair), study.search.score, costs))
            except RayTaskError as error:
                found.append(None)
                errors.append(error)
        if errors and len(errors) == len(pairs):
            raise errors[0]
        return found

    return find(measure, len(data.feature_names), drawn(study, CONFIGURATIONS))


def _train_piece(config: dict[str, Any], kit: Kit, seeds: Sequence[int], resources: Resources) -> dict[str, Any]:
    """Runs on a node: trains to the end, unless that is not to be complete, and tells the `trial.json`."""
    torch.set_num_threads(resources.threads)
    run = begin(TrialConfig(**config), kit.open(), seeds, device_of(resources.device))
    for _ in run:
        if run.history.hopeless():
            break
    return run.result()


def _measured(parts: Sequence[dict[str, Any]], score: str, costs: dict[str, float]) -> Measured | None:
    """What the pieces of a configuration came to; None where a loss was not finite."""
    scores = [value for part in parts for value in part[score]["per_seed"]]
    if not np.isfinite(scores).all():
        return None
    kept = [sum(costs.get(name, 0) for name in names) for part in parts for names in part["selected"]]
    epochs = [epoch for part in parts for epoch in part["completion_epoch"]]
    return Measured(scores, kept, sum(epoch is not None for epoch in epochs) / len(epochs))
