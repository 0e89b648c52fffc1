"""How many inputs are enough: the grid, the rule, and what is trained to find out."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from pruning_core.metrics import ACCURACY
from search.trials.enough import BEST, Curve, Hyperparameters, Measured, Point, find, grid, sentence


def a_point(keep: int, mean: float, error: float = 0.01, complete: float = 1, cost: float | None = None) -> Point:
    return Point(keep, mean, error, complete, keep if cost is None else cost, {"strategy": "stepped"})


class Trainer:
    """Scores that rise up to `enough` inputs and fall slowly behind; the better a configuration, the higher.

    Of seed k of so many the score is off by the same at every n.
    """

    def __init__(self, enough: int, incomplete: Sequence[int] = (), failing: Sequence[str] = ()) -> None:
        self.enough, self.incomplete, self.failing = enough, incomplete, failing
        self.trained: list[tuple[int, str, bool]] = []

    def __call__(self, pairs: Sequence[tuple[int, Hyperparameters]], fresh: bool) -> list[Measured | None]:
        self.trained += [(keep, str(params["strategy"]), fresh) for keep, params in pairs]
        return [self.measured(keep, params) for keep, params in pairs]

    def measured(self, keep: int, params: Hyperparameters) -> Measured | None:
        if params["strategy"] in self.failing:
            return None
        gain = -0.03 * max(self.enough - keep, 0) - 0.002 * max(keep - self.enough, 0)
        scores = 0.9 + gain + params["worth"] + np.array([-0.01, 0, 0.01])
        return Measured(scores.tolist(), [keep] * 3, 0.5 if keep in self.incomplete else 1.0)


CONFIGURATIONS: list[dict[str, Any]] = [
    {"strategy": name, "worth": worth} for name, worth in [("a", 0.0), ("b", -0.1), ("c", 0.04), ("d", 0.03)]
]


@pytest.mark.parametrize("inputs", [2, 3, 14, 41, 1000])
def test_the_grid_goes_from_one_input_to_all_but_one_in_steps_of_the_same_ratio(inputs: int) -> None:
    keeps = grid(inputs)
    assert (keeps[0], keeps[-1]) == (1, inputs - 1)
    assert keeps == sorted(set(keeps))
    assert all(high <= 2 * low for low, high in pairwise(keeps))
    assert len(keeps) <= 2 + math.log2(inputs)


def test_the_fewest_inputs_within_one_standard_error_of_the_best_are_chosen() -> None:
    curve = Curve((a_point(4, 0.80), a_point(8, 0.891), a_point(12, 0.895), a_point(16, 0.90), a_point(32, 0.89)))
    assert curve.best == curve.points[3]
    assert curve.line == pytest.approx(0.89)
    assert curve.chosen == curve.points[1]


def test_a_score_on_the_line_is_within() -> None:
    curve = Curve((a_point(8, 0.3), a_point(9, 0.1 + 0.2, error=0.0)))
    assert curve.points[0].mean < curve.points[1].mean, "by rounding alone"
    assert curve.chosen == curve.points[0]


def test_with_costs_the_cheapest_is_chosen_though_it_has_more_inputs() -> None:
    curve = Curve((a_point(8, 0.9, cost=30.0), a_point(9, 0.9, cost=11.0), a_point(16, 0.9, cost=25.0)))
    assert curve.chosen == curve.points[1]
    assert curve.priced
    assert "9 inputs are enough at a mean cost of 11" in sentence(curve, ACCURACY)


def test_an_n_whose_seeds_do_not_all_complete_neither_sets_the_line_nor_is_chosen() -> None:
    curve = Curve((a_point(4, 0.95, complete=0.75), a_point(8, 0.8), a_point(12, 0.9), a_point(16, 0.99, complete=0.5)))
    assert curve.chosen == curve.best == curve.points[2]
    nothing = Curve((a_point(4, 0.95, complete=0.75),))
    assert nothing.chosen is None
    assert sentence(nothing, ACCURACY) == "At no n did every seed complete."


def test_a_curve_is_what_its_json_says() -> None:
    curve = Curve((a_point(4, 0.8), a_point(8, 0.9)))
    entry = curve.as_json()
    assert entry["chosen"] == 8
    assert [point["keep"] for point in entry["curve"]] == [4, 8]
    assert Curve.read(entry) == curve


@pytest.mark.parametrize("enough", [1, 5, 12, 77, 99])
def test_the_knee_of_a_curve_is_found_to_the_input(enough: int) -> None:
    curve = find(Trainer(enough), 100, CONFIGURATIONS)
    assert curve.chosen is not None
    assert abs(curve.chosen.keep - enough) <= 0.05 * enough


def test_the_best_configurations_train_at_every_n_with_fresh_seeds_and_no_others() -> None:
    trainer = Trainer(12)
    curve = find(trainer, 100, CONFIGURATIONS)
    fresh = {(keep, name) for keep, name, of_curve in trainer.trained if of_curve}
    assert fresh == {(point.keep, name) for point in curve.points for name in "cd"}
    assert len(fresh) == sum(of_curve for *_, of_curve in trainer.trained) == BEST * len(curve.points)
    assert {point.params["strategy"] for point in curve.points} == {"c"}
    explored = {keep for keep, name, of_curve in trainer.trained if not of_curve and name != "a"}
    assert explored == {16, 32}, "the others are tried where the default says that enough is, and above"


def test_a_configuration_that_cannot_be_trained_is_passed_over() -> None:
    curve = find(Trainer(12, failing="c"), 40, CONFIGURATIONS)
    assert {point.params["strategy"] for point in curve.points} == {"d"}


def test_where_nothing_completes_nothing_is_chosen() -> None:
    assert find(Trainer(5, incomplete=range(100)), 20, CONFIGURATIONS).chosen is None


def test_a_study_with_a_single_configuration_has_a_curve_as_well() -> None:
    chosen = find(Trainer(5), 20, CONFIGURATIONS[:1]).chosen
    assert chosen is not None
    assert chosen.keep == 5
