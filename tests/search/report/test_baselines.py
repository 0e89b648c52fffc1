"""The methods that a pruning is compared with: each finds the inputs that matter, from the training part alone."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from pruning_core.config import TrialConfig
from pruning_core.data import Dataset, Part
from search.report import baselines

Choose = Callable[[Dataset, int], list[int]]
CONFIG = TrialConfig(keep=3, hidden=(8,), learning_rate=0.02)
CHEAP: dict[str, Choose] = {
    "anova": baselines.by_anova,
    "mutual information": baselines.by_mutual_information,
    "random forest": baselines.by_random_forest,
    "recursive elimination": baselines.by_recursive_elimination,
    "l1 path": baselines.by_l1_path,
}
TRAINED: dict[str, Choose] = {
    "lassonet": lambda data, keep: baselines.by_lassonet(
        data, keep, CONFIG.hidden, lambda_start=1, path_multiplier=1.3, n_iters=(100, 30)
    ),
    "stochastic gates": lambda data, keep: baselines.by_stochastic_gates(data, keep, CONFIG),
}


@pytest.mark.parametrize("name", [*CHEAP, *TRAINED])
def test_every_method_finds_the_informative_inputs(name: str, data: Dataset) -> None:
    choose = (CHEAP | TRAINED)[name]
    swapped = torch.arange(11, -1, -1)
    turned = replace(data, train=Part(data.train.x[:, swapped], data.train.y))
    turned = replace(turned, validation=Part(data.validation.x[:, swapped], data.validation.y))
    state = torch.get_rng_state()
    assert choose(data, 3) == [0, 1, 2]
    assert choose(turned, 3) == [9, 10, 11]
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", CHEAP)
def test_the_cheap_methods_see_nothing_but_the_training_part(name: str, data: Dataset) -> None:
    blank = replace(data, validation=Part(data.validation.x * 0, data.validation.y), test=None)
    for keep in (1, 5):
        chosen = CHEAP[name](data, keep)
        assert CHEAP[name](blank, keep) == chosen
        assert len(set(chosen)) == keep


def test_stochastic_gates_are_noisy_in_training_only() -> None:
    pruner = baselines.StochasticGates(4, 2, initial_weight=0.25)
    torch.manual_seed(0)
    assert len(set(pruner.gates().tolist())) > 1
    assert pruner.eval().gates().tolist() == [0.25] * 4
