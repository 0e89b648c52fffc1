"""Means over seeds with their intervals, and how numbers and lists are said."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and the half width of its 95 % interval (Student's t), None for a single seed."""

    mean: float
    half: float | None

    def __str__(self) -> str:
        """`96.0 % (95 % interval 95.6 to 96.4 %)`."""
        if self.half is None:
            return f"{points(self.mean)} % (one seed, so without an interval)"
        low, high = max(self.mean - self.half, 0.0), min(self.mean + self.half, 1.0)
        digits = self._digits()
        return f"{points(self.mean, digits)} % (95 % interval {points(low, digits)} to {points(high, digits)} %)"

    @property
    def short(self) -> str:
        """`96.0 ± 0.4 %`."""
        digits = self._digits()
        spread = "" if self.half is None else f" ± {points(self.half, digits)}"
        return f"{points(self.mean, digits)}{spread} %"

    def _digits(self) -> int:
        """Decimals that show the interval: two where one would round it to 0.0."""
        return 2 if self.half and self.half < 0.0005 else 1


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and interval of values that differ by their seed only."""
    count = len(values)
    if count < 2:
        return Estimate(float(np.mean(values)), None)
    from scipy import stats  # takes a third of a second

    half = stats.t.ppf((1 + LEVEL) / 2, count - 1) * np.std(values, ddof=1) / np.sqrt(count)
    return Estimate(float(np.mean(values)), float(half))


def paired(values: Sequence[float], others: Sequence[float]) -> Estimate:
    """The mean difference `values` - `others` of two results with the same seeds, seed by seed."""
    return estimate((np.asarray(values) - np.asarray(others)).tolist())


def points(fraction: float, digits: int = 1) -> str:
    """A fraction in per cent: 0.9604 -> '96.0'."""
    value = round(100 * fraction, digits) + 0.0
    return f"{value:.{digits}f}".replace("-", "−")


def count(number: int, noun: str) -> str:
    """`1 trial`, `1,000 trials`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listing(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


def gap(behind: Estimate) -> str:
    """How far behind another result one is, and whether the seeds can tell: `0.3 ± 0.7 points behind (not …)`."""
    size = points(abs(behind.mean))
    if float(size) == 0:
        return "as accurate"
    side = "behind" if behind.mean > 0 else "ahead"
    if behind.half is None:
        return f"{size} points {side}"
    significant = "" if abs(behind.mean) > behind.half else " (not significant)"
    return f"{size} ± {points(behind.half)} points {side}{significant}"
