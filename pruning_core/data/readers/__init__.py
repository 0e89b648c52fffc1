"""How each kind of source is read: one function per format, which turns a file or a name into a `Table`.

A new format is a `Reader` and a line in `READERS`.
"""

from pruning_core.data.readers.frames import read_csv, read_feather, read_parquet, read_tsv
from pruning_core.data.readers.named import NAMED_SETS
from pruning_core.data.readers.table import FileSource, Reader, Table

__all__ = ["NAMED_SETS", "READERS", "FileSource", "Reader", "Table"]

READERS: dict[str, Reader] = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".parquet": read_parquet,
    ".feather": read_feather,
}
"""The reader of each file type, by its suffix in lower case."""
