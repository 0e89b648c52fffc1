"""How often replicas keep an input, and how alike their selections are.

To repeat a selection on subsamples and to count is the idea of stability selection (Meinshausen & Bühlmann, JRSS B 72,
2010). Its bound on false selections assumes halves of the rows, and inputs that carry nothing to be chosen with equal
probability; replicas that share most of their rows, in folds, do not meet it, so a frequency is no error rate here: see
`claims`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LEVEL = 0.95


class Frequency(NamedTuple):
    """The share of the replicas that keep an input, and its 95 % interval."""

    share: float
    low: float
    high: float


def frequency(kept: int, replicas: int) -> Frequency:
    """The share of the replicas, with Wilson's interval, which treats replicas as independent.

    Parameters
    ----------
    kept : int
        How many replicas keep the input.
    replicas : int
        How many there are.

    Examples
    --------
    >>> [round(value, 3) for value in frequency(15, 16)]
    [0.938, 0.717, 0.989]
    """
    interval = stats.binomtest(kept, replicas).proportion_ci(LEVEL, method="wilson")
    return Frequency(kept / replicas, float(interval.low), float(interval.high))


@dataclass(frozen=True)
class Stability:
    """How alike the selections of several replicas are: 1 the same, 0 as by chance; with its 95 % interval."""

    index: float
    low: float
    high: float


def stability(kept_RN: NDArray[np.bool_]) -> Stability | None:
    """The index of Nogueira, Sechidis & Brown (JMLR 18, 2018), corrected for chance, with their asymptotic interval.

    Parameters
    ----------
    kept_RN : array of shape (R, N)
        Which inputs each replica keeps.

    Returns
    -------
    Stability or None
        None for a single replica, or where all or none of the inputs are kept.

    Examples
    --------
    >>> import numpy as np
    >>> stability(np.array([[True, False, False]] * 4)).index
    1.0
    """
    replicas = len(kept_RN)
    share_N, mean = kept_RN.mean(0), kept_RN.mean()
    chance = mean * (1 - mean)
    if replicas < 2 or chance == 0:
        return None
    variance_N = replicas / (replicas - 1) * share_N * (1 - share_N)
    index = 1 - variance_N.mean() / chance
    size_R = kept_RN.mean(1)
    of_each_R = (
        (kept_RN * share_N).mean(1) - size_R * mean + index / 2 * (2 * mean * size_R - size_R - mean + 1)
    ) / chance
    deviation = 2 / replicas * np.sqrt(((of_each_R - of_each_R.mean()) ** 2).sum())
    half = stats.norm.ppf((1 + LEVEL) / 2) * deviation
    return Stability(float(index), float(index - half), float(min(1.0, index + half)))


def kept_matrix(selected: Sequence[Sequence[str]], names: Sequence[str]) -> NDArray[np.bool_]:
    """Which inputs each replica keeps, (R, N), from their names."""
    place = {name: i for i, name in enumerate(names)}
    kept_RN = np.zeros((len(selected), len(names)), dtype=bool)
    for row, of_replica in zip(kept_RN, selected, strict=True):
        row[[place[name] for name in of_replica if name in place]] = True
    return kept_RN
