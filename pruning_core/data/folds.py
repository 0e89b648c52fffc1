"""Folds: each replica holds out rows of its own from training, so that a mean over replicas is one over splits too.

The rows that are not test are dealt into K folds, and the replica of seed s is measured on fold s mod K while it trains
on the others; every K seeds the rows are dealt anew. So a replica's rows follow from its seed alone, and K seeds in a
row see each row as validation once: repeated K-fold cross-validation (Kohavi, IJCAI 1995).
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from pruning_core.data.dataset import DataError, Part
from pruning_core.data.split import spread_groups

DEALT_AT_ONCE = 8


class Folds:
    """The folds of some rows: stratified by class, or by group, of which the rows stay together.

    Parameters
    ----------
    count : int
        K, at least 2.
    rows : Part
        All rows that are not test. Those of negative weight are measured on, but not trained on.

    Raises
    ------
    DataError
        A class with fewer rows, or groups, than folds.

    Examples
    --------
    >>> import torch
    >>> folds = Folds(5, Part(torch.zeros(20, 1), torch.arange(20) % 2))
    >>> training, validation = folds.of(seed=3)
    >>> len(training), len(validation), folds.training_rows
    (16, 4, 16)
    """

    def __init__(self, count: int, rows: Part) -> None:
        self.count = count
        self._y = rows.y.cpu().numpy()
        self._group = None if rows.group is None else rows.group.cpu().numpy()
        self._negative = np.zeros(len(self._y), bool) if rows.weight is None else (rows.weight < 0).cpu().numpy()
        self._classes = int(self._y.max()) + 1
        self._check()
        self._dealt = lru_cache(maxsize=DEALT_AT_ONCE)(self._deal)

    @property
    def training_rows(self) -> int:
        """How many rows a replica trains on in an epoch: the same number whatever its fold."""
        return int((~self._negative).sum()) * (self.count - 1) // self.count

    def of(self, seed: int) -> tuple[Tensor, Tensor]:
        """The rows that the replica of a seed trains on, and those that it is measured on: numbers, in int64."""
        fold = self._dealt(seed // self.count)
        held_out = fold == seed % self.count
        return torch.from_numpy(np.flatnonzero(~held_out & ~self._negative)), torch.from_numpy(np.flatnonzero(held_out))

    def _deal(self, repetition: int) -> np.ndarray:
        """The fold of each row, (rows,)."""
        if self._group is not None:
            return spread_groups(self._group, self._y, self._classes, [1 / self.count] * self.count, repetition)
        # RandomState, unlike Generator, promises the same numbers in every version of NumPy
        order = np.random.RandomState(repetition).permutation(len(self._y))
        order = order[np.argsort((2 * self._y + self._negative)[order], kind="stable")]
        fold = np.empty(len(order), dtype=np.int64)
        fold[order] = np.arange(len(order)) % self.count
        return fold

    def check(self, seeds: Sequence[int], class_names: Sequence[str]) -> None:
        """Refuses rows of which some fold lacks a class, as groups may make it.

        Raises
        ------
        DataError
            The rows that one of these seeds trains on, or is measured on, lack a class.
        """
        for seed in seeds:
            for rows in self.of(seed):
                present = np.bincount(self._y[rows], minlength=self._classes)
                if not present.all():
                    raise DataError(
                        f"training.folds = {self.count} must leave rows of every class in every fold, and a fold has "
                        f"none of {class_names[int(present.argmin())]!r}: fewer folds may do"
                    )

    def _check(self) -> None:
        of_class = self._y[~self._negative]
        what = "rows to train on"
        if self._group is not None:
            pairs = np.unique(np.stack([self._group[~self._negative], of_class]), axis=1)
            of_class, what = pairs[1], "groups"
        sizes = np.bincount(of_class, minlength=self._classes)
        if sizes.min() < self.count:
            raise DataError(
                f"training.folds = {self.count} must be at most {sizes.min()}, since a class has no more {what}"
            )
