"""How long a step of the pruner weights should be where an epoch has many steps: test accuracy over a grid.

    python benchmarks/steps.py [--steps 0.1 0.03 0.012 0.004] [--splits 0 1] [--seeds 8] [--quick]

Two generated sets of 13,020 training rows with 10 inputs, of which 4 are kept, by the defaults but for the step.
"""

import argparse
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split

sys.path.insert(0, str(Path(__file__).parent.parent))

from pruning_core.config import TrialConfig
from pruning_core.data import Dataset, from_arrays
from pruning_core.inner_loop import REFERENCE_STEPS
from pruning_core.training import train

SETS: dict[str, dict[str, Any]] = {
    "10 inputs": {"n_informative": 6, "n_redundant": 2, "n_clusters_per_class": 3, "class_sep": 0.9, "flip_y": 0.05},
    "10 others": {"n_informative": 5, "n_redundant": 3, "n_clusters_per_class": 4, "class_sep": 1.0, "flip_y": 0.02},
}


def load(shape: dict[str, Any], split: int) -> Dataset:
    """18,600 rows, of which 70 % are trained on, 16 % validated on and 14 % tested on."""
    x, y = make_classification(18_600, 10, shuffle=False, random_state=0, **shape)
    train_x, x, train_y, y = train_test_split(x, y, train_size=0.7, stratify=y, random_state=1000 + split)
    validation_x, x, validation_y, y = train_test_split(x, y, train_size=0.16 / 0.3, stratify=y, random_state=split)
    return from_arrays((train_x, train_y), (validation_x, validation_y), (x, y))


def measure(data: Dataset, strategy: str, step: float, seeds: int) -> tuple[float, float]:
    """Test accuracy and the share of complete seeds, with pruner weights that move by `step` at each training step."""
    assert data.test is not None
    config = TrialConfig(keep=4, strategy=strategy)
    steps = train(config, data, [0]).loop.rows.steps
    length = step * max(1.0, steps / REFERENCE_STEPS)
    longer = config.model_copy(update={"pruner_learning_rate": length})
    run = train(longer, data.without_test(), range(seeds))
    list(run)
    return float(np.mean(run.accuracy(data.test))), run.history.outcomes().count("complete") / seeds


def main() -> None:
    """Measures, and prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=float, nargs="+", default=[0.1, 0.03, 0.012, 0.004], metavar="LENGTH")
    parser.add_argument("--splits", type=int, nargs="+", default=[0, 1], metavar="SEED")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--quick", action="store_true", help="one step, one split and two seeds")
    options = parser.parse_args()
    if options.quick:
        options.steps, options.splits, options.seeds = [0.1], [0], 2
    print("| data | strategy | step | test accuracy | complete |\n| --- | --- | --- | --- | --- |")
    for name, shape in SETS.items():
        for strategy, step in product(("adaptive", "stepped"), options.steps):
            found = [measure(load(shape, split), strategy, step, options.seeds) for split in options.splits]
            accuracy, complete = np.mean(found, axis=0)
            print(f"| {name} | {strategy} | {step:g} | {accuracy:.2%} | {complete:.0%} |", flush=True)


if __name__ == "__main__":
    main()
