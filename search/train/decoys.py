"""The winner's configuration once more, with decoys beside the inputs: what its replicas keep of both."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray

from pruning_core.config import TrialConfig
from pruning_core.data import Dataset
from pruning_core.selection import kept_beside, kept_matrix, with_decoys
from search.study import Study
from search.study.sections import Resources
from search.train.devices import device_of
from search.train.kit import Kit, begin, pack
from search.train.pieces import cut, seeds_per_task, wait_for
from search.train.resources import slots
from search.trials.watcher import Watcher

SEEDS = 8


def kept_beside_decoys(study: Study, config: dict[str, Any], data: Dataset, watcher: Watcher) -> NDArray[np.bool_]:
    """What a configuration keeps of inputs and decoys, (R, 1 + M, N), with the first of the fresh seeds.

    Args:
        study: the study file.
        config: of the winner.
        data: of which the test part is not looked at.
        watcher: is told how many pieces of training there are, and of each that is done.
    """
    beside = with_decoys(data, study.search.decoys)
    kit = pack(beside, study)
    task = ray.remote(_kept_by).options(num_cpus=study.resources.cpu, num_gpus=study.resources.gpu)
    seeds = study.search.fresh_seeds[:SEEDS]
    size = seeds_per_task(len(seeds), 1, slots(study.resources), fewest=2)
    tasks = [task.remote(config, kit, piece, study.resources) for piece in cut(seeds, size)]
    wait_for(tasks, watcher)
    selected = [names for piece in ray.get(tasks) for names in piece]
    return kept_beside(kept_matrix(selected, beside.feature_names), study.search.decoys)


def _kept_by(config: dict[str, Any], kit: Kit, seeds: Sequence[int], resources: Resources) -> list[list[str]]:
    """Runs on a node."""
    torch.set_num_threads(resources.threads)
    run = begin(TrialConfig(**config), kit.open(), seeds, device_of(resources.device))
    for _ in run:
        pass
    return run.selected()
