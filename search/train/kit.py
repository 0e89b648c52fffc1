"""What a worker needs for every trial of a search: the data without its test part, and the strategies of its own.

Imports neither PyTorch nor anything else that takes long: every process that waits for an engine loads it.
"""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ray
from ray import cloudpickle

if TYPE_CHECKING:
    from pruning_core.data import Dataset


@dataclass(frozen=True)
class Kit:
    """References and bytes only, so that it travels quickly to where nobody opens it.

    Args:
        data: a reference to the data; in a list, since Ray would otherwise load what it stands for.
        strategies: classes that the driver has registered and the library does not know, pickled by Ray.
    """

    data: list[ray.ObjectRef]
    strategies: bytes

    def open(self) -> "Dataset":
        """The data, after the strategies have been made known to this process."""
        open_strategies(self.strategies)
        data: Dataset = ray.get(self.data[0])
        return data


def pack(data: "Dataset") -> Kit:
    """A kit for the workers of a search."""
    return Kit([ray.put(data)], pack_strategies())


def pack_strategies() -> bytes:
    """The strategies that the driver has registered beyond the library's, with their code.

    By value, so that a worker needs no file of the user's: their modules need not be importable there.
    """
    from pruning_core.strategies import STRATEGIES, Strategy

    own = [strategy for strategy in STRATEGIES.values() if strategy.__module__ != Strategy.__module__]
    modules = [sys.modules[name] for name in {strategy.__module__ for strategy in own} - {"__main__"}]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        pickled: bytes = cloudpickle.dumps(own)
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)
    return pickled


def open_strategies(strategies: bytes) -> None:
    """Makes known what `pack_strategies` packed."""
    from pruning_core.config import register

    for strategy in cloudpickle.loads(strategies):
        register(strategy)
