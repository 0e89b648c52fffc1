"""Which hyperparameters set the most accurate trials apart, and how trials are read out of Optuna."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruning_core.hyperparameters import Choices, Range, Value
from search.propose.importance import importance
from search.propose.reading import distribution, searched
from search.trials.trial import Trial


def a_trial(number: int, growth: float = 2.0, accuracy: float = 0.9) -> Trial:
    space: dict[str, Range | Choices] = {
        "strategy": Choices(("stepped",)),
        "growth": Range(1, 10, log=True),
        "mu": Choices(("one", "frozen")),
    }
    params = {"strategy": "stepped", "growth": growth, "mu": "one"}
    return Trial(number, params, space, "ended", accuracy, 1.0, (accuracy,))


def test_importance_is_quick_and_finds_the_hyperparameter_that_matters() -> None:
    random = np.random.default_rng(0)
    trials = [a_trial(number, 10**place, place) for number, place in enumerate(random.uniform(size=400).tolist())]
    started = time.process_time()
    found = importance(trials)
    assert time.process_time() - started < 5
    assert list(found) == ["growth", "mu"]
    assert sum(found.values()) == pytest.approx(1)
    assert importance([a_trial(number) for number in range(20)]) == {}
    assert importance([]) == {}


VALUES: list[Value] = ["one", "frozen", 3, 2.5]
numbers = st.tuples(st.integers(1, 50), st.integers(50, 99))
entries = st.one_of(
    st.lists(st.sampled_from(VALUES), min_size=1, unique=True).map(lambda v: Choices(tuple(v))),
    st.builds(lambda ends, log: Range(ends[0], ends[1], log, integer=True), numbers, st.booleans()),
    st.builds(lambda ends, log: Range(float(ends[0]), ends[1] + 0.5, log), numbers, st.booleans()),
)


@given(entries)
def test_optuna_holds_a_space_as_it_was_written(entry: Range | Choices) -> None:
    assert searched(distribution(entry)) == entry
