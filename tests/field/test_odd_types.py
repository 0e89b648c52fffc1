"""Columns of every type that a file may have: numbers come out as they are, and what is none is named."""

import datetime
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from small_tables import frame, load, raw

from pruning_core.data import DataError, Dataset, load_dataset

ROWS = np.arange(30)
GAPS: Any = [True, False, None] * 10


def values(data: Dataset, name: str) -> np.ndarray:
    """A column as it was read, in the order of `place`, the number of the row."""
    rows = raw(data)
    order = np.argsort(rows[:, data.feature_names.index("place")])
    return rows[order, data.feature_names.index(name)]


COLUMNS: dict[str, tuple[Any, list[float | None]]] = {
    "categories of integers": (pd.Categorical([9, 10, 100] * 10), [9, 10, 100]),
    "categories of floats": (pd.Categorical([0.5, 10.25, 2.0] * 10), [0.5, 10.25, 2.0]),
    "categories of truth values": (pd.Categorical([True, False, True] * 10), [1, 0, 1]),
    "categories with gaps": (pd.Categorical([9, 10, None] * 10), [9, 10, None]),
    "truth values": ([True, False, True] * 10, [1, 0, 1]),
    "truth values with gaps": (pd.array(GAPS, dtype="boolean"), [1, 0, None]),
    "objects of truth values with gaps": (pd.Series(GAPS, dtype=object), [1, 0, None]),
    "nullable integers": (pd.array([1, 2, None] * 10, dtype="Int64"), [1, 2, None]),
    "nullable small integers": (pd.array([1, 2, None] * 10, dtype="UInt8"), [1, 2, None]),
    "nullable floats": (pd.array([1.5, 2.5, None] * 10, dtype="Float32"), [1.5, 2.5, None]),
    "Arrow's integers": (pd.array([1, 2, None] * 10, dtype="int16[pyarrow]"), [1, 2, None]),
    "small integers": (np.array([-128, 0, 127] * 10, np.int8), [-128, 0, 127]),
    "large integers": (np.array([2**62, 2**61, 0] * 10, np.uint64), [2.0**62, 2.0**61, 0]),
    "half precision": (np.array([0.5, 1024, -2] * 10, np.float16), [0.5, 1024, -2]),
    "decimals": ([Decimal("1.25"), Decimal("-10.50"), Decimal("0.00")] * 10, [1.25, -10.5, 0]),
    "decimals with gaps": ([Decimal("1.25"), Decimal("-10.25"), None] * 10, [1.25, -10.25, None]),
}


@pytest.mark.parametrize("kind", ["parquet", "feather"])
@pytest.mark.parametrize("name", COLUMNS)
def test_numbers_of_every_type_come_out_as_they_are(name: str, kind: str, tmp_path: Path) -> None:
    column, expected = COLUMNS[name]
    table = frame(place=ROWS, x=column)
    table.to_parquet(tmp_path / "t.parquet") if kind == "parquet" else table.to_feather(tmp_path / "t.feather")
    data = load_dataset(f"t.{kind}", target="label", impute="mean", folder=tmp_path)
    known = [value for value in expected if value is not None]
    np.testing.assert_allclose(values(data, "x")[: len(known)], known, rtol=1e-5, atol=1e-6 * max(map(abs, known)))
    assert data.missing[data.feature_names.index("x")] == pytest.approx(1 - len(known) / 3)


LABELS: dict[str, tuple[Any, list[Any]]] = {
    "categories of integers": (pd.Categorical([9, 10, 100] * 10), [9, 10, 100]),
    "categories in an order of their own": (pd.Categorical([3, 1, 2] * 10, categories=[3, 1, 2]), [1, 2, 3]),
    "categories of text": (pd.Categorical(["b", "a", "c"] * 10), ["a", "b", "c"]),
    "categories of truth values": (pd.Categorical([True, False] * 15), [False, True]),
    "nullable integers": (pd.array([10, 9] * 15, dtype="Int64"), [9, 10]),
    "nullable truth values": (pd.array([True, False] * 15, dtype="boolean"), [False, True]),
    "nullable text": (pd.array(["b", "a"] * 15, dtype="string"), ["a", "b"]),
    "small integers": (np.array([-1, 1] * 15, np.int8), [-1, 1]),
    "half precision": (np.array([0.5, 1.5] * 15, np.float16), [0.5, 1.5]),
    "whole floats": (np.array([1.0, 0.0] * 15), [0, 1]),
    "decimals": ([Decimal("1.00"), Decimal("2.00")] * 15, [1, 2]),
    "days": ([datetime.date(2024, 1, 2), datetime.date(2023, 1, 2)] * 15, ["2023-01-02", "2024-01-02"]),
}


@pytest.mark.parametrize("kind", ["parquet", "feather"])
@pytest.mark.parametrize("name", LABELS)
def test_labels_of_every_type_are_classes_of_that_type_in_their_order(name: str, kind: str, tmp_path: Path) -> None:
    column, classes = LABELS[name]
    table = frame(label=column)
    table.to_parquet(tmp_path / "t.parquet") if kind == "parquet" else table.to_feather(tmp_path / "t.feather")
    data = load_dataset(f"t.{kind}", target="label", folder=tmp_path)
    assert data.source is not None
    assert list(data.source.classes) == classes
    assert [type(each) for each in data.source.classes] == [type(each) for each in classes]
    assert data.class_names == tuple(map(str, classes))


@pytest.mark.parametrize("words", [("True", "False"), ("true", "false"), ("TRUE", "FALSE")])
def test_truth_values_with_gaps_are_filled_from_text_as_from_parquet(words: tuple[str, str], tmp_path: Path) -> None:
    lines = [f"{i},{[*words, ''][i % 3]},{'no' if i % 2 else 'yes'}" for i in range(30)]
    (tmp_path / "t.csv").write_text("\n".join(["place,x,label", *lines]))
    frame(x=pd.array(GAPS, dtype="boolean"), place=ROWS, label=["yes", "no"] * 15)[["place", "x", "label"]].to_parquet(
        tmp_path / "t.parquet"
    )
    text, parquet = (load_dataset(n, target="label", impute="mean", folder=tmp_path) for n in ("t.csv", "t.parquet"))
    assert text.fingerprint == parquet.fingerprint
    assert torch.equal(text.train.x, parquet.train.x)


def test_categories_with_unsigned_codes_are_read(tmp_path: Path) -> None:
    codes = pa.DictionaryArray.from_arrays(pa.array([0, 1, 1] * 10, pa.uint8()), pa.array([50, 70]))
    columns = {name: pa.array(column) for name, column in frame(place=ROWS).items()}
    pq.write_table(pa.table({**columns, "x": codes}), tmp_path / "t.parquet")
    data = load_dataset("t.parquet", target="label", folder=tmp_path)
    np.testing.assert_allclose(values(data, "x")[:3], [50, 70, 70], rtol=1e-5)


NO_NUMBERS: dict[str, tuple[Any, str]] = {
    "days": ([datetime.date(2024, 1, 2)] * 30, "x holds '2024-01-02' in row 1"),
    "time stamps": (pd.date_range("2024-01-02", periods=30), "x holds the datetime64"),
    "time stamps with a zone": (pd.date_range("2024-01-02", periods=30, tz="UTC"), "x holds the datetime64"),
    "durations": (pd.to_timedelta(ROWS, "s"), "x holds the timedelta64"),
    "bytes": ([b"a", b"b"] * 15, "x (binary)"),
    "records": ([{"re": 1.0}] * 30, "x (struct<re: double>)"),
    "categories of text": (pd.Categorical(["1", "two", "3"] * 10), "x holds 'two' in row 2"),
}


@pytest.mark.parametrize("name", NO_NUMBERS)
def test_what_is_no_number_is_named_with_its_type_or_the_cell(name: str, tmp_path: Path) -> None:
    column, words = NO_NUMBERS[name]
    frame(x=column).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=re.escape(words)):
        load_dataset("t.parquet", target="label", folder=tmp_path)


@pytest.mark.parametrize("row", range(0, 30, 3))
def test_a_number_beyond_float32_is_refused_in_whatever_part_it_lies(row: int, tmp_path: Path) -> None:
    table = frame()
    table.loc[row, "width"] = 1.797e308
    with pytest.raises(DataError, match=rf"width.*too large.*\(width in row {row + 1}\)"):
        load(table, tmp_path)


@pytest.mark.parametrize("row", [0, 7, 22])
@pytest.mark.parametrize(
    ("column", "value", "keys", "words"),
    [
        ("width", np.nan, {}, "must not lack values, as it does in width (width in"),
        ("width", -np.inf, {"impute": "mean"}, "infinite ones in width (width in"),
        ("width", -999, {"missing": [-999]}, "must not lack values, as it does in width (width in"),
        ("label", None, {}, "1 of 58 are missing or infinite, as in"),
        ("heavy", np.inf, {"weight": "heavy"}, "1 of 58 are missing or infinite, as in"),
    ],
)
def test_the_row_of_a_wrong_cell_is_that_of_its_file(
    column: str, value: Any, keys: dict[str, Any], words: str, row: int, tmp_path: Path
) -> None:
    table = frame(place=ROWS, heavy=1.0)
    table.to_csv(tmp_path / "first.csv", index=False)
    table[column] = table[column].where(table["place"] != row, value)
    table.to_csv(tmp_path / "second.csv", index=False)
    with pytest.raises(DataError, match=re.escape(f"{words} row {row + 1} of 'second.csv'")):
        load_dataset(["first.csv", "second.csv"], target="label", cut="place != 3", folder=tmp_path, **keys)
