"""Tables of text: which separator they have and how they write numbers is found out."""

import contextlib
import csv
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pruning_core.data.dataset import DataError
from pruning_core.data.readers.frames import column_of
from pruning_core.data.readers.opening import opened
from pruning_core.data.readers.table import Column, Columns, FileSource, path_of
from pruning_core.data.wording import some

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = (",", "\t", ";", "|")
SPACES = r"\s+"
HEAD_BYTES, HEAD_LINES = 1 << 18, 20

COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
"""What text may be compressed with, by the last suffix, in Arrow's words."""

COMMA_FRACTION = r"[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d*)?([eE][+-]?\d+)?"
COMMA_THOUSANDS = r"[+-]?(\d{1,3}(,\d{3})+|\d+)(\.\d*)?([eE][+-]?\d+)?"


class TextColumns(Columns):
    """A table of text, read as a whole: its columns have no place of their own in the file."""

    def __init__(self, file: FileSource) -> None:
        import pandas as pd

        with _decompressed(file) as stream:
            head = stream.read(HEAD_BYTES)
        encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        separator = _separator(head.decode(encoding, errors="replace"), file)
        options: dict[str, Any] = {"sep": separator, "encoding": encoding.removesuffix("-sig"), "low_memory": False}

        def read(**style: Any) -> "pd.DataFrame":
            with _decompressed(file) as stream:
                frame: pd.DataFrame = pd.read_csv(stream, **{**options, **style})
            return frame

        frame = read()
        if style := _style(frame, file):
            frame = read(**style)
        frame.columns = pd.Index([str(name) for name in frame.columns])
        self._frame = frame
        self.names = list(frame.columns)
        self.rows = len(frame)

    def read(self, names: Sequence[str]) -> Iterator[Column]:
        yield from (column_of(self._frame[name]) for name in names)


@contextlib.contextmanager
def _decompressed(file: FileSource) -> Iterator[Any]:
    with opened(file) as raw:
        compression = COMPRESSIONS.get(path_of(file.where).suffix.lower())
        if compression is None:
            yield raw
        else:
            import pyarrow as pa

            yield pa.CompressedInputStream(raw, compression)


def _separator(head: str, file: FileSource) -> str:
    """The file type's own separator if it splits the first lines evenly, or the one that does."""
    usual = "\t" if ".tsv" in path_of(file.where).name.lower() else ","
    lines = [line for line in head.splitlines()[:HEAD_LINES] if line.strip()]
    if len(head) >= HEAD_BYTES and len(lines) > 1:
        lines = lines[:-1]  # it may be cut off
    for separator in sorted(SEPARATORS, key=lambda each: each != usual):
        widths = {len(row) for row in csv.reader(lines, delimiter=separator)}
        if len(widths) == 1 and widths.pop() > 1:
            return separator
    widths = {len(line.split()) for line in lines}
    return SPACES if not any(usual in line for line in lines) and len(widths) == 1 and widths.pop() > 1 else usual


def _style(frame: "pd.DataFrame", file: FileSource) -> dict[str, str]:
    """How numbers are written where some of them have been read as text; empty where none have."""
    import pandas as pd

    fractions, thousands, unclear = [], [], []
    for name, column in frame.items():
        if pd.api.types.is_numeric_dtype(column.dtype) or not len(column.dropna()):
            continue
        text = column.dropna().astype(str).str.strip()
        if not text.str.contains(",", regex=False).any():
            continue
        as_fraction = text.str.fullmatch(COMMA_FRACTION).all()
        as_thousands = text.str.fullmatch(COMMA_THOUSANDS).all()
        if as_fraction and as_thousands:
            unclear.append(str(name))
        elif as_fraction:
            fractions.append(str(name))
        elif as_thousands:
            thousands.append(str(name))
    points = [str(name) for name, column in frame.items() if column.dtype.kind == "f" and (column.dropna() % 1).any()]
    if fractions and (thousands or points):
        raise DataError(
            f"{file} must write all numbers in one way, and has decimal commas in {some(fractions)} and decimal points "
            f"in {some(thousands or points)}"
        )
    if unclear and not fractions and not thousands:
        example = next(value for value in frame[unclear[0]].dropna() if re.search(",", str(value)))
        raise DataError(
            f"{file} has numbers like {str(example)!r} in {some(unclear)}, whose comma may stand for a fraction or for "
            "thousands: write them with a decimal point, and without separators of thousands"
        )
    if fractions:
        dots = any(frame[name].astype(str).str.contains(".", regex=False).any() for name in fractions)
        return {"decimal": ",", "thousands": "."} if dots else {"decimal": ","}
    return {"thousands": ","} if thousands else {}
