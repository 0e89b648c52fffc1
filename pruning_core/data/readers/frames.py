"""Columns of pandas, which is imported when a file needs it."""

from typing import TYPE_CHECKING, Any

import numpy as np

from pruning_core.data.readers.table import Column

if TYPE_CHECKING:
    import pandas as pd


NUMBERS = ("boolean", "integer", "floating", "mixed-integer-float", "decimal")
"""What pandas calls objects that are numbers, where some may be missing."""


def column_of(series: "pd.Series[Any]") -> Column:
    """A column of numbers as it is, anything else as text.

    Categories count as what they are, and truth values and decimals that pandas keeps as objects as numbers.
    """
    import pandas as pd

    if isinstance(series.dtype, pd.CategoricalDtype):
        series = pd.Series(np.asarray(series))
    dtype = str(series.dtype)
    if pd.api.types.is_numeric_dtype(series.dtype) and not pd.api.types.is_complex_dtype(series.dtype):
        if isinstance(series.dtype, np.dtype):
            return Column(series.to_numpy(), dtype)
        if series.hasnans:
            return Column(series.to_numpy(dtype=np.float64, na_value=np.nan), dtype)
        return Column(series.to_numpy(dtype=series.dtype.numpy_dtype), dtype)  # type: ignore[attr-defined]
    if dtype == "object" and pd.api.types.infer_dtype(series, skipna=True) in NUMBERS:
        return Column(series.to_numpy(dtype=np.float64, na_value=np.nan), dtype)
    text = series.astype(str).to_numpy(dtype=object)
    text[series.isna().to_numpy()] = None
    return Column(text, dtype)
