"""What `load_dataset` and `check_keep` refuse, and in which words."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_tables import LABELS, frame, load

from pruning_core.data import DataError, check_keep, load_dataset

REFUSED: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    ({}, {"source": "nowhere.csv"}, ["data.source", "nowhere.csv"]),
    ({}, {"source": "table.xlsx"}, ["data.source", "table.xlsx", ".csv", ".parquet", "digits"]),
    ({}, {"source": "digit"}, ["data.source", "'digit'", "did you mean 'digits'"]),
    ({}, {"source": "digits", "target": "label"}, ["data.target", "'label'", "digits"]),
    ({}, {"source": "empty.csv"}, ["data.source", "empty.csv"]),
    ({}, {"source": "text.parquet"}, ["data.source", "text.parquet", "parquet"]),
    ({}, {"target": None}, ["data.target", "missing"]),
    ({}, {"target": "lable"}, ["data.target", "'lable'", "height", "did you mean 'label'"]),
    ({"depth": [1.0] * 7 + [np.nan] + [2.0] * 22}, {}, ["data.source", "depth", "data.impute: mean"]),
    ({"depth": [1.0] * 7 + [np.inf] + [2.0] * 22}, {"impute": "mean"}, ["data.source", "infinite", "depth"]),
    ({"depth": ["?", *range(29)]}, {}, ["data.source", "numeric", "depth", "'?'"]),
    ({"depth": np.arange(30) * 1e306}, {}, ["data.source", "depth", "too large"]),
    ({"label": [None, *LABELS[1:]]}, {}, ["data.target", "'label'", "1 of 30"]),
    ({"label": [np.inf, 1, 2] * 10}, {}, ["data.target", "'label'", "10 of 30"]),
    ({"label": "same"}, {}, ["data.target", "same", "2 classes"]),
    ({"label": ["rare", "rare", *LABELS[2:]]}, {}, ["data.target", "'rare' has 2 rows", "3"]),
    ({"depth": 1.0, "width": 1.0}, {}, ["data.source", "at least 2", "1 beside 2 constant ones"]),
    ({}, {"split": (0.7, 0.2, 0.2)}, ["data.split", "0.7", "sum 1"]),
    ({}, {"split": (0.8, 0.2, 0.0)}, ["data.split", "above 0"]),
    ({}, {"split": (0.8, 0.2)}, ["data.split", "three"]),
    ({}, {"split_seed": -1}, ["data.split_seed = -1", "0 ... 4294967295"]),
    ({}, {"impute": "mode"}, ["data.impute", "'mode'", "'mean'", "'median'"]),
]


@pytest.mark.parametrize(("columns", "arguments", "words"), REFUSED)
def test_refusals_name_the_key_the_value_and_what_is_allowed(
    tmp_path: Path, columns: dict[str, Any], arguments: dict[str, Any], words: list[str]
) -> None:
    frame(**columns).to_csv(tmp_path / "table.csv", index=False)
    (tmp_path / "empty.csv").touch()
    (tmp_path / "text.parquet").write_text("not a table")
    arguments = {"source": "table.csv", "target": "label", "folder": tmp_path, **arguments}
    with pytest.raises(DataError) as caught:
        load_dataset(**arguments)
    message = str(caught.value)
    assert [word for word in words if word not in message] == []
    assert "\n" not in message


def test_keep_lies_between_1_and_one_less_than_the_features_that_vary(tmp_path: Path) -> None:
    data = load(frame(flag=1.0), tmp_path)
    for keep in (1, 2):
        check_keep(data, keep)
    left_out = "'table.csv' has 3 features beside 1 constant ones, which are left out"
    for keep in (0, 3, -1):
        with pytest.raises(DataError) as caught:
            check_keep(data, keep)
        assert str(caught.value) == f"data.keep = {keep} must lie in 1 ... 2, as {left_out}"


def test_a_refused_keep_calls_the_source_as_it_was_given(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    frame().to_csv(tmp_path / "folder" / "table.csv", index=False)
    data = load_dataset("folder/table.csv", target="label", folder=tmp_path)
    with pytest.raises(DataError, match=r"as 'folder/table.csv' has 3 features$"):
        check_keep(data, 3)
    with pytest.raises(DataError, match=r"as 'made' has 3 features$"):
        check_keep(replace(data, name="made", source=None), 3)
