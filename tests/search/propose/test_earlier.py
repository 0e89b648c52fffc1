"""What a search takes over from earlier ones, from real ledgers whose trials were told by hand."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pruning_core.config import TrialConfig
from pruning_core.data import Dataset
from search.propose.earlier import find_start
from search.propose.ledger import Ledger, open_ledger
from search.propose.proposer import Proposer
from search.propose.start import Observed, Start, Taken
from search.stores.addresses import Places
from search.study import Study, StudyError
from search.trials.checkpoint import search_folder
from search.trials.order import Report, Terms
from search.trials.result import save_result

TERMS = Terms("a folder")
SPACE: dict[str, Any] = {
    "learning_rate": 0.01,
    "pruner_learning_rate": 0.1,
    "growth": {"low": 1.1, "high": 3, "log": True},
}
SCORES = (0.5, 0.9, 0.8, 0.7, 0.6, 0.4)


def a_study(name: str = "later", **changes: Any) -> Study:
    document: dict[str, Any] = {
        "name": name,
        "data": {"source": "digits", "keep": 3},
        "strategies": ["plateau", "stepped"],
        "space": SPACE,
        "search": {"trials": 12, "start_from": ["earlier"] if name == "later" else []},
    }
    return Study.model_validate({**document, **changes})


def a_search(study: Study, ledger: Ledger, scores: Sequence[float], completed: float = 1.0) -> None:
    """As many trials as there are scores, one after the other."""
    proposer = Proposer(study, ledger, TERMS)
    for score in scores:
        order = proposer.next()
        assert order is not None
        report = Report(9, 0.1, score, 0.01, ((9, score),), completed, 5.0, 3.0, ended=True)
        proposer.ended(order.number, report, "here")


def next_params(study: Study, ledger: Ledger, count: int = 1) -> list[dict[str, Any]]:
    """The hyperparameters of the trials that come next."""
    proposer = Proposer(study, ledger, TERMS)
    orders = [proposer.next() for _ in range(count)]
    return [ledger.entries[order.number].params for order in orders if order]


@pytest.fixture
def where(tmp_path: Path) -> Places:
    return Places(tmp_path, f"sqlite:///{tmp_path}/optuna.db", "")


@pytest.fixture
def earlier(where: Places, data: Dataset) -> Ledger:
    """Six trials: stepped has those with 0.9, 0.7 and 0.4, plateau those with 0.5, 0.8 and 0.6."""
    study = a_study("earlier")
    ledger = open_ledger(study, data, where, resume=False)
    a_search(study, ledger, SCORES)
    assert [entry.params["strategy"] for entry in ledger.entries] == ["plateau", "stepped"] * 3
    return ledger


def begun(study: Study, data: Dataset, where: Places) -> Ledger:
    start = find_start(study, data, where)
    ledger = open_ledger(study, data, where, resume=False)
    ledger.note_start(start)
    return open_ledger(study, data, where, resume=True)


@pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes", "random", "qmc"])
def test_the_best_points_come_first_and_the_best_arm_has_the_first_turn(
    sampler: str, earlier: Ledger, data: Dataset, where: Places
) -> None:
    study = a_study(search={"trials": 12, "sampler": sampler, "start_from": ["earlier"]})
    ledger = begun(study, data, where)
    tried = next_params(study, ledger, 12)
    assert tried[:6] == [earlier.entries[number].params for number in (1, 2, 3, 4, 5, 0)]
    assert all(tried.count(point) == 1 for point in tried), "known points are not tried twice"


def test_the_confirmed_best_comes_before_what_is_better_with_the_seeds_of_the_search(
    earlier: Ledger, data: Dataset, where: Places
) -> None:
    def confirmed(trial: int, mean: float) -> dict[str, Any]:
        return {"trial": trial, "validation": {"mean": mean}, "outcome": {"complete": 1.0}}

    strategies = {"plateau": confirmed(4, 0.85), "stepped": confirmed(3, 0.6)}
    save_result(search_folder(where.output, "earlier"), {"strategies": strategies, "winner": "plateau"}, "finished")
    study = a_study()
    tried = next_params(study, begun(study, data, where), 6)
    assert tried == [earlier.entries[number].params for number in (4, 3, 2, 1, 0, 5)]


def test_after_a_resume_the_points_go_on_where_they_were_and_the_samplers_know_the_same(
    earlier: Ledger, data: Dataset, where: Places
) -> None:
    study = a_study()
    ledger = begun(study, data, where)
    a_search(study, ledger, [0.9, 0.9])
    earlier.discard()
    again = open_ledger(study, data, where, resume=True)
    assert again.start == ledger.start
    assert next_params(study, again)[0] == ledger.start.points["stepped"][1]
    memory = Proposer(study, again, TERMS).optimisers["stepped"].memory
    assert [trial.value for trial in memory.get_trials()[:3]] == [0.9, 0.7, 0.4]


def test_points_are_moved_into_the_new_space_and_keep_what_the_earlier_study_fixed(
    earlier: Ledger, data: Dataset, where: Places
) -> None:
    space = {"learning_rate": {"low": 0.02, "high": 1}, "pruner_learning_rate": {"choices": [0.2, 0.1]}, "growth": 2}
    study = a_study(strategies=["stepped", "fixed"], space=space, data={"source": "digits", "keep": [2, 3]})
    start = find_start(study, data, where)
    assert list(start.points) == ["stepped n=2", "stepped n=3"], "fixed has no earlier trials"
    best = start.points["stepped n=3"][0]
    assert best["lambda_start"] == earlier.entries[1].params["lambda_start"]
    assert (best["learning_rate"], best["pruner_learning_rate"], best["keep"]) == (0.02, 0.1, 3)
    assert "growth" not in best
    assert start.taken["earlier"].observed == 0


@pytest.mark.parametrize(
    ("changes", "observed"),
    [
        ({}, 6),
        ({"strategies": ["stepped"]}, 3),
        ({"space": {**SPACE, "growth": {"low": 1.01, "high": 9}}}, 6),
        ({"space": {**SPACE, "learning_rate": 0.02}}, 0),
        ({"training": {"seeds": 3}}, 0),
        ({"network": {"hidden": [8]}}, 0),
        ({"data": {"source": "digits", "keep": 4}}, 0),
        ({"search": {"start_from": ["earlier"], "objective": "pruned_auc"}}, 0),
    ],
)
def test_the_samplers_are_told_what_would_be_the_very_same_trial_here(
    changes: dict[str, Any], observed: int, earlier: Ledger, data: Dataset, where: Places
) -> None:
    start = find_start(a_study(**changes), data, where)
    assert start.taken["earlier"].observed == observed
    assert start.points


def test_trials_on_other_data_are_not_told_to_the_samplers(earlier: Ledger, data: Dataset, where: Places) -> None:
    assert find_start(a_study(), replace(data, fingerprint="other"), where).observed == {}


def test_nothing_is_taken_of_trials_that_did_not_complete(data: Dataset, where: Places) -> None:
    study = a_study("earlier")
    a_search(study, open_ledger(study, data, where, resume=False), SCORES, completed=0.5)
    start = find_start(a_study(), data, where)
    assert start.points == {}
    assert start.taken == {"earlier": Taken(0, 6)}, "that they fail is worth knowing"


def test_of_several_searches_the_best_points_of_each_come_first(earlier: Ledger, data: Dataset, where: Places) -> None:
    study = a_study("earlier", training={"seeds": 3})
    latest = open_ledger(study, data, where, resume=False)
    a_search(study, latest, [0.95, 0.2])
    start = find_start(a_study(search={"start_from": ["earlier", "earlier-1"]}), data, where)
    assert list(start.taken) == ["earlier-2", "earlier"]
    assert list(start.points) == ["plateau", "stepped"]


def test_an_unknown_search_is_refused_with_those_that_there_are(earlier: Ledger, data: Dataset, where: Places) -> None:
    with pytest.raises(StudyError, match=r"search\.start_from = \[nobody\] must name .*: there are earlier"):
        find_start(a_study(search={"start_from": "nobody"}), data, where)
    nowhere = Places(where.output, f"sqlite:///{where.output}/nothing.db", "")
    with pytest.raises(StudyError, match=r"search\.start_from = \[earlier\] must name earlier searches: there is no"):
        find_start(a_study(), data, nowhere)
    assert not (where.output / "nothing.db").exists()


def test_a_grid_takes_no_other_points() -> None:
    with pytest.raises(ValueError, match=r"search\.start_from = \[earlier\] must be left out with .* 'grid'"):
        a_study(search={"sampler": "grid", "start_from": ["earlier"]})


def test_a_search_in_a_journal_can_be_started_from(data: Dataset, tmp_path: Path) -> None:
    where = Places(tmp_path, f"journal:///{tmp_path}/optuna.log", "")
    study = a_study("earlier")
    a_search(study, open_ledger(study, data, where, resume=False), SCORES)
    assert find_start(a_study(), data, where).taken == {"earlier": Taken(6, 6)}


def test_what_is_taken_over_is_read_back_from_json_and_said() -> None:
    known = Observed({"strategy": "stepped", "growth": 1.5}, "ended", 0.9, 1.0, (0.9,), 12)
    points: dict[str, Any] = {"stepped": [{"strategy": "stepped", "growth": 1.5}], "fixed": [{"strategy": "fixed"}]}
    start = Start(points, {"stepped": [known]}, {"a": Taken(1, 1), "b-2": Taken(2, 0)})
    assert Start.read(start.as_json()) == start
    assert list(Start.read(start.as_json()).points) == ["stepped", "fixed"]
    said = (
        "starts with 1 point to try first and 1 trial for the samplers to know from a, 2 points to try first from b-2"
    )
    assert start.sentence() == said
    assert TrialConfig(keep=1, **points["stepped"][0]).growth == 1.5
