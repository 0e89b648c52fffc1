"""Text as numbers: labels by the sorted order of their classes, categories as inputs of 0 and 1."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pruning_core.data.dataset import DataError
from pruning_core.data.readers import Column
from pruning_core.data.readers.layout import is_number
from pruning_core.data.wording import some

MOST_CATEGORIES = 100


def encode_labels(column: Column, target: str, locate: Callable[[int], str]) -> tuple[np.ndarray, list[Any]]:
    """Labels of any kind as numbers in the sorted order of the classes, (rows,) int, and the classes.

    Raises:
        DataError: a label is missing.
    """
    values = column.values
    missing = np.flatnonzero(values == None if column.text else ~np.isfinite(values))  # noqa: E711
    if missing.size:
        raise DataError(
            f"data.target = {target!r} must hold a label in every row, and {missing.size} of {len(column)} are missing "
            f"or infinite, as {locate(missing[0])} (in text files an empty cell, NA, None or null counts as missing)"
        )
    if values.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            whole = values.astype(np.int64)
        values = whole if np.array_equal(whole, values) else values
    classes, codes = np.unique(values, return_inverse=True)
    return codes, classes.tolist()


def first_text(values: np.ndarray) -> int | None:
    """The place of the first text that is no number, else of the first text; None where all of it is missing."""
    texts = [place for place, value in enumerate(values) if value is not None]
    return next((place for place in texts if not is_number(values[place])), texts[0] if texts else None)


def one_hot(name: str, parts: Sequence[np.ndarray]) -> tuple[list[str], list[np.ndarray]]:
    """An input for each category that the training part holds; all are 0 where the text is missing or another one.

    Args:
        name: of the column.
        parts: its text in each part of the split, the training part first.

    Returns:
        The inputs' names, such as ``channel=ee``, and of each part (rows, categories) float64.
    """
    categories = sorted({text for text in parts[0] if text is not None})
    if len(categories) > MOST_CATEGORIES:
        raise DataError(
            f"data.encode = 'onehot' makes an input of each category, and {name} has {len(categories)} of them "
            f"(at most {MOST_CATEGORIES}; it begins with {some(map(repr, categories), 3)}): "
            "leave it out with data.exclude"
        )
    encoded = []
    for text in parts:
        columns = [(text == category).astype(np.float64) for category in categories]
        encoded.append(np.stack(columns, axis=1) if columns else np.empty((len(text), 0)))
    return [f"{name}={category}" for category in categories], encoded
