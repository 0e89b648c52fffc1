"""How many inputs are enough: the score against n, and the smallest n within one standard error of the best.

What is learnt at one n serves the others. The default configuration is looked at over all n first; where it says that
about enough is, and at the next larger n, many configurations are tried: with a few inputs too many it shows which of
them find the inputs that are worth little. The best two then train at every n, with fresh seeds and the same ones
everywhere. So what a few hyperparameters add is in the curve, and no n is luckier than another.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from pruning_core.metrics import Metric

FINE, ROUNDING = 0.05, 1e-9
CONFIGURATIONS = 24
BEST = 2

Hyperparameters = Mapping[str, Any]


@dataclass(frozen=True)
class Measured:
    """How a configuration fared at one n: its score and the cost of the inputs that it keeps, a value per seed each.

    `complete` is the share of the seeds that completed. Without `data.costs` every input costs 1.
    """

    scores: Sequence[float]
    costs: Sequence[float]
    complete: float


@dataclass(frozen=True)
class Point:
    """A point of the curve: n, the mean score and its standard error, the share of complete seeds, the mean cost.

    `params` are the hyperparameters of the configuration that is the best there.
    """

    keep: int
    mean: float
    error: float
    complete: float
    cost: float
    params: Hyperparameters

    @classmethod
    def of(cls, keep: int, measured: Measured, params: Hyperparameters) -> "Point":
        """What a configuration came to."""
        scores = np.asarray(measured.scores)
        error = float(scores.std(ddof=1) / math.sqrt(len(scores))) if len(scores) > 1 else 0.0
        return cls(keep, float(scores.mean()), error, measured.complete, float(np.mean(measured.costs)), params)

    def merit(self) -> tuple[float, float]:
        """How good it is: completion first, then the score."""
        return self.complete, self.mean


@dataclass(frozen=True)
class Curve:
    """The score against n, by rising n."""

    points: tuple[Point, ...]

    @classmethod
    def of(cls, points: Sequence[Point]) -> "Curve":
        """The best point of each n."""
        return cls(tuple(max((p for p in points if p.keep == keep), key=Point.merit) for keep in _keeps(points)))

    @property
    def counting(self) -> list[Point]:
        """The points whose seeds all completed."""
        return [point for point in self.points if point.complete == 1]

    @property
    def best(self) -> Point | None:
        """The point with the best score."""
        return max(self.counting, key=lambda point: point.mean, default=None)

    @property
    def line(self) -> float:
        """One standard error below the best score, rounded down: means over a few rows often lie on it."""
        return self.best.mean - self.best.error - ROUNDING if self.best else math.nan

    @property
    def chosen(self) -> Point | None:
        """The cheapest point within one standard error of the best: the rule of Breiman et al. (CART, 1984, 3.4.3)."""
        enough = [point for point in self.counting if point.mean >= self.line]
        return min(enough, key=lambda point: (point.cost, point.keep), default=None)

    @property
    def priced(self) -> bool:
        """Whether inputs cost more or less than 1."""
        return any(point.cost != point.keep for point in self.points)

    def as_json(self) -> dict[str, Any]:
        """The entry `keep` of `deeppp search --json`."""
        chosen = self.chosen
        return {"chosen": chosen.keep if chosen else None, "curve": [asdict(point) for point in self.points]}

    @classmethod
    def confirmed(cls, result: Mapping[str, Any]) -> "Curve":
        """The validation scores of the winners of a search over several n, with their fresh seeds.

        Args:
            result: the JSON of `deeppp search --json`.
        """
        points = []
        for keep, part in (result.get("keeps") or {}).items():
            if part["winner"]:
                entry = part["strategies"][part["winner"]]
                scores = entry["validation"]["per_seed"]
                measured = Measured(scores, [int(keep)] * len(scores), entry["outcome"]["complete"])
                points.append(Point.of(int(keep), measured, {"strategy": part["winner"]}))
        return cls.of(points)

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> "Curve":
        """What `as_json` wrote."""
        return cls(tuple(Point(**point) for point in entry["curve"]))


Measure = Callable[[Sequence[tuple[int, Hyperparameters]], bool], Sequence[Measured | None]]
"""Trains configurations, each at an n; with the seeds of the curve, or else with those of the search.

Of one that could not be trained it tells None.
"""


def sentence(curve: Curve, metric: Metric) -> str:
    """What the curve says of how many inputs are enough."""
    chosen, best = curve.chosen, curve.best
    if chosen is None or best is None:
        return "At no n did every seed complete."
    what = f"{chosen.keep} input{'s' * (chosen.keep > 1)} {'are' if chosen.keep > 1 else 'is'} enough"
    price = f" at a mean cost of {chosen.cost:.4g}" if curve.priced else ""
    reach = metric.text(best.mean, best.error)
    if chosen == best:
        return f"{what}{price}: {reach}, the best of all n, and with less it is more than one standard error worse."
    least = "the cheapest" if curve.priced else "the fewest"
    return (
        f"{what}{price}: {metric.text(chosen.mean)}, {least} within one standard error of the best, {reach} with "
        f"{best.keep}."
    )


def _keeps(points: Sequence[Point]) -> list[int]:
    return sorted({point.keep for point in points})


def grid(inputs: int) -> list[int]:
    """Where the curve is looked at first: from 1 to N - 1, each n twice the one before.

    >>> grid(41)
    [1, 2, 4, 8, 16, 32, 40]
    """
    return sorted({2**step for step in range((inputs - 1).bit_length())} | {inputs - 1})


def find(measure: Measure, inputs: int, configurations: Sequence[Hyperparameters]) -> Curve:
    """The curve of a data set.

    Args:
        measure: trains.
        inputs: N.
        configurations: to try, the default first.
    """
    keeps, (default, *others) = grid(inputs), configurations
    looked = _points(measure, keeps, [default], fresh=False)
    chosen = Curve.of(looked).chosen
    place = keeps.index(chosen.keep) if chosen else len(keeps) // 2
    there = keeps[place : place + 2]
    tried = [point for point in looked if point.keep in there] + _points(measure, there, others, fresh=False)
    best = sorted(configurations, key=lambda params: _merit_of(params, tried), reverse=True)[:BEST]
    points: list[Point] = []
    while keeps:
        points += _points(measure, keeps, best, fresh=True)
        keeps = _between(Curve.of(points))
    return Curve.of(points)


def _merit_of(params: Hyperparameters, points: Sequence[Point]) -> tuple[float, float]:
    """How good a configuration is over all n at which it was tried; one that could not be trained is the worst."""
    mine = [point.merit() for point in points if point.params == params]
    completes, means = zip(*mine, strict=True) if mine else ((-1.0,), (-1.0,))
    return float(np.mean(completes)), float(np.mean(means))


def _points(
    measure: Measure, keeps: Sequence[int], configurations: Sequence[Hyperparameters], fresh: bool
) -> list[Point]:
    """Every configuration at every n, without those that could not be trained."""
    pairs = [(keep, params) for keep in keeps for params in configurations]
    found = zip(pairs, measure(pairs, fresh), strict=True)
    return [Point.of(keep, measured, params) for (keep, params), measured in found if measured]


def _between(curve: Curve) -> list[int]:
    """The middles of the gaps beside the chosen n and the best one; of a large n, only of wide ones."""
    keeps = [point.keep for point in curve.points]
    wanted = {point.keep for point in (curve.chosen, curve.best) if point}
    gaps = [(low, high) for low, high in pairwise(keeps) if {low, high} & wanted]
    return [(low + high) // 2 for low, high in gaps if high - low > max(1, FINE * high)]
