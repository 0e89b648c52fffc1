"""What the trials of a search say, in sentences that say no more than their numbers; none of it is markup."""

import re
from typing import Any

import numpy as np
import pytest

from pruning_core.hyperparameters import Choices, Range
from search.report.blocks import Heading, Line, Section, Table, Text, render
from search.report.findings import rule, shared_by_two_seeds, typical_failure
from search.trials.trial import LoggedTrial, TrialEnding

SPACE: dict[str, Range | Choices] = {"growth": Range(1, 10, log=True), "mu": Choices(("one", "frozen"))}


def record(
    number: int,
    params: dict[str, Any] | None = None,
    complete: float = 1.0,
    accuracy: float = 0.9,
    ending: TrialEnding = "ended",
    outcome: str = "complete",
) -> LoggedTrial:
    params = {"growth": 2.0, "mu": "one"} if params is None else params
    searched: dict[str, Range | Choices] = {name: SPACE[name] for name in params}
    return LoggedTrial(
        number=number,
        params={"strategy": "stepped"} | params,
        space={"strategy": Choices(("stepped",)), **searched},
        ending=ending,
        score=accuracy,
        complete=complete,
        run_id=f"run{number}",
        outcome=outcome,
    )


def test_a_rule_finds_what_separates_and_admits_when_nothing_does() -> None:
    random = np.random.default_rng(0)
    separate, alike = [], []
    for number in range(120):
        growth, mu = float(10 ** random.uniform()), ["one", "frozen"][random.integers(2)]
        params, good = {"growth": growth, "mu": mu}, growth > 3 and mu == "one"
        separate.append(record(number, params, complete=float(good)))
        alike.append(record(number, params, complete=float(random.uniform() < 0.5)))
    found = rule(separate)
    assert found is not None
    assert found.holds
    (text, number, completed), *others = found.leaves
    assert completed == number
    assert all(done == 0 for _, _, done in others)
    assert re.search(r"growth above (2\.8|2\.9|3)", text)
    assert "mu = one" in text or "mu other than frozen" in text
    assert sum(number for _, number, _ in found.leaves) == 120
    nothing = rule(alike)
    assert nothing is not None
    assert not nothing.holds
    assert "these trials only" in nothing.verdict
    assert rule(separate[:8]) is None
    assert rule([]) is None


def test_two_seeds_share_what_counting_says() -> None:
    random = np.random.default_rng(0)
    sets = [set(random.choice(12, 5, replace=False).tolist()) for _ in range(6)]
    frequency = {str(i): sum(i in kept for kept in sets) / 6 for i in range(12)}
    pairs = [len(a & b) for k, a in enumerate(sets) for b in sets[:k]]
    assert shared_by_two_seeds(frequency, 6) == pytest.approx(np.mean(pairs))
    assert shared_by_two_seeds(frequency, 1) is None


def test_a_typical_failure_is_the_median_of_the_commonest() -> None:
    trials = [record(k, complete=0, accuracy=k / 10, outcome="too little") for k in range(5)]
    trials += [record(10, complete=0, outcome="collapsed"), record(11), record(12, ending="failed", outcome="failed")]
    failure = typical_failure(trials)
    assert failure is not None
    assert failure.number == 2
    assert typical_failure([record(0)]) is None


def test_everything_on_the_page_is_escaped() -> None:
    evil = "<script>alert('&')</script>"
    table = Table(["", evil], [Line([evil, evil], [(evil, evil)])], evil)
    section = Section(evil, [Text(evil), Heading(evil), table])
    names = ("title", "subtitle", "commands", "fingerprint", "versions", "study")
    html = render(dict.fromkeys(names, evil) | {"opening": [evil], "notes": [evil], "sections": [section]})
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 19
