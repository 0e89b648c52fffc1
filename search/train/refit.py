"""The network of each strategy once more, trained from the start on the inputs that most of its seeds keep."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import ray

from pruning_core.compaction import PrunedReplica
from pruning_core.data import Dataset
from pruning_core.network_check import check_network
from pruning_core.selection.refit import best_epoch, with_inputs, without_pruning
from search.study import Study
from search.study.objectives import metric_name
from search.study.sections import Resources
from search.train.confirmation import Confirmed, joined, train_afresh
from search.train.kit import Kit, pack
from search.train.pieces import cut, seeds_per_task, wait_for
from search.train.resources import slots
from search.trials.watcher import Watcher


def refitted(study: Study, confirmed: Mapping[str, Confirmed], data: Dataset, watcher: Watcher) -> dict[str, Confirmed]:
    """The same with `refit`: each network with these inputs alone, and with the seeds that confirmed it.

    It takes all epochs, and where an earlier one was better (`best_epoch`) it begins anew and stops there. There is no
    refit where a seed did not complete, and where the network drops other units than inputs, or none: hidden units have
    no names that seeds could agree on.

    Args:
        study: the study file.
        confirmed: the configuration that stands for each strategy.
        data: the data with its test part.
        watcher: is told how many pieces of training there are, and of each that is done.
    """
    complete = {strategy: best for strategy, best in confirmed.items() if best.outcome["complete"] == 1}
    networks = {
        strategy: check_network(study.network.spec, without_pruning(best.config), data)
        for strategy, best in complete.items()
    }
    paths = {s: n.on_inputs.path for s, n in networks.items() if n.on_inputs and len(n.pruners) == 1}
    if not paths:
        return dict(confirmed)
    kit, seeds = pack(data, study), study.search.fresh_seeds
    task = ray.remote(_train_piece).options(num_cpus=study.resources.cpu, num_gpus=study.resources.gpu)
    pieces = cut(seeds, seeds_per_task(len(seeds), len(paths), slots(study.resources)))

    def trained(epochs: Mapping[str, int | None]) -> dict[str, list[dict[str, Any]]]:
        tasks = {
            strategy: [
                task.remote(
                    without_pruning(complete[strategy].config, epochs[strategy]).model_dump(),
                    kit,
                    piece,
                    study.resources,
                    [data.feature_names.index(name) for name in complete[strategy].kept()],
                    paths[strategy],
                )
                for piece in pieces
            ]
            for strategy in epochs
        }
        wait_for([piece for of_strategy in tasks.values() for piece in of_strategy], watcher)
        return {strategy: ray.get(of_strategy) for strategy, of_strategy in tasks.items()}

    parts = trained(dict.fromkeys(paths))
    curves = {strategy: np.hstack([part["validation"] for part in parts[strategy]]) for strategy in paths}
    earlier = {s: epoch for s, curve in curves.items() if (epoch := best_epoch(curve)) < len(curve)}
    parts |= trained(earlier) if earlier else {}
    metric = metric_name(study.search.score)
    found = dict(confirmed)
    for strategy, curve in curves.items():
        best = complete[strategy]
        refit = joined(best.trial, parts[strategy], metric, data)
        epochs = best.replica_epochs + curve.size + (refit.replica_epochs if strategy in earlier else 0)
        found[strategy] = replace(best, refit=refit, replica_epochs=epochs)
    return found


def _train_piece(
    config: dict[str, Any], kit: Kit, seeds: Sequence[int], resources: Resources, columns: list[int], on_inputs: str
) -> dict[str, Any]:
    """Runs on a node."""
    contents = kit.open()
    some = contents._replace(network=with_inputs(columns, contents.network, on_inputs))
    result = train_afresh(config, some, seeds, resources)
    network = result["network"]
    return {**result, "network": replace(network, refitted=True) if isinstance(network, PrunedReplica) else network}
