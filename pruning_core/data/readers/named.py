"""The data sets that come with scikit-learn; their labels are the column `LABELS`."""

from collections.abc import Callable
from importlib.metadata import distribution

import numpy as np

from pruning_core.data.readers.table import Arrays, Column

LABELS = "target"


def read_digits() -> Arrays:
    """Handwritten digits, 8 x 8 pixels.

    scikit-learn's own copy, read without importing scikit-learn, which takes a second: its file is the array that
    `sklearn.datasets.load_digits` returns, with the label as last column.
    """
    path = distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")
    array = np.loadtxt(str(path), delimiter=",")
    names = [f"pixel_{row}_{column}" for row in range(8) for column in range(8)]
    return _arrays(names, array[:, :-1], array[:, -1].astype(np.int64))


def read_breast_cancer() -> Arrays:
    """Breast cancer in Wisconsin: two classes, thirty features."""
    from sklearn.datasets import load_breast_cancer

    return _from_scikit_learn(load_breast_cancer())


def read_wine() -> Arrays:
    """Three kinds of wine, thirteen features."""
    from sklearn.datasets import load_wine

    return _from_scikit_learn(load_wine())


def _from_scikit_learn(bunch: object) -> Arrays:
    values, target, target_names, columns = (
        np.asarray(getattr(bunch, part)) for part in ("data", "target", "target_names", "feature_names")
    )
    return _arrays([str(column) for column in columns], values, target_names.astype(object)[target])


def _arrays(names: list[str], values: np.ndarray, labels: np.ndarray) -> Arrays:
    columns = {name: Column(values[:, i], "float64") for i, name in enumerate(names)}
    return Arrays({**columns, LABELS: Column(labels, str(labels.dtype))})


NAMED_SETS: dict[str, Callable[[], Arrays]] = {
    "digits": read_digits,
    "breast_cancer": read_breast_cancer,
    "wine": read_wine,
}
"""The reader of each named set."""
