"""When the last trials of a search count as having brought nothing."""

from typing import Any

import pytest

from search.trials.plateau import Ended, Plateau
from search.trials.trial import Trial


def trials(*scores: float | None, error: float = 0.01, **values: Any) -> list[Trial]:
    """Complete trials with these scores; None for one that failed."""
    made: dict[str, Any] = {"standard_error": error, "complete": 1.0, **values}
    return [
        Trial(number, {"strategy": "stepped"}, ending="failed" if score is None else "ended", score=score, **made)
        for number, score in enumerate(scores)
    ]


def reached_after(plateau: Plateau, coming: list[Trial]) -> int | None:
    """How many trials end until the plateau is reached."""
    for number, trial in enumerate(coming, 1):
        plateau.ended(trial)
        if plateau.reached:
            return number
    return None


@pytest.mark.parametrize(
    ("scores", "after"),
    [
        ((0.9, 0.8, 0.8, 0.8), 4),
        ((0.8, 0.9, 0.8, 0.8, 0.8), 5),
        ((0.9, 0.905, 0.909, 0.9), 4),
        ((0.9, 0.905, 0.911, 0.9, 0.9), 5),
        ((0.9, 0.9, 0.911, 0.9, 0.9, 0.9), 6),
        ((0.90, 0.905, 0.91, 0.915, 0.92, 0.925), None),
        ((0.9, None, None, None, 0.8, 0.8, 0.8), 7),
        ((0.7, 0.8, 0.9), None),
    ],
)
def test_a_plateau_is_reached_when_three_trials_raise_the_best_by_no_more_than_its_standard_error(
    scores: tuple[float | None, ...], after: int | None
) -> None:
    assert reached_after(Plateau(3), trials(*scores)) == after


def test_without_a_standard_error_every_rise_is_a_gain() -> None:
    assert reached_after(Plateau(2), trials(0.9, 0.901, 0.9, 0.902, 0.9, 0.9, error=0.0)) == 6


def test_trials_that_do_not_complete_are_no_best_and_count() -> None:
    plateau = Plateau(2, trials(0.8))
    assert reached_after(plateau, trials(0.99, 0.99, complete=0.5)) == 2


def test_a_search_in_which_nothing_has_completed_goes_on() -> None:
    assert reached_after(Plateau(2), trials(*[0.9] * 20, complete=0.5)) is None


def test_of_several_n_a_gain_for_any_of_them_counts() -> None:
    large, small = ({"strategy": "stepped", "keep": keep} for keep in (8, 4))
    tried = [(large, 0.95), (small, 0.7), (small, 0.8), (large, 0.95), (small, 0.8)]
    coming = [Trial(k, params, score=score, ending="ended", complete=1) for k, (params, score) in enumerate(tried)]
    assert reached_after(Plateau(2), coming) == 5


def test_once_reached_it_stays_so_though_a_trial_on_its_way_brings_a_gain() -> None:
    plateau = Plateau(2, trials(0.9, 0.8, 0.8))
    assert plateau.reached
    plateau.ended(trials(0.99)[0])
    assert plateau.reached


def test_without_patience_no_plateau_is_reached() -> None:
    assert reached_after(Plateau(None), trials(*[0.9] * 50)) is None


def test_a_search_that_ended_on_a_plateau_goes_on_with_more_trials_or_more_patience() -> None:
    over = trials(0.9, 0.8, 0.8, 0.99)
    ended = Ended(trials=20, patience=2, over=4)
    assert Plateau(2, over, 20, ended).reached, "though its last trial, on its way then, brought a gain"
    assert Plateau(1, over, 20, ended).reached
    assert not Plateau(None, over, 20, ended).reached
    assert not Plateau(3, over, 20, ended).reached

    more = Plateau(2, trials(0.9, 0.8, 0.8, 0.8), 30, ended)
    assert not more.reached
    assert reached_after(more, trials(0.8, 0.8, 0.8)) == 2, "the count begins anew"
    assert more.note() == Ended(30, 2, 6)
