"""Engines that several trials share: a process on each core or share of a GPU, found by name, started when needed.

Knows Ray but not Tune, whose import would cost each of them a second.
"""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayError
from ray.util import list_named_actors
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from search.train.kit import Kit
from search.trials.order import Order, Report, Terms

SECONDS_UNTIL_ABANDONED = 600
ENGINE = "engine"
CALLS_AT_ONCE = 256
SECONDS_TO_LOOK_AGAIN = 0.1


class SharedEngine:
    """An `Engine` in a process of its own. It ends when no trial has asked it for a while: its search is dead."""

    def __init__(self, terms: Terms, gpus: str, kit: Kit) -> None:
        if gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = gpus
        from search.train.engine import Engine

        abandoned = (SECONDS_UNTIL_ABANDONED, lambda: os._exit(0))
        self.engine = Engine(kit.open(), terms.threads, terms.device, abandoned)

    def join(self, order: Order, expected: list[int]) -> bool:
        return self.engine.join(order, expected)

    def trials(self) -> list[int]:
        return self.engine.trials()

    def report(self, order: Order) -> Report:
        return self.engine.report(order)


@dataclass(frozen=True)
class Remote:
    """An engine in another process."""

    actor: Any

    def report(self, order: Order) -> Report:
        report: Report = ray.get(self.actor.report.remote(order))
        return report


def shared_engine(order: Order, kit: Kit) -> Remote:
    """The engine of this node, and of the GPUs that Ray gave this trial, that has the fewest trials."""
    node = ray.get_runtime_context().get_node_id()
    gpus = ",".join(map(str, ray.get_gpu_ids()))
    names = [f"{ENGINE} {worker} on {gpus or 'CPUs'} of {node}" for worker in range(workers(order.terms, node))]
    while True:
        with suppress(ActorDiedError, ActorUnavailableError, ValueError):  # one was killed just now
            if engine := _joined_engine(order, kit, names, gpus, node):
                return Remote(engine)
        time.sleep(SECONDS_TO_LOOK_AGAIN)


def _joined_engine(order: Order, kit: Kit, names: Sequence[str], gpus: str, node: str) -> Any | None:
    """The one of these engines with the fewest trials, started if need be; None if its trials are others meanwhile.

    So trials that start at the same moment see each other.
    """
    running = set(list_named_actors())
    engines = [ray.get_actor(name) if name in running else None for name in names]
    trials: list[list[int]] = [ray.get(e.trials.remote()) if e else [] for e in engines]
    best = min(range(len(names)), key=lambda i: len(set(trials[i]) - {order.number}))
    actor: Any = ray.remote(SharedEngine).options(
        name=names[best],
        num_cpus=0,
        max_concurrency=CALLS_AT_ONCE,
        lifetime="detached",
        get_if_exists=True,
        scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
    )
    engine = actor.remote(order.terms, gpus, kit)
    return engine if ray.get(engine.join.remote(order, trials[best])) else None


def workers(terms: Terms, node: str) -> int:
    """How many workers a GPU has room for, or where they train on CPUs, a node."""
    if terms.gpu:
        return max(1, int(1 / terms.gpu))
    cores = next(entry["Resources"].get("CPU", 1) for entry in ray.nodes() if entry["NodeID"] == node)
    return max(1, int(cores / terms.cpu))


def stop_engines() -> None:
    """Ends the engines that this driver's trials have started."""
    with suppress(RayError):
        for name in list_named_actors():
            if name.startswith(ENGINE):
                with suppress(ValueError):  # it has ended meanwhile
                    ray.kill(ray.get_actor(name))
