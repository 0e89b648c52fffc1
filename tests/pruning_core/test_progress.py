"""What a run has come to, on hand-made histories."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruning_core.config import TrialConfig
from pruning_core.progress import (
    OUTCOMES,
    OpenGates,
    completion_epochs,
    drasticness,
    frequencies,
    hopeless,
    kept_most,
    outcome,
    summary,
    worst,
)


@pytest.mark.parametrize(
    ("complete", "expected"),
    [
        ([0, 0, 0, 0], None),
        ([1, 1, 1, 1], 1),
        ([0, 0, 1, 1], 3),
        ([0, 0, 0, 1], 4),
        ([1, 1, 1, 0], None),
        ([1, 0, 1, 1], 3),
    ],
)
def test_completion_epoch_is_the_first_from_which_a_run_stays_complete(
    complete: list[int], expected: int | None
) -> None:
    assert completion_epochs(np.array(complete, dtype=bool)[:, None]) == [expected]


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=12))
def test_completion_epochs_of_several_replicas(rows: list[list[bool]]) -> None:
    expected: list[int | None] = []
    for r in range(3):
        epochs = [e for e in range(1, len(rows) + 1) if all(row[r] for row in rows[e - 1 :])]
        expected.append(min(epochs, default=None))
    assert completion_epochs(np.array(rows)) == expected


def test_drasticness_is_the_largest_fall_of_one_epoch_over_the_gates_that_shall_fall() -> None:
    fell = np.array([[0, 0, 8], [1, 3, 0], [2, 3, 0], [1, 0, 0]], dtype=float)
    assert drasticness(fell, dropped=8).tolist() == [0.25, 0.375, 1]


@pytest.mark.parametrize(
    ("complete", "active", "expected"),
    [(True, 4, "complete"), (False, 4, "undecided"), (False, 5, "too little"), (False, 3, "collapsed")],
)
def test_outcomes(complete: bool, active: int, expected: str) -> None:
    assert outcome(complete, active, keep=4) == expected
    assert expected in OUTCOMES


def test_the_outcome_of_a_replica_is_the_worst_of_its_pruners() -> None:
    order = ["collapsed", "too little", "undecided", "complete"]
    for i, bad in enumerate(order):
        for better in order[i:]:
            assert worst([better, bad]) == worst([bad, better, better]) == bad


def test_summary_is_mean_population_deviation_and_the_values() -> None:
    assert summary(np.array([0.5, 0.5, 0.9, 0.7])) == {
        "mean": pytest.approx(0.65),
        "std": pytest.approx(np.sqrt((0.15**2 * 2 + 0.25**2 + 0.05**2) / 4)),
        "per_seed": [0.5, 0.5, 0.9, 0.7],
    }


def test_summary_of_a_list_is_that_of_an_array() -> None:
    assert summary([0.5, 0.25]) == summary(np.array([0.5, 0.25]))


SELECTED = [["d", "a", "b"], ["a", "c", "b"], ["b", "e", "a"], ["b", "c", "f"]]


def test_how_often_each_unit_is_kept_most_frequent_first_and_equals_as_they_appear() -> None:
    counted = frequencies(SELECTED)
    assert list(counted.items()) == [("b", 1.0), ("a", 0.75), ("c", 0.5), ("d", 0.25), ("e", 0.25), ("f", 0.25)]
    assert frequencies([]) == {}


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8), min_size=1, max_size=6))
def test_frequencies_are_in_the_order_of_a_counter(selected: list[list[str]]) -> None:
    counts = Counter(name for names in selected for name in names)
    assert list(frequencies(selected)) == [name for name, _ in counts.most_common()]
    for n in range(9):
        assert kept_most(selected, n) == [name for name, _ in counts.most_common(n)]


def test_the_units_that_most_seeds_keep() -> None:
    assert kept_most(SELECTED, 4) == ["b", "a", "c", "d"]


STUCK, MOVING, FULL = 0.005, 0.3, 1e7


def judge(
    active: list[int],
    drift: float | list[float] = STUCK,
    loss: list[float] | None = None,
    complete: list[int] | None = None,
    lambda_: float | list[float] = 1.0,
    **config: Any,
) -> str | None:
    """`hopeless` for 4 replicas that shall keep 10 of 30 gates."""
    replicas = len(active)
    return hopeless(
        TrialConfig(keep=10, **config),
        [OpenGates(np.array(active, dtype=float), keep=10, units=30)],
        total_loss_R=np.array(loss or [0.5] * replicas),
        complete_R=np.array(complete or [0] * replicas, dtype=bool),
        drift_R=np.broadcast_to(np.array(drift), (replicas,)),
        lambda_R=np.broadcast_to(np.array(lambda_), (replicas,)),
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_is_hopeless(bad: float) -> None:
    assert "finite" in str(judge([10, 10, 10, 10], MOVING, loss=[0.1, 0.1, bad, 0.1], complete=[1, 1, 0, 1]))
    assert judge([10, 10, 10, 10], MOVING) is None


def test_half_of_the_replicas_collapsed_and_frozen_is_hopeless() -> None:
    assert "collapsed" in str(judge([9, 0, 15, 15]))
    assert judge([9, 15, 15, 15]) is None
    assert judge([9, 9, 15, 15], MOVING) is None
    assert judge([9, 9, 15, 15], [STUCK, MOVING, STUCK, STUCK]) is None
    assert judge([9, 9, 15, 15], np.inf) is None
    assert judge([10, 10, 10, 10]) is None


@pytest.mark.parametrize(
    "strategy",
    [{"strategy": "stepped"}, {"strategy": "plateau"}, {"strategy": "markov", "alpha": "plateau"}],
)
def test_half_of_the_replicas_stuck_far_from_n_at_lambda_max_is_hopeless(strategy: dict[str, Any]) -> None:
    assert "lambda_max" in str(judge([13, 30, 10, 10], lambda_=FULL, **strategy))
    assert judge([13, 30, 10, 10], lambda_=FULL / 2, **strategy) is None
    assert judge([13, 30, 10, 10], lambda_=[FULL, 1, 1, 1], **strategy) is None
    assert judge([13, 30, 10, 10], MOVING, lambda_=FULL, **strategy) is None
    assert judge([12, 30, 10, 10], lambda_=FULL, **strategy) is None
    assert judge([13, 10, 10, 10], lambda_=FULL, **strategy) is None
    assert "lambda_max" in str(judge([13, 9, 10, 10], lambda_=FULL, **strategy))


@pytest.mark.parametrize("strategy", [{"strategy": "fixed"}, {"strategy": "ratio"}])
def test_a_strategy_without_a_growing_lambda_is_never_at_lambda_max(strategy: dict[str, Any]) -> None:
    assert judge([30, 30, 30, 30], lambda_=1.0, lambda_max=1.0, lambda_start=1.0, **strategy) is None


def test_complete_replicas_are_never_stuck() -> None:
    assert judge([10, 10, 9, 10], complete=[1, 1, 0, 1]) is None
    assert judge([9, 9, 10, 10], complete=[1, 1, 0, 0]) is None


def judge_two(first: list[int], second: list[int], lambda_: float = FULL) -> str | None:
    """`hopeless` for stuck replicas whose two pruners shall keep 10 of 30 and 4 of 14 gates."""
    return hopeless(
        TrialConfig(keep=10),
        [OpenGates(np.array(first), keep=10, units=30), OpenGates(np.array(second), keep=4, units=14)],
        total_loss_R=np.full(len(first), 0.5),
        complete_R=np.zeros(len(first), dtype=bool),
        drift_R=np.full(len(first), STUCK),
        lambda_R=np.full(len(first), lambda_),
    )


def test_a_replica_collapses_with_one_of_its_pruners_however_many_gates_others_have_open() -> None:
    assert "collapsed" in str(judge_two([15, 9, 10, 10], [3, 14, 4, 4], lambda_=1.0))
    assert judge_two([15, 10, 10, 10], [3, 14, 4, 4], lambda_=1.0) is None


def test_far_from_complete_counts_the_gates_that_have_yet_to_fall_over_all_pruners() -> None:
    assert judge_two([13, 13, 10, 10], [4, 4, 4, 4]) is None
    assert "lambda_max" in str(judge_two([13, 13, 10, 10], [5, 5, 4, 4]))
    assert "lambda_max" in str(judge_two([10, 10, 10, 10], [8, 8, 4, 4]))
