"""`training.folds` and `search.decoys` in a study file."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError

from pruning_core.data import DataError
from search.study import Study

COLUMN = {"column": "event", "modulo": 10, "validation": [7, 8], "test": [9]}


def a_study(data: dict[str, Any], folds: int = 3) -> Study:
    return Study.model_validate({"name": "a", "data": {"keep": 2, **data}, "training": {"folds": folds}})


@pytest.fixture
def table(tmp_path: Path) -> str:
    frame = pd.DataFrame({"x": range(60), "y": [k % 7 for k in range(60)], "z": [k % 5 for k in range(60)]})
    frame = frame.assign(event=range(60), run=[k // 4 for k in range(60)], label=[k // 10 % 2 for k in range(60)])
    frame.to_csv(tmp_path / "table.csv", index=False)
    return str(tmp_path / "table.csv")


@pytest.mark.parametrize("split", [[0.7, 0.15, 0.15], {"group": "run"}, COLUMN])
def test_all_rows_but_the_test_part_are_dealt(table: str, split: Any) -> None:
    study = a_study(
        {
            "source": table,
            "target": "label",
            "split": split,
            "exclude": [name for name in ("event", "run") if name not in str(split)],
        }
    )
    loaded = study.load_data()
    assert loaded.test is not None
    assert len(loaded.rows.y) == 60 - len(loaded.test.y)
    assert study.rows_of(loaded).startswith(f"{len(loaded.rows.y)} rows in 3 folds")
    assert study.trial_config().used()["folds"] == 3


@pytest.mark.parametrize("split", [{"column": "part"}, {"validation": "v.csv", "test": "t.csv"}])
def test_a_split_that_says_which_rows_validate_takes_no_folds(split: Any) -> None:
    with pytest.raises(ValidationError, match=r"training\.folds = 3 must be left out where data\.split says which"):
        a_study({"source": "a.csv", "target": "label", "split": split})


def test_more_folds_than_rows_of_a_class_are_refused() -> None:
    with pytest.raises(DataError, match=r"training\.folds = 60 must be at most 40, since a class has no more rows"):
        a_study({"source": "wine"}, folds=60).load_data()


def test_without_folds_a_trial_does_not_speak_of_them() -> None:
    study = Study.model_validate({"name": "a", "data": {"source": "wine", "keep": 2}})
    assert "folds" not in study.trial_config().used()


def test_decoys_compete_in_the_built_in_network_of_linear_layers_only() -> None:
    document = {"name": "a", "data": {"source": "digits", "keep": 8}, "search": {"decoys": 4}}
    assert Study.model_validate({**document, "network": {"kind": "mlp"}}).search.decoys == 4
    with pytest.raises(ValidationError, match=r"search\.decoys = 4 must be 0 for another network than the built-in"):
        Study.model_validate({**document, "network": {"kind": "conv", "input_shape": [1, 8, 8]}})
