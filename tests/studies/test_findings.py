"""The numbers of FINDINGS.md: slopes against their formula, and what is read out of rows and finished searches."""

import math
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from jinja2 import meta
from small_search import small_search

from search.study import load_study
from studies import evidence, findings
from studies.searches import STUDIES, data_sets, planned, read_trials


@pytest.mark.parametrize("weight", [1.0, 3.0, 6.0])
def test_slopes_at_the_start_follow_their_formula(weight: float) -> None:
    g = 1 / (1 + math.exp(-weight))
    for entry in evidence.slopes((2, 30, 1000), weight):
        assert entry["selection"] == pytest.approx(g * (1 - g))
        assert entry["plain"] == pytest.approx(2 * g * (1 - g) ** 2)
        assert entry["product"] == pytest.approx(entry["units"] * (1 - g) * g ** entry["units"], rel=1e-4, abs=1e-15)


def a_row(**values: Any) -> dict[str, Any]:
    outcome = {"complete": 1.0, "too little": 0.0, "undecided": 0.0, "collapsed": 0.0}
    row = {"strategy": "markov", "block": 1, "proposals": 1, "complete": 1.0, "completion_epoch": 20.0}
    return {**row, "accuracy": 0.9, "drasticness": 0.1, "outcome": outcome, "alpha": 1.0, **values}


def test_fixed_alphas_are_summed_up_by_what_completes_and_how_gently() -> None:
    nothing = {"complete": 0.0, "too little": 1.0, "undecided": 0.0, "collapsed": 0.0}
    rows = [
        a_row(alpha=0.1, complete=0.0, outcome=nothing),
        a_row(alpha=1.0, drasticness=0.9),
        a_row(alpha=10.0, drasticness=0.3, accuracy=0.8),
    ]
    found = evidence.fixed_summary(rows)
    assert (found["complete"], found["gentle"], found["lowest"], found["highest"]) == (2, 1, 1.0, 10.0)
    assert (found["best"], found["least_drastic"], found["too_little_below"]) == (0.9, 0.3, 0.1)
    assert evidence.fixed_summary(rows[:1])["best"] is None


def test_marginals_count_what_completes_under_each_value() -> None:
    rows = [a_row(block=0.1), a_row(block=1), a_row(block=1, complete=0.5, accuracy=0.99)]
    assert [(r["value"], r["trials"], r["complete"], r["best"]) for r in evidence.marginals(rows, ("block",))] == [
        (0.1, 1, 1, 0.9),
        (1, 2, 1, 0.9),
    ]


def test_a_chain_pays_for_its_proposals_in_forward_passes() -> None:
    rows = [a_row(proposals=4, block=0.2), a_row(complete=0.0), a_row(strategy="stepped", completion_epoch=30.0)]
    found = evidence.against_chain(rows)
    assert (found["best"]["passes"], found["backpropagation"]["passes"]) == (100, 30)
    assert (found["whole"], found["deck_trials"], found["deck_complete"]) == (1, 1, 0)


def test_trials_are_read_back_as_they_ended(tmp_path_factory: pytest.TempPathFactory) -> None:
    search = small_search(tmp_path_factory.getbasetemp())
    trials = read_trials(search.output, "cellar")
    assert len(trials) == 6
    for trial in trials:
        if trial.complete == 1:
            epochs = trial.result["completion_epoch"]
            assert trial.completion_epoch == pytest.approx(sum(epochs) / 2)
            assert trial.history["active"][-1].mean() == 4
            assert 1 <= evidence.first_move(trial) <= max(epochs)
    table = evidence.table(search.output, "cellar", ("strategy", "lambda_start"))
    assert [row["strategy"] for row in table] == sorted(row["strategy"] for row in table)
    assert {row["complete"] for row in table} == {t.complete for t in trials}


def test_every_planned_search_is_a_valid_study_and_every_study_is_planned(tmp_path: Path) -> None:
    for quick in (True, False):
        searches = planned(data_sets(tmp_path, quick=True), quick)
        assert len({s.name for s in searches}) == len(searches)
        for s in searches:
            overrides = [f"name={s.name}", *s.overrides, *(s.quick if quick else ())]
            assert load_study(STUDIES / f"{s.study}.yaml", overrides).name == s.name
        assert {s.study for s in searches} == {path.stem for path in STUDIES.glob("*.yaml")}


def test_the_page_asks_only_for_numbers_that_are_gathered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From stand-ins for the searches, which take an hour: which names there are does not depend on them."""
    for name in ("evidence", "read_result", "read_trials", "sampler_seeds", "load_dataset"):
        monkeypatch.setattr(findings, name, MagicMock())
    numbers = findings.gather(tmp_path, {"digits": MagicMock()}, MagicMock(), quick=True)
    parse = findings.environment().parse
    asked = {
        name
        for template in (findings.TEMPLATE, "accuracy.md.j2")
        for name in meta.find_undeclared_variables(parse((STUDIES / template).read_text()))
    }
    assert asked - {"figures", "minutes"} <= set(numbers)
