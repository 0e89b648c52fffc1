"""NumPy's archives: one array of two dimensions with the names of its columns, or an array for each column."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pruning_core.data.dataset import DataError
from pruning_core.data.readers.opening import opened
from pruning_core.data.readers.table import Column, Columns, FileSource
from pruning_core.data.wording import some

NAMES = "names"


class NpzColumns(Columns):
    """An archive in memory; pickled objects in it are not loaded."""

    def __init__(self, file: FileSource) -> None:
        with opened(file) as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {name: _plain(archive, name, file) for name in archive.files}
        matrices = [name for name, array in arrays.items() if array.ndim == 2]
        if len(matrices) > 1 or any(array.ndim > 2 for array in arrays.values()):
            shapes = some(f"{name} {array.shape}" for name, array in arrays.items())
            raise DataError(
                f"{file} must hold one array of two dimensions, or one of one dimension per column: {shapes}"
            )
        names = arrays.pop(NAMES, None) if matrices else None
        self._columns: dict[str, np.ndarray] = {}
        if matrices:
            matrix = arrays.pop(matrices[0])
            if names is None or names.shape != matrix.shape[1:]:
                raise DataError(
                    f"{file} must hold an array {NAMES!r} of {matrix.shape[1]} names beside the array {matrices[0]!r}, "
                    f"one for each of its columns"
                )
            self._columns = {str(name): matrix[:, i] for i, name in enumerate(names)}
            if len(self._columns) < len(names) or self._columns.keys() & arrays:
                raise DataError(f"{file} must have every column once, unlike {some([*map(str, names), *arrays])}")
        self._columns |= arrays
        lengths = {name: array.shape for name, array in self._columns.items()}
        if len(set(lengths.values())) > 1:
            raise DataError(
                f"{file} must hold columns of one length, unlike {some(f'{n} {s}' for n, s in lengths.items())}"
            )
        self.names = list(self._columns)
        self.rows = len(next(iter(self._columns.values()), ()))

    def read(self, names: Sequence[str]) -> Iterator[Column]:
        yield from (column_of_array(self._columns[name]) for name in names)


def _plain(archive: Any, name: str, file: FileSource) -> np.ndarray:
    try:
        array: np.ndarray = archive[name]
    except ValueError as error:  # NumPy has no other for objects
        raise DataError(
            f"{file}: the array {name!r} must hold numbers or text of NumPy's types, not Python objects"
        ) from error
    return array


def column_of_array(array: np.ndarray) -> Column:
    """An array of numbers in the machine's order of bytes, or of text."""
    if array.dtype.kind in "biuf":
        native = array.astype(array.dtype.newbyteorder("="), copy=False)
        return Column(native, native.dtype.name)
    values = [value.decode(errors="replace") if isinstance(value, bytes) else str(value) for value in array.tolist()]
    return Column(np.array(values, dtype=object), "str")
