"""The rules that stop trials before their end: one entry for each, from which study file and scheduler derive."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StoppingRule:
    """Which trials are stopped before their end.

    Args:
        hopeless: whether a trial gives itself up once it cannot come to a complete end any more.
        ray: the class in `ray.tune.schedulers` that compares trials; None compares none. It sees a report of every
            tenth of the epochs, not only now and then.
        options: its arguments, of the most epochs that a trial has.
    """

    hopeless: bool = False
    ray: str | None = None
    options: Callable[[int], Mapping[str, Any]] = lambda epochs: {}


def _grace(epochs: int) -> dict[str, Any]:
    return {"grace_period": max(1, epochs // 4)}


STOPPING_RULES: dict[str, StoppingRule] = {
    "hopeless": StoppingRule(hopeless=True),
    "asha": StoppingRule(ray="ASHAScheduler", options=lambda epochs: {"max_t": epochs, **_grace(epochs)}),
    "median": StoppingRule(ray="MedianStoppingRule", options=_grace),
    "none": StoppingRule(),
}
