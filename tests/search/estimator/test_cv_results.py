"""`cv_results_`: the trials of a search in scikit-learn's form."""

import numpy as np

from search.estimator.cv_results import cv_results
from search.trials.trial import Trial


def test_trials_in_scikit_learns_form() -> None:
    trials = [
        Trial(0, {"strategy": "stepped", "growth": 1.5}, ending="ended", score=0.8, complete=1.0),
        Trial(1, {"strategy": "markov", "delta": 0.1}, ending="stopped", score=0.95, complete=0.5),
        Trial(2, {"strategy": "stepped", "growth": 2.0}, ending="ended", score=0.9, complete=1.0),
        Trial(3, {"strategy": "stepped", "growth": 3.0}, ending="failed"),
        Trial(4, {"strategy": "markov", "delta": 0.2}, ending="ended", score=0.8, complete=1.0),
    ]
    results = cv_results(trials)
    assert results["params"][1] == {"strategy": "markov", "delta": 0.1}
    assert results["rank_test_score"].tolist() == [2, 4, 1, 5, 2], "completion comes before accuracy"
    np.testing.assert_array_equal(results["mean_test_score"], [0.8, 0.95, 0.9, np.nan, 0.8])
    np.testing.assert_array_equal(results["std_test_score"], [0, 0, 0, np.nan, 0])
    assert results["param_growth"].mask.tolist() == [False, True, False, False, True]
    assert results["param_delta"].compressed().tolist() == [0.1, 0.2]
    assert results["ending"].tolist() == ["ended", "stopped", "ended", "failed", "ended"]
    assert {len(values) for values in results.values()} == {5}
