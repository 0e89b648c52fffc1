"""Whether there is time for another trial, and for the confirmation after it."""

import pytest

from search.trials.pace import SECONDS_BESIDE, Pace, confirmation_trials


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def pace_of(clock: Clock, until: float | None, together: int = 1, confirmed: float = 0.0) -> Pace:
    return Pace(until, together, lambda ended: confirmed, clock)


def take(pace: Pace, clock: Clock, *seconds: float) -> None:
    """Trials one after the other that take so long."""
    for number, each in enumerate(seconds):
        pace.started(number)
        clock.now += each
        pace.ended(number)


def test_without_a_limit_trials_begin_for_ever() -> None:
    clock = Clock()
    pace = pace_of(clock, until=None)
    take(pace, clock, 1e9)
    assert pace.may_begin(running=0)
    assert not pace.used_up


def test_trials_begin_until_the_first_has_ended_however_little_time_there_is() -> None:
    clock = Clock()
    pace = pace_of(clock, until=1)
    pace.started(0)
    assert pace.may_begin(running=1)
    clock.now = 2
    pace.ended(0)
    assert not pace.may_begin(running=0)


@pytest.mark.parametrize(("left", "begins"), [(2.0, True), (1.9, False)])
def test_a_trial_begins_if_it_ends_in_time_by_the_median_so_far(left: float, begins: bool) -> None:
    clock = Clock()
    pace = pace_of(clock, until=22 + SECONDS_BESIDE + left)
    take(pace, clock, 1, 2, 19)
    assert pace.may_begin(running=0) == begins
    assert pace.used_up != begins


@pytest.mark.parametrize(("running", "begins"), [(3, True), (4, False)])
def test_a_trial_waits_its_turn_where_all_workers_are_busy(running: int, begins: bool) -> None:
    clock = Clock()
    pace = pace_of(clock, until=4 + SECONDS_BESIDE + 8, together=2)
    take(pace, clock, 4)
    assert pace.may_begin(running) == begins


@pytest.mark.parametrize(("left", "begins"), [(4 + 3 * 4, True), (4 + 3 * 4 - 1, False)])
def test_the_confirmation_has_its_share_of_the_time(left: float, begins: bool) -> None:
    clock = Clock()
    pace = pace_of(clock, until=4 + SECONDS_BESIDE + left, together=2, confirmed=5)
    take(pace, clock, 4)
    assert pace.may_begin(running=0) == begins


def test_once_the_hours_are_used_up_no_trial_begins_any_more() -> None:
    clock = Clock()
    pace = pace_of(clock, until=20 + SECONDS_BESIDE)
    take(pace, clock, 10)
    assert pace.may_begin(running=0)
    assert not pace.may_begin(running=1)
    assert not pace.may_begin(running=0)


def test_the_confirmation_grows_with_the_trials_up_to_three_of_each_arm_and_its_default() -> None:
    assert [confirmation_trials(n, arms=2, seeds=8, fresh_seeds=16) for n in (1, 8, 60)] == [14, 28, 28]
