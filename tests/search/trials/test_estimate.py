"""Means over seeds with their intervals, and how numbers and lists are said."""

import numpy as np
import pytest
from scipy import stats

from search.trials.estimate import Estimate, count, estimate, gap, listing, paired, points


def test_intervals_are_students() -> None:
    values = [0.91, 0.93, 0.95, 0.92]
    found = estimate(values)
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert found.half is not None
    assert (found.mean - found.half, found.mean + found.half) == pytest.approx((low, high))
    assert str(Estimate(0.96, 0.004)) == "96.0 % (95 % interval 95.6 to 96.4 %)"
    assert Estimate(0.96, 0.0002).short == "96.00 ± 0.02 %"
    assert Estimate(-0.0001, 0.004).short == "0.0 ± 0.4 %"
    assert "one seed" in str(estimate([0.9]))
    assert estimate([0.9]).short == "90.0 %"
    assert str(Estimate(0.999, 0.01)).endswith("to 100.0 %)")


def test_gaps_say_whether_the_seeds_can_tell() -> None:
    assert gap(Estimate(0.02, 0.01)) == "2.0 ± 1.0 points behind"
    assert gap(Estimate(-0.004, 0.01)) == "0.4 ± 1.0 points ahead (not significant)"
    assert gap(Estimate(0.0001, 0.01)) == "as accurate"
    assert gap(Estimate(0.02, None)) == "2.0 points behind"
    assert [listing(["a", "b", "c"][:k]) for k in range(4)] == ["", "a", "a and b", "a, b and c"]


def test_a_paired_difference_is_that_of_each_seed() -> None:
    difference = paired([0.9, 0.8, 0.7], [0.8, 0.7, 0.6])
    assert difference.mean == pytest.approx(0.1)
    assert difference.half == pytest.approx(0, abs=1e-12)


def test_numbers_are_said_as_people_write_them() -> None:
    assert (points(0.9604), points(-0.004), points(-0.0001), points(1, 0)) == ("96.0", "−0.4", "0.0", "100")
    assert (count(1, "trial"), count(1000, "trial"), count(0, "trial")) == ("1 trial", "1,000 trials", "0 trials")
