"""The methods that a pruning is compared with: each finds the inputs that matter, from the training part alone."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from benchmarks import methods
from pruning_core.config import TrialConfig
from pruning_core.data import Dataset, Part
from search.report import baselines

Choose = Callable[[Dataset, int], list[int]]
CONFIG = TrialConfig(keep=3, hidden=(8,), learning_rate=0.02)
CHEAP: dict[str, Choose] = {
    "anova": methods.by_anova,
    "mutual information": baselines.by_mutual_information,
    "random forest": baselines.by_random_forest,
    "recursive elimination": methods.by_recursive_elimination,
    "l1 path": methods.by_l1_path,
}
TRAINED: dict[str, Choose] = {
    "lassonet": lambda data, keep: methods.by_lassonet(
        data, keep, CONFIG.hidden, lambda_start=1, path_multiplier=1.3, n_iters=(100, 30)
    ),
    "stochastic gates": lambda data, keep: methods.by_stochastic_gates(data, keep, CONFIG),
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


@pytest.mark.parametrize("name", [*CHEAP, *TRAINED])
def test_rows_count_by_their_weight(name: str, data: Dataset) -> None:
    """In the second half of the rows other inputs tell the classes apart."""

    def halves(part: Part, heavy: int) -> Part:
        turned = part.x[:, torch.arange(11, -1, -1)]
        weight = torch.tensor([0.01, 0.01]).index_fill(0, torch.tensor(heavy), 1.0).repeat_interleave(len(part.y))
        return Part(torch.cat([part.x, turned]), part.y.repeat(2), weight)

    for heavy, expected in ((0, [0, 1, 2]), (1, [9, 10, 11]))[name in TRAINED :]:
        weighted = replace(data, train=halves(data.train, heavy), validation=halves(data.validation, heavy))
        assert (CHEAP | TRAINED)[name](weighted, 3) == expected


@pytest.mark.parametrize("name", ["mutual information", "random forest"])
def test_weights_that_are_all_alike_change_nothing(name: str, data: Dataset) -> None:
    alike = replace(data, train=replace(data.train, weight=torch.full((len(data.train.y),), 0.3)))
    assert CHEAP[name](alike, 5) == CHEAP[name](data, 5)


def test_stochastic_gates_are_noisy_in_training_only() -> None:
    pruner = methods.StochasticGates(4, 2, initial_weight=0.25)
    torch.manual_seed(0)
    assert len(set(pruner.gates().tolist())) > 1
    assert pruner.eval().gates().tolist() == [0.25] * 4
