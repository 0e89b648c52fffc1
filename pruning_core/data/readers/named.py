"""The data sets that come with scikit-learn."""

from collections.abc import Callable
from importlib.metadata import distribution

import numpy as np

from pruning_core.data.readers.table import Table


def read_digits() -> Table:
    """Handwritten digits, 8 x 8 pixels.

    scikit-learn's own copy, read without importing scikit-learn, which takes a second: its file is the array that
    `sklearn.datasets.load_digits` returns, with the label as last column.
    """
    path = distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")
    array = np.loadtxt(str(path), delimiter=",")
    names = [f"pixel_{row}_{column}" for row in range(8) for column in range(8)]
    return Table("digits", array[:, :-1], names, ["float64"] * 64, array[:, -1].astype(np.int64), range(10))


def read_breast_cancer() -> Table:
    """Breast cancer in Wisconsin: two classes, thirty features."""
    from sklearn.datasets import load_breast_cancer

    return _table("breast_cancer", load_breast_cancer())


def read_wine() -> Table:
    """Three kinds of wine, thirteen features."""
    from sklearn.datasets import load_wine

    return _table("wine", load_wine())


def _table(name: str, bunch: object) -> Table:
    """What scikit-learn returned, its classes numbered in the order of their names, as they are for files."""
    values, target, target_names, columns = (
        np.asarray(getattr(bunch, part)) for part in ("data", "target", "target_names", "feature_names")
    )
    class_names, order = np.unique(target_names, return_inverse=True)
    names = [str(column) for column in columns]
    return Table(name, values, names, ["float64"] * len(names), order[target], class_names.tolist())


NAMED_SETS: dict[str, Callable[[], Table]] = {
    "digits": read_digits,
    "breast_cancer": read_breast_cancer,
    "wine": read_wine,
}
"""The reader of each named set."""
