"""The Pareto set: the trials that no other one beats in both score and speed."""

import numpy as np

from search.trials.pareto import Point, front, pareto_set
from search.trials.trial import LoggedTrial, Trial


def test_the_front_holds_what_nothing_beats() -> None:
    random = np.random.default_rng(0)
    trials = [Point(k, "stepped", random.uniform(), float(random.integers(1, 30))) for k in range(200)]
    trials += [Point(300, "stepped", 2.0, 1.0, completed=False)]
    places = {t.number: (t.completion_epoch, t.score) for t in trials[:200]}
    best = {
        number
        for number, (epoch, accuracy) in places.items()
        if not any((e <= epoch and a >= accuracy) and (e, a) != (epoch, accuracy) for e, a in places.values())
    }
    assert {t.number for t in front(trials)} == best
    assert front([]) == []


def test_trials_without_a_completion_epoch_or_a_score_are_no_members() -> None:
    known = {"params": {"strategy": "stepped"}, "ending": "ended", "complete": 1.0}
    whole = LoggedTrial(0, score=0.5, completion_epoch=9.0, **known)  # type: ignore[arg-type]
    no_run = LoggedTrial(1, score=0.9, **known)  # type: ignore[arg-type]
    silent = LoggedTrial(2, completion_epoch=1.0, **known)  # type: ignore[arg-type]
    assert front([no_run, whole, silent]) == [whole]


def test_the_set_names_completed_trials_the_best_first() -> None:
    def trial(number: int, *values: float, complete: float = 1.0) -> Trial:
        return Trial(number, {"strategy": "plateau"}, ending="ended", complete=complete, values=values)

    trials = [
        *(trial(0, 0.8, 5.0), trial(1, 0.9, 20.0), trial(2, 0.7, 6.0), trial(3, 0.99, 1.0, complete=0.5)),
        Trial(4, {"strategy": "plateau"}, ending="stopped", complete=1.0),
        Trial(5, {"strategy": "plateau"}),
    ]
    assert pareto_set(trials, "pruned_accuracy") == [
        {"trial": 1, "strategy": "plateau", "pruned_accuracy": 0.9, "completion_epoch": 20.0, "run_id": None},
        {"trial": 0, "strategy": "plateau", "pruned_accuracy": 0.8, "completion_epoch": 5.0, "run_id": None},
    ]
