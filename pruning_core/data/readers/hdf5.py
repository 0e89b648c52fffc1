"""HDF5 files: a dataset for each column in a group, or one dataset of records."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pruning_core.data.dataset import DataError
from pruning_core.data.readers.npz import column_of_array
from pruning_core.data.readers.opening import opened, package
from pruning_core.data.readers.table import Column, Columns, FileSource, Lists
from pruning_core.data.wording import hint, some


class Hdf5Columns(Columns):
    """A group or a dataset of records of a file."""

    def __init__(self, file: FileSource) -> None:
        self.file = file
        self._h5py = package("h5py", "hdf5", file)
        with opened(file) as stream, self._h5py.File(stream, "r") as whole:
            node = self._node(whole)
            self._path = node.name
            self._records = isinstance(node, self._h5py.Dataset)
            kinds = self._kinds(node)
        self.names = list(kinds)
        lengths = {name: length for name, (_, _, length) in kinds.items()}
        if len(set(lengths.values())) > 1:
            unlike = some(f"{name} ({length})" for name, length in lengths.items())
            raise DataError(f"{file} must hold columns of one length, unlike {unlike}")
        self.rows = next(iter(lengths.values()), 0)
        self.lists = {name for name, (kind, _, _) in kinds.items() if kind == "list"}
        self.others = {name: dtype for name, (kind, dtype, _) in kinds.items() if kind == "other"}

    def read(self, names: Sequence[str]) -> Iterator[Column | Lists]:
        with opened(self.file) as stream, self._h5py.File(stream, "r") as whole:
            node = whole[self._path]
            for name in names:
                values = node[name] if self._records else node[name][()]
                yield _lists(values) if name in self.lists else column_of_array(values)

    def _node(self, whole: Any) -> Any:
        """What the address names, or the only thing that holds columns."""
        inner = self.file.inner
        if inner and inner not in whole:
            names: list[str] = []
            whole.visit(names.append)
            raise DataError(
                f"{self.file}: there is no {inner!r} in the file, which has {some(names)}{hint(inner, names)}"
            )
        node = whole[inner] if inner else whole
        while isinstance(node, self._h5py.Group):
            children = [child for child in map(node.get, node) if child is not None]  # a link may lead nowhere
            plain = [child for child in children if isinstance(child, self._h5py.Dataset) and not child.dtype.names]
            if any(child.shape for child in plain):
                return node
            if len(children) == 1:
                node = children[0]
            else:
                names = [child.name.lstrip("/") for child in children]
                example = f", such as {self.file.given.removesuffix(':' + inner)}:{names[0]}" if names else ""
                raise DataError(f"{self.file} must name the group with the columns{example}: there are {some(names)}")
        if not node.dtype.names:
            raise DataError(f"{self.file}: {node.name!r} must be a group of datasets or a dataset of records")
        return node

    def _kinds(self, node: Any) -> dict[str, tuple[str, str, int]]:
        """For each column whether it is plain, a list or another thing, its type and its length."""
        if self._records:
            fields = {name: (node.dtype[name].base, node.dtype[name].shape) for name in node.dtype.names}
            return {name: (self._kind(dtype, shape), str(dtype), len(node)) for name, (dtype, shape) in fields.items()}
        columns = {name: node.get(name) for name in node}
        kinds = {
            name: (self._kind(column.dtype, column.shape[1:]), str(column.dtype), len(column))
            for name, column in columns.items()
            if isinstance(column, self._h5py.Dataset) and column.shape
        }
        rows = next((length for _, _, length in kinds.values()), 0)
        broken = [name for name, column in columns.items() if column is None]
        return {**kinds, **dict.fromkeys(broken, ("other", "a link that leads nowhere", rows))}

    def _kind(self, dtype: np.dtype, shape: tuple[int, ...]) -> str:
        inside = self._h5py.check_vlen_dtype(dtype)
        if isinstance(inside, np.dtype) and not shape and inside.kind in "biuf":
            return "list"
        if dtype.kind in "biuf":
            return ("plain", "list", "other")[min(len(shape), 2)]
        return "plain" if self._h5py.check_string_dtype(dtype) and not shape else "other"


def _lists(values: np.ndarray) -> Lists:
    if values.ndim == 2:
        return Lists.of_lengths(values.ravel(), np.full(len(values), values.shape[1]))
    lengths = np.array([len(row) for row in values], dtype=np.int64)
    return Lists.of_lengths(np.concatenate(list(values)) if len(values) else np.empty(0), lengths)
