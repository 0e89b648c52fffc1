"""A trial as Ray Tune knows it: a process that waits for what an engine trains.

There are as many of these processes as trials at once, several to a core, so this file imports neither PyTorch nor
Optuna nor MLflow.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import ray
from ray import tune

from search.train.shared_engine import Remote, shared_engine

if TYPE_CHECKING:
    from search.train.engine import Engine

_own_engine: "Engine | None" = None


def prune(config: Mapping[str, Any], data: list[ray.ObjectRef]) -> None:
    """Has one trial trained and reports to Tune at its end and now and then on the way (see `Engine.report`).

    The last report says `done`, so that Tune does not ask for another one.

    Args:
        config: `number`, `folder` (of the search), `hyperparameters` (a `TrialConfig` in JSON), `first_seed`,
            `threads`, `device`, `stop_hopeless`, `report_after`: the seconds that pass before the next tenth of the
            epochs is reported; `together`: how many trials share a worker, and `worker`: how much of `cpu` and `gpu`
            that is.
        data: a reference to the data without its test part.
    """
    engine: Engine | Remote = own_engine(config, data) if config["together"] == 1 else shared_engine(config, data)
    result: dict[str, Any] = {"ended": False}
    while not result["ended"]:
        result = engine.report(config)
        tune.report({**result, "done": result["ended"]})


def own_engine(config: Mapping[str, Any], data: list[ray.ObjectRef]) -> "Engine":
    """The engine of this process, for trials that share nothing."""
    global _own_engine
    from search.train.engine import Engine

    if _own_engine is None:
        _own_engine = Engine(ray.get(data[0]), config["threads"], config["device"])
    return _own_engine
