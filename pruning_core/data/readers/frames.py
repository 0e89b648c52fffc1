"""Files that pandas reads: text tables, Parquet and Feather. pandas is imported when one of them is read."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from pruning_core.data.dataset import DataError
from pruning_core.data.readers.table import FileSource, Table
from pruning_core.data.wording import hint, some

if TYPE_CHECKING:
    import pandas as pd


def read_csv(source: FileSource) -> Table:
    """A table of text with commas."""
    import pandas as pd

    return _table(source, lambda: pd.read_csv(source.path, sep=",", low_memory=False))


def read_tsv(source: FileSource) -> Table:
    """A table of text with tabs."""
    import pandas as pd

    return _table(source, lambda: pd.read_csv(source.path, sep="\t", low_memory=False))


def read_parquet(source: FileSource) -> Table:
    """A Parquet file."""
    import pandas as pd

    return _table(source, lambda: pd.read_parquet(source.path))


def read_feather(source: FileSource) -> Table:
    """A Feather file."""
    import pandas as pd

    return _table(source, lambda: pd.read_feather(source.path))


def _table(source: FileSource, read: Callable[[], "pd.DataFrame"]) -> Table:
    """The columns that `read` returns as features and labels."""
    import pandas as pd

    given, target = source.given, source.target
    try:
        frame = read()
    except (OSError, ValueError) as error:
        kind = source.path.suffix.lower()[1:]
        reason = " ".join(str(error).split()).rstrip(".")
        raise DataError(f"data.source = {given!r} cannot be read as {kind}: {reason}") from error
    frame.columns = pd.Index([str(name) for name in frame.columns])
    if target not in frame.columns:
        raise DataError(
            f"data.target = {target!r} must be a column of {given!r}, which has {some(frame.columns)}"
            f"{hint(target, frame.columns)}"
        )
    labels, classes = _encode(frame.pop(target))
    text = [name for name, dtype in frame.dtypes.items() if not pd.api.types.is_numeric_dtype(dtype)]
    if text:
        column = frame[text[0]].dropna()
        example = f" ({text[0]} begins with {str(column.iloc[0])!r})" if len(column) else ""
        raise DataError(f"data.source = {given!r} must have numeric feature columns only, unlike {some(text)}{example}")
    values = frame.to_numpy(dtype=np.float64, na_value=np.nan)
    return Table(source.path.name, values, list(frame.columns), list(map(str, frame.dtypes)), labels, classes)


def _encode(column: "pd.Series[Any]") -> tuple[np.ndarray, list[Any]]:
    """Labels of any kind as numbers in the sorted order of the classes, and the classes."""
    import pandas as pd

    missing = int(column.isna().sum())
    numeric = pd.api.types.is_numeric_dtype(column.dtype)
    if not missing and numeric:
        missing = int(np.isinf(column.to_numpy(dtype=np.float64)).sum())
    if missing:
        raise DataError(
            f"data.target = {column.name!r} must hold a label in every row, and {missing} of {len(column)} "
            "are missing or infinite (in text files an empty cell, NA, None or null counts as missing)"
        )
    if not numeric:
        column = column.astype(str)
    elif np.array_equal(column, column.astype(np.int64)):
        column = column.astype(np.bool_ if pd.api.types.is_bool_dtype(column.dtype) else np.int64)
    classes, codes = np.unique(column.to_numpy(), return_inverse=True)
    return codes, classes.tolist()
