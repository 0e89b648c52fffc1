"""What a worker occupies: how many fit at once, and what `resources: auto` stands for on the nodes that were joined."""

import time
from collections.abc import Sequence

import ray
import torch

from pruning_core.config import TrialConfig
from pruning_core.data import Dataset
from search.study import Study
from search.study.sections import Resources
from search.train.cluster import living_nodes
from search.train.devices import device_of, memory_in_use
from search.train.kit import Kit, begin, pack


def slots(resources: Resources) -> int:
    """How many trials can run at once on the nodes that this process has joined, at least 1."""
    wanted = {name: amount for name, amount in (("CPU", resources.cpu), ("GPU", resources.gpu)) if amount}
    each = [
        min(int(node.resources.get(name, 0) / amount) for name, amount in wanted.items()) for node in living_nodes()
    ]
    return max(1, sum(each)) if wanted else 1


def measure_resources(study: Study, data: Dataset) -> Resources:
    """What `resources: auto` stands for here: the share of a node with which most epochs are trained in all.

    The library's default trial of the study trains for about a second with 1, 2, 4, ... threads of the smallest node,
    and on a GPU if there is one. CPU: the number of threads with which all nodes together, no more trials at once than
    the study has, train the most epochs a second. GPU: as many trials on each as fit into 90 % of its memory and have a
    core each, if the GPUs train more epochs a second than the cores, sharing taken to gain nothing.
    """
    nodes = living_nodes()
    config, trials = study.trial_config(), study.search.trials
    kit = pack(data.without_test(), study)
    cores = [int(node.resources.get("CPU", 0)) for node in nodes]
    smallest = min(count for count in cores if count) if any(cores) else 1
    threads = [2**k for k in range(smallest.bit_length())]
    pace = ray.remote(_pace)
    paces = ray.get(pace.options(num_cpus=smallest, num_gpus=0).remote(config, kit, threads, "cpu"))

    def epochs_a_second(count: int) -> float:
        return min(trials, sum(n // count for n in cores)) / paces[count][0]

    best = max(threads, key=epochs_a_second)
    with_gpus = [node for node in nodes if node.resources.get("GPU")]
    if not with_gpus:
        return Resources(cpu=best, gpu=0)
    gpus = sum(int(node.resources["GPU"]) for node in with_gpus)
    seconds, used = ray.get(pace.options(num_cpus=1, num_gpus=1).remote(config, kit, [1], "cuda"))[1]
    if gpus / seconds < epochs_a_second(best):
        return Resources(cpu=best, gpu=0)
    cores_each = min(int(node.resources["CPU"] / node.resources["GPU"]) for node in with_gpus)
    sharing = max(1, min(int(0.9 / used) if used else cores_each, cores_each))
    return Resources(cpu=1, gpu=int(10_000 / sharing) / 10_000)


def _pace(config: TrialConfig, kit: Kit, threads: Sequence[int], device: str) -> dict[int, tuple[float, float]]:
    """Runs on a node: threads -> seconds per epoch of a trial, and the fraction of the GPU's memory that is in use."""
    paces = {}
    contents = kit.open()
    for count in threads:
        torch.set_num_threads(count)
        run = iter(begin(config, contents, range(config.seeds), device_of(device)))
        next(run)
        started, epochs = time.perf_counter(), 0
        while time.perf_counter() - started < 1 and next(run, None) is not None:
            epochs += 1
        seconds = (time.perf_counter() - started) / max(1, epochs)
        paces[count] = (seconds, memory_in_use(device))
    return paces
