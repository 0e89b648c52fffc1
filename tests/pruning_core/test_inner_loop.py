"""How far gates move in an epoch does not hang on how many steps it has."""

import pytest
from sklearn.datasets import make_classification

from pruning_core.config import TrialConfig
from pruning_core.data import Dataset, from_arrays
from pruning_core.inner_loop import REFERENCE_STEPS, of_an_epoch
from pruning_core.optimizer import AdamW
from pruning_core.training import Training, train


def rows(count: int) -> Dataset:
    """The first rows of one set of 10 inputs, 200 of them to validate."""
    x, y = make_classification(6000, 10, n_informative=4, n_redundant=2, random_state=3)
    return from_arrays((x[:count], y[:count]), (x[-200:], y[-200:]))


def trained(data: Dataset) -> Training:
    run = train(TrialConfig(keep=4, hidden=(8,), batch_size=8), data, range(2), device="cpu")
    list(run)
    return run


def test_up_to_the_reference_a_step_size_is_what_it_is_to_the_bit() -> None:
    assert {of_an_epoch(0.07, steps) for steps in range(1, REFERENCE_STEPS + 1)} == {0.07}


@pytest.mark.parametrize("steps", [26, 210, 15_625])
def test_beyond_it_all_steps_of_an_epoch_together_are_as_long(steps: int) -> None:
    assert steps * of_an_epoch(0.07, steps) == pytest.approx(REFERENCE_STEPS * 0.07)


@pytest.mark.parametrize("count", [200, 1000])
def test_weight_decay_and_pruner_learning_rate_are_those_of_an_epoch(count: int) -> None:
    run = trained(rows(count))
    assert isinstance(run.loop.optimizer, AdamW)
    network, pruners = run.loop.optimizer.groups
    share = min(1.0, REFERENCE_STEPS / run.loop.rows.steps)
    assert (network.weight_decay, pruners.learning_rate) == (0.1 * share, 0.1 * share)


def test_five_times_the_rows_complete_as_gradually() -> None:
    few, many = trained(rows(200)), trained(rows(1000))
    assert many.loop.rows.steps == 5 * few.loop.rows.steps
    for run in (few, many):
        assert run.history.outcomes() == ["complete"] * 2
    earliest: list[int] = [min(run.result()["completion_epoch"]) for run in (few, many)]  # type: ignore[call-overload]
    assert earliest[1] >= earliest[0]
