"""What is done to the columns of a table before a network sees them; the training part alone decides."""

import hashlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from pruning_core.data.columns import Pick
from pruning_core.data.dataset import DataError
from pruning_core.data.inputs import Inputs
from pruning_core.data.large import row_blocks
from pruning_core.data.leaks import sample_rows
from pruning_core.data.rows import Rows
from pruning_core.data.spec import DataSpec
from pruning_core.data.split import PARTS
from pruning_core.data.wording import some

HEAD = 5

Locate = Callable[[Sequence[tuple[int, int]]], str]
"""Says where the first of some rows stands, for messages: of each, in which part of the split, and its place there."""


class Preparation:
    """What the inputs have come to, block of columns after block of columns; they are dropped when they have been used.

    Attributes:
        columns, dtypes: all inputs of the source.
        names: the F inputs that vary in the training part.
        dropped: the others.
        restated, rounded: columns of text that only say the class, and of too large whole numbers, see `Inputs`.
        mean, scale, filling: of each input, see `standardise`.
        missing: the share of values that each lacks.
        digest: a SHA-256 over the names and the raw values of each block, their shapes included. Data that is not
            large is one block, and so are its names and its whole table.
    """

    def __init__(self, given: str, spec: DataSpec, rows: Rows, picks: Sequence[Pick]) -> None:
        """
        Args:
            given: the source, for messages.
            spec: says how missing values are filled, see `standardise`, and whether constant inputs stay.
            rows: in which part each lies.
            picks: the columns that are expected, in the order of the file.
        """
        self.given, self.impute, self.classes = given, spec.impute, rows.labels.names
        self._constant = spec.constant
        self._locate: Locate = lambda places: rows.locate(min(rows.parts[part][place] for part, place in places))
        self._tables = [Table(len(part), len(picks)) for part in rows.parts]
        self._places = {str(pick): place for place, pick in enumerate(picks)}
        self._sampled = sample_rows(len(rows.parts[0]))
        self.digest = hashlib.sha256()
        self.columns: list[str] = []
        self._made_of: list[str] = []
        self.dtypes: list[str] = []
        self.names: list[str] = []
        self.dropped: list[str] = []
        self.restated: list[str] = []
        self.rounded: list[str] = []
        self.mean, self.scale, self.filling, self.missing = (np.empty(0) for _ in range(4))
        self._head: list[np.ndarray] = []
        self._sample: list[np.ndarray] = []

    def take(self, block: Inputs) -> None:
        """Adds the next inputs, whose arrays it uses up.

        Raises:
            DataError: they cannot be used.
        """
        train = block.x_parts[0]
        self.columns += block.names
        self._made_of += block.made_of
        self.dtypes += block.dtypes
        self.restated += block.restated
        self.rounded += block.rounded
        self._head.append(train[:HEAD].copy())
        varies = varying(train) | self._constant
        self.dropped += [name for name, kept in zip(block.names, varies, strict=True) if not kept]
        names = [name for name, kept in zip(block.names, varies, strict=True) if kept]
        if not names:
            return
        x_parts = block.x_parts if varies.all() else [np.ascontiguousarray(x[:, varies]) for x in block.x_parts]
        self.names += names
        self.digest.update(repr((names, self.classes)).encode())
        feed(self.digest, x_parts)
        self.missing = np.append(self.missing, _missing(x_parts))
        refuse_gaps(x_parts, names, self.given, self.impute, self._locate)
        self._sample.append(x_parts[0][self._sampled])
        mean, scale, filling = standardise(x_parts, names, self.given, self.impute, self._locate)
        self.mean, self.scale = np.append(self.mean, mean), np.append(self.scale, scale)
        self.filling = np.append(self.filling, filling)
        for table, x in zip(self._tables, x_parts, strict=True):
            table.add(x)

    @property
    def head(self) -> np.ndarray:
        """A few raw rows of the training part, (rows, columns)."""
        return np.hstack(self._head)

    @property
    def in_file(self) -> list[int]:
        """The places of `columns` in the order in which the file has what they are made of."""
        return sorted(range(len(self.columns)), key=lambda i: self._places[self._made_of[i]])

    @property
    def sample(self) -> np.ndarray:
        """Some more of them, of the inputs that vary, (rows, F); NaN where a value is missing."""
        return np.hstack(self._sample)

    def tensors(self) -> list[np.ndarray]:
        """The rows of each part, standardised and without gaps, (rows, F) float32."""
        return [table.closed() for table in self._tables]


class Table:
    """An array (rows, columns) of float32 that columns are added to, so that there is never a second one.

    Args:
        rows: how many it has.
        columns: for so many there is room; of more, all of it is copied once.
    """

    def __init__(self, rows: int, columns: int) -> None:
        self._array = np.empty((rows, columns), np.float32)
        self._columns = 0

    def add(self, x: np.ndarray) -> None:
        """Adds columns on the right."""
        columns = self._columns + x.shape[1]
        if columns > self._array.shape[1]:
            wider = np.empty((len(x), max(columns, self._array.shape[1] * 3 // 2)), np.float32)
            wider[:, : self._columns] = self._array[:, : self._columns]
            self._array = wider
        self._array[:, self._columns : columns] = x
        self._columns = columns

    def closed(self) -> np.ndarray:
        """The columns that were added, closed up in place: nothing can be added after that."""
        rows, room = self._array.shape
        if room > self._columns:
            flat, columns = self._array.reshape(-1), self._columns
            for block in row_blocks(rows):
                flat[block.start * columns : block.stop * columns] = self._array[block, :columns].flatten()
            self._array = flat[: rows * columns].reshape(rows, columns)
        return self._array


def varying(x: np.ndarray) -> np.ndarray:
    """Which columns of (rows, F) hold two values at least, (F,) bool; holes (NaN) are no value."""
    low = np.fmin.reduce(x, axis=0, initial=np.inf)
    high = np.fmax.reduce(x, axis=0, initial=-np.inf)
    return low < high


def refuse_gaps(
    x_parts: Sequence[np.ndarray], names: Sequence[str], source: str, impute: str | None, locate: Locate
) -> None:
    """Refuses infinite values, and missing ones unless they are to be filled."""
    infinite = np.any([np.isinf(x).any(axis=0) for x in x_parts], axis=0)
    if infinite.any():
        raise DataError(
            f"data.source = {source!r} must hold finite numbers, and there are infinite ones in "
            f"{some(np.array(names)[infinite])}{_example(np.isinf, x_parts, names, locate)}"
        )
    missing = np.any([np.isnan(x).any(axis=0) for x in x_parts], axis=0)
    if impute is None and missing.any():
        raise DataError(
            f"data.source = {source!r} must not lack values, as it does in "
            f"{some(np.array(names)[missing])}{_example(np.isnan, x_parts, names, locate)}; "
            "data.impute: mean fills them"
        )


def _example(
    wrong: Callable[[np.ndarray], np.ndarray], x_parts: Sequence[np.ndarray], names: Sequence[str], locate: Locate
) -> str:
    """The first column with a wrong value, and where one stands, in brackets."""
    found = [wrong(x) for x in x_parts]
    column = int(np.any([each.any(axis=0) for each in found], axis=0).argmax())
    places = [(part, int(each[:, column].argmax())) for part, each in enumerate(found) if each[:, column].any()]
    return f" ({names[column]} {locate(places)})"


def standardise(
    x_parts: Sequence[np.ndarray], names: Sequence[str], source: str, impute: str | None, locate: Locate
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fills and standardises in place, by the training part; returns mean, deviation and filling, (F,) float64 each.

    In float64 because a column may be small changes of a large number (a time stamp), lost in float32.

    Args:
        x_parts: the parts' rows, each (rows, F) float64, the training part first.
        names, source, locate: for messages.
        impute: missing values become the ``median`` of their column, or else its mean.
    """
    train = x_parts[0]
    with np.errstate(over="ignore", invalid="ignore"):
        filling = mean = np.nanmean(train, axis=0)
        if impute == "median":
            filling = np.array([np.nanmedian(column) for column in train.T])
        for x in x_parts:
            np.copyto(x, filling, where=np.isnan(x))
        if impute == "median":
            mean = train.mean(axis=0)
        scale = np.where(varying(train), train.std(axis=0), 1)
    too_large, too_small = ~np.isfinite(scale), scale == 0
    if (too_large | too_small).any():
        largest = np.where(too_large, np.max(np.abs(train), axis=0), np.inf)
        example = _example(lambda x: np.abs(x) >= largest, x_parts, names, locate) if too_large.any() else ""
        raise DataError(
            f"data.source = {source!r} must hold numbers that can be standardised, and those in "
            f"{some(np.array(names)[too_large | too_small])} are too {'large' if too_large.any() else 'small'}{example}"
        )
    for x in x_parts:
        with np.errstate(over="ignore"):
            x -= mean
            x /= scale
    _refuse_overflow(x_parts, names, source, locate)
    return mean, scale, filling


def _refuse_overflow(x_parts: Sequence[np.ndarray], names: Sequence[str], source: str, locate: Locate) -> None:
    """Refuses standardised values that float32, in which networks compute, cannot hold."""
    for x, part in zip(x_parts, PARTS, strict=False):
        largest = np.maximum(np.max(x, axis=0, initial=0), -np.min(x, axis=0, initial=0))
        too_large = largest > np.finfo(np.float32).max
        if too_large.any():
            raise DataError(
                f"data.source = {source!r} must hold numbers that float32 can hold beside the others of their column, "
                f"and those in {some(np.array(names)[too_large])} are too large in the {part} part"
                f"{_example(_beyond_float32, x_parts, names, locate)}"
            )


def _beyond_float32(x: np.ndarray) -> np.ndarray:
    return np.abs(x) > np.finfo(np.float32).max


def feed(digest: "hashlib._Hash", arrays: Iterable[np.ndarray]) -> None:
    """Takes arrays into a digest, their shapes included."""
    for array in arrays:
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data)


def _missing(x_parts: Sequence[np.ndarray]) -> np.ndarray:
    """The share of missing values of each column."""
    gaps = np.sum([np.isnan(x).sum(axis=0) for x in x_parts], axis=0)
    missing: np.ndarray = gaps / sum(len(x) for x in x_parts)
    return missing
