"""The picture of how many inputs are enough, of curves of all kinds."""

from pathlib import Path

import pytest
from png import size

from pruning_core.metrics import ACCURACY
from search.figures.enough import score_within_band
from search.trials.enough import Curve, Point


def a_curve(*means: float, cost: float = 1, complete: float = 1) -> Curve:
    return Curve(tuple(Point(2**k, mean, 0.01, complete, 2**k * cost, {}) for k, mean in enumerate(means)))


@pytest.mark.parametrize(
    "curve",
    [
        a_curve(0.5, 0.6, 0.8, 0.9, 0.91, 0.9),
        a_curve(0.5, 0.6, 0.8, cost=2.5),
        a_curve(0.7),
        a_curve(1.0, 1.0),
        Curve((*a_curve(0.5, 0.9).points, Point(3, 0.8, 0.02, 0.5, 3, {}))),
        a_curve(0.5, 0.6, complete=0.5),
    ],
    ids=["usual", "costs", "one point", "perfect", "one incomplete", "none complete"],
)
def test_every_curve_becomes_a_picture(curve: Curve, tmp_path: Path) -> None:
    score_within_band(tmp_path / "keep.png", curve, ACCURACY)
    assert size(tmp_path / "keep.png")[0] == 2000
