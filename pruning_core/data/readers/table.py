"""What a reader is given and what it gives back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class FileSource:
    """A file to read: where it is, what the study file calls it, and the column with the labels."""

    path: Path
    given: str
    target: str


@dataclass(frozen=True)
class Table:
    """A source as read: ``values`` (rows, F) float64, NaN where one is missing; ``labels`` (rows,) int.

    ``classes`` are what the labels number, in order; ``dtypes`` are the columns' types in pandas' words.
    """

    name: str
    values: np.ndarray
    feature_names: Sequence[str]
    dtypes: Sequence[str]
    labels: np.ndarray
    classes: Sequence[Any]

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes as text."""
        return tuple(map(str, self.classes))


Reader = Callable[[FileSource], Table]
"""Reads a file that exists; raises `DataError` where it cannot be used."""
