"""What folds and a refit gain: test accuracy of the default recipe, as it is and trained again on a choice of inputs.

    python benchmarks/refit.py [SET ...] [--splits 0 1] [--folds 0 4 8]

Sixteen replicas train by the defaults, without folds (0) or in K of them. Prints, in per cent on test, means over the
splits: the networks that learnt while gates closed (pruned); each replica trained from the start on the inputs that it
kept itself (own inputs); and all of them on the n inputs that most of them kept: as a search has it (refit), for all
epochs, and for the number that is best on validation; with a step that falls to 0 over the second half of them; and
with the weights averaged over it. A SET is one of `benchmarks/sets.py`, digits or breast_cancer.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.sets import KINDS, write_set
from pruning_core.config import TrialConfig
from pruning_core.data import Dataset
from pruning_core.networks import GATED_MLP
from pruning_core.progress import kept_most
from pruning_core.selection.refit import best_epoch, with_inputs, without_pruning
from pruning_core.training import Training, train
from search.study import load_trial

HERE = Path(__file__).parent
SEEDS = range(16)
SETS = ("digits", "breast_cancer", "inputs_77", "few_rows_77", "noisy_500")


def accuracy_on_test(run: Training, data: Dataset) -> float:
    """Trains to the end; the mean over the replicas."""
    for _ in run:
        pass
    assert data.test is not None
    return float(np.mean(run.accuracy(data.test)))


def on_own_inputs(config: TrialConfig, data: Dataset, selected: Sequence[Sequence[str]]) -> Training:
    """Every replica with the inputs that it kept itself."""
    run = train(config, data.without_test(), SEEDS)
    with torch.no_grad():
        for gates_N, names in zip(run.replicas.pruner_weights[0], selected, strict=True):
            gates_N.fill_(-torch.inf)
            gates_N[[data.feature_names.index(name) for name in names]] = torch.inf
    return run


def with_falling_step(run: Training, data: Dataset) -> float:
    """Trains with a step that falls to 0 over the second half of the epochs."""
    groups = run.optimizer.groups
    for record in run:
        left = min(1.0, 2 * (1 - record.epoch / run.config.epochs))
        run.optimizer.groups = [replace(group, learning_rate=left * group.learning_rate) for group in groups]
    return accuracy_on_test(run, data)


def with_averaged_weights(run: Training, data: Dataset) -> float:
    """Trains to the end, and averages the networks' weights over the second half of the epochs."""
    moving = {name: p for name, p in run.replicas.parameters.items() if name not in run.replicas.pruner_parameters}
    late = [
        {name: p.detach().clone() for name, p in moving.items()}
        for record in run
        if record.epoch > run.config.epochs / 2
    ]
    with torch.no_grad():
        for name, parameter in moving.items():
            parameter.copy_(torch.stack([weights[name] for weights in late]).mean(0))
    return accuracy_on_test(run, data)


def measure(config: TrialConfig, data: Dataset) -> tuple[float, ...]:
    """Test accuracy of the pruned networks, with their own inputs once more, and refitted in five ways."""
    assert data.test is not None
    run = train(config, data.without_test(), SEEDS)
    pruned, selected = accuracy_on_test(run, data), run.selected()
    again = without_pruning(config.used())
    columns = [data.feature_names.index(name) for name in kept_most(selected, len(selected[0]))]

    def begun() -> Training:
        return train(again, data.without_test(), SEEDS, with_inputs(columns, GATED_MLP))

    refit = begun()
    test_E = [float(np.mean(refit.accuracy(data.test))) for _ in refit]
    validation_ER = refit.history.array("pruned_accuracy")
    ends = (best_epoch(validation_ER), len(test_E), int(validation_ER.mean(1).argmax()) + 1)
    own = accuracy_on_test(on_own_inputs(again, data, selected), data)
    ways: list[Callable[[Training, Dataset], float]] = [with_falling_step, with_averaged_weights]
    return pruned, own, *(test_E[end - 1] for end in ends), *(way(begun(), data) for way in ways)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=SETS, metavar="SET")
    parser.add_argument("--splits", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--folds", type=int, nargs="+", default=[0, 4, 8])
    options = parser.parse_args()
    torch.set_num_threads(1)
    columns = ("pruned", "own inputs", "refit", "all epochs", "best on validation", "falling step", "averaged weights")
    print(f"| data | folds | {' | '.join(columns)} |")
    print(f"| --- | ---: |{' ---: |' * len(columns)}")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.sets:
            path = write_set(name, Path(folder)) if name in KINDS else HERE / f"{name}.yaml"
            for folds in options.folds:
                found: list[Any] = []
                for split in options.splits:
                    study, config = load_trial(path, [f"data.split_seed={split}"])
                    found.append(measure(config.model_copy(update={"folds": folds or None}), study.load_data()))
                cells = " | ".join(f"{mean:.1f}" for mean in 100 * np.mean(found, axis=0))
                print(f"| {name} | {folds or '–'} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
