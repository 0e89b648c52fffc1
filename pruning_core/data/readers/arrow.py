"""Parquet and Feather files, column by column."""

import contextlib
import json
import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pruning_core.data.readers.frames import column_of
from pruning_core.data.readers.opening import filesystem
from pruning_core.data.readers.table import Column, Columns, FileSource, Lists

if TYPE_CHECKING:
    import pandas as pd


UNNAMED_INDEX = re.compile(r"__index_level_\d+__")


class ArrowColumns(Columns):
    """What both have in common: a schema and pandas' reading of a column."""

    def __init__(self, file: FileSource) -> None:
        import pyarrow as pa

        self.file = file
        with self._place() as place:
            schema, self.rows = self._open(place)
        index = json.loads((schema.metadata or {}).get(b"pandas", b"{}")).get("index_columns", [])
        self.index = {name for name in schema.names if name in index}
        unnamed = {name for name in self.index if UNNAMED_INDEX.fullmatch(name)}
        self.names = [name for name in schema.names if name not in unnamed]
        kinds = {name: schema.field(name).type for name in dict.fromkeys(self.names) if schema.names.count(name) == 1}
        lists = {name for name, kind in kinds.items() if _of_lists(kind)}
        self.lists = {name for name in lists if _is_number(kinds[name].value_type)}
        nested = {name: str(kind) for name, kind in kinds.items() if pa.types.is_nested(kind)}
        unread = {name: str(kind) for name, kind in kinds.items() if not _is_readable(kind)}
        self.others = unread | {name: kind for name, kind in nested.items() if name not in self.lists}
        self._in_arrow = {name for name, kind in kinds.items() if name in self.index or _needs_arrow(kind)}

    def read(self, names: Sequence[str]) -> Iterator[Column | Lists]:
        for name in names:
            with self._place() as place:
                if name in self.lists:
                    yield _lists(self._array(place, name))
                elif name in self._in_arrow:
                    yield column_of(_decoded(self._array(place, name)))
                else:
                    yield column_of(self._series(place, name))

    @contextlib.contextmanager
    def _place(self) -> Iterator[Any]:
        """The path of a local file, or a remote one opened."""
        if self.file.remote:
            with filesystem(self.file).open(self.file.where, "rb") as remote:
                yield remote
        else:
            yield self.file.where

    @abstractmethod
    def _open(self, place: Any) -> tuple[Any, int]:
        """The schema of the file, and how many rows it has."""

    @abstractmethod
    def _array(self, place: Any, name: str) -> Any:
        """A column of lists, as Arrow has it."""

    @abstractmethod
    def _series(self, place: Any, name: str) -> Any:
        """A column as pandas reads it."""


class ParquetColumns(ArrowColumns):
    """A Parquet file."""

    def _open(self, place: Any) -> tuple[Any, int]:
        import pyarrow.parquet as pq

        file = pq.ParquetFile(place)
        return file.schema_arrow, file.metadata.num_rows

    def _array(self, place: Any, name: str) -> Any:
        import pyarrow.parquet as pq

        return pq.ParquetFile(place).read(columns=[name]).column(name)

    def _series(self, place: Any, name: str) -> Any:
        import pandas as pd

        return pd.read_parquet(place, columns=[name])[name]


class FeatherColumns(ArrowColumns):
    """A Feather file."""

    def _open(self, place: Any) -> tuple[Any, int]:
        import pyarrow as pa

        file = pa.ipc.open_file(place)
        rows = sum(file.get_batch(i).num_rows for i in range(file.num_record_batches))
        return file.schema, rows

    def _array(self, place: Any, name: str) -> Any:
        import pyarrow.feather

        return pyarrow.feather.read_table(place, columns=[name]).column(name)

    def _series(self, place: Any, name: str) -> Any:
        import pandas as pd

        return pd.read_feather(place, columns=[name])[name]


def _of_lists(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_number(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _is_readable(kind: Any) -> bool:
    import pyarrow as pa

    opaque = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_interval)
    return not any(is_kind(kind) for is_kind in opaque)


def _needs_arrow(kind: Any) -> bool:
    """Whether pandas would refuse the column, make an index of it, or make objects of its numbers."""
    import pyarrow as pa

    return bool(pa.types.is_dictionary(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind))


def _decoded(column: Any) -> "pd.Series[Any]":
    """Categories as what they are, decimals as the nearest float, nothing at all as missing numbers."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_decimal(column.type) or pa.types.is_null(column.type):
        column = column.cast(pa.float64())
    series: pd.Series[Any] = column.to_pandas()
    return series


def _lists(column: Any) -> Lists:
    import pyarrow as pa

    array = column.combine_chunks()
    array = array if isinstance(array, pa.Array) else pa.concat_arrays(array.chunks)
    lengths = np.asarray(array.value_lengths().fill_null(0))
    return Lists.of_lengths(array.flatten().to_numpy(zero_copy_only=False), lengths)
