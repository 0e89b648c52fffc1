"""Columns of pandas, which is imported when a file needs it."""

from typing import TYPE_CHECKING, Any

import numpy as np

from pruning_core.data.readers.table import Column

if TYPE_CHECKING:
    import pandas as pd


def column_of(series: "pd.Series[Any]") -> Column:
    """A column of numbers as it is, anything else as text."""
    import pandas as pd

    dtype = str(series.dtype)
    if pd.api.types.is_numeric_dtype(series.dtype):
        if isinstance(series.dtype, np.dtype):
            return Column(series.to_numpy(), dtype)
        if series.hasnans:
            return Column(series.to_numpy(dtype=np.float64, na_value=np.nan), dtype)
        return Column(series.to_numpy(dtype=series.dtype.numpy_dtype), dtype)  # type: ignore[attr-defined]
    text = series.astype(str).to_numpy(dtype=object)
    text[series.isna().to_numpy()] = None
    return Column(text, dtype)
