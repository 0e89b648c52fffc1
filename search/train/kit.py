"""What a worker needs for every trial of a search: the data without its test part, the metric, and code of the user's.

Imports neither PyTorch nor anything else that takes long: every process that waits for an engine loads it.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import ray
from ray import cloudpickle

if TYPE_CHECKING:
    import torch

    from pruning_core.config import TrialConfig
    from pruning_core.data import Dataset
    from pruning_core.metrics import Metric
    from pruning_core.networks import NetworkSpec
    from pruning_core.strategies import Strategy
    from pruning_core.training import Training
    from search.study import Study


class Contents(NamedTuple):
    """What a kit holds."""

    data: "Dataset"
    network: "NetworkSpec"
    metric: "Metric"


@dataclass(frozen=True)
class Kit:
    """References and bytes only, so that it travels quickly to where nobody opens it.

    Args:
        data: a reference to the data; in a list, since Ray would otherwise load what it stands for.
        code: the strategies that the driver has registered and the library does not know, the network and the metric,
            as Ray pickles them: by value, so that a worker needs no file of the user's.
    """

    data: list[ray.ObjectRef]
    code: bytes

    def open(self) -> Contents:
        """What the kit holds, after the strategies have been made known to this process."""
        from pruning_core.config import register

        strategies, network, metric = cloudpickle.loads(self.code)
        for strategy in strategies:
            register(strategy)
        return Contents(ray.get(self.data[0]), network, metric)


def begin(config: "TrialConfig", contents: Contents, seeds: Sequence[int], device: "torch.device") -> "Training":
    """The training of a configuration on what a kit holds."""
    from pruning_core.training import train

    return train(config, contents.data, seeds, contents.network, device, contents.metric)


def users_strategies() -> "list[type[Strategy]]":
    """The registered strategies that are not the library's own, which every worker has."""
    from pruning_core import strategies

    library = f"{strategies.__name__}."
    return [strategy for strategy in strategies.STRATEGIES.values() if not strategy.__module__.startswith(library)]


def pack(data: "Dataset", study: "Study") -> Kit:
    """A kit for the workers of a search."""
    own = users_strategies()
    modules = [sys.modules[name] for name in {strategy.__module__ for strategy in own} - {"__main__"}]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        code = cloudpickle.dumps((own, study.network.spec, study.metric(data)))
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)
    return Kit([ray.put(data.pooled() if study.training.known_folds else data)], code)
