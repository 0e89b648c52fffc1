"""Where the rows come from: named sets and files, split, standardised and encoded as tensors.

`load_dataset` is the only way in. It refuses data that a pruning study could not make sense of with a
`DataError`, one sentence that names the key of the study file, the value it got and what is allowed.
"""

import difflib
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    import pandas as pd

NAMED_SOURCES = ("digits", "breast_cancer", "wine")
FILE_TYPES = (".csv", ".tsv", ".parquet", ".feather")
PARTS = ("training", "validation", "test")
HEAD = 5


class DataError(ValueError):
    """Data that cannot be used; the message is one sentence for the user."""


@dataclass(frozen=True)
class Part:
    """Rows of one part of the split: ``x`` (rows, F) float32, standardised; ``y`` (rows,) int64 in [0, C)."""

    x: Tensor
    y: Tensor

    def to(self, device: torch.device | str) -> "Part":
        """The same rows on ``device``."""
        return Part(self.x.to(device), self.y.to(device))


@dataclass(frozen=True)
class Source:
    """Columns and classes as they stand in the source: what a published model speaks to its users.

    ``columns`` are all feature columns in their order, those left out as constant among them, and ``dtypes``
    their types in pandas' words. ``head`` are a few rows of the training part, (rows, columns) float64.
    ``classes`` are int, float, bool or str, in the order of the class names. ``named`` is whether the columns
    have names there: the named sets are arrays.
    """

    columns: tuple[str, ...]
    dtypes: tuple[str, ...]
    head: np.ndarray
    classes: tuple[int | float | bool | str, ...]
    named: bool


@dataclass(frozen=True)
class Dataset:
    """A classification set, ready to train on.

    ``mean`` and ``scale`` are (F,) float64 tensors of the training part, so that raw = x * scale + mean.
    ``test`` is None where it must not be seen. ``dropped`` names the columns left out because they are
    constant in the training part. ``fingerprint`` is a SHA-256 over raw values, labels, feature names and
    split: equal fingerprints mean equal data. ``source`` is None for a set that was made in memory.
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

    def without_test(self) -> "Dataset":
        """The same data without its test part: all that a search and its workers get to see."""
        return replace(self, test=None)

    @property
    def warnings(self) -> list[str]:
        """Sentences about what was done to the data that its owner may not expect."""
        return [f"dropped constant columns: {', '.join(self.dropped)}"] if self.dropped else []

    def to(self, device: torch.device | str) -> "Dataset":
        """The same data on ``device``."""
        return replace(
            self,
            train=self.train.to(device),
            validation=self.validation.to(device),
            test=None if self.test is None else self.test.to(device),
            mean=self.mean.to(device),
            scale=self.scale.to(device),
        )


@dataclass(frozen=True)
class _Table:
    """A source as read: ``values`` (rows, F) float64, NaN where one is missing; ``labels`` (rows,) int."""

    name: str
    values: np.ndarray
    feature_names: Sequence[str]
    dtypes: Sequence[str]
    labels: np.ndarray
    classes: Sequence[Any]

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(map(str, self.classes))


def load_dataset(
    source: str,
    *,
    keep: int,
    target: str | None = None,
    split: Sequence[float] = (0.7, 0.15, 0.15),
    split_seed: int = 0,
    impute: str | None = None,
    folder: Path,
) -> Dataset:
    """Read a source and prepare it; the same arguments and data give the same split on every machine.

    Args:
        source: ``digits``, ``breast_cancer``, ``wine`` or the path of a .csv, .tsv, .parquet or .feather
            file.
        keep: n, how many features shall survive; 1 ... N - 1, where N leaves out constant features.
        target: for files, the column with the labels; every other column is a feature.
        split: fractions of the training, validation and test part, each above 0, with the sum 1. The split is
            stratified and gives every part at least one row of every class.
        split_seed: which rows go where, 0 ... 2^32 - 1: repeat a study on other splits to see what the split adds
            to the spread of its accuracies.
        impute: ``mean`` fills missing values with their column's mean in the training part; None refuses
            them.
        folder: what a relative path in ``source`` is relative to.

    Raises:
        DataError: the data or an argument cannot be used.
    """
    if len(split) != len(PARTS) or not all(part > 0 for part in split) or abs(sum(split) - 1) > 1e-6:
        raise DataError(
            f"data.split = {list(split)} must be three fractions above 0 ({', '.join(PARTS)}) with the sum 1"
        )
    if not 0 <= split_seed < 2**32:
        raise DataError(f"data.split_seed = {split_seed} must lie in 0 ... {2**32 - 1}")
    if impute not in (None, "mean"):
        raise DataError(f"data.impute = {impute!r} must be 'mean' or null")
    if source in NAMED_SOURCES:
        if target is not None:
            raise DataError(f"data.target = {target!r} must be left out: {source} brings its own labels")
        table = _read_named(source)
    else:
        table = _read_file(Path(folder) / source, source, target)
    rows = _stratified(table.labels, table.class_names, np.asarray(split, dtype=float), split_seed)
    varies = _varying(table.values, rows[0])
    names = [name for name, kept in zip(table.feature_names, varies, strict=True) if kept]
    dropped = [name for name, kept in zip(table.feature_names, varies, strict=True) if not kept]
    _check_keep(keep, len(names), len(dropped), source)
    x_parts = [table.values[np.ix_(part, varies)] for part in rows]
    y_parts = [table.labels[part].astype(np.int64) for part in rows]
    name, class_names = table.name, table.class_names
    head = table.values[rows[0][:HEAD]]
    columns, dtypes = tuple(table.feature_names), tuple(table.dtypes)
    original = Source(columns, dtypes, head, tuple(table.classes), source not in NAMED_SOURCES)
    del table  # the rows may be many, and they have been copied
    fingerprint = _fingerprint((names, class_names), [*x_parts, *y_parts, *rows])
    _refuse_gaps(x_parts, names, source, impute)
    mean, scale = _standardise(x_parts, names, source)
    train, validation, test = (
        Part(torch.from_numpy(x.astype(np.float32, order="C")), torch.from_numpy(y))
        for x, y in zip(x_parts, y_parts, strict=True)
    )
    return Dataset(
        name=name,
        feature_names=tuple(names),
        class_names=class_names,
        train=train,
        validation=validation,
        test=test,
        mean=torch.from_numpy(mean),
        scale=torch.from_numpy(scale),
        fingerprint=fingerprint,
        dropped=tuple(dropped),
        source=original,
    )


def _read_named(source: str) -> _Table:
    if source == "digits":
        # scikit-learn's own copy, read without importing scikit-learn, which takes a second (its file is the
        # array that `sklearn.datasets.load_digits` returns, with the label as last column).
        path = distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")
        array = np.loadtxt(str(path), delimiter=",")
        names = [f"pixel_{row}_{column}" for row in range(8) for column in range(8)]
        return _Table(source, array[:, :-1], names, ["float64"] * 64, array[:, -1].astype(np.int64), range(10))
    from sklearn import datasets

    bunch = datasets.load_breast_cancer() if source == "breast_cancer" else datasets.load_wine()
    # classes are numbered in the order of their names, as they are for files
    class_names, order = np.unique(bunch.target_names, return_inverse=True)
    names = [str(name) for name in bunch.feature_names]
    return _Table(source, bunch.data, names, ["float64"] * len(names), order[bunch.target], class_names.tolist())


def _read_file(path: Path, source: str, target: str | None) -> _Table:
    kind = path.suffix.lower()
    if kind not in FILE_TYPES:
        raise DataError(
            f"data.source = {source!r} must be one of {', '.join(NAMED_SOURCES)} "
            f"or a file that ends in {', '.join(FILE_TYPES[:-1])} or {FILE_TYPES[-1]}"
            f"{_hint(source, NAMED_SOURCES)}"
        )
    if not path.is_file():
        raise DataError(f"data.source = {source!r} must be a file that exists, and there is none at {path}")
    if target is None:
        raise DataError(f"data.target is missing and must name the column of {source!r} with the labels")
    import pandas as pd

    try:
        if kind == ".parquet":
            frame = pd.read_parquet(path)
        elif kind == ".feather":
            frame = pd.read_feather(path)
        else:
            frame = pd.read_csv(path, sep="\t" if kind == ".tsv" else ",", low_memory=False)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise DataError(f"data.source = {source!r} cannot be read as {kind[1:]}: {reason}") from error

    frame.columns = pd.Index([str(name) for name in frame.columns])
    if target not in frame.columns:
        raise DataError(
            f"data.target = {target!r} must be a column of {source!r}, which has {_some(frame.columns)}"
            f"{_hint(target, frame.columns)}"
        )
    labels, classes = _encode(frame.pop(target))
    text = [name for name, dtype in frame.dtypes.items() if not pd.api.types.is_numeric_dtype(dtype)]
    if text:
        column = frame[text[0]].dropna()
        example = f" ({text[0]} begins with {str(column.iloc[0])!r})" if len(column) else ""
        raise DataError(
            f"data.source = {source!r} must have numeric feature columns only, unlike {_some(text)}{example}"
        )
    values = frame.to_numpy(dtype=np.float64, na_value=np.nan)
    return _Table(path.name, values, list(frame.columns), list(map(str, frame.dtypes)), labels, classes)


def _encode(column: "pd.Series[Any]") -> tuple[np.ndarray, list[Any]]:
    """Labels of any kind as numbers in the sorted order of the classes, and the classes."""
    import pandas as pd

    missing = int(column.isna().sum())
    numeric = pd.api.types.is_numeric_dtype(column.dtype)
    if not missing and numeric:
        missing = int(np.isinf(column.to_numpy(dtype=np.float64)).sum())
    if missing:
        raise DataError(
            f"data.target = {column.name!r} must hold a label in every row, and {missing} of {len(column)} "
            "are missing or infinite (in text files an empty cell, NA, None or null counts as missing)"
        )
    if not numeric:
        column = column.astype(str)
    elif np.array_equal(column, column.astype(np.int64)):
        column = column.astype(np.bool_ if pd.api.types.is_bool_dtype(column.dtype) else np.int64)
    classes, codes = np.unique(column.to_numpy(), return_inverse=True)
    return codes, classes.tolist()


def _stratified(labels: np.ndarray, class_names: Sequence[str], split: np.ndarray, seed: int) -> list[np.ndarray]:
    """Row numbers of each part; rounding is carried from class to class, so that the parts' sizes come out.

    (scikit-learn's `train_test_split` splits too, but importing it takes a second.)
    """
    sizes = np.bincount(labels, minlength=len(class_names))
    if len(class_names) < 2:
        raise DataError(f"data.target must tell at least 2 classes apart, and the labels hold {list(class_names)} only")
    if sizes.min() < len(PARTS):
        smallest = int(sizes.argmin())
        raise DataError(
            f"data.target: class {class_names[smallest]!r} has {sizes[smallest]} rows, and every class "
            f"needs {len(PARTS)} at least, one each for {', '.join(PARTS)}"
        )
    # RandomState, unlike Generator, promises the same numbers in every version of NumPy
    random = np.random.RandomState(seed)
    rows_by_class = np.split(np.argsort(labels, kind="stable"), np.cumsum(sizes)[:-1])
    pieces: list[list[np.ndarray]] = [[] for _ in PARTS]
    carry = np.zeros(len(PARTS))
    for rows in rows_by_class:
        wanted = len(rows) * split + carry
        counts = np.maximum(1, np.floor(wanted).astype(int))
        while counts.sum() < len(rows):
            counts[np.argmax(wanted - counts)] += 1
        while counts.sum() > len(rows):
            counts[np.argmin(np.where(counts > 1, wanted - counts, np.inf))] -= 1
        carry = wanted - counts
        shares = np.split(random.permutation(rows), np.cumsum(counts)[:-1])
        for piece, share in zip(pieces, shares, strict=True):
            piece.append(share)
    return [np.sort(np.concatenate(piece)) for piece in pieces]


def _varying(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Which columns hold two values at least in these rows, (F,) bool; holes (NaN) are no value."""
    chosen = np.zeros((len(values), 1), dtype=bool)
    chosen[rows] = True
    low = np.fmin.reduce(values, axis=0, where=chosen, initial=np.inf)
    high = np.fmax.reduce(values, axis=0, where=chosen, initial=-np.inf)
    return low < high


def _check_keep(keep: int, features: int, constant: int, source: str) -> None:
    left_out = f" beside {constant} constant ones, which are left out" if constant else ""
    if features < 2:
        raise DataError(
            f"data.source = {source!r} must have at least 2 features that vary in the training part, "
            f"and it has {features}{left_out}"
        )
    if not 1 <= keep < features:
        raise DataError(
            f"data.keep = {keep} must lie in 1 ... {features - 1}, as {source!r} has {features} features{left_out}"
        )


def _refuse_gaps(x_parts: Sequence[np.ndarray], names: Sequence[str], source: str, impute: str | None) -> None:
    """Refuse infinite values, and missing ones unless they are to be filled."""
    infinite = np.any([np.isinf(x).any(axis=0) for x in x_parts], axis=0)
    if infinite.any():
        raise DataError(
            f"data.source = {source!r} must hold finite numbers, and there are infinite ones in "
            f"{_some(np.array(names)[infinite])}"
        )
    missing = np.any([np.isnan(x).any(axis=0) for x in x_parts], axis=0)
    if impute is None and missing.any():
        raise DataError(
            f"data.source = {source!r} must not lack values, as it does in "
            f"{_some(np.array(names)[missing])}; data.impute: mean fills them"
        )


def _standardise(x_parts: Sequence[np.ndarray], names: Sequence[str], source: str) -> tuple[np.ndarray, np.ndarray]:
    """Fill and standardise in place, by the training part; returns mean and deviation, (F,) float64 each.

    In float64 because a column may be small changes of a large number (a time stamp), lost in float32.
    """
    train = x_parts[0]
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.nanmean(train, axis=0)
        for x in x_parts:
            np.copyto(x, mean, where=np.isnan(x))
        scale = train.std(axis=0)
    unusable = ~(np.isfinite(scale) & (scale > 0))
    if unusable.any():
        raise DataError(
            f"data.source = {source!r} must hold numbers that can be standardised, and those in "
            f"{_some(np.array(names)[unusable])} are too large or too small"
        )
    for x in x_parts:
        x -= mean
        x /= scale
    return mean, scale


def _fingerprint(names: object, arrays: Sequence[np.ndarray]) -> str:
    digest = hashlib.sha256(repr(names).encode())
    for array in arrays:
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _some(names: Iterable[Any], most: int = 5) -> str:
    """A few of the names, for a message."""
    every = [str(name) for name in names]
    listed = ", ".join(every[:most])
    return listed if len(every) <= most else f"{listed} and {len(every) - most} more"


def _hint(word: str, allowed: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(allowed), 1)
    return f"; did you mean {close[0]!r}?" if close else ""
