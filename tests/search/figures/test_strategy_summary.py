"""The picture of how the strategies fared, and that every strategy has a colour and a marker."""

from pathlib import Path
from typing import Any

import pytest
from png import size

from pruning_core.metrics import ACCURACY
from pruning_core.strategies import STRATEGIES
from search.figures.strategies import strategy_summary
from search.figures.style import MARKERS, PALETTE, colour_of, marker_of, strategy_keys


def result(**strategies: dict[str, Any]) -> dict[str, Any]:
    return {"study": "quick", "winner": next(iter(strategies), None), "strategies": strategies}


def accuracy(mean: float) -> dict[str, Any]:
    return {"mean": mean, "std": 0.01, "per_seed": [mean - 0.01, mean + 0.01]}


def an_entry(**changes: Any) -> dict[str, Any]:
    """A strategy's part of a result."""
    counts = {"trials": 10, "completed": 7, "outcome": {"complete": 1.0}}
    return {**counts, "validation": accuracy(0.95), "test": accuracy(0.94), **changes}


def test_summary_grows_with_the_strategies(tmp_path: Path) -> None:
    strategy_summary(result(plateau=an_entry()), tmp_path / "one.png", ACCURACY)
    strategy_summary(
        result(plateau=an_entry(), stepped=an_entry(), markov=an_entry()), tmp_path / "three.png", ACCURACY
    )
    (width, low), (same_width, high) = size(tmp_path / "one.png"), size(tmp_path / "three.png")
    assert width == same_width == 1000
    assert high > low


@pytest.mark.filterwarnings("error")
def test_summary_of_accuracies_that_are_none(tmp_path: Path) -> None:
    nothing: dict[str, Any] = {"mean": None, "std": None, "per_seed": []}
    nan = {"mean": float("nan"), "std": 0.0, "per_seed": []}
    never = {"completed": 0, "outcome": {"complete": 0.0}}
    entries = {
        "plateau": an_entry(**never, trials=0, validation=nothing, test=None),
        "stepped": an_entry(**never, validation=nothing, test=nothing),
        "markov": an_entry(**never, validation=nan, test=nan),
    }
    strategy_summary(result(**entries), tmp_path / "summary.png", ACCURACY)
    assert size(tmp_path / "summary.png")[0] == 1000


def test_summary_needs_a_strategy(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one strategy"):
        strategy_summary(result(), tmp_path / "summary.png", ACCURACY)


def test_every_strategy_of_the_library_has_a_colour_of_its_own() -> None:
    names = list(STRATEGIES)
    assert len({colour_of(name) for name in names}) == len({marker_of(name) for name in names}) == len(names)


def test_a_strategy_that_is_not_known_here_can_be_drawn_and_always_looks_alike(tmp_path: Path) -> None:
    assert colour_of("nobody") == colour_of("nobody") in PALETTE
    assert marker_of("nobody") in MARKERS
    ((sign, colour, name, _),) = strategy_keys(["nobody"])
    assert (sign, colour, name) == (MARKERS[marker_of("nobody")], colour_of("nobody"), "nobody")
    strategy_summary(result(nobody=an_entry()), tmp_path / "nobody.png", ACCURACY)
    assert size(tmp_path / "nobody.png")[0] == 1000
