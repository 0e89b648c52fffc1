"""Small tables that the tests of data share."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from pruning_core.data import Dataset, load_dataset

LABELS = ["no", "yes"] * 15


def frame(**columns: Any) -> pd.DataFrame:
    """Thirty rows of two classes with three numeric features, changed by ``columns``."""
    rng = np.random.default_rng(0)
    rows: dict[str, Any] = {name: rng.normal(size=30) for name in ("height", "width", "depth")}
    return pd.DataFrame({**rows, "label": LABELS, **columns})


def load(table: pd.DataFrame, folder: Path, **arguments: Any) -> Dataset:
    table.to_csv(folder / "table.csv", index=False)
    return load_dataset("table.csv", **{"target": "label", "folder": folder, **arguments})


def raw(data: Dataset) -> np.ndarray:
    """All rows as they were read, with the label as last column, part after part."""
    parts = [data.train, data.validation, data.test]
    return np.concatenate([torch.cat([p.x * data.scale + data.mean, p.y[:, None]], 1).numpy() for p in parts if p])


def sorted_rows(rows: np.ndarray) -> np.ndarray:
    return rows[np.lexsort(rows.T)]
