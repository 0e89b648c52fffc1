"""Trainable gates that prune a network: the pruner layer, its losses and strategies, and the core training function.

Knows torch; knows nothing of Ray, Optuna, MLflow, YAML or the terminal. The names below are imported when they are
asked for: `import pruning_core` by itself loads nothing else.

>>> from pathlib import Path
>>> from pruning_core import TrialConfig, load_dataset, train
>>> data = load_dataset("digits", folder=Path())
>>> run = train(TrialConfig(keep=16, epochs=2), data, seeds=range(4))
>>> [record.epoch for record in run]
[1, 2]
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pruning_core.config import TrialConfig, register
    from pruning_core.data import Dataset, from_arrays, load_dataset
    from pruning_core.estimators import PruningClassifier, PruningSelector
    from pruning_core.networks import NetworkSpec
    from pruning_core.pruner import Pruner
    from pruning_core.strategies import Strategy
    from pruning_core.training import train

__all__ = [
    "Dataset",
    "NetworkSpec",
    "Pruner",
    "PruningClassifier",
    "PruningSelector",
    "Strategy",
    "TrialConfig",
    "from_arrays",
    "load_dataset",
    "register",
    "train",
]

_HOMES = {
    "Dataset": "data",
    "NetworkSpec": "networks",
    "Pruner": "pruner",
    "PruningClassifier": "estimators",
    "PruningSelector": "estimators",
    "Strategy": "strategies.strategy",
    "TrialConfig": "config",
    "from_arrays": "data",
    "load_dataset": "data",
    "register": "config",
    "train": "training",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
