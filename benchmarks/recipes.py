"""Recipes without a search: pruned test accuracy, how many replicas complete, how many forward passes it takes.

    python benchmarks/recipes.py [--splits 3 4 5] [--quick]

Every way has the library's defaults but for what its name says, and 8 seeds on each split of data of many kinds.
Forward passes are those until completion, in units of one epoch of back-propagation: a training step is one, and each
proposal one more.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks import steps
from pruning_core.config import TrialConfig
from pruning_core.data import Dataset, from_arrays, load_dataset
from pruning_core.swap import SwapChain
from pruning_core.training import Training, train

SEEDS = 8
FEW = 60
"""Training rows of each class in generated data with few rows."""
FEW_TELL = {"n_informative": 10, "n_redundant": 10, "n_clusters_per_class": 1}
NOISY = {"n_informative": 20, "n_redundant": 0, "n_clusters_per_class": 2, "class_sep": 0.8, "flip_y": 0.05}


class BlindSwaps(SwapChain):
    """Draws both units of a swap at random; which units close is decided as ever."""

    def _swapped(self, weights: list[Tensor], numbers_RM: Tensor, choice_R: Tensor) -> list[Tensor]:
        squares = self.squares
        self.squares = [torch.ones_like(square_RN) for square_RN in squares]
        proposal = super()._swapped(weights, numbers_RM, choice_R)
        self.squares = squares
        return proposal


class Blind(SwapChain):
    """Knows no gradient: units close in a random order, and swaps are drawn by that same order."""

    def observe(self, weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
        if not self.steps:
            self.squares = [self.random.uniform(weights_RN.shape[1]).double() for weights_RN in weights]


def no_swaps(run: Training) -> None:
    """Leaves the closing of units alone to move the mask."""
    assert isinstance(run.loop.chain, SwapChain)
    run.loop.chain.most_proposals = 0


def becomes(chain: type[SwapChain]) -> Callable[[Training], None]:
    """Exchanges the chain of a run for another kind."""

    def change(run: Training) -> None:
        assert run.loop.chain is not None
        run.loop.chain.__class__ = chain

    return change


Way = tuple[dict[str, Any], Callable[[Training], None] | None]
MAIN: dict[str, Way] = {f"`{name}`": ({"strategy": name}, None) for name in ("adaptive", "stepped", "swap")}
TRIED: dict[str, Way] = {
    "`adaptive`, 15 epochs to shrink": ({"strategy": "adaptive", "shrink_epochs": 15}, None),
    "`adaptive`, 60 epochs to shrink": ({"strategy": "adaptive", "shrink_epochs": 60}, None),
    "`stepped`, w0 = 1": ({"strategy": "stepped", "initial_weight": 1.0}, None),
    "`stepped`, lambda_start = 2": ({"strategy": "stepped", "lambda_start": 2.0}, None),
    "`stepped`, w0 = 1, lambda_start = 1": ({"strategy": "stepped", "initial_weight": 1.0, "lambda_start": 1.0}, None),
    "`plateau`": ({"strategy": "plateau"}, None),
    "`markov`": ({"strategy": "markov"}, None),
    "`markov`, 9 proposals": ({"strategy": "markov", "proposals": 9}, None),
    "`swap`, 9 proposals": ({"strategy": "swap", "proposals": 9}, None),
    "`swap`, T = 0.01": ({"strategy": "swap", "temperature": 0.01}, None),
    "`swap`, no swaps": ({"strategy": "swap", "proposals": 1}, no_swaps),
    "`swap`, swaps at random": ({"strategy": "swap"}, becomes(BlindSwaps)),
    "`swap`, no gradients": ({"strategy": "swap"}, becomes(Blind)),
    "`swap`, 10 epochs to shrink": ({"strategy": "swap", "shrink_epochs": 10}, None),
    "`swap`, 60 epochs to shrink": ({"strategy": "swap", "shrink_epochs": 60}, None),
}


def generated(inputs: int, classes: int, seed: int, rows: int, **shape: Any) -> Dataset:
    """Data with so many training rows for each class.

    Of the inputs 10 tell something, 10 are sums of these, and the others noise, unless `shape` says so in the words of
    scikit-learn's `make_classification`.
    """
    from sklearn.datasets import make_classification

    train_rows, validation_rows = rows * classes, rows * classes // 4
    shape = FEW_TELL | shape
    x, y = make_classification(
        train_rows + validation_rows + 2000, inputs, n_classes=classes, random_state=seed, **shape
    )
    ends = train_rows, train_rows + validation_rows
    parts = zip(np.split(x, ends), np.split(y, ends), strict=True)
    return from_arrays(*parts, name=f"N = {inputs}")


def named(name: str, split: int) -> Dataset:
    """Data that come with the package."""
    return load_dataset(name, folder=Path(), split_seed=split)


Make = Callable[[int], Dataset]
DATA: dict[str, tuple[Make, int]] = {
    "digits": (lambda split: named("digits", split), 16),
    "breast_cancer": (lambda split: named("breast_cancer", split), 4),
    "wine": (lambda split: named("wine", split), 3),
    "N = 77": (lambda split: generated(77, 4, 100 + split, 160), 10),
    "N = 77, few rows": (lambda split: generated(77, 4, 600 + split, 10), 10),
    "N = 500, 20 tell": (lambda split: generated(500, 2, 1200 + split, 350, **NOISY), 20),
    "N = 500": (lambda split: generated(500, 4, 200 + split, 160), 10),
    "N = 617": (lambda split: generated(617, 6, 300 + split, FEW), 16),
    "N = 653": (lambda split: generated(653, 4, 400 + split, 160), 20),
    "N = 1024": (lambda split: generated(1024, 3, 500 + split, FEW), 8),
    "N = 10, many rows": (lambda split: steps.load(steps.SETS["10 inputs"], split), 4),
    "N = 10, many others": (lambda split: steps.load(steps.SETS["10 others"], split), 4),
}


def measure(data: Dataset, keep: int, way: Way) -> np.ndarray:
    """Test accuracy, whether complete, and forward passes until then (NaN without), of each seed: (3, R)."""
    values, change = way
    config = TrialConfig(keep=keep, **values)
    run = train(config, data, range(SEEDS), device="cpu")
    if change:
        change(run)
    passes = 1 + run.loop.proposals
    for _ in run:
        pass
    assert data.test is not None
    epochs = np.array(run.result()["completion_epoch"], dtype=float)
    return np.stack([100 * np.array(run.accuracy(data.test)), np.isfinite(epochs), passes * epochs])


def row(name: str, way: str, measured: Sequence[np.ndarray]) -> str:
    """A line of the table: the spread is that of the means of the splits, then that of the seeds within them."""
    accuracy_SR, complete_SR, passes_SR = np.stack(measured, axis=1)
    seeds = accuracy_SR.std(axis=1).mean()
    passes = f"{np.nanmean(passes_SR):.0f}" if complete_SR.any() else "–"
    return (
        f"| {name} | {way} | {accuracy_SR.mean():.1f} | {accuracy_SR.mean(axis=1).std():.1f} | {seeds:.1f} "
        f"| {100 * complete_SR.mean():.0f} % | {passes} |"
    )


def main() -> None:
    """Measures, and prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--splits", type=int, nargs="+", default=[3, 4, 5], metavar="SEED")
    parser.add_argument("--quick", action="store_true", help="one split of wine")
    options = parser.parse_args()
    torch.set_num_threads(1)
    splits = options.splits[:1] if options.quick else options.splits
    names = ["wine"] if options.quick else list(DATA)
    print("| data | way | test accuracy, % | ± splits | ± seeds | complete | forward passes |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for ways, sets in ((MAIN, names), (TRIED, [name for name in names if name in ("digits", "N = 77", "N = 653")])):
        for name in sets:
            make, keep = DATA[name]
            parts = [make(split) for split in splits]
            for way, how in ways.items():
                print(row(name, way, [measure(data, keep, how) for data in parts]), flush=True)


if __name__ == "__main__":
    main()
