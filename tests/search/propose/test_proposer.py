"""The searcher between Tune and Optuna: what it proposes, how it tells the end of a trial, how it goes on."""

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from ray.tune.search import Searcher
from test_ledger_writer import essence

from pruning_core.config import TrialConfig
from search.propose.ledger import Ledger
from search.propose.optuna_trials import CONSTRAINT, completed_fraction, directions, last_accuracy
from search.propose.sampler import StudySearcher, budget
from search.study import Study
from search.train.engine import FAILURE
from search.trials.pareto import pareto_set


def a_study(**search: Any) -> Study:
    return Study.model_validate(
        {
            "name": "s",
            "data": {"source": "digits", "keep": 16},
            "strategies": ["stepped", "plateau", "markov"],
            "search": {"trials": 12, **search},
        }
    )


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger whose storage, whatever a test does, holds the trials that it shows."""
    ledger = Ledger(optuna.create_study(direction="maximize"))
    yield ledger
    assert [essence(trial) for trial in ledger.study.get_trials()] == [essence(trial) for trial in ledger.trials]


TWO = ["pruned_accuracy", "completion_epoch"]


def a_report(**values: Any) -> dict[str, Any]:
    end = {"epoch": 90, "total_loss": 0.1, "pruned_accuracy": 0.9, "completed": 1.0, "ended": True}
    report = {**end, "stopped": "", "error": "", "hostname": "here", **values}
    return {"curve": [(report["epoch"], report["pruned_accuracy"])], **report}


def ask(searcher: StudySearcher, trial_id: str) -> tuple[int, TrialConfig]:
    """The next trial's number and configuration."""
    config = searcher.suggest(trial_id)
    assert isinstance(config, dict)
    return config["number"], TrialConfig.model_validate_json(config["hyperparameters"])


@pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes", "random", "qmc", "grid"])
def test_every_sampler_fills_the_budget_with_valid_trials(sampler: str, ledger: Ledger) -> None:
    study = a_study(sampler=sampler, trials=21)
    searcher = StudySearcher(study, ledger)
    for k in range(21):
        number, config = ask(searcher, f"t{k}")
        assert number == k
        score = 0.9 - 0.01 * abs(math.log(config.lambda_start))
        searcher.on_trial_complete(f"t{k}", a_report(pruned_accuracy=score, completed=1.0 if k % 3 else 0.5))
    assert searcher.suggest("one too many") == Searcher.FINISHED
    assert Counter(t.params["strategy"] for t in ledger.trials) == {"stepped": 7, "plateau": 7, "markov": 7}
    assert all(t.state == TrialState.COMPLETE for t in ledger.trials)
    for trial in ledger.trials:
        used = TrialConfig(keep=16, **trial.params).used()
        assert set(trial.params) <= set(used)


@pytest.mark.parametrize("sampler", ["tpe", "gp", "random", "qmc", "grid"])
def test_two_objectives_give_the_pareto_set_that_optuna_sees(sampler: str) -> None:
    study = a_study(sampler=sampler, trials=15, objective=TWO)
    ledger = Ledger(optuna.create_study(directions=directions(study)))
    endings: dict[int, dict[str, Any]] = {
        1: {"completed": 0.5},
        2: {"stopped": "collapsed and frozen", "completed": 0.0},
    }
    searcher = StudySearcher(study, ledger)
    for k in range(15):
        if k == 8:  # resumed
            searcher = StudySearcher(study, ledger, searcher.numbers)
        _, config = ask(searcher, f"t{k}")
        score = 0.9 - 0.01 * abs(math.log(config.lambda_start))
        values: dict[str, Any] = {"pruned_accuracy": score, "completion_epoch": 20 + 10 * config.learning_rate}
        searcher.on_trial_result(f"t{k}", a_report(**values, epoch=16, ended=False))
        ending = endings.get(k % 6, {})
        searcher.on_trial_complete(f"t{k}", a_report(**values, **ending))
        trial = ledger.trials[k]
        assert last_accuracy(trial) == score
        assert trial.values == (list(values.values()) if k % 6 != 2 else None)
    front = pareto_set(ledger.trials)
    assert {entry["trial"] for entry in front} == {trial.number for trial in ledger.study.best_trials}
    assert [e["pruned_accuracy"] for e in front] == sorted((e["pruned_accuracy"] for e in front), reverse=True)


def test_a_search_starts_from_the_known_points(ledger: Ledger) -> None:
    study = a_study()
    searcher = StudySearcher(study, ledger)
    for k in range(6):
        ask(searcher, f"t{k}")
    for point in study.varied.known_points():
        assert point in [t.params for t in ledger.trials]


@pytest.mark.parametrize("sampler", ["random", "grid"])
def test_each_strategy_and_n_has_an_equal_share_of_the_trials(sampler: str, ledger: Ledger) -> None:
    document = a_study(sampler=sampler, trials=18).model_dump(mode="json")
    study = Study.model_validate({**document, "data": {"source": "digits", "keep": [16, 4, 8]}})
    searcher = StudySearcher(study, ledger)
    for k in range(18):
        if k == 10:  # resumed
            searcher = StudySearcher(study, ledger, searcher.numbers)
        _, config = ask(searcher, f"t{k}")
        assert config.keep == ledger.trials[k].params["keep"]
        searcher.on_trial_complete(f"t{k}", a_report())
    arms = {(strategy, keep): 2 for strategy in study.strategies for keep in (16, 4, 8)}
    assert Counter((t.params["strategy"], t.params["keep"]) for t in ledger.trials) == arms
    for point in study.varied.known_points() if sampler == "random" else []:
        assert point["strategy"] == "stepped" or point in [t.params for t in ledger.trials]


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
    searcher = StudySearcher(study, ledger)
    grown = {ask(searcher, f"t{k}")[1].growth for k in range(3)}
    assert grown == {1.1, 1.2, 1.3}
    assert searcher.suggest("t3") == Searcher.FINISHED


def test_a_grid_is_tried_whole_though_strategies_have_different_numbers_of_points(ledger: Ledger) -> None:
    space: dict[str, Any] = dict.fromkeys(["lambda_start", "pruner_learning_rate", "learning_rate"], 1)
    space |= {"growth": {"choices": [2, 3, 4, 5, 6]}, "step_epochs": 1, "mu": "one"}
    study = a_study(sampler="grid", trials=100).model_copy(update={"strategies": ("fixed", "stepped")})
    study = Study.model_validate({**study.model_dump(mode="json"), "space": space})
    searcher = StudySearcher(study, ledger)
    while isinstance(searcher.suggest(f"t{len(ledger.trials)}"), dict):
        pass
    assert sorted(t.params.get("growth", 0) for t in ledger.trials) == [0, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("result", "state"),
    [
        (a_report(), TrialState.COMPLETE),
        (a_report(completed=0.5), TrialState.COMPLETE),
        (a_report(stopped="collapsed and frozen", completed=0.0), TrialState.PRUNED),
        (a_report(ended=False, completed=0.0), TrialState.PRUNED),
        (a_report(total_loss=math.nan, stopped="the loss is not finite", completed=0.0), TrialState.FAIL),
        (a_report(total_loss=math.inf, completed=0.0), TrialState.FAIL),
        (a_report(**FAILURE, error="Traceback ...\nRuntimeError: out of memory"), TrialState.FAIL),
    ],
)
def test_how_a_trial_ended_is_told(result: dict[str, Any], state: TrialState, ledger: Ledger) -> None:
    searcher = StudySearcher(a_study(), ledger)
    ask(searcher, "t")
    searcher.on_trial_result("t", a_report(epoch=16, pruned_accuracy=0.7, ended=False))
    searcher.on_trial_complete("t", result)
    searcher.on_trial_complete("t", result)
    (trial,) = ledger.trials
    assert trial.state == state
    assert trial.intermediate_values[16] == 0.7
    if state == TrialState.COMPLETE:
        assert trial.value == result["pruned_accuracy"]
        assert trial.constraints[CONSTRAINT] == 1 - result["completed"]
        assert completed_fraction(trial) == result["completed"]
    if state == TrialState.PRUNED:
        assert trial.intermediate_values[90] == result["pruned_accuracy"]
        assert trial.user_attrs["stopped"]
    assert trial.user_attrs.get("error", "") == result["error"]


def test_a_lost_worker_does_not_end_its_trial(ledger: Ledger) -> None:
    searcher = StudySearcher(a_study(), ledger)
    ask(searcher, "t")
    searcher.on_trial_complete("t", error=True)
    searcher.on_trial_complete("t", a_report(epoch=16, ended=False), error=True)
    assert [t.state for t in ledger.trials] == [TrialState.RUNNING]
    searcher.give_up(0, "its worker died again and again")
    (trial,) = ledger.trials
    assert trial.state == TrialState.FAIL
    assert "worker" in trial.user_attrs["error"]


def test_incomplete_trials_are_infeasible(ledger: Ledger) -> None:
    searcher = StudySearcher(a_study(), ledger)
    for k, (accuracy, completed) in enumerate([(0.9, 1.0), (0.99, 0.875)]):
        ask(searcher, f"t{k}")
        searcher.on_trial_complete(f"t{k}", a_report(pruned_accuracy=accuracy, completed=completed))
    assert ledger.study.best_trial.number == 0


def test_after_a_crash_nothing_is_lost_or_asked_twice(ledger: Ledger) -> None:
    study = a_study(trials=5)
    before = StudySearcher(study, ledger)
    asked = [ask(before, f"t{k}") for k in range(4)]
    before.on_trial_complete("t0", a_report())
    before.on_trial_complete("t2", a_report(stopped="collapsed and frozen", completed=0.0))

    after = StudySearcher(study, ledger, in_tune={"t0": 0, "t1": 1})
    # Tune knows 0 and 1 and goes on with 1 by itself; 2 had ended and 3 was running, but its snapshot lacks them.
    assert [ask(after, f"again{k}") for k in (2, 3)] == [asked[2], asked[3]]
    after.on_trial_complete("t1", a_report())
    after.on_trial_complete("again2", a_report())
    after.on_trial_complete("again3", a_report(completed=0.5))
    assert ask(after, "t4")[0] == 4
    assert after.suggest("t5") == Searcher.FINISHED
    after.on_trial_complete("t4", a_report())
    ended = [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.PRUNED, TrialState.COMPLETE, TrialState.COMPLETE]
    assert [t.state for t in ledger.trials] == ended


def test_after_a_crash_the_points_of_a_grid_are_still_tried_once_each(ledger: Ledger) -> None:
    space = {"lambda_start": {"choices": [1, 2, 3, 4]}, "growth": 2, "step_epochs": 1, "mu": "one"}
    space |= {"learning_rate": 0.01, "pruner_learning_rate": 0.1}
    document = a_study(sampler="grid", trials=4).model_dump(mode="json")
    study = Study.model_validate({**document, "strategies": ["stepped"], "space": space})
    ask(StudySearcher(study, ledger), "t0")

    after = StudySearcher(study, ledger)
    tried: dict[int, float] = {}
    for k in range(4):
        number, config = ask(after, f"t{k}")
        tried[number] = config.lambda_start
        assert after.running[number].params["lambda_start"] == config.lambda_start
    assert after.suggest("one too many") == Searcher.FINISHED
    assert sorted(tried.values()) == [1, 2, 3, 4]
    assert [trial.params["lambda_start"] for trial in ledger.trials] == [tried[k] for k in range(4)]


def test_a_gaussian_process_hands_over_to_tpe(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.propose.sampler.GP_TRIALS", 3)
    searcher, samplers = StudySearcher(a_study(sampler="gp"), ledger), []
    for k in range(12):
        ask(searcher, f"t{k}")
        searcher.on_trial_complete(f"t{k}", a_report())
        samplers.append([type(optimiser.memory.sampler).__name__ for optimiser in searcher.optimisers.values()])
    assert samplers[0] == ["GPSampler"] * 3
    assert samplers[-1] == ["TPESampler"] * 3


def test_the_sampler_learns_from_what_was_told(ledger: Ledger) -> None:
    study = Study.model_validate({**a_study(trials=60).model_dump(mode="json"), "strategies": ["stepped"]})
    searcher = StudySearcher(study, ledger)
    tried = []
    for k in range(60):
        growth = ask(searcher, f"t{k}")[1].growth
        tried.append(abs(math.log(growth / 3)))
        searcher.on_trial_complete(f"t{k}", a_report(pruned_accuracy=1 - tried[-1]))
    assert sum(tried[-20:]) < 0.5 * sum(tried[2:22])
