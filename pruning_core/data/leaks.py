"""What gives the label away, or lets the test part be known: warnings, found in a sample of the rows."""

import re
from collections.abc import Sequence

import numpy as np

from pruning_core.data.large import row_blocks
from pruning_core.data.wording import some

SAMPLE = 20_000
TELLS_APART = 0.995
UNIQUE, FEWEST_ROWS = 0.99, 50
MOST_NAMES = 12
UNNAMED = re.compile(r"Unnamed: \d+|")
"""What pandas calls a column without a name."""

NAMED_LIKE_ID = re.compile(
    r"(?:(?:.*[a-z0-9])?(?:Id|ID)|(?i:(?:.*_)?id)"
    r"|(?i:event|evt|run|lumi|luminosity_?block)(?i:_?(?:id|number|num|no|nr))?|(?i:.*weight.*))"
)


def sample_rows(rows: int) -> np.ndarray:
    """At most `SAMPLE` row numbers, evenly spread."""
    return np.arange(rows) if rows <= SAMPLE else np.linspace(0, rows - 1, SAMPLE).astype(np.int64)


def raw_warnings(x: np.ndarray, names: Sequence[str]) -> list[str]:
    """Inputs that are like an id, by their values or their names.

    Args:
        x: raw values of the training part, (rows, F), NaN where one is missing.
        names: of the F inputs.
    """
    sample = x[sample_rows(len(x))]
    warnings = []
    named = [name for name in names if NAMED_LIKE_ID.fullmatch(name.partition("[")[0])]
    if named:
        warnings.append(
            f"inputs with the name of an id or a weight: {some(named, MOST_NAMES)}; data.exclude leaves them out"
        )
    if unnamed := [name for name in names if UNNAMED.fullmatch(name)]:
        warnings.append(
            f"inputs without a name in the header, such as the row numbers of an index: {some(unnamed, MOST_NAMES)}; "
            "data.exclude leaves them out"
        )
    if len(sample) >= FEWEST_ROWS:
        unique = [name for name, column in zip(names, sample.T, strict=True) if _is_id(column)]
        if unique:
            warnings.append(
                f"inputs with another whole number in (almost) every row, as an id has: {some(unique, MOST_NAMES)}"
            )
    return warnings


def label_warnings(x: np.ndarray, y: np.ndarray, names: Sequence[str]) -> list[str]:
    """Inputs that by themselves tell the classes apart.

    Args:
        x: the training part without missing values, (rows, F).
        y: its classes, (rows,).
        names: of the F inputs.
    """
    rows = sample_rows(len(x))
    telling = []
    for name, column in zip(names, x[rows].T, strict=True):
        auc = best_auc(column, y[rows])
        if auc >= TELLS_APART:
            telling.append(f"{name} (AUC {auc:.3f})")
    if not telling:
        return []
    return [
        f"each of these inputs by itself tells the classes apart: {some(telling, MOST_NAMES)}; do they know the label?"
    ]


def best_auc(values: np.ndarray, y: np.ndarray) -> float:
    """The area under the ROC curve of a column, of several classes that of the one it tells best from the rest.

    Either direction counts, so that it is 0.5 at least.
    """
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    sizes = np.bincount(y)
    ranks = np.bincount(y, weights=rank)
    pairs = sizes * (len(y) - sizes)
    areas = (ranks - sizes * (sizes + 1) / 2)[pairs > 0] / pairs[pairs > 0]
    return float(np.maximum(areas, 1 - areas).max(initial=0.5))


def shared_rows(train: np.ndarray, test: np.ndarray) -> int:
    """How many rows of the test part stand in the training part as well, both (rows, F) float32."""
    return int(np.isin(_hashes(test), _hashes(train)).sum())


def shared_warnings(train: np.ndarray, test: np.ndarray) -> list[str]:
    """Says so."""
    shared = shared_rows(train, test)
    return [
        f"{shared} of the {len(test)} rows of the test part have the same inputs as a row of the training part"
    ] * bool(shared)


def _hashes(x: np.ndarray) -> np.ndarray:
    """A number for each row, (rows,) uint64: equal for equal rows, and hardly ever else."""
    random = np.random.RandomState(0)
    factors = [np.uint64(2 * random.randint(2**62) + 1) for _ in range(x.shape[1])]
    hashes = np.zeros(len(x), dtype=np.uint64)
    for block in row_blocks(len(x)):
        mixed = hashes[block]
        for column, factor in zip(x[block].T, factors, strict=True):
            mixed ^= (column + np.float32(0)).view(np.uint32) * factor
            mixed *= np.uint64(0x9E3779B97F4A7C15)
            mixed ^= mixed >> np.uint64(29)
    return hashes


def _is_id(column: np.ndarray) -> bool:
    known = column[~np.isnan(column)]
    return (
        len(known) >= UNIQUE * len(column)
        and bool((np.floor(known) == known).all())
        and len(np.unique(known)) >= UNIQUE * len(column)
    )
