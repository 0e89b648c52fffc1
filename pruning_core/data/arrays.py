"""Rows that are in memory already, in arrays or DataFrames, as a `Dataset`: what a notebook has."""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from pruning_core.data.dataset import DataError, Dataset, Part, Source
from pruning_core.data.prepare import HEAD, refuse_gaps, standardise, varying
from pruning_core.data.weights import for_training
from pruning_core.data.wording import some

PARTS = ("training", "validation", "test")


class ArrayPart(NamedTuple):
    """Rows of one part of the data, raw.

    Parameters
    ----------
    x : array-like of shape (rows, F)
        Numbers; a DataFrame brings the names of its columns along.
    y : array-like of shape (rows,)
        Labels of any kind.
    weight : array-like of shape (rows,), optional
        How much each row counts; all parts have weights, or none.
    """

    x: Any
    y: Any
    weight: Any = None


def from_arrays(
    train: ArrayPart | Sequence[Any],
    validation: ArrayPart | Sequence[Any],
    test: ArrayPart | Sequence[Any] | None = None,
    *,
    name: str = "arrays",
    feature_names: Sequence[str] | None = None,
) -> Dataset:
    """Prepare rows in memory for `train` and `run_study`, as `load_dataset` prepares those of files.

    Inputs are standardised with the mean and the deviation of the training part; those that are constant there are left
    out. The arrays themselves are not changed.

    Parameters
    ----------
    train, validation, test : ArrayPart or tuple
        ``(x, y)`` or ``(x, y, weight)`` of each part. Training alone needs no test part, a search does.
    name : str, default="arrays"
        What the data are called in results.
    feature_names : sequence of str, optional
        Of the F columns; by default those of a DataFrame, else ``x0``, ``x1`` and so on.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        Missing or infinite values, fewer than two inputs that vary, a single class, a class without training rows,
        or parts that do not fit each other.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.eye(3).repeat(4, axis=0), np.repeat(["u", "d", "s"], 4)
    >>> data = from_arrays((x, y), (x, y))
    >>> data.feature_names, data.class_names, tuple(data.train.x.shape)
    (('x0', 'x1', 'x2'), ('d', 's', 'u'), (12, 3))
    """
    parts = [ArrayPart(*part) for part in (train, validation, test) if part is not None]
    columns, named = _columns(parts[0].x, feature_names)
    x_parts = [np.array(part.x, dtype=np.float64) for part in parts]
    _check_shapes(parts, x_parts, columns)
    classes, y_parts = _labels([np.asarray(part.y) for part in parts])
    weights = _weights(parts)
    refuse_gaps(x_parts, columns, name, None, _locate)
    head = x_parts[0][:HEAD].copy()
    varies = varying(x_parts[0])
    names = tuple(column for column, kept in zip(columns, varies, strict=True) if kept)
    dropped = tuple(column for column, kept in zip(columns, varies, strict=True) if not kept)
    if len(names) < 2:
        raise DataError(f"{name} must have at least 2 features that vary in the training part, and has {len(names)}")
    x_parts = [np.ascontiguousarray(x[:, varies]) for x in x_parts]
    class_names = tuple(map(str, classes))
    digest = _fingerprint((names, class_names), [*x_parts, *y_parts, *(w for w in weights if w is not None)])
    mean, scale, filling = standardise(x_parts, names, name, None, _locate)
    tensors = [
        Part(torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y), None if w is None else torch.from_numpy(w))
        for x, y, w in zip(x_parts, y_parts, weights, strict=True)
    ]
    learnt_from, left_out = for_training(tensors[0])
    return Dataset(
        name=name,
        feature_names=names,
        class_names=class_names,
        train=learnt_from,
        validation=tensors[1],
        test=tensors[2] if test is not None else None,
        mean=torch.from_numpy(mean),
        scale=torch.from_numpy(scale),
        fingerprint=digest,
        dropped=dropped,
        source=Source(name, columns, ("float64",) * len(columns), head, tuple(classes), named),
        filling=torch.from_numpy(filling),
        left_out=left_out,
    )


def _locate(places: Sequence[tuple[int, int]]) -> str:
    part, place = places[0]
    return f"in row {place + 1} of the {PARTS[part]} part"


def _columns(x: Any, given: Sequence[str] | None) -> tuple[tuple[str, ...], bool]:
    """The names of the columns, and whether somebody gave them."""
    if given is not None:
        return tuple(map(str, given)), True
    if hasattr(x, "columns"):
        return tuple(map(str, x.columns)), True
    shape = np.shape(x)
    return tuple(f"x{i}" for i in range(shape[1] if len(shape) > 1 else 0)), False


def _check_shapes(parts: Sequence[ArrayPart], x_parts: Sequence[np.ndarray], columns: Sequence[str]) -> None:
    """Refuses parts that are no tables of the same columns with a label in every row."""
    for what, part, x in zip(PARTS, parts, x_parts, strict=False):
        if x.ndim != 2 or x.shape[1] != len(columns) or len(x) == 0:
            raise DataError(f"the {what} part must have shape (rows, {len(columns)}), and has {x.shape}")
        for kind, values in (("labels", part.y), ("weights", part.weight)):
            if values is not None and np.shape(values) != (len(x),):
                raise DataError(f"the {what} part has {len(x)} rows, and {kind} of shape {np.shape(values)}")


def _labels(labels: Sequence[np.ndarray]) -> tuple[list[Any], list[np.ndarray]]:
    """The classes in their sorted order, and the rows' classes in each part as int64."""
    joined = np.concatenate(labels)
    if missing := int(sum(label is None or label != label for label in joined.tolist())):
        raise DataError(f"every row must have a label, and {missing} of {len(joined)} have none")
    classes, codes = np.unique(joined, return_inverse=True)
    y_parts = np.split(codes.astype(np.int64), np.cumsum([len(part) for part in labels])[:-1])
    if len(classes) < 2:
        raise DataError(f"the labels must tell at least 2 classes apart, and hold {classes.tolist()} only")
    untaught = np.setdiff1d(np.arange(len(classes)), y_parts[0])
    if len(untaught):
        raise DataError(f"every class must have rows in the training part, and {some(classes[untaught])} has none")
    return classes.tolist(), y_parts


def _weights(parts: Sequence[ArrayPart]) -> list[np.ndarray | None]:
    """The weights of each part as float64; their sum above 0, and so in the training part for every class."""
    given = [part.weight is not None for part in parts]
    if not any(given):
        return [None] * len(parts)
    if not all(given):
        raise DataError("either every part must have weights, or none")
    weights = [np.array(part.weight, dtype=np.float64) for part in parts]
    for what, weight in zip(PARTS, weights, strict=False):
        if not np.isfinite(weight).all() or weight.sum() <= 0:
            raise DataError(f"the weights of the {what} part must be finite numbers with a sum above zero")
    labels = np.asarray(parts[0].y)
    for label in np.unique(labels):
        if not (weights[0][labels == label] > 0).any():
            raise DataError(f"every class must have rows of a weight above zero to train on, and {label} has none")
    return [*weights]


def _fingerprint(names: object, arrays: Sequence[np.ndarray]) -> str:
    """A SHA-256 over names and arrays, their shapes included."""
    digest = hashlib.sha256(repr(names).encode())
    for array in arrays:
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
