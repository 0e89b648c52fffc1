"""The winner's network once more, trained from the start on the inputs that most of its seeds keep."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import ray

from pruning_core.compaction import PrunedReplica
from pruning_core.data import Dataset
from pruning_core.network_check import check_network
from pruning_core.selection.refit import with_inputs, without_pruning
from search.study import Study
from search.study.objectives import metric_name
from search.study.sections import Resources
from search.train.confirmation import Confirmed, joined, train_afresh
from search.train.kit import Kit, pack
from search.train.pieces import cut, results_of, seeds_per_task
from search.train.resources import slots
from search.trials.watcher import Watcher


def refitted(study: Study, winner: Confirmed, data: Dataset, watcher: Watcher) -> Confirmed | None:
    """The winner with these inputs alone, for all of its epochs and with the seeds that confirmed it.

    None where a seed did not complete, and where the network drops other units than inputs, or none: hidden units have
    no names that seeds could agree on.

    Args:
        study: the study file.
        winner: a configuration that was confirmed.
        data: the data with its test part.
        watcher: is told how many pieces of training there are, and of each that is done.
    """
    config = without_pruning(winner.config)
    network = check_network(study.network.spec, config, data)
    if network.on_inputs is None or len(network.pruners) > 1 or winner.outcome["complete"] < 1:
        return None
    columns = [data.feature_names.index(name) for name in winner.kept()]
    kit, seeds = pack(data, study), study.search.fresh_seeds
    task = ray.remote(_train_piece).options(num_cpus=study.resources.cpu, num_gpus=study.resources.gpu)
    pieces = cut(seeds, seeds_per_task(len(seeds), 1, slots(study.resources)))
    fixed = config.model_dump()
    tasks = [task.remote(fixed, kit, piece, study.resources, columns, network.on_inputs.path) for piece in pieces]
    return joined(winner.trial, results_of(tasks, watcher), metric_name(study.search.score), data)


def _train_piece(
    config: dict[str, Any], kit: Kit, seeds: Sequence[int], resources: Resources, columns: list[int], on_inputs: str
) -> dict[str, Any]:
    """Runs on a node."""
    contents = kit.open()
    some = contents._replace(network=with_inputs(columns, contents.network, on_inputs))
    result = train_afresh(config, some, seeds, resources)
    network = result["network"]
    return {**result, "network": replace(network, refitted=True) if isinstance(network, PrunedReplica) else network}
