"""What is proposed next, how the end of a trial is told, and how a search goes on after a fault."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import optuna
import pytest
from ledger_essence import essence
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from pruning_core.config import TrialConfig
from search.propose.ledger import Ledger
from search.propose.optimiser import budget
from search.propose.proposer import Proposer
from search.propose.reading import CONSTRAINT, directions
from search.study import Study
from search.study.samplers import SAMPLERS
from search.trials.order import Report, Terms
from search.trials.pareto import pareto_set

TERMS = Terms("a folder")


def a_study(**search: Any) -> Study:
    return Study.model_validate(
        {
            "name": "s",
            "data": {"source": "digits", "keep": 16},
            "strategies": ["stepped", "plateau", "markov"],
            "search": {"trials": 12, **search},
        }
    )


def a_ledger(study: Study) -> Ledger:
    storage = InMemoryStorage()
    return Ledger(optuna.create_study(storage=storage, directions=directions(study)), storage)


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger whose storage, whatever a test does, holds the trials that it shows."""
    ledger = a_ledger(a_study())
    yield ledger
    assert [essence(trial) for trial in ledger.study.get_trials()] == [essence(trial) for trial in ledger.entries]


TWO = ["pruned_accuracy", "completion_epoch"]


def a_report(**values: Any) -> Report:
    end: dict[str, Any] = {"epoch": 90, "total_loss": 0.1, "score": 0.9, "completed": 1.0, "ended": True}
    end["standard_error"] = 0.01
    report = {**end, "completion_epoch": 20.0, "active": 16.0, **values}
    return Report(**{"curve": ((report["epoch"], report["score"]),), **report})


def ask(proposer: Proposer) -> tuple[int, TrialConfig]:
    """The next trial's number and configuration."""
    order = proposer.next()
    assert order is not None
    assert order.terms == proposer.terms
    return order.number, TrialConfig.model_validate_json(order.hyperparameters)


@pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes", "random", "qmc", "grid"])
def test_every_sampler_fills_the_budget_with_valid_trials(sampler: str, ledger: Ledger) -> None:
    study = a_study(sampler=sampler, trials=21)
    proposer = Proposer(study, ledger, TERMS)
    for k in range(21):
        number, config = ask(proposer)
        assert number == k
        score = 0.9 - 0.01 * abs(math.log(config.lambda_start))
        proposer.ended(k, a_report(score=score, completed=1.0 if k % 3 else 0.5), "here")
    assert proposer.next() is None
    assert Counter(t.params["strategy"] for t in ledger.entries) == {"stepped": 7, "plateau": 7, "markov": 7}
    assert all(t.state == TrialState.COMPLETE for t in ledger.entries)
    for trial in ledger.entries:
        used = TrialConfig(keep=16, **trial.params).used()
        assert set(trial.params) <= set(used)


@pytest.mark.parametrize("sampler", ["tpe", "gp", "random", "qmc", "grid"])
def test_two_objectives_give_the_pareto_set_that_optuna_sees(sampler: str) -> None:
    study = a_study(sampler=sampler, trials=15, objective=TWO)
    ledger = a_ledger(study)
    endings: dict[int, dict[str, Any]] = {
        1: {"completed": 0.5},
        2: {"stopped": "collapsed and frozen", "completed": 0.0},
    }
    proposer = Proposer(study, ledger, TERMS)
    for k in range(15):
        if k == 8:  # resumed
            proposer = Proposer(study, ledger, TERMS)
        _, config = ask(proposer)
        score = 0.9 - 0.01 * abs(math.log(config.lambda_start))
        values: dict[str, Any] = {"score": score, "completion_epoch": 20 + 10 * config.learning_rate}
        proposer.reported(k, a_report(**values, epoch=16, ended=False))
        ending = endings.get(k % 6, {})
        proposer.ended(k, a_report(**values, **ending), "here")
        assert ledger.trial(k).score == score
        assert ledger.entries[k].values == (list(values.values()) if k % 6 != 2 else None)
    front = pareto_set(ledger.trials, "pruned_accuracy")
    assert {entry["trial"] for entry in front} == {trial.number for trial in ledger.study.best_trials}
    assert [e["pruned_accuracy"] for e in front] == sorted((e["pruned_accuracy"] for e in front), reverse=True)


def test_a_search_starts_from_the_known_points(ledger: Ledger) -> None:
    study = a_study()
    proposer = Proposer(study, ledger, TERMS)
    for _ in range(6):
        ask(proposer)
    for point in study.varied.known_points():
        assert point in [t.params for t in ledger.entries]


@pytest.mark.parametrize("sampler", ["random", "grid"])
def test_each_strategy_and_n_has_an_equal_share_of_the_trials(sampler: str, ledger: Ledger) -> None:
    document = a_study(sampler=sampler, trials=18).model_dump(mode="json")
    study = Study.model_validate({**document, "data": {"source": "digits", "keep": [16, 4, 8]}})
    proposer = Proposer(study, ledger, TERMS)
    for k in range(18):
        if k == 10:  # resumed
            proposer = Proposer(study, ledger, TERMS)
        _, config = ask(proposer)
        assert config.keep == ledger.entries[k].params["keep"]
        proposer.ended(k, a_report(), "here")
    arms = {(strategy, keep): 2 for strategy in study.strategies for keep in (16, 4, 8)}
    assert Counter((t.params["strategy"], t.params["keep"]) for t in ledger.entries) == arms
    for point in study.varied.known_points() if sampler == "random" else []:
        assert point["strategy"] == "stepped" or point in [t.params for t in ledger.entries]


def test_a_grid_ends_with_its_points(ledger: Ledger) -> None:
    fixed = {"learning_rate": 0.003, "pruner_learning_rate": 0.05, "step_epochs": 1, "mu": "one", "lambda_start": 0.01}
    study = Study.model_validate(
        {
            **a_study(sampler="grid", trials=100).model_dump(mode="json"),
            "strategies": ["stepped"],
            "space": {**fixed, "growth": {"choices": [1.1, 1.2, 1.3]}},
        }
    )
    assert budget(study) == 3
    proposer = Proposer(study, ledger, TERMS)
    grown = {ask(proposer)[1].growth for k in range(3)}
    assert grown == {1.1, 1.2, 1.3}
    assert proposer.next() is None


def test_a_grid_is_tried_whole_though_strategies_have_different_numbers_of_points(ledger: Ledger) -> None:
    space: dict[str, Any] = dict.fromkeys(["lambda_start", "pruner_learning_rate", "learning_rate"], 1)
    space |= {"growth": {"choices": [2, 3, 4, 5, 6]}, "step_epochs": 1, "mu": "one"}
    study = a_study(sampler="grid", trials=100).model_copy(update={"strategies": ("fixed", "stepped")})
    study = Study.model_validate({**study.model_dump(mode="json"), "space": space})
    proposer = Proposer(study, ledger, TERMS)
    while proposer.next():
        pass
    assert sorted(t.params.get("growth", 0) for t in ledger.entries) == [0, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("report", "state"),
    [
        (a_report(), TrialState.COMPLETE),
        (a_report(completed=0.5), TrialState.COMPLETE),
        (a_report(stopped="collapsed and frozen", completed=0.0), TrialState.PRUNED),
        (a_report(ended=False, completed=0.0), TrialState.PRUNED),
        (a_report(total_loss=math.nan, stopped="the loss is not finite", completed=0.0), TrialState.FAIL),
        (a_report(total_loss=math.inf, completed=0.0), TrialState.FAIL),
        (Report.failure("Traceback ...\nRuntimeError: out of memory"), TrialState.FAIL),
    ],
)
def test_how_a_trial_ended_is_told(report: Report, state: TrialState, ledger: Ledger) -> None:
    proposer = Proposer(a_study(early_stopping="asha"), ledger, TERMS)
    ask(proposer)
    proposer.reported(0, a_report(epoch=16, score=0.7, ended=False))
    proposer.ended(0, report, "here")
    proposer.ended(0, report, "elsewhere")
    (entry,), (trial,) = ledger.entries, ledger.trials
    assert entry.state == state
    assert entry.intermediate_values[16] == 0.7
    assert trial.node == "here"
    assert trial.error == report.error
    assert trial.ending == {"COMPLETE": "ended", "PRUNED": "stopped", "FAIL": "failed"}[state.name]
    if state == TrialState.COMPLETE:
        assert entry.value == trial.score == report.score
        assert entry.constraints[CONSTRAINT] == 1 - report.completed
        assert trial.complete == report.completed
        assert trial.standard_error == report.standard_error
        assert (trial.stopped, trial.epochs_run) == ("", 90)
    if state == TrialState.PRUNED:
        assert entry.intermediate_values[90] == trial.score == report.score
        assert trial.stopped == (report.stopped or "by asha")


def test_a_trial_is_running_until_its_end_is_told_or_it_is_given_up(ledger: Ledger) -> None:
    proposer = Proposer(a_study(), ledger, TERMS)
    ask(proposer)
    assert [trial.ending for trial in ledger.trials] == [None]
    assert list(proposer.running) == [0]
    proposer.give_up(0, "its worker died again and again")
    (trial,) = ledger.trials
    assert (trial.ending, trial.error) == ("failed", "its worker died again and again")
    assert list(proposer.running) == []


def test_a_step_that_was_reported_before_a_fault_is_not_reported_again(ledger: Ledger) -> None:
    study = a_study()
    before = Proposer(study, ledger, TERMS)
    ask(before)
    first = a_report(epoch=16, ended=False, curve=((8, 0.5), (16, 0.6)))
    before.reported(0, first)
    after = Proposer(study, ledger, TERMS)
    ask(after)
    after.reported(0, replace(first, curve=((8, 0.1), (16, 0.1), (24, math.nan))))
    after.ended(0, a_report(epoch=32, curve=((8, 0.1), (16, 0.1), (24, math.nan), (32, 0.9))), "here")
    assert ledger.entries[0].intermediate_values == {8: 0.5, 16: 0.6, 32: 0.9}


def test_incomplete_trials_are_infeasible(ledger: Ledger) -> None:
    proposer = Proposer(a_study(), ledger, TERMS)
    for k, (accuracy, completed) in enumerate([(0.9, 1.0), (0.99, 0.875)]):
        ask(proposer)
        proposer.ended(k, a_report(score=accuracy, completed=completed), "here")
    assert ledger.study.best_trial.number == 0


def test_after_a_crash_nothing_is_lost_or_asked_twice(ledger: Ledger) -> None:
    study = a_study(trials=5)
    before = Proposer(study, ledger, TERMS)
    asked = [ask(before) for _ in range(4)]
    before.ended(0, a_report(), "here")
    before.ended(2, a_report(stopped="collapsed and frozen", completed=0.0), "here")

    after = Proposer(study, ledger, replace(TERMS, folder="moved"))
    assert sorted(after.running) == [1, 3]
    assert [ask(after) for _ in range(2)] == [asked[1], asked[3]]
    assert ask(after)[0] == 4
    assert after.next() is None
    for number in (3, 1, 4):
        after.ended(number, a_report(completed=0.5 if number == 3 else 1.0), "here")
    assert [trial.ending for trial in ledger.trials] == ["ended", "ended", "stopped", "ended", "ended"]


def test_after_a_crash_the_points_of_a_grid_are_still_tried_once_each(ledger: Ledger) -> None:
    space = {"lambda_start": {"choices": [1, 2, 3, 4]}, "growth": 2, "step_epochs": 1, "mu": "one"}
    space |= {"learning_rate": 0.01, "pruner_learning_rate": 0.1}
    document = a_study(sampler="grid", trials=4).model_dump(mode="json")
    study = Study.model_validate({**document, "strategies": ["stepped"], "space": space})
    ask(Proposer(study, ledger, TERMS))

    after = Proposer(study, ledger, TERMS)
    tried: dict[int, float] = {}
    for _ in range(4):
        number, config = ask(after)
        tried[number] = config.lambda_start
        assert after.running[number].params["lambda_start"] == config.lambda_start
    assert after.next() is None
    assert sorted(tried.values()) == [1, 2, 3, 4]
    assert [trial.params["lambda_start"] for trial in ledger.entries] == [tried[k] for k in range(4)]


def test_a_gaussian_process_hands_over_to_tpe(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SAMPLERS, "gp", replace(SAMPLERS["gp"], hands_over=(3, "tpe")))
    proposer, samplers = Proposer(a_study(sampler="gp"), ledger, TERMS), []
    for k in range(12):
        ask(proposer)
        proposer.ended(k, a_report(), "here")
        samplers.append([type(optimiser.memory.sampler).__name__ for optimiser in proposer.optimisers.values()])
    assert samplers[0] == ["GPSampler"] * 3
    assert samplers[-1] == ["TPESampler"] * 3


def test_the_sampler_learns_from_what_was_told(ledger: Ledger) -> None:
    study = Study.model_validate({**a_study(trials=90).model_dump(mode="json"), "strategies": ["stepped"]})
    proposer = Proposer(study, ledger, TERMS)
    tried = []
    for k in range(90):
        growth = ask(proposer)[1].growth
        tried.append(abs(math.log(growth / 3)))
        proposer.ended(k, a_report(score=1 - tried[-1]), "here")
    assert sum(tried[-20:]) < 0.5 * sum(tried[2:22])


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_an_arm_tries_its_best_schedule_with_how_the_best_trial_of_all_trains(sampler: str, ledger: Ledger) -> None:
    proposer = Proposer(a_study(trials=36, sampler=sampler), ledger, TERMS)
    for k in range(12):
        ask(proposer)
        proposer.ended(k, a_report(score=0.5 + 0.01 * k if k != 6 else 0.9), "here")
    plateaus = [trial for trial in ledger.trials if trial.strategy == "plateau"]
    best, own = ledger.trial(6), max(plateaus, key=lambda trial: trial.score or 0.0)
    assert best.strategy == "stepped"
    number = next(number for number, config in (ask(proposer) for _ in range(3)) if config.strategy == "plateau")
    tried = ledger.trial(number).params
    trains, schedule = ("learning_rate", "weight_decay", "label_smoothing"), ("growth", "patience", "plateau_threshold")
    assert ({n: tried[n] for n in trains} == {n: best.params[n] for n in trains}) == (sampler == "tpe")
    assert ({n: tried[n] for n in schedule} == {n: own.params[n] for n in schedule}) == (sampler == "tpe")
