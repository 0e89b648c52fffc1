"""Whether a search was needed: the best of many trials against a strategy's defaults, by fresh seeds."""

from typing import Any

import numpy as np
import pytest

from search.study.space import Point
from search.train.confirmation import Confirmed, best_or_defaults
from search.trials.defaults import default_trial, needed, verdict
from search.trials.trial import Trial

POINTS: list[Point] = [
    {"strategy": "stepped", "growth": 1.15},
    {"strategy": "stepped", "growth": 10.0},
    {"strategy": "plateau"},
]


def attempt(number: int, validation: list[float], complete: float = 1.0) -> Confirmed:
    """A configuration that was trained with fresh seeds."""
    nothing: dict[str, Any] = {"test": validation, "beside": {}, "roc": [], "selected": [["a"]], "pruners": {}}
    return Confirmed(
        trial=Trial(number, {"strategy": "stepped", "growth": 1.15 if number == 0 else 1.0 + number}),
        config={},
        outcome={"complete": complete},
        completion_epochs=[30],
        validation=validation,
        replica_epochs=1,
        network="none",
        **nothing,
    )


def test_the_defaults_are_found_among_the_trials_by_their_values() -> None:
    trials = [attempt(number, [0.9]).trial for number in (3, 0, 2)]
    found = default_trial(trials, POINTS, "stepped")
    assert found is not None
    assert found.number == 0
    assert default_trial(trials[:1], POINTS, "stepped") is None
    assert default_trial(trials, POINTS, "markov") is None


def test_the_best_is_taken_only_if_it_is_more_than_a_standard_error_above_the_defaults() -> None:
    plain = attempt(0, [0.90, 0.92, 0.91, 0.93])
    lucky = attempt(1, [0.93, 0.90, 0.94, 0.90])  # 0.0025 above, with a standard error of 0.015
    better = attempt(2, [0.93, 0.95, 0.93, 0.96])
    taken = best_or_defaults([lucky, plain], plain.trial)
    assert taken.trial is plain.trial
    assert taken.above_defaults is not None
    assert taken.above_defaults["mean"] == pytest.approx(np.mean(lucky.validation) - np.mean(plain.validation))
    taken = best_or_defaults([lucky, plain, better], plain.trial)
    assert taken.trial is better.trial
    assert needed(taken.above_defaults)
    assert best_or_defaults([lucky, better], None).trial is better.trial
    assert best_or_defaults([lucky, better], None).above_defaults is None


def test_defaults_that_do_not_complete_are_not_taken() -> None:
    plain, complete = attempt(0, [0.9, 0.91], complete=0.5), attempt(1, [0.9, 0.91])
    assert best_or_defaults([plain, complete], plain.trial).trial is complete.trial


def test_the_verdict_says_whether_a_search_was_needed() -> None:
    entry: dict[str, Any] = {"trials": 14, "above_defaults": {"mean": 0.012, "half": 0.004, "standard_error": 0.002}}
    assert verdict("stepped", entry) == (
        "The best of 14 trials of stepped is 1.2 ± 0.4 points above its defaults on validation."
    )
    entry["above_defaults"] = {"mean": 0.002, "half": 0.004, "standard_error": 0.002}
    assert verdict("stepped", entry) == (
        "No search was needed for stepped: the best of 14 trials, 0.2 ± 0.4 points above its defaults on validation, "
        "cannot be told from them by its standard error, so the defaults were taken."
    )
    entry["above_defaults"] = {"mean": 0.0, "half": 0.0, "standard_error": 0.0}
    assert verdict("stepped", entry).endswith("none of its 14 trials is better than its defaults.")
    assert verdict("stepped", {"trials": 14, "above_defaults": None}) == ""
    assert not needed({"mean": 0.003, "half": 0.004}), "a search of before"
