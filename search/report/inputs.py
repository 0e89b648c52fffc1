"""The report's section about the kept inputs themselves: their distributions by class, and whose twins were dropped."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pruning_core.data import Dataset
from search.figures.inputs import Values, correlations, distributions
from search.report.blocks import Block, Picture, Section
from search.report.search_record import SearchRecord
from search.trials.estimate import count

MOST_DRAWN = 16
ROWS = 100_000
TWIN = 0.9


def section(search: SearchRecord, data: Dataset, folder: Path) -> Section:
    """The section.

    Args:
        search: a search with a winner.
        data: the data with its test part.
        folder: for the pictures.
    """
    best = str(search.result["winner"])
    names = search.result["strategies"][best]["selected"]
    kept = [data.feature_names.index(name) for name in names]
    drawn = kept[:MOST_DRAWN]
    histograms, matrix = folder / "distributions.png", folder / "correlations.png"
    values = raw_values(data, drawn)
    distributions(histograms, values)
    correlation_FF = correlation(data)
    left_out = correlations(matrix, correlation_FF, data.feature_names, kept)
    weighted = ", with the rows' weights" if data.train.weight is not None else ""
    some = f" The {MOST_DRAWN} that are kept most often are shown." if len(kept) > MOST_DRAWN else ""
    filled = " A missing value stands where it was filled in." if any(data.missing) else ""
    rest = (
        f" {count(left_out, 'other')} that follow them less {'is' if left_out == 1 else 'are'} not shown."
        if left_out
        else ""
    )
    blocks: list[Block] = [
        Picture(
            histograms,
            f"Histograms of the inputs that {best} keeps, by class",
            f"The inputs that {best} keeps, in the units of the data{weighted}: each class with the same area, without "
            f"the outermost half per cent at either end.{some}{filled}",
        ),
        Picture(
            matrix,
            "Matrix of correlations of the kept inputs with each other and with dropped ones",
            f"Correlations of the kept inputs (lines) with each other, on the left, and with those dropped inputs that "
            f"follow one of them most, on the right (training part{weighted}; blue: positive, orange: negative)."
            f"{rest}{_twins(correlation_FF, data.feature_names, kept)}",
        ),
    ]
    return Section("What the kept inputs look like", blocks)


def raw_values(data: Dataset, columns: Sequence[int]) -> Values:
    """Raw values of some inputs in the rows of all parts, or in a random choice of very many."""
    parts = [part for part in (data.train, data.validation, data.test) if part is not None]
    y_B = torch.cat([part.y for part in parts]).numpy()
    ones = [torch.ones(len(part.y)) if part.weight is None else part.weight.double() for part in parts]
    rows = _some(len(y_B))
    ends = np.cumsum([len(part.y) for part in parts])
    pieces = [
        part.x[rows[(rows >= end - len(part.y)) & (rows < end)] - (end - len(part.y))][:, list(columns)]
        for part, end in zip(parts, ends, strict=True)
    ]
    x_BF = torch.cat(pieces).double() * data.scale[list(columns)] + data.mean[list(columns)]
    names = [data.feature_names[column] for column in columns]
    return Values(x_BF.numpy(), names, y_B[rows], torch.cat(ones).numpy()[rows], data.class_names)


def correlation(data: Dataset) -> NDArray[np.floating]:
    """Pearson's correlations of all inputs on the training part, with its weights, (F, F)."""
    rows = _some(len(data.train.y))
    x_BF = data.train.x[rows].double().numpy()
    weight = None if data.train.weight is None else data.train.weight[rows].double().numpy()
    covariance = np.cov(x_BF, rowvar=False, aweights=weight)
    spread = np.sqrt(np.diag(covariance))
    return np.nan_to_num(covariance / np.outer(spread, spread)).clip(-1, 1)


def _some(rows: int) -> NDArray[np.integer]:
    return np.sort(np.random.default_rng(0).permutation(rows)[:ROWS])


def _twins(correlation_FF: NDArray[np.floating], names: Sequence[str], kept: Sequence[int]) -> str:
    """Which dropped inputs say almost the same as a kept one."""
    dropped = [f for f in range(len(names)) if f not in set(kept)]
    pairs = [(max(kept, key=lambda k: abs(correlation_FF[k, f])), f) for f in dropped]
    close = [(k, f) for k, f in pairs if abs(correlation_FF[k, f]) >= TWIN]
    close.sort(key=lambda pair: -abs(correlation_FF[pair]))
    if not close:
        return f" No dropped input correlates with a kept one by {TWIN} or more."
    said = "; ".join(f"{names[f]} with {names[k]} ({correlation_FF[k, f]:.2f})" for k, f in close[:5])
    return f" Dropped inputs that correlate with a kept one by {TWIN} or more: {said}{'; …' if len(close) > 5 else ''}."
