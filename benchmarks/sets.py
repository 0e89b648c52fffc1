"""Generated data of several kinds as files with a study beside each, so that a search meets them as a user's.

    python benchmarks/sets.py FOLDER

Most rows are test: what is compared there shall not drown in the noise of a few hundred rows.
"""

import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.datasets import make_classification

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.recipes import FEW_TELL, NOISY
from benchmarks.steps import SETS


class Kind(NamedTuple):
    """Rows that are not test and that are, N, C, n, and what else scikit-learn's `make_classification` shall know."""

    rows: int
    test: int
    inputs: int
    classes: int
    keep: int
    shape: dict[str, Any]


KINDS = {
    "inputs_77": Kind(800, 3000, 77, 4, 10, FEW_TELL),
    "few_rows_77": Kind(160, 3000, 77, 4, 10, FEW_TELL),
    "noisy_500": Kind(875, 3000, 500, 2, 20, NOISY),
    "inputs_617": Kind(450, 2500, 617, 6, 16, FEW_TELL),
    "inputs_1024": Kind(225, 2500, 1024, 3, 8, FEW_TELL),
    "rows_13000": Kind(16_000, 2600, 10, 2, 4, SETS["10 inputs"]),
}


def write_set(name: str, folder: Path) -> Path:
    """Writes one of `KINDS` to a folder, unless it is there; returns the path of its study.

    A fifth of the rows that are not test validates, where there are no folds.
    """
    kind, study = KINDS[name], folder / f"{name}.yaml"
    if not study.exists():
        folder.mkdir(parents=True, exist_ok=True)
        rows = kind.rows + kind.test
        seed = 30 + list(KINDS).index(name)
        x, y = make_classification(rows, kind.inputs, n_classes=kind.classes, random_state=seed, **kind.shape)
        table = pd.DataFrame(x.astype(np.float32), columns=[f"x{i}" for i in range(kind.inputs)])
        table.assign(label=y).to_parquet(folder / f"{name}.parquet")
        validation, test = round(0.2 * kind.rows / rows, 4), round(kind.test / rows, 4)
        split = [round(1 - validation - test, 4), validation, test]
        study.write_text(
            f"name: {name}\ndata: {{source: {name}.parquet, target: label, keep: {kind.keep}, split: {split}}}\n"
        )
    return study


if __name__ == "__main__":
    for each in KINDS:
        print(write_set(each, Path(sys.argv[1])))
