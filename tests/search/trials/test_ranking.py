"""Which of two trials is better, and what a search looks like at a glance."""

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from search.trials.overview import NOT_FINITE, Overview, last_line
from search.trials.ranking import merit, merit_of, merit_of_confirmed, ranked
from search.trials.result import at, by_keep, confirmed_by_keep
from search.trials.trial import LoggedTrial, Trial, schedule

STRATEGIES = ("stepped", "plateau")


@st.composite
def trials(draw: st.DrawFn) -> list[Trial]:
    """The trials of a search, some of them on their way."""
    drawn = []
    for number in range(draw(st.integers(0, 12))):
        ending: Any = draw(st.sampled_from([None, "ended", "stopped", "failed"]))
        over = ending in ("ended", "stopped")
        drawn.append(
            Trial(
                number=number,
                params={"strategy": draw(st.sampled_from(STRATEGIES))},
                ending=ending,
                score=draw(st.sampled_from([0.0, 0.5, 0.9])) if over else None,
                complete=draw(st.sampled_from([0.0, 0.5, 1.0])) if over else 0.0,
                epochs_run=draw(st.integers(0, 50)),
                error=draw(st.sampled_from(["", "Traceback\nRuntimeError: no memory\n"])) if ending == "failed" else "",
            )
        )
    return drawn


@given(trials())
def test_completion_comes_first_then_accuracy_then_the_earlier_trial(of_search: list[Trial]) -> None:
    found = ranked(of_search)
    assert Counter(t.number for t in found) == Counter(t.number for t in of_search if t.ending in ("ended", "stopped"))
    places = [(trial.complete, trial.score or 0.0, -trial.number) for trial in found]
    assert places == sorted(places, reverse=True)


def test_trials_and_confirmed_ones_are_judged_alike() -> None:
    trial = Trial(0, {"strategy": "stepped"}, ending="ended", complete=1.0, score=0.9)
    entry = {"outcome": {"complete": 1.0}, "validation": {"mean": 0.9}, "test": {"mean": 0.1}}
    assert merit_of(trial) == merit_of_confirmed(entry) == merit(1.0, 0.9)
    assert merit(1.0, 0.1) > merit(0.9, 1.0) > merit(0.9, None)


@given(trials())
def test_the_arms_of_an_overview_add_up_to_the_whole(of_search: list[Trial]) -> None:
    whole = Overview.of(of_search, STRATEGIES, lambda trial: trial.strategy)
    assert list(whole.arms) == list(STRATEGIES)
    over = [trial for trial in of_search if trial.ending is not None]
    assert whole.trials == len(over)
    assert whole.failed == sum(whole.errors.values()) == sum(trial.ending == "failed" for trial in over)
    assert list(whole.errors.values()) == sorted(whole.errors.values(), reverse=True)
    assert set(whole.errors) <= {NOT_FINITE, "RuntimeError: no memory"}
    for name in ("trials", "completed", "stopped", "failed", "epochs_run"):
        assert getattr(whole, name) == sum(getattr(arm, name) for arm in whole.arms.values())
    assert whole.best == next(iter(ranked(of_search)), None)
    if whole.best:
        assert whole.best in [arm.best for arm in whole.arms.values()]


def test_what_was_not_planned_is_counted_too() -> None:
    stranger = Trial(0, {"strategy": "nobody"}, ending="ended", complete=1.0, score=0.9)
    found = Overview.of([stranger], STRATEGIES, lambda trial: trial.strategy)
    assert (found.arms["nobody"].completed, found.arms["stepped"].trials, found.completed) == (1, 0, 1)


def test_only_a_trial_that_came_to_its_end_with_every_seed_complete_is_completed() -> None:
    def completed(ending: Any, complete: float) -> bool:
        return Trial(0, {"strategy": "stepped"}, ending=ending, complete=complete).completed

    assert completed("ended", 1.0)
    assert not any([completed("ended", 0.5), completed("stopped", 1.0), completed("failed", 1.0), completed(None, 1.0)])


def test_a_trial_counts_as_its_outcome_or_as_how_it_ended() -> None:
    def category(ending: Any) -> str:
        return LoggedTrial(0, {"strategy": "stepped"}, ending=ending, outcome="mixed").category

    assert [category(ending) for ending in ("ended", "stopped", "failed")] == ["mixed", "stopped", "failed"]


def test_a_trial_of_a_single_n_has_every_n() -> None:
    assert Trial(0, {"strategy": "stepped"}).has(4)
    assert Trial(0, {"strategy": "stepped", "keep": 4}).has(4)
    assert not Trial(0, {"strategy": "stepped", "keep": 4}).has(5)


def test_a_schedule_names_what_searches_vary_in_one_line() -> None:
    assert schedule({"growth": 1.23456, "mu": "one", "keep": 4, "epochs": 9}) == "growth 1.23  mu one"
    assert last_line("Traceback\n  line\nError: it\n") == "Error: it"
    assert last_line("") == ""


def test_a_result_is_read_alike_with_one_n_and_with_several() -> None:
    entry = {"strategies": {"stepped": {"test": {"per_seed": [0.9]}}}, "winner": "stepped"}
    assert by_keep(entry) == {"": entry}
    assert confirmed_by_keep(entry) == {}
    several = {**entry, "keeps": {"16": entry, "4": {"strategies": {}, "winner": None}}}
    assert list(by_keep(several)) == ["16", "4"]
    assert confirmed_by_keep(several) == {"stepped": {16: [0.9]}}
    assert (at("16"), at("")) == (" at n = 16", "")
