"""Where one class is nearly everything: an accuracy that answering with it alone would reach is not left unsaid."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pruning_core.data import Dataset, Part
from search.result import largest_class_warnings
from search.stores.addresses import Stored
from search.study import Study
from search.terminal import show_result


def entry(validation: float, complete: float, **outcome: float) -> dict[str, Any]:
    return {
        **{"trials": 5, "completed": 3, "trial": 4, "config": {"growth": 1.5}, "selected": ["x[m]", "x2"]},
        **{"validation": {"mean": validation, "std": 0.0}, "test": {"mean": 0.9, "std": 0.01}},
        **{"outcome": {"complete": complete, **outcome}, "completion_epoch": {"mean": None}},
    }


def rare(data: Dataset, rows: list[int], weights: list[float] | None = None) -> Dataset:
    """The data with validation rows of these classes."""
    weight = None if weights is None else torch.tensor(weights)
    return replace(data, validation=Part(torch.zeros(len(rows), 12), torch.tensor(rows), weight))


@pytest.mark.parametrize(
    ("rows", "weights", "accuracy", "share"),
    [
        ([0] * 99 + [1], None, 0.99, "99.0 %"),
        ([0] * 99 + [1], None, 0.95, "99.0 %"),
        ([0] * 999 + [2], None, 0.999, "99.9 %"),
        ([0, 1], [99.0, 1.0], 0.99, "99.0 %"),
        ([0] * 99 + [1], None, 0.995, ""),
        ([0] * 99 + [1], [1.0] * 99 + [99.0], 0.6, ""),
        ([0, 1, 2], None, 0.5, ""),
    ],
)
def test_the_largest_class_alone_is_compared_with_the_winner(
    data: Dataset, rows: list[int], weights: list[float] | None, accuracy: float, share: str
) -> None:
    result = {"strategies": {"stepped": entry(accuracy, 1.0)}, "winner": "stepped"}
    warnings = largest_class_warnings(result, rare(data, rows, weights))
    assert [share in warning and "stepped" in warning for warning in warnings] == [True] * bool(share)


def test_of_several_n_each_winner_is_compared(data: Dataset) -> None:
    part = {"strategies": {"stepped": entry(0.99, 1.0)}, "winner": "stepped"}
    none: dict[str, Any] = {"strategies": {}, "winner": None}
    (warning,) = largest_class_warnings({"keeps": {"4": part, "8": none}}, rare(data, [0] * 99 + [1]))
    assert "at n = 4" in warning


@pytest.mark.parametrize(
    ("complete", "outcome", "headline"),
    [
        (1.0, {}, "stepped wins and most often keeps: x[m], x2"),
        (
            0.0,
            {"collapsed": 1.0},
            "no strategy completed with every fresh seed: stepped comes first with 0.0 % complete",
        ),
        (0.5, {"too little": 0.5}, "stepped comes first with 50.0 % complete (50.0 % too little)"),
    ],
)
def test_the_headline_says_whether_the_winner_completed(
    complete: float, outcome: dict[str, float], headline: str, capfd: pytest.CaptureFixture[str]
) -> None:
    counts = {"study": "s", "trials": 9, "stopped": 1, "failed": 0, "seconds": 60.0, "replica_epochs_per_second": 9.0}
    part = {"strategies": {"stepped": entry(0.999, complete, **outcome)}, "winner": "stepped", "errors": {}}
    study = Study.model_validate({"name": "s", "data": {"source": "wine", "keep": 4}})
    show_result({**counts, **part}, study, Stored(Path("my runs"), tracking_uri="http://me:secret@here:5000"))
    shown = capfd.readouterr().out
    assert headline in shown
    assert "deeppp ui --output 'my runs' --tracking-uri 'http://me:***@here:5000'" in shown
    assert "secret" not in shown
