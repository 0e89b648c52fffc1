"""How many inputs `data.keep: auto` takes of data of which one knows how many matter, and of the digits.

python benchmarks/enough.py [--quick] [--file KNOWN.jsonl]

Of N inputs 12 matter, the others are noise. Linear: a weighted sum of the 12 decides, the weights between 0.5 and 1.5.
Nonlinear: `sklearn.datasets.make_classification`, two clusters in each of two classes. Every seed makes other data.
Each row of the table has been trained in this process with the defaults of a study, without Ray, Optuna's database and
MLflow. With `--file`, what has been trained is kept there, and not trained again.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits, make_classification
from sklearn.model_selection import train_test_split

from pruning_core import from_arrays, train
from pruning_core.data import Dataset
from search.propose.optimiser import drawn
from search.propose.storage import quiet_optuna
from search.study import Study
from search.trials.enough import CONFIGURATIONS, Curve, Hyperparameters, Measured, find

MATTER = 12
ENOUGH = (10, 14)
Arrays = tuple[np.ndarray, np.ndarray]


def linear(rows: int, inputs: int, seed: int) -> Arrays:
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, inputs))
    matter = random.permutation(inputs)[:MATTER]
    weights = random.uniform(0.5, 1.5, MATTER) * random.choice([-1, 1], MATTER)
    return x, (x[:, matter] @ weights + 0.5 * random.normal(size=rows) > 0).astype(int)


def nonlinear(rows: int, inputs: int, seed: int) -> Arrays:
    made: Arrays = make_classification(
        rows, inputs, n_informative=MATTER, n_redundant=0, class_sep=1.5, flip_y=0.01, random_state=seed
    )
    return made


def cases(quick: bool) -> Iterator[tuple[str, int, int, int, Arrays]]:
    """Kind, rows, N and seed of each set, and the set."""
    if not quick:
        digits = load_digits(return_X_y=True)
        yield "digits", len(digits[1]), digits[0].shape[1], 0, digits
    for seed in range(1 if quick else 3):
        for rows in (400,) if quick else (1000, 5000):
            for inputs in (20,) if quick else (40, 100, 200):
                for make in (linear, nonlinear):
                    yield make.__name__, rows, inputs, seed, make(rows, inputs, seed)


def parts(rows: Arrays) -> Dataset:
    """Training, validation and test part, stratified, as a study splits by default."""
    x, y = rows
    x, x_test, y, y_test = train_test_split(x, y, test_size=0.15, stratify=y, random_state=0)
    x, x_validation, y, y_validation = train_test_split(x, y, test_size=15 / 85, stratify=y, random_state=0)
    return from_arrays((x, y), (x_validation, y_validation), (x_test, y_test))


def curve_of(data: Dataset) -> Curve:
    """What a search with `data.keep: auto` would train first."""
    study = Study.model_validate({"name": "enough", "data": {"source": "wine", "keep": "auto"}}).with_folds(data)
    seen = data.without_test()

    def measure(pairs: Sequence[tuple[int, Hyperparameters]], fresh: bool) -> list[Measured | None]:
        found: list[Measured | None] = []
        for keep, params in pairs:
            seeds = study.search.curve_seeds if fresh else range(study.training.seeds)
            run = train(study.at(keep).trial_config(params), seen, seeds, device="cpu")
            for _ in run:
                if run.history.hopeless():
                    break
            last = run.history.records[-1]
            found.append(Measured(last.pruned_accuracy.tolist(), [keep] * len(seeds), float(last.complete.mean())))
        return found

    with quiet_optuna():
        configurations = drawn(study, CONFIGURATIONS)
    return find(measure, len(data.feature_names), configurations)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, help="JSON lines of what has been trained")
    parser.add_argument("--quick", action="store_true", help="small sets, to see that it runs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    known: list[dict[str, Any]] = []
    if options.file and options.file.exists():
        known = [json.loads(line) for line in options.file.read_text().splitlines()]
    print("| data | rows | N | seed | n | within 10 to 14 | score at n | best n | best score | CPU s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for kind, rows, inputs, seed, arrays in cases(options.quick):
        case = [kind, rows, inputs, seed]
        entry = next((each for each in known if each["case"] == case), None)
        if entry is None:
            started = time.process_time()
            entry = {"case": case, **curve_of(parts(arrays)).as_json(), "seconds": time.process_time() - started}
            if options.file:
                with options.file.open("a") as file:
                    file.write(json.dumps(entry) + "\n")
        print(line(case, entry), flush=True)


def line(case: Sequence[object], entry: dict[str, Any]) -> str:
    """A set's line of the table."""
    curve = Curve.read(entry)
    chosen, best = curve.chosen, curve.best
    if chosen is None or best is None:
        return f"| {' | '.join(map(str, case))} | none | | | | | {entry['seconds']:.0f} |"
    known = case[0] != "digits"
    within = ("yes" if ENOUGH[0] <= chosen.keep <= ENOUGH[1] else "no") if known else ""
    scores = f"{100 * chosen.mean:.1f} | {best.keep} | {100 * best.mean:.1f} ± {100 * best.error:.1f}"
    return f"| {' | '.join(map(str, case))} | {chosen.keep} | {within} | {scores} | {entry['seconds']:.0f} |"


if __name__ == "__main__":
    main()
