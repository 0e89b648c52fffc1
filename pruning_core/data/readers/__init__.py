"""How each kind of source is read: one `Columns` per format, which lists columns and reads those that are asked for.

A new format is a subclass of `Columns` and a line in `READERS`.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pruning_core.data.dataset import DataError
from pruning_core.data.readers.arrow import FeatherColumns, ParquetColumns
from pruning_core.data.readers.compressed import COMPRESSIONS
from pruning_core.data.readers.hdf5 import Hdf5Columns
from pruning_core.data.readers.named import LABELS, NAMED_SETS
from pruning_core.data.readers.npz import NpzColumns
from pruning_core.data.readers.opening import filesystem, readable, refuse_stand_ins
from pruning_core.data.readers.root import RootColumns
from pruning_core.data.readers.table import Arrays, Column, Columns, FileSource, Lists, path_of
from pruning_core.data.readers.text import TextColumns
from pruning_core.data.wording import some

__all__ = [
    "LABELS",
    "NAMED_SETS",
    "READERS",
    "Arrays",
    "Column",
    "Columns",
    "FileSource",
    "Lists",
    "Reader",
    "filesystem",
    "kind_of",
    "open_columns",
    "read_columns",
]

Reader = Callable[[FileSource], Columns]
"""Opens a file that exists; may raise anything where it cannot, a `DataError` where it knows why."""

READERS: dict[str, Reader] = {
    ".csv": TextColumns,
    ".tsv": TextColumns,
    ".parquet": ParquetColumns,
    ".feather": FeatherColumns,
    ".npz": NpzColumns,
    ".h5": Hdf5Columns,
    ".hdf5": Hdf5Columns,
    ".root": RootColumns,
}
"""The reader of each file type, by its suffix in lower case."""


def kind_of(where: str) -> str | None:
    """The suffix in `READERS` of a path or URL, None where there is none.

    >>> kind_of("a/Table.CSV.gz"), kind_of("a.root.gz"), kind_of("a.txt")
    ('.csv', None, None)
    """
    suffixes = [suffix.lower() for suffix in path_of(where).suffixes]
    if len(suffixes) > 1 and suffixes[-1] in COMPRESSIONS and READERS.get(suffixes[-2]) is TextColumns:
        return suffixes[-2]
    return suffixes[-1] if suffixes and suffixes[-1] in READERS else None


def open_columns(file: FileSource) -> Columns:
    """Opens a file of a known type.

    Raises:
        DataError: it cannot be read, is empty, or has a column twice.
    """
    kind = str(kind_of(file.where))
    local = not file.remote and Path(file.where).is_file()
    if local and not Path(file.where).stat().st_size:
        raise DataError(f"{file} is empty")
    with readable(file, kind[1:]):
        if local:
            refuse_stand_ins(file)
        columns = READERS[kind](file)
    if twice := [name for name, count in Counter(columns.names).items() if count > 1]:
        raise DataError(f"{file} must have every column once, and has several of the name {some(map(repr, twice))}")
    return columns


def read_columns(file: FileSource, columns: Columns, names: Sequence[str]) -> Iterator[Column | Lists]:
    """These columns of an open file, one after the other.

    Raises:
        DataError: one cannot be read.
    """
    reading, kind = columns.read(names), (kind_of(file.where) or "")[1:]
    for _ in names:
        with readable(file, kind):
            column = next(reading)
        yield column
