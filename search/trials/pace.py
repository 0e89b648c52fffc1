"""How fast the trials of a search end, and whether there is time for another one: the budget of `search.hours`."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles

from search.trials.kept import CANDIDATES

REFIT = 3
"""So many trials takes a refit, which trains for all epochs: others end soon after completion."""
SECONDS_BESIDE = 20
"""What the start of the command, of the confirmation and the end of a search take besides training."""


@dataclass
class Pace:
    """Says whether another trial may begin; once it has said no, it goes on saying no.

    A trial takes the median of those that have ended here, and waits its turn if all workers are busy. Until the first
    one has ended, nothing is known, and trials may begin. The confirmation takes the upper quartile for as many trials
    as it comes to: those that are confirmed have not been stopped early.

    Args:
        until: when the search must be over, on `clock`; None for no limit.
        together: how many trials are trained at the same time.
        confirmed: how many trials the confirmation comes to when there are `ended` ones, see `confirmation_trials`.
        clock: the time in seconds.
    """

    until: float | None
    together: int = 1
    confirmed: Callable[[int], float] = lambda ended: 0.0
    clock: Callable[[], float] = time.monotonic
    used_up: bool = False
    _begun: dict[int, float] = field(default_factory=dict)
    _seconds: list[float] = field(default_factory=list)

    def started(self, number: int) -> None:
        """A trial begins."""
        self._begun[number] = self.clock()

    def ended(self, number: int) -> None:
        """A trial is over."""
        if (begun := self._begun.pop(number, None)) is not None:
            self._seconds.append(self.clock() - begun)

    def may_begin(self, running: int) -> bool:
        """Whether a trial that begins beside `running` others ends in time, and the confirmation after it."""
        if self.until is not None and not self.used_up:
            self.used_up = self.clock() + self._needed(running) > self.until
        return not self.used_up

    def _needed(self, running: int) -> float:
        if not self._seconds:
            return 0.0
        turns = max(1.0, (running + 1) / self.together)
        trials = self.confirmed(len(self._seconds) + running + 1)
        confirmation = math.ceil(trials / self.together) * _upper_quartile(self._seconds)
        return turns * median(self._seconds) + confirmation + SECONDS_BESIDE


def confirmation_trials(ended: int, arms: int, seeds: int, fresh_seeds: int) -> float:
    """How many trials the confirmation comes to, in trials of `seeds` seeds.

    Args:
        ended: trials.
        arms: a strategy with one n each.
        seeds: of a trial.
        fresh_seeds: of the confirmation.

    >>> confirmation_trials(ended=40, arms=2, seeds=8, fresh_seeds=16)
    28.0
    """
    return (min(ended, (CANDIDATES + 1) * arms) + REFIT * arms) * fresh_seeds / seeds


def _upper_quartile(values: Sequence[float]) -> float:
    return quantiles(values, n=4, method="inclusive")[-1] if len(values) > 1 else values[0]
