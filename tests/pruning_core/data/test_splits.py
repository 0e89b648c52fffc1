"""Splits by groups, remainders, a column and files: no row on two sides, every class on each."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_tables import LABELS, frame, load

from pruning_core.data import DataError, Dataset, load_dataset


def places(data: Dataset) -> list[list[int]]:
    """The input `place` of each part's rows."""
    column = data.feature_names.index("place")
    parts = [part for part in (data.train, data.validation, data.test) if part]
    return [(p.x[:, column] * data.scale[column] + data.mean[column]).round().int().tolist() for p in parts]


@given(sizes=st.lists(st.integers(1, 12), min_size=12, max_size=60), seed=st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_a_group_lies_on_one_side(tmp_path_factory: pytest.TempPathFactory, sizes: list[int], seed: int) -> None:
    run = np.repeat(np.arange(len(sizes)), sizes)
    label = np.arange(len(run)) % 2
    label[-len(sizes) :] = 0
    label = np.where(np.isin(run, [0, 1, 2]), label, np.arange(len(run)) % 2)
    table = pd.DataFrame({"place": np.arange(len(run)), "x": np.arange(len(run)) ** 0.5, "run": run, "label": label})
    folder = tmp_path_factory.mktemp("split")
    try:
        data = load(table, folder, split={"group": "run"}, split_seed=seed)
    except DataError as error:
        assert "must leave rows of every class in every part" in str(error)  # noqa: PT017
        return
    groups = [set(run[part].tolist()) for part in places(data)]
    assert sorted(place for part in places(data) for place in part) == list(range(len(run)))
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]
    for rows, fraction in zip(places(data), (0.7, 0.15, 0.15), strict=True):
        assert abs(len(rows) - fraction * len(run)) <= max(sizes) + 2


def test_groups_are_as_stratified_as_they_allow(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    run = rng.integers(0, 200, 4000)
    label = rng.random(4000) < 0.2
    table = pd.DataFrame({"place": np.arange(4000), "x": rng.normal(size=4000), "run": run, "label": label})
    data = load(table, tmp_path, split={"group": "run", "fractions": [0.5, 0.25, 0.25]})
    assert data.test is not None
    assert [len(part.y) for part in (data.train, data.validation, data.test)] == pytest.approx(
        [2000, 1000, 1000], abs=40
    )
    for part in (data.train, data.validation, data.test):
        assert float(part.y.float().mean()) == pytest.approx(label.mean(), abs=0.02)
    again = load(table.assign(run=[f"run {i}" for i in run]), tmp_path, split={"group": "run"}, split_seed=1)
    other = load(table.assign(run=[f"run {i}" for i in run]), tmp_path, split={"group": "run"}, split_seed=2)
    assert places(again) != places(other)


def test_the_remainder_of_an_event_number(tmp_path: Path) -> None:
    event = np.arange(30) // 2 + 2**60
    table = frame(event=event, place=np.arange(30))
    data = load(table, tmp_path, split={"column": "event", "modulo": 10, "validation": [7, 8], "test": 9})
    left = [{int(event[place]) % 10 for place in part} for part in places(data)]
    assert left == [{0, 1, 2, 3, 4, 5, 6}, {7, 8}, {9}]


def test_a_column_that_names_the_part(tmp_path: Path) -> None:
    part = (["training"] * 6 + ["validation"] * 2 + ["test"] * 2) * 3
    data = load(frame(part=part, place=np.arange(30)), tmp_path, split={"column": "part"})
    assert [{part[place] for place in rows} for rows in places(data)] == [{"training"}, {"validation"}, {"test"}]


def test_files_for_validation_and_test(tmp_path: Path) -> None:
    table = frame(place=np.arange(30))
    for name, rows in (("train", slice(0, 20)), ("validation", slice(20, 26)), ("test", slice(26, 30))):
        table[rows].to_csv(tmp_path / f"{name}.csv", index=False)
        for label in ("no", "yes"):
            of_class = table[rows][table[rows].label == label].drop(columns="label")
            of_class.to_csv(tmp_path / f"{name}_{label}.csv", index=False)
    split: dict[str, Any] = {"validation": "validation.csv", "test": ["test.csv"]}
    data = load_dataset("train.csv", target="label", split=split, folder=tmp_path)
    assert places(data) == [list(range(20)), list(range(20, 26)), list(range(26, 30))]
    by_class = {part: {label: f"{part}_{label}.csv" for label in ("no", "yes")} for part in ("validation", "test")}
    data = load_dataset({"no": "train_no.csv", "yes": "train_yes.csv"}, split=by_class, folder=tmp_path)
    assert [sorted(rows) for rows in places(data)] == [list(range(20)), list(range(20, 26)), list(range(26, 30))]
    assert torch.bincount(data.validation.y).tolist() == [3, 3]


PARTS = ["training"] * 20 + ["validation"] * 5 + ["test"] * 5
ONE_CLASS = ["training" if label == "no" else "validation" for label in LABELS[:-2]] + ["test"] * 2
MODULO: dict[str, Any] = {"column": "event", "modulo": 10, "validation": [7, 8], "test": [9]}

REFUSED: list[tuple[dict[str, Any], Any, list[str]]] = [
    ({}, {}, ["data.split = {}", "[0.7, 0.15, 0.15], {group: COLUMN}"]),
    ({}, {"groups": "run"}, ["data.split = {'groups': 'run'}", "{group: COLUMN}"]),
    ({}, {"validation": "a.csv"}, ["{validation: FILE, test: FILE}"]),
    ({}, "random", ["data.split = random", "three fractions"]),
    ({"run": 1}, {"group": "run"}, ["data.split by 'run'", "validation part has no rows"]),
    ({"run": LABELS}, {"group": "run"}, ["data.split by 'run'", "rows of every class in every part"]),
    ({"run": [None, *range(29)]}, {"group": "run"}, ["data.split.group = 'run'", "1 of 30 are missing"]),
    ({"run": 1}, {"group": "run", "fractions": [1, 1, 1]}, ["data.split.fractions = [1, 1, 1]", "sum 1"]),
    ({"event": range(30)}, {**MODULO, "modulo": 1}, ["data.split.modulo = 1", "at least 3"]),
    ({"event": range(30)}, {**MODULO, "test": [10]}, ["data.split.test = [10]", "0 ... 9"]),
    ({"event": range(30)}, {**MODULO, "test": []}, ["data.split.test = []", "0 ... 9"]),
    ({"event": range(30)}, {**MODULO, "test": [8, 9]}, ["data.split.test = [8, 9]", "share no remainder", "8"]),
    ({"event": range(30)}, {**MODULO, "modulo": 3, "validation": [0, 1], "test": 2}, ["training part"]),
    ({"event": np.arange(30) / 2}, MODULO, ["data.split.column = 'event'", "whole number", "0.5"]),
    ({"event": LABELS}, MODULO, ["data.split.column = 'event'", "whole number", "'no'"]),
    ({"event": [None, *range(29)]}, MODULO, ["data.split.column = 'event'", "whole number", "nan"]),
    ({"event": 20}, MODULO, ["data.split by 'event'", "validation part has no rows"]),
    (
        {"part": [*PARTS[:-1], "testing"]},
        {"column": "part"},
        ["data.split.column = 'part'", "training, validation or test", "testing"],
    ),
    ({"part": ONE_CLASS}, {"column": "part"}, ["data.split by 'part'", "the training part has none of 'yes'"]),
    ({}, {"validation": "table.csv", "test": "t.csv"}, ["data.source and data.split.validation", "named twice"]),
    ({}, {"validation": "t.csv", "test": "t.csv"}, ["data.split.validation and data.split.test", "named twice"]),
    ({}, {"validation": "t.csv", "test": 5}, ["data.split.test = 5", "name files"]),
    ({}, {"validation": [], "test": "t.csv"}, ["data.split.validation = []", "name files"]),
    ({}, {"validation": "t.csv", "test": "nowhere.csv"}, ["data.split.test = 'nowhere.csv'", "exists"]),
    ({}, {"validation": "t.csv", "test": "v*.csv"}, ["data.split.test = 'v*.csv' must match"]),
    ({}, {"validation": "t.csv", "test": "digits"}, ["data.split.test = 'digits' must be a file that ends in"]),
    ({}, {"validation": "t.csv", "test": {"no": "n.csv"}}, ["data.split.test", "a file, a glob"]),
    ({}, {"validation": "t.csv", "test": "no.csv"}, ["the test part has none of 'yes'"]),
    ({}, {"validation": "t.csv", "test": "less.csv"}, ["same columns in all files", "less.csv", "depth"]),
]


@pytest.mark.parametrize(("columns", "split", "words"), REFUSED)
def test_refusals(tmp_path: Path, columns: dict[str, Any], split: Any, words: list[str]) -> None:
    frame().to_csv(tmp_path / "t.csv", index=False)
    frame(label="no").to_csv(tmp_path / "no.csv", index=False)
    frame().drop(columns="depth").to_csv(tmp_path / "less.csv", index=False)
    with pytest.raises(DataError) as caught:
        load(frame(**columns), tmp_path, split=split)
    assert [word for word in words if word not in str(caught.value)] == []
    assert "\n" not in str(caught.value)


def test_files_of_classes_need_files_of_the_same_classes(tmp_path: Path) -> None:
    inputs = frame().drop(columns="label")
    for i in range(6):
        inputs.to_csv(tmp_path / f"{i}.csv", index=False)
    split = {"validation": {"a": "2.csv", "b": "3.csv"}, "test": {"a": "4.csv", "c": "5.csv"}}
    with pytest.raises(DataError, match=r"data.split.test = .* must be a mapping of the classes a, b"):
        load_dataset({"a": "0.csv", "b": "1.csv"}, split=split, folder=tmp_path)
