"""Means over seeds with their intervals, in the units of their metric, and how numbers and lists are said."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pruning_core.metrics import ACCURACY, Metric

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and the half width of its 95 % interval (Student's t), None for a single seed.

    `metric` is what the values are of, and knows how they are written.
    """

    mean: float
    half: float | None
    metric: Metric = ACCURACY

    def __str__(self) -> str:
        """`96.0 % (95 % interval 95.6 to 96.4 %)`."""
        number, sign = self.metric.number, self.metric.sign
        if self.half is None:
            return f"{number(self.mean)}{sign} (one seed, so without an interval)"
        low, high = max(self.mean - self.half, 0.0), min(self.mean + self.half, self.metric.most)
        more = self._more_digits
        return f"{number(self.mean, more)}{sign} (95 % interval {number(low, more)} to {number(high, more)}{sign})"

    @property
    def short(self) -> str:
        """`96.0 ± 0.4 %`."""
        number, more = self.metric.number, self._more_digits
        spread = "" if self.half is None else f" ± {number(self.half, more)}"
        return f"{number(self.mean, more)}{spread}{self.metric.sign}"

    @property
    def _more_digits(self) -> int:
        """One digit more where the interval would be rounded to nothing."""
        return int(bool(self.half) and float(self.metric.number(self.half or 0.0)) == 0)


def estimate(values: Sequence[float], metric: Metric = ACCURACY) -> Estimate:
    """Mean and interval of values of a metric that differ by their seed only."""
    count = len(values)
    if count < 2:
        return Estimate(float(np.mean(values)), None, metric)
    from scipy import stats  # takes a third of a second

    half = stats.t.ppf((1 + LEVEL) / 2, count - 1) * standard_error(values)
    return Estimate(float(np.mean(values)), float(half), metric)


def standard_error(values: Sequence[float]) -> float:
    """Of the mean of values that differ by their seed only; 0 for a single seed, which has no spread."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def paired(values: Sequence[float], others: Sequence[float], metric: Metric = ACCURACY) -> Estimate:
    """The mean difference `values` - `others` of two results with the same seeds, seed by seed."""
    return estimate((np.asarray(values) - np.asarray(others)).tolist(), metric)


def points(fraction: float, digits: int = 1) -> str:
    """A fraction in per cent: 0.9604 -> '96.0'."""
    return ACCURACY.number(fraction, digits - ACCURACY.digits)


def count(number: int, noun: str) -> str:
    """`1 trial`, `1,000 trials`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listing(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


def gap(behind: Estimate) -> str:
    """How far behind another result one is, and whether the seeds can tell: `0.3 ± 0.7 points behind (not …)`."""
    number, apart = behind.metric.number, behind.metric.apart
    size = number(abs(behind.mean))
    if float(size) == 0:
        return "as accurate" if behind.metric == ACCURACY else "level"
    side = "behind" if behind.mean > 0 else "ahead"
    if behind.half is None:
        return f"{size}{apart} {side}"
    significant = "" if abs(behind.mean) > behind.half else " (not significant)"
    return f"{size} ± {number(behind.half)}{apart} {side}{significant}"
