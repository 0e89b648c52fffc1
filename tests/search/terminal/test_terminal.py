"""What a search tells a user in the terminal: while it runs, and as its last words."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pruning_core.metrics import ACCURACY
from search.stores.addresses import Stored
from search.study import Study
from search.terminal import SearchDisplay, reading, show_result
from search.trials.enough import Curve, Point
from search.trials.trial import Trial


def accuracy(mean: float) -> dict[str, Any]:
    return {"mean": mean, "std": 0.01}


def part(test: float, front: list[dict[str, Any]]) -> dict[str, Any]:
    """What came out for one n, with one strategy."""
    entry = {
        **{"trials": 5, "completed": 3, "trial": 4, "config": {"growth": 1.5}, "selected": ["x1", "x2"]},
        **{"validation": accuracy(0.9), "test": accuracy(test), "outcome": {"complete": 1.0}},
        "completion_epoch": {"mean": 21.0},
    }
    return {"strategies": {"stepped": entry}, "winner": "stepped", "pareto": front}


def shown(result: dict[str, Any], keep: Any, capfd: pytest.CaptureFixture[str]) -> str:
    counts = {"study": "s", "trials": 10, "stopped": 1, "failed": 0, "seconds": 60.0, "replica_epochs_per_second": 9.0}
    model = {"uri": "models:/s/1", "seed": 7, "test_accuracy": 0.9}
    study = Study.model_validate({"name": "s", "data": {"source": "wine", "keep": keep}})
    show_result({**counts, "errors": {}, "model": model, **result}, study, Stored(Path("runs")))
    return " ".join(capfd.readouterr().out.split())


def test_members_of_the_pareto_front_stand_with_their_runs(capfd: pytest.CaptureFixture[str]) -> None:
    member = {"trial": 4, "strategy": "stepped", "pruned_accuracy": 0.95, "completion_epoch": 20.5, "run_id": "f00d"}
    text = shown(part(0.9, [member]), 2, capfd)
    assert "Pareto front accuracy epoch run in MLflow stepped #4 95.0 % 20.5 f00d" in text
    assert "stepped wins and most often keeps: x1, x2 its pruned network as an MLflow model" in text
    assert "no trial completed with every seed" in shown(part(0.9, []), 2, capfd)
    alone = part(0.9, [])
    del alone["pareto"]
    assert "Pareto" not in shown(alone, 2, capfd)


def test_the_row_names_the_network_whose_scores_it_has(capfd: pytest.CaptureFixture[str]) -> None:
    (entry,) = (won := part(0.9, []))["strategies"].values()
    assert "* stepped 3 of 5 100.0 % 21 90.0 ± 1.0 % 90.0 ± 1.0 % pruned" in shown(won, 2, capfd)
    entry["pruned"] = {"validation": accuracy(0.9), "test": accuracy(0.9)}
    entry["refit"] = {"validation": accuracy(0.94), "test": accuracy(0.91), "epochs": 30}
    entry |= {**entry["refit"], "network": "refitted"}
    assert "* stepped 3 of 5 100.0 % 21 94.0 ± 1.0 % 91.0 ± 1.0 % refitted" in shown(won, 2, capfd)


def test_of_several_n_each_has_its_lines(capfd: pytest.CaptureFixture[str]) -> None:
    keeps = {"4": part(0.9, []), "2": part(0.8, []), "8": {"strategies": {}, "winner": None, "pareto": []}}
    text = shown({**keeps["4"], "keeps": keeps}, [4, 2, 8], capfd)
    rows = [
        f"* stepped {n} 3 of 5 100.0 % 21 90.0 ± 1.0 % {test} ± 1.0 % pruned" for n, test in ((4, "90.0"), (2, "80.0"))
    ]
    assert " ".join(rows) in text
    assert "stepped n=2 #4 growth 1.5" in text
    assert "stepped wins at n = 2 and most often keeps: x1, x2" in text
    assert "no trial at n = 8 came to an end that could be confirmed" in text
    assert "the pruned network of stepped at n = 4 as an MLflow model: models:/s/1" in text


def test_without_a_terminal_a_line_now_and_then_counts_the_trials(capfd: pytest.CaptureFixture[str]) -> None:
    study = Study.model_validate({"name": "s", "data": {"source": "wine", "keep": 4}, "strategies": ["stepped"]})
    display = SearchDisplay()
    display.begin(study, "s-2", budget=20)
    earlier = Trial(0, {"strategy": "stepped"}, ending="ended", score=0.95, complete=0.5, epochs_run=9)
    display.trial_ended(earlier, here=False)
    for number in range(1, 5):
        display.trial_started(number)
    display.trial_lost(4)
    display.trial_ended(Trial(1, {"strategy": "stepped"}, ending="ended", score=0.9, complete=1.0))
    display.trial_ended(Trial(2, {"strategy": "stepped"}, ending="failed", error="Traceback\nError: it"))
    display.trial_ended(Trial(3, {"strategy": "stepped"}, ending="stopped", score=0.5, stopped="collapsed"))
    display.warn("this is odd", "and that")
    display.confirming(2)
    display.confirmed()
    display.end()
    first, *counts, warned, also, last = capfd.readouterr().out.splitlines()
    assert first == "s-2: 20 trials of stepped"
    assert [line.partition(", 1 lost")[0] for line in counts] == [
        "2/20 trials, 2 running, 0 stopped, 0 failed",
        "4/20 trials, 0 running, 1 stopped, 1 failed",
    ]
    assert all(line.endswith("best: stepped 90.0 %") for line in counts), "completion comes first"
    assert (warned, also) == ("warning: this is odd", "warning: and that")
    assert last == "confirming the best of each strategy with 16 fresh seeds"


def test_how_many_inputs_are_enough_is_told_before_the_search_and_after_it(capfd: pytest.CaptureFixture[str]) -> None:
    display = SearchDisplay()
    curve = Curve((Point(2, 0.85, 0.01, 1, 2, {}), Point(4, 0.88, 0.01, 1, 4, {}), Point(8, 0.885, 0.01, 1, 8, {})))
    display.looking([2, 4, 8], 6)
    display.looked()
    display.looking([2, 2, 4, 4], 4)
    display.found(curve, ACCURACY)
    display.end()
    said = "4 inputs are enough: 88.0 %, the fewest within one standard error of the best, 88.5 ± 1.0 % with 8."
    assert capfd.readouterr().out.splitlines() == [
        "how many inputs are enough: trying n = 2, 4, 8",
        "how many inputs are enough: trying 2 configurations at n = 2, 4",
        said,
    ]
    assert said in shown({**part(0.9, []), "keep": curve.as_json()}, 4, capfd)


def test_reading_shows_a_bar_where_it_takes_a_while_and_there_is_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with reading() as told:
        told(0.5)
    assert tuple(capfd.readouterr()) == ("", "")
    screen = io.StringIO()
    monkeypatch.setattr("search.terminal.screen.console", Console(file=screen, force_terminal=True))
    with reading() as told:
        told(0.5)
    assert screen.getvalue() == ""
    monkeypatch.setattr("search.terminal.screen.SECONDS_WITHOUT_A_BAR", 0.0)
    with reading() as told:
        told(0.25)
    assert "reading the data" in screen.getvalue()
    assert "25%" in screen.getvalue()
