"""TrialConfig: ranges of validity, and which hyperparameters a strategy uses."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pruning_core.config import TrialConfig

ALWAYS_USED = {
    *("keep", "strategy", "rejection", "rejection_weight", "initial_weight", "learning_rate", "weight_decay"),
    *(
        "label_smoothing",
        "pruner_learning_rate",
        "hidden",
        "batch_size",
        "epochs",
        "settle_epochs",
        "tolerance",
        "seeds",
    ),
}
USED_FOR_ALPHA = {
    "fixed": {"lambda_start"},
    "ratio": {"window"},
    "stepped": {"lambda_start", "lambda_max", "growth", "step_epochs", "mu", "window"},
    "plateau": {
        *("lambda_start", "lambda_max", "growth", "mu", "window"),
        *("plateau_threshold", "patience", "plateau_monitor"),
    },
}
CHOICES = {
    "strategy": ["fixed", "ratio", "stepped", "plateau", "markov", "swap"],
    "alpha": ["fixed", "ratio", "stepped", "plateau"],
    "mu": ["current", "windowed", "frozen", "one"],
    "plateau_monitor": ["weights", "gates"],
    "rejection": ["plain", "modified"],
}
FLOATS = (
    *("lambda_start", "lambda_max", "growth", "plateau_threshold", "rejection_weight", "delta", "block"),
    *("temperature", "initial_weight", "learning_rate", "pruner_learning_rate", "weight_decay", "tolerance"),
    "label_smoothing",
)
INTEGERS = (
    *("keep", "step_epochs", "patience", "window", "proposals", "shrink_epochs"),
    *("batch_size", "epochs", "settle_epochs", "seeds"),
)
CLOSED_BELOW = {
    "plateau_threshold": 0,
    "rejection_weight": 0,
    "temperature": 0,
    "weight_decay": 0,
    "label_smoothing": 0,
}
OPEN_BELOW = {
    **{"lambda_start": 0, "lambda_max": 0, "growth": 1, "delta": 0, "block": 0},
    **{"learning_rate": 0, "pruner_learning_rate": 0, "tolerance": 0},
}
REFUSED: list[tuple[str, Any]] = [
    *((name, bad) for name in FLOATS for bad in (math.nan, math.inf, "much", None)),
    *((name, bad) for name in INTEGERS for bad in (0, -1, 2.5, "many")),
    *((name, "other") for name in CHOICES),
    *((name, low - 0.001) for name, low in CLOSED_BELOW.items()),
    *((name, low) for name, low in OPEN_BELOW.items()),
    *((name, low - 1) for name, low in OPEN_BELOW.items()),
    *(
        ("block", 1.001),
        ("label_smoothing", 1),
        ("tolerance", 0.5),
        ("alpha", "markov"),
        ("hidden", 64),
        ("hidden", ("wide",)),
    ),
]


def refusal(**values: Any) -> dict[str, Any]:
    """The one error that TrialConfig raises for these values."""
    with pytest.raises(ValidationError) as caught:
        TrialConfig(**{"keep": 3, **values})
    errors = caught.value.errors()
    assert len(errors) == 1
    return dict(errors[0])


@pytest.mark.parametrize(("name", "value"), REFUSED)
def test_a_value_outside_its_range_is_refused_by_name(name: str, value: Any) -> None:
    assert refusal(**{name: value})["loc"][0] == name


@pytest.mark.parametrize("hidden", [(0,), (16, -1)])
def test_hidden_layers_have_a_width(hidden: tuple[int, ...]) -> None:
    assert "hidden" in refusal(hidden=hidden)["msg"]


def test_lambda_max_below_lambda_start_is_refused() -> None:
    message = refusal(strategy="stepped", lambda_start=2.0, lambda_max=1.0)["msg"]
    assert "lambda_max" in message
    assert "1" in message
    assert "2" in message


@pytest.mark.parametrize(("strategy", "alpha"), [("fixed", "stepped"), ("markov", "fixed")])
def test_lambda_max_is_not_compared_where_it_is_not_used(strategy: str, alpha: str) -> None:
    config = TrialConfig.model_validate(
        {"keep": 3, "strategy": strategy, "alpha": alpha, "lambda_start": 1e8, "lambda_max": 1e9}
    )
    assert TrialConfig.model_validate(config.used()).used() == config.used()


def test_an_unknown_name_is_refused() -> None:
    assert refusal(growht=2.0)["loc"] == ("growht",)


def test_the_ends_of_the_ranges_are_accepted() -> None:
    TrialConfig(
        keep=1,
        hidden=(),
        block=1.0,
        temperature=0.0,
        plateau_threshold=0.0,
        rejection_weight=0.0,
        weight_decay=0.0,
        initial_weight=-2.0,
        lambda_start=5.0,
        lambda_max=5.0,
    )


def test_a_configuration_does_not_change() -> None:
    config = TrialConfig(keep=3)
    with pytest.raises(ValidationError):
        config.growth = 2.0  # type: ignore[attr-defined]


def test_the_fields_are_the_hyperparameters_of_the_interface() -> None:
    names = {*FLOATS, *INTEGERS, *CHOICES, "hidden", "arguments", "folds"}
    assert names == set(TrialConfig.model_fields)


def expected_names(strategy: str, alpha: str, mu: str) -> set[str]:
    """The fields that count for a strategy, from the table of the formula sheet."""
    if strategy == "swap":
        unused = {"pruner_learning_rate", "initial_weight"}
        return ALWAYS_USED - unused | {"shrink_epochs", "proposals", "temperature"}
    names = ALWAYS_USED | USED_FOR_ALPHA[alpha if strategy == "markov" else strategy]
    if "mu" in names and mu == "one":
        names = names - {"window"}
    if strategy == "markov":
        names = (names | {"alpha", "delta", "block", "proposals", "temperature"}) - {"pruner_learning_rate"}
    return names


@pytest.mark.parametrize("mu", CHOICES["mu"])
@pytest.mark.parametrize("alpha", CHOICES["alpha"])
@pytest.mark.parametrize("strategy", CHOICES["strategy"])
def test_used_holds_exactly_what_the_strategy_uses(strategy: str, alpha: str, mu: str) -> None:
    config = TrialConfig.model_validate({"keep": 3, "strategy": strategy, "alpha": alpha, "mu": mu})
    assert set(config.used()) == expected_names(strategy, alpha, mu)


configurations = st.fixed_dictionaries(
    {
        "keep": st.integers(1, 50),
        "lambda_start": st.floats(1e-6, 1e6),
        "lambda_max": st.floats(1e6, 1e9),
        "growth": st.floats(1.001, 100),
        "hidden": st.lists(st.integers(1, 100), max_size=3),
        "window": st.integers(1, 30),
        "block": st.floats(0.01, 1),
        **{name: st.sampled_from(choices) for name, choices in CHOICES.items()},
    }
)


@given(configurations)
def test_used_rebuilds_an_equivalent_configuration_through_json(values: dict[str, Any]) -> None:
    config = TrialConfig(**values)
    rebuilt = TrialConfig(**json.loads(json.dumps(config.used())))
    assert rebuilt.used() == config.used()
    assert rebuilt.chain == config.chain
    assert rebuilt.alpha_strategy == config.alpha_strategy
    assert all(getattr(rebuilt, name) == getattr(config, name) for name in config.used())


def test_markov_takes_its_alpha_from_the_strategy_that_alpha_names() -> None:
    markov = TrialConfig(keep=3, strategy="markov", alpha="plateau")
    assert (markov.alpha_strategy, markov.chain) == ("plateau", True)
    plain = TrialConfig(keep=3, strategy="ratio", alpha="plateau")
    assert (plain.alpha_strategy, plain.chain) == ("ratio", False)
