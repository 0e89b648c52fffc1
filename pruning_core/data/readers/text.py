"""Tables of text: which separator they have and how they write numbers is found out."""

import re
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pruning_core.data.dataset import DataError
from pruning_core.data.readers.compressed import decompressed
from pruning_core.data.readers.frames import column_of
from pruning_core.data.readers.layout import HEAD_BYTES, Layout
from pruning_core.data.readers.table import Column, Columns, FileSource
from pruning_core.data.wording import some

if TYPE_CHECKING:
    import pandas as pd

COMMA_FRACTION = r"[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d*)?([eE][+-]?\d+)?"
COMMA_THOUSANDS = r"[+-]?(\d{1,3}(,\d{3})+|\d+)(\.\d*)?([eE][+-]?\d+)?"


class TextColumns(Columns):
    """A table of text, read as a whole: its columns have no place of their own in the file."""

    def __init__(self, file: FileSource) -> None:
        with decompressed(file) as stream:
            layout = Layout.of(stream.read(HEAD_BYTES), file)
        frame = _read(file, layout)
        if style := _style(frame, file):
            frame = _read(file, layout, **style)
        frame.columns = frame.columns.astype(str)
        self._frame = frame
        self.names = list(frame.columns)
        self.rows = len(frame)

    def read(self, names: Sequence[str]) -> Iterator[Column]:
        yield from (column_of(self._frame[name]) for name in names)


def _read(file: FileSource, layout: Layout, **style: Any) -> "pd.DataFrame":
    """The table, of which no row may have another number of cells than the header: pandas would shift or fill it."""
    import pandas as pd

    options: dict[str, Any] = {
        **{"sep": layout.separator, "encoding": layout.encoding, "skiprows": layout.comments},
        **{"low_memory": False, "index_col": False},
    }
    doubtful: Exception | None = None
    try:
        with decompressed(file) as stream, warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame: pd.DataFrame = pd.read_csv(stream, **options, **style)
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        doubtful = error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file} must be text in UTF-8, or in UTF-16 with a byte order mark, and {_undecoded(file)} holds a byte "
            f"that is none ({error.object[error.start]:#x})"
        ) from error
    if doubtful or frame.iloc[:, -1].hasnans:
        with decompressed(file) as stream:
            layout.check_cells(stream, file)
    if doubtful:
        raise doubtful
    return frame


def _undecoded(file: FileSource) -> str:
    """The first line that is no UTF-8."""
    with decompressed(file) as stream:
        for number, line in enumerate(stream, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return f"line {number}"
    return "the end"


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
