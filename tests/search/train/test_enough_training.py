"""What the curve of `data.keep: auto` trains on, and with which configurations."""

from typing import Any

import numpy as np
import pytest

from pruning_core import from_arrays
from pruning_core.data import Dataset
from search.propose.optimiser import drawn
from search.study import Study
from search.study.sections import AUTO_FOLDS

SEARCHED = (
    *("lambda_start", "growth", "step_epochs", "mu"),
    *("learning_rate", "pruner_learning_rate", "weight_decay", "label_smoothing"),
)


def a_study(**sections: Any) -> Study:
    data = {"source": "wine", "keep": "auto"} | sections.pop("data", {})
    return Study.model_validate({"name": "s", "data": data, **sections})


def some_data(of_a_class: int) -> Dataset:
    """Rows of two classes, so many to train and one to validate of each."""
    random = np.random.default_rng(0)

    def rows(count: int) -> tuple[np.ndarray, np.ndarray]:
        return random.normal(size=(2 * count, 4)), np.arange(2 * count) % 2

    return from_arrays(rows(of_a_class), rows(1), rows(1))


@pytest.mark.parametrize(
    ("sections", "rows", "folds"),
    [
        ({}, 40, AUTO_FOLDS[0]),
        ({}, 5, AUTO_FOLDS[1]),
        ({"training": {"folds": 6}}, 40, 6),
        ({"data": {"split": {"column": "part"}}}, 40, None),
        ({}, 2, None),
    ],
    ids=["left open", "a small class", "given", "marked rows", "too few rows"],
)
def test_the_curve_is_in_folds_where_the_split_and_the_rows_allow_it(
    sections: dict[str, Any], rows: int, folds: int | None
) -> None:
    assert a_study(**sections).with_folds(some_data(rows)).training.folds == folds


def test_configurations_are_the_default_and_what_each_strategy_would_try_first() -> None:
    study = a_study(strategies=["stepped", "plateau"])
    configurations = drawn(study, 8)
    assert [each["strategy"] for each in configurations] == ["stepped", "plateau"] * 4
    assert study.at(4).trial_config(configurations[0]) == study.at(4).trial_config()
    assert len({str(each) for each in configurations}) == 8
    assert all("keep" not in each for each in configurations)
    assert configurations == drawn(study, 8), "of the same study the same"


def test_a_study_that_fixes_everything_has_one_configuration() -> None:
    defaults = a_study(strategies=["stepped"]).trial_config().used()
    space = {name: value for name, value in defaults.items() if name in SEARCHED}
    assert len(drawn(a_study(strategies=["stepped"], space=space), 8)) == 1
