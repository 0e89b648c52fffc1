"""A trial as Ray Tune knows it: a process that waits for what an engine trains.

There are as many of these processes as trials at once, several to a core, so this file imports neither PyTorch nor
Optuna nor MLflow.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ray import tune

from search.train.kit import Kit
from search.train.shared_engine import Remote, shared_engine
from search.trials.order import Order, Terms

if TYPE_CHECKING:
    from search.train.engine import Engine

_own_engine: "Engine | None" = None


def prune(config: Mapping[str, Any], kit: Kit) -> None:
    """Has one trial trained and reports to Tune at its end and now and then on the way.

    The last report says `done`, so that Tune does not ask for another one.

    Args:
        config: `number` and `order`, an `Order` as text.
        kit: what the worker needs.
    """
    order = Order.read(config["order"])
    engine: Engine | Remote = own_engine(order.terms, kit) if order.terms.together == 1 else shared_engine(order, kit)
    ended = False
    while not ended:
        report = engine.report(order)
        ended = report.ended
        tune.report({**report.as_dict(), "done": ended})


def own_engine(terms: Terms, kit: Kit) -> "Engine":
    """The engine of this process, for trials that share nothing."""
    global _own_engine
    from search.train.engine import Engine

    if _own_engine is None:
        _own_engine = Engine(kit.open(), terms.threads, terms.device)
    return _own_engine
