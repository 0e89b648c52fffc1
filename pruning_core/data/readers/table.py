"""What a reader is given, and what it gives back: the columns of an open file, read when they are asked for."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

REMOTE = "://"


def path_of(where: str) -> PurePosixPath:
    """A path, or that of a URL without its query.

    >>> path_of("https://zenodo.org/a.csv?download=1").suffix
    '.csv'
    """
    return PurePosixPath(where.partition("?")[0] if where.startswith("http") else where)


@dataclass(frozen=True)
class FileSource:
    """A file to read.

    ``where`` is its path or an fsspec URL, ``inner`` what lies behind the colon (a tree, a group), ``given`` what the
    study file calls it under ``key``, ``label`` the class of its rows where the source says it, and ``part`` the part
    of the split that they lie in where files make the split.
    """

    where: str
    given: str
    inner: str = ""
    key: str = "data.source"
    label: str | None = None
    part: int = 0

    def __str__(self) -> str:
        return f"{self.key} = {self.given!r}"

    @property
    def remote(self) -> bool:
        """Whether it is reached by fsspec."""
        return REMOTE in self.where


@dataclass(frozen=True)
class Column:
    """A value per row: numbers or truth values in the file's own type, NaN where a float is missing, or text.

    Text is an array of `str` objects, None where it is missing. ``dtype`` is the type in pandas' words.
    """

    values: np.ndarray
    dtype: str

    @property
    def text(self) -> bool:
        """Whether it holds text, or anything else that is no number."""
        return bool(self.values.dtype.kind == "O")

    @property
    def numbers(self) -> np.ndarray:
        """The values as (rows,) float64, each missing one the same NaN."""
        numbers = self.values.astype(np.float64)
        numbers[np.isnan(numbers)] = np.nan
        return numbers

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Lists:
    """Several numbers per row: those of row i are ``content[offsets[i]:offsets[i + 1]]``."""

    content: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of_lengths(cls, content: np.ndarray, lengths: np.ndarray) -> "Lists":
        """Lists of these lengths, one after the other."""
        return cls(content, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]))

    def element(self, index: int) -> Column:
        """Element ``index`` of each row, NaN where the list is shorter."""
        dtype = np.dtype(np.float32 if self.content.dtype == np.float32 else np.float64)
        long_enough = np.diff(self.offsets) > index
        values = np.full(len(self), np.nan, dtype=dtype)
        values[long_enough] = self.content[self.offsets[:-1][long_enough] + index]
        return Column(values, dtype.name)

    def __len__(self) -> int:
        return len(self.offsets) - 1


class Columns(ABC):
    """The columns of an open file.

    ``names`` are all columns in the order of the file; ``lists`` those of several numbers per row; ``others`` those
    that cannot be read, with the name of their type; ``index`` those that name the rows and are inputs only by name.
    ``ordered`` is whether their order belongs to the data: a file's does not, as some formats forget it.
    """

    names: Sequence[str]
    rows: int
    lists: Collection[str] = ()
    others: Mapping[str, str] = {}
    index: Collection[str] = ()
    ordered: bool = False

    @abstractmethod
    def read(self, names: Sequence[str]) -> Iterator[Column | Lists]:
        """These columns one after the other, none of them in memory before it is asked for where the format allows."""


class Arrays(Columns):
    """Columns that are in memory, in their order."""

    ordered = True

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self.columns = columns
        self.names = list(columns)
        self.rows = len(next(iter(columns.values()))) if columns else 0

    def read(self, names: Sequence[str]) -> Iterator[Column]:
        yield from (self.columns[name] for name in names)
