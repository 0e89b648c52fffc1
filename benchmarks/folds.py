"""Whether a trial's score says more about its test accuracy with folds than with one validation part.

    python benchmarks/folds.py [--configurations 100] [--file FILE] [--quick]

Random configurations of `stepped` and `plateau`, from the ranges that a search has, train on each data set with one
validation part and with K folds: the same eight seeds, the same number of epochs. A configuration's *worth* is its mean
accuracy on a test part that is half of the data or more, over all its networks of all ways, so that no way is measured
by its own networks alone. Prints for each way the rank correlation (Spearman) of score and worth among configurations
that complete in every way, and the worth of what a search of 40 of them would have taken, a mean over such searches.
What FILE has already is not trained again.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.datasets import load_breast_cancer, load_digits, make_classification
from sklearn.model_selection import train_test_split

sys.path.insert(0, str(Path(__file__).parent.parent))

from pruning_core.config import TrialConfig, search_ranges
from pruning_core.data import Dataset, from_arrays
from pruning_core.hyperparameters import Range
from pruning_core.strategies import STRATEGIES
from pruning_core.training import train

WAYS: tuple[int | None, ...] = (None, 4, 8)
SEEDS, SEARCH, SEARCHES = range(8), 40, 1000
NETWORK = ("learning_rate", "pruner_learning_rate")


def data_sets() -> dict[str, tuple[Dataset, int]]:
    """Each data set with its n; a half at least is test."""
    many = make_classification(6000, 200, n_informative=20, n_redundant=0, n_classes=2, shuffle=False, random_state=11)
    five = make_classification(
        5400, 77, n_informative=10, n_redundant=8, n_classes=5, n_clusters_per_class=1, shuffle=False, random_state=12
    )
    return {
        "digits, 16 of 60 inputs": (parts(load_digits(return_X_y=True), 0.5), 16),
        "breast_cancer, 4 of 30": (parts(load_breast_cancer(return_X_y=True), 0.5), 4),
        "180 of 200 inputs useless, 1,000 rows": (parts(many, 5000 / 6000), 20),
        "five classes of 80 rows, 10 of 77": (parts(five, 5000 / 5400), 10),
    }


def parts(rows: tuple[np.ndarray, np.ndarray], test: float) -> Dataset:
    """Training, validation and test part, stratified; the first two as 70 to 15."""
    x, y = rows
    x, x_test, y, y_test = train_test_split(x, y, test_size=test, stratify=y, random_state=0)
    x, x_validation, y, y_validation = train_test_split(x, y, test_size=15 / 85, stratify=y, random_state=0)
    return from_arrays((x, y), (x_validation, y_validation), (x_test, y_test))


def configurations(count: int, keep: int) -> list[TrialConfig]:
    """Random ones, the strategies in turn."""
    random, ranges, found = np.random.default_rng(0), search_ranges(), []
    for number in range(count):
        strategy = ("stepped", "plateau")[number % 2]
        values: dict[str, Any] = {"strategy": strategy, "keep": keep}
        for name in (*(h.name for h in STRATEGIES[strategy].hyperparameters), *NETWORK):
            entry = ranges.get(name)
            if isinstance(entry, Range):
                low, high = (np.log(entry.low), np.log(entry.high)) if entry.log else (entry.low, entry.high)
                value = random.uniform(low, high)
                value = float(np.exp(value)) if entry.log else float(value)
                values[name] = round(value) if isinstance(entry.low, int) else value
            elif entry is not None:
                values[name] = entry.values[int(random.integers(len(entry.values)))]
        found.append(TrialConfig(**values))
    return found


def trained(config: TrialConfig, data: Dataset) -> dict[str, Any]:
    """Score, mean accuracy on the test part, and the share of the seeds that completed."""
    assert data.test is not None
    run = train(config, data.without_test(), SEEDS, device="cpu")
    for _ in run:
        pass
    last = run.history.records[-1]
    return {
        "score": float(last.pruned_accuracy.mean()),
        "test": float(np.mean(run.accuracy(data.test))),
        "complete": float(last.complete.mean()),
    }


def summary(rows: Sequence[Mapping[str, Mapping[str, float]]]) -> list[str]:
    """The cells of one data set."""
    complete = [row for row in rows if all(way["complete"] == 1 for way in row.values())]
    worth = np.array([np.mean([way["test"] for way in row.values()]) for row in complete])
    random = np.random.default_rng(0)
    chosen = [random.choice(len(complete), min(SEARCH, len(complete)), replace=False) for _ in range(SEARCHES)]
    best = float(np.mean([worth[some].max() for some in chosen]))
    cells = [f"{len(complete)} of {len(rows)}", f"{100 * best:.2f}"]
    for way in map(str, WAYS):
        score = np.array([row[way]["score"] for row in complete])
        taken = float(np.mean([worth[some[score[some].argmax()]] for some in chosen]))
        upper = worth >= np.median(worth)
        rank, of_upper = spearmanr(score, worth).statistic, spearmanr(score[upper], worth[upper]).statistic
        cells.append(f"{rank:.2f}, {of_upper:.2f}, {100 * taken:.2f}")
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configurations", type=int, default=100)
    parser.add_argument("--file", type=Path, help="JSON lines of what has been trained")
    parser.add_argument("--quick", action="store_true", help="ten configurations of each data set")
    options = parser.parse_args()
    torch.set_num_threads(1)
    count = 10 if options.quick else options.configurations
    known = [json.loads(line) for line in options.file.read_text().splitlines()] if _exists(options.file) else []
    ways = ["one part", *(f"{folds} folds" for folds in WAYS if folds)]
    print(f"| data | complete | best of {SEARCH} | {' | '.join(ways)} |")
    print(f"| --- | --- | --- |{' --- |' * len(ways)}")
    started = time.monotonic()
    sets = {name: (data, configurations(count, keep)) for name, (data, keep) in data_sets().items()}
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in sets}
    for number in range(count):
        for name, (data, configs) in sets.items():
            found = [each["ways"] for each in known if (each["data"], each["number"]) == (name, number)]
            if not found:
                found = [{str(k): trained(configs[number].model_copy(update={"folds": k}), data) for k in WAYS}]
                if options.file:
                    with options.file.open("a") as file:
                        file.write(json.dumps({"data": name, "number": number, "ways": found[0]}) + "\n")
            rows[name].append(found[0])
        print(f"{number + 1} of {count}, {time.monotonic() - started:.0f} s", file=sys.stderr)
    for name, of_set in rows.items():
        print(f"| {name} | {' | '.join(summary(of_set))} |")


def _exists(file: Path | None) -> bool:
    return file is not None and file.exists()


if __name__ == "__main__":
    main()
