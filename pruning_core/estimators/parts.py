"""Which rows an estimator trains on, and which ones judge: a part that it splits off, or one that it is given."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pruning_core.data.arrays import ArrayPart


@dataclass(frozen=True)
class Rows:
    """Checked rows: ``x`` (rows, F) float64, ``y`` (rows,), ``weight`` (rows,) float64 or None for all alike."""

    x: NDArray[np.float64]
    y: NDArray[np.generic]
    weight: NDArray[np.float64] | None

    def at(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> "Rows":
        """Some of them."""
        return Rows(self.x[rows], self.y[rows], None if self.weight is None else self.weight[rows])

    def without_weightless(self) -> "Rows":
        """Those that count at all: a row of weight zero is as good as absent."""
        return self if self.weight is None else self.at(self.weight != 0)

    def as_part(self, weighted: bool) -> ArrayPart:
        """The same rows for `from_arrays`, with a weight of 1 each where others have weights and these have none."""
        weight = np.ones(len(self.y)) if weighted and self.weight is None else self.weight
        return ArrayPart(self.x, self.y, weight)


def split_off(rows: Rows, fraction: float, seed: int) -> tuple[Rows, Rows]:
    """A training and a validation part, at random and with the same share of every class, as far as rows allow it.

    Every class keeps a row to train on, so that one with a single row is not validated.

    Parameters
    ----------
    rows : Rows
        All of them.
    fraction : float
        Of the rows that validate.
    seed : int
        Which rows these are.

    Raises
    ------
    ValueError
        The fraction is none between 0 and 1, or no class has two rows.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"validation_fraction = {fraction!r} must lie between 0 and 1")
    _, codes = np.unique(rows.y, return_inverse=True)
    sizes = np.bincount(codes)
    if sizes.max() < 2:
        raise ValueError(
            f"validation_fraction = {fraction!r} needs a class with 2 rows or more, and each of the {len(sizes)} "
            "classes has one: pass X_val and y_val"
        )
    validates = np.zeros(len(codes), dtype=bool)
    random = np.random.RandomState(seed)
    wanted = 0.0
    for of_class in np.split(np.argsort(codes, kind="stable"), np.cumsum(sizes)[:-1]):
        wanted += fraction * len(of_class)
        count = min(round(wanted), len(of_class) - 1)
        wanted -= count
        validates[random.permutation(of_class)[:count]] = True
    if not validates.any():
        validates[random.choice(np.flatnonzero(codes == sizes.argmax()))] = True
    return rows.at(~validates), rows.at(validates)
