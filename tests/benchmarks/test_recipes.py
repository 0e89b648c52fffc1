"""The comparison of recipes trains each way as its name says."""

import numpy as np
import pytest

from benchmarks.recipes import MAIN, TRIED, Way, generated, measure, row
from pruning_core.data import Dataset

WAYS = MAIN | TRIED


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
def test_each_way_is_trained_and_its_forward_passes_counted(way: Way, data: Dataset) -> None:
    values, change = way
    accuracy_R, complete_R, passes_R = measure(data, 3, ({**values, "epochs": 3}, change))
    assert ((accuracy_R >= 0) & (accuracy_R <= 100)).all()
    if values.get("strategy") == "swap":
        assert complete_R.all()
        proposals = 0 if change and change.__name__ == "no_swaps" else values.get("proposals", 2)
        assert (passes_R == 3 * (1 + proposals)).all()


def test_a_line_has_both_spreads_and_no_passes_where_none_completes() -> None:
    accuracies = np.array([[90.0, 92.0], [94.0, 96.0]])
    nothing = [np.stack([accuracy_R, np.zeros(2), np.full(2, np.nan)]) for accuracy_R in accuracies]
    assert row("wine", "none", nothing) == "| wine | none | 93.0 | 2.0 | 1.0 | 0 % | – |"
    some = [np.stack([accuracy_R, np.array([1, 0]), np.array([30, np.nan])]) for accuracy_R in accuracies]
    assert row("wine", "some", some).endswith("| 50 % | 30 |")


def test_generated_data_has_few_rows_of_each_class() -> None:
    made = generated(50, 3, seed=1, rows=20)
    assert made.test is not None
    assert tuple(made.train.x.shape) == (60, 50)
    assert made.train.y.bincount().min() > 10
    assert len(made.test.y) > 1990
