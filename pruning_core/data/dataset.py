"""A classification set as training sees it: tensors of the split parts, names, and what its source looked like."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pruning_core.data.large import is_large


class DataError(ValueError):
    """Data that cannot be used; the message is one sentence for the user."""


@dataclass(frozen=True)
class Part:
    """Rows of one part of the split.

    ``x`` (rows, F) float32, standardised; ``y`` (rows,) int64 in [0, C). ``weight`` (rows,) float64 or float32 is how
    much each row counts in an accuracy, None for all alike; ``group`` (rows,) int64 says which rows belong together.
    """

    x: Tensor
    y: Tensor
    weight: Tensor | None = None
    group: Tensor | None = None

    def to(self, device: torch.device | str) -> "Part":
        """The same rows on ``device``."""
        weight, group = (None if column is None else column.to(device) for column in (self.weight, self.group))
        return Part(self.x.to(device), self.y.to(device), weight, group)

    def __reduce__(self) -> tuple[Callable[..., "Part"], tuple[Any, ...]]:
        """Is pickled as NumPy arrays on the CPU: Ray hands them to all workers of a node without a copy."""
        columns = (self.x, self.y, self.weight, self.group)
        return _part, tuple(None if column is None else column.cpu().numpy() for column in columns)


def _part(*columns: np.ndarray | None) -> Part:
    """The part that `Part.__reduce__` took apart.

    Large arrays that are read-only lie in memory that others read, too: they stay there, and nothing may write into
    them. Small ones are copied.
    """
    with warnings.catch_warnings(action="ignore"):  # of torch, which has no read-only tensors
        return Part(*(None if column is None else torch.from_numpy(_own_or_shared(column)) for column in columns))  # type: ignore[arg-type]


def _own_or_shared(column: np.ndarray) -> np.ndarray:
    return column if column.flags.writeable or is_large(column.size) else column.copy()


@dataclass(frozen=True)
class Source:
    """Columns and classes as they stand in the source: what a published model speaks to its users.

    ``given`` is the source as `load_dataset` got it. ``columns`` are all feature columns in their order, those left
    out as constant among them, and ``dtypes`` their types in pandas' words. ``head`` are a few rows of the training
    part, (rows, columns) float64. ``classes`` are int, float, bool or str, in the order of the class names. ``named``
    is whether the columns have names there: the named sets are arrays. ``missing`` are numbers that stand for a
    missing value.
    """

    given: str
    columns: tuple[str, ...]
    dtypes: tuple[str, ...]
    head: np.ndarray
    classes: tuple[int | float | bool | str, ...]
    named: bool
    missing: tuple[float, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """A classification set, ready to train on.

    ``mean`` and ``scale`` are (F,) float64 tensors of the training part, so that raw = x * scale + mean.
    ``test`` is None where it must not be seen. ``dropped`` names the columns left out because they are
    constant in the training part. ``fingerprint`` is a SHA-256 over raw values, labels, feature names and
    split: equal fingerprints mean equal data. ``source`` is None for a set that was made in memory.

    ``signal`` is the class that is the signal, where one was named. ``rows_read`` are those of the files, of which the
    cut left ``rows_kept``; None where nothing was read. ``missing`` is the share of missing values of each feature, and
    ``filling`` (F,) float64 what stands for them, raw; a set that was made in memory has neither. ``cautions``
    are warnings about what was found in the data. ``class_factors`` (C,) float64 are what the weights of each class are
    multiplied by in training; None for nothing. ``left_out`` are the rows of the training part that are not learnt
    from, and ``pool`` all rows that are not test, for folds; see `pooled`.

    Examples
    --------
    >>> from pruning_core import from_arrays
    >>> import numpy as np
    >>> x, y = np.eye(3).repeat(4, axis=0), np.repeat(["u", "d", "s"], 4)
    >>> data = from_arrays((x, y), (x, y))
    >>> len(data.train.y), data.class_names, data.test is None
    (12, ('d', 's', 'u'), True)
    """

    name: str
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    train: Part
    validation: Part
    test: Part | None
    mean: Tensor
    scale: Tensor
    fingerprint: str
    dropped: tuple[str, ...]
    source: Source | None = None
    signal: str | None = None
    rows_read: int | None = None
    rows_kept: int | None = None
    missing: tuple[float, ...] = ()
    filling: Tensor | None = None
    cautions: tuple[str, ...] = ()
    class_factors: Tensor | None = None
    left_out: Part | None = None
    pool: Part | None = None

    def without_test(self) -> "Dataset":
        """The same data without its test part: all that a search and its workers get to see."""
        return replace(self, test=None)

    @property
    def warnings(self) -> list[str]:
        """Sentences about what was done to the data that its owner may not expect."""
        dropped = [f"dropped constant columns: {', '.join(self.dropped)}"] if self.dropped else []
        return [*dropped, *self.cautions]

    def to(self, device: torch.device | str) -> "Dataset":
        """The same data on ``device``."""
        moved: dict[str, Any] = {
            name: None if (value := getattr(self, name)) is None else value.to(device)
            for name in ("train", "validation", "test", "mean", "scale", "filling", "class_factors", "left_out", "pool")
        }
        return _in_pool(replace(self, **moved)) if self.pool else replace(self, **moved)

    def pooled(self) -> "Dataset":
        """The same data with all rows that are not test in one ``pool``, in which the other parts then lie.

        The pool has the training part first, then what is left out of it, then the validation part.
        """
        if self.pool:
            return self
        parts = [self.train, *([self.left_out] if self.left_out else []), self.validation]

        def joined(columns: list[Tensor | None]) -> Tensor | None:
            there = [column for column in columns if column is not None]
            return torch.cat(there) if there else None

        columns = zip(*((part.x, part.y, part.weight, part.group) for part in parts), strict=True)
        return _in_pool(replace(self, pool=Part(*(joined([*column]) for column in columns))))  # type: ignore[arg-type]

    def with_rows(self, pool: Part) -> "Dataset":
        """The same data, which is pooled, with other columns of the same rows."""
        return _in_pool(replace(self, pool=pool))

    @property
    def rows(self) -> Part:
        """All rows that are not test.

        Raises:
            ValueError: they are not in one `pool`.
        """
        if self.pool is None:
            raise ValueError("the data must be pooled")
        return self.pool

    def training_weight(self, part: Part) -> Tensor | None:
        """How much each row of a part counts in training, (rows,) float64; None where all count alike."""
        if self.class_factors is None:
            return part.weight
        factors = self.class_factors[part.y]
        return factors if part.weight is None else part.weight.double() * factors

    def __getstate__(self) -> dict[str, Any]:
        """Is pickled with each row once."""
        state = dict(vars(self))
        if self.pool:
            state |= {name: len(part.y) for name in _POOLED if (part := state[name]) is not None}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """The data that `__getstate__` took apart."""
        vars(self).update(state)
        if self.pool:
            vars(self).update(_shares(self.pool, {name: state[name] or 0 for name in _POOLED}))


_POOLED = ("train", "left_out", "validation")


def _in_pool(data: Dataset) -> Dataset:
    """The same data whose parts lie in its pool."""
    counts = {name: len(part.y) if (part := getattr(data, name)) else 0 for name in _POOLED}
    return replace(data, **_shares(data.rows, counts))  # type: ignore[arg-type]


def _shares(pool: Part, counts: Mapping[str, int]) -> dict[str, Part | None]:
    """The parts of a pool, one after the other; None for one without rows."""
    shares: dict[str, Part | None] = {}
    start = 0
    for name, count in counts.items():
        rows, start = slice(start, start + count), start + count
        columns = (pool.x, pool.y, pool.weight, pool.group)
        shares[name] = Part(*(None if c is None else c[rows] for c in columns)) if count else None  # type: ignore[arg-type]
    return shares
