"""What is done to the columns of a table before a network sees them; the training part alone decides."""

import hashlib
from collections.abc import Sequence

import numpy as np

from pruning_core.data.dataset import DataError
from pruning_core.data.wording import some


def varying(x: np.ndarray) -> np.ndarray:
    """Which columns of (rows, F) hold two values at least, (F,) bool; holes (NaN) are no value."""
    low = np.fmin.reduce(x, axis=0, initial=np.inf)
    high = np.fmax.reduce(x, axis=0, initial=-np.inf)
    return low < high


def refuse_gaps(x_parts: Sequence[np.ndarray], names: Sequence[str], source: str, impute: str | None) -> None:
    """Refuses infinite values, and missing ones unless they are to be filled."""
    infinite = np.any([np.isinf(x).any(axis=0) for x in x_parts], axis=0)
    if infinite.any():
        raise DataError(
            f"data.source = {source!r} must hold finite numbers, and there are infinite ones in "
            f"{some(np.array(names)[infinite])}"
        )
    missing = np.any([np.isnan(x).any(axis=0) for x in x_parts], axis=0)
    if impute is None and missing.any():
        raise DataError(
            f"data.source = {source!r} must not lack values, as it does in "
            f"{some(np.array(names)[missing])}; data.impute: mean fills them"
        )


def standardise(
    x_parts: Sequence[np.ndarray], names: Sequence[str], source: str, impute: str | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fills and standardises in place, by the training part; returns mean, deviation and filling, (F,) float64 each.

    In float64 because a column may be small changes of a large number (a time stamp), lost in float32.

    Args:
        x_parts: the parts' rows, each (rows, F) float64, the training part first.
        names, source: for messages.
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
        scale = train.std(axis=0)
    unusable = ~(np.isfinite(scale) & (scale > 0))
    if unusable.any():
        raise DataError(
            f"data.source = {source!r} must hold numbers that can be standardised, and those in "
            f"{some(np.array(names)[unusable])} are too large or too small"
        )
    for x in x_parts:
        x -= mean
        x /= scale
    return mean, scale, filling


def fingerprint(names: object, arrays: Sequence[np.ndarray]) -> str:
    """A SHA-256 over names and arrays, their shapes included."""
    digest = hashlib.sha256(repr(names).encode())
    for array in arrays:
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
