"""Several files are one source: globs, lists, files by class."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from small_tables import frame, load

from pruning_core.data import DataError, load_dataset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files of each class, of different types, and all rows with a label in one."""
    rows = frame()
    (tmp_path / "more").mkdir()
    inputs = rows.drop(columns="label")
    no, yes = (inputs[rows["label"] == label] for label in ("no", "yes"))
    no[:5].to_csv(tmp_path / "no_1.csv", index=False)
    no[5:].to_csv(tmp_path / "no_2.csv.gz", index=False)
    yes[:9].to_parquet(tmp_path / "more" / "yes_1.parquet", index=False)
    yes[9:].to_csv(tmp_path / "more" / "yes_2.tsv", sep="\t", index=False)
    ordered = pd.concat([no.assign(label="no"), yes.assign(label="yes")])
    ordered.to_csv(tmp_path / "all.csv", index=False)
    ordered[:7].to_csv(tmp_path / "part_1.csv", index=False)
    ordered[7:].to_csv(tmp_path / "part_2.csv", index=False)
    return tmp_path


def test_files_by_class_are_the_rows_with_a_label(folder: Path) -> None:
    expected = load_dataset("all.csv", target="label", folder=folder)
    by_class = {"yes": ["more/yes_1.parquet", "more/*_2.tsv"], "no": "no_*"}
    data = load_dataset(by_class, folder=folder)
    assert data.fingerprint == expected.fingerprint
    assert data.class_names == ("no", "yes")
    assert torch.equal(data.train.x, expected.train.x)
    assert data.name == "no_1.csv, no_2.csv.gz and 2 more"
    assert data.source is not None
    assert data.source.classes == ("no", "yes")
    assert load_dataset(dict(reversed(by_class.items())), folder=folder).fingerprint == expected.fingerprint


@pytest.mark.parametrize("source", ["part_*.csv", ["part_1.csv", "part_2.csv"], ["part_1.csv", "part_[2-9].csv"]])
def test_files_with_labels_are_joined(folder: Path, source: Any) -> None:
    data = load_dataset(source, target="label", folder=folder)
    assert data.fingerprint == load_dataset("all.csv", target="label", folder=folder).fingerprint


def test_a_file_whose_name_looks_like_a_glob_is_that_file(folder: Path) -> None:
    (folder / "all.csv").rename(folder / "all[1].csv")
    assert load_dataset("all[1].csv", target="label", folder=folder).name == "all[1].csv"


def test_columns_may_stand_in_another_order(folder: Path) -> None:
    rows = pd.read_csv(folder / "part_2.csv")
    rows[list(reversed(list(rows)))].to_csv(folder / "part_2.csv", index=False)
    data = load_dataset("part_*.csv", target="label", folder=folder)
    assert data.fingerprint == load_dataset("all.csv", target="label", folder=folder).fingerprint


def test_columns_that_differ_are_refused_unless_they_are_no_inputs(folder: Path) -> None:
    pd.read_csv(folder / "part_2.csv").assign(extra=np.arange(23)).to_csv(folder / "part_2.csv", index=False)
    with pytest.raises(DataError, match=r"same columns in all files, and .*part_2.csv' differs from .* in extra"):
        load_dataset("part_*.csv", target="label", folder=folder)
    wanted = ["depth", "height", "width"]
    data = load_dataset("part_*.csv", target="label", features=wanted, folder=folder)
    assert data.fingerprint == load_dataset("all.csv", target="label", folder=folder).fingerprint
    with pytest.raises(DataError, match=r"data.features = 'extra' must be a column of"):
        load_dataset("part_*.csv", target="label", features=[*wanted, "extra"], folder=folder)


REFUSED: list[tuple[Any, str | None, list[str]]] = [
    ("part_1*.root", "label", ["data.source = 'part_1*.root' must match at least one file"]),
    (["part_1.csv", "nowhere.csv"], "label", ["data.source = 'nowhere.csv'", "exists"]),
    (["part_1.csv", "part_*.csv"], "label", ["named twice", "part_1.csv"]),
    ([], "label", ["data.source = []", "at least one file"]),
    (["digits", "wine"], "label", ["data.source = 'digits'", "ends in"]),
    ("*", "label", ["data.source = '*'", "known types only", "unlike note.txt"]),
    ({"no": "no_1.csv"}, None, ["data.source", "at least 2 classes"]),
    ({"no": "no_*", "yes": []}, None, ["data.source.yes = []", "at least one file"]),
    ({"no": "no_*", "yes": "yse_*"}, None, ["data.source.yes = 'yse_*' must match"]),
    ({"no": "no_*", "yes": "no_1.csv"}, None, ["data.source.no and data.source.yes", "named twice"]),
    ({"no": "no_1.csv", "yes": "more/yes_2.tsv"}, "label", ["data.target = 'label' must be left out"]),
    ({"no": "no_1.csv", "yes": "empty.csv"}, None, ["data.source: class 'yes' has 0 rows"]),
    ({"no": "no_1.csv", "yes": "text.csv"}, None, ["depth is text in some only"]),
    ("part_*.csv", None, ["data.target is missing", "part_1.csv"]),
]


@pytest.mark.parametrize(("source", "target", "words"), REFUSED)
def test_refusals(folder: Path, source: Any, target: str | None, words: list[str]) -> None:
    (folder / "note.txt").touch()
    (folder / "empty.csv").write_text("height,width,depth\n")
    (folder / "text.csv").write_text("height,width,depth\n" + "1,2,three\n" * 9)
    with pytest.raises(DataError) as caught:
        load_dataset(source, target=target, folder=folder)
    assert [word for word in words if word not in str(caught.value)] == []


def test_labels_of_two_kinds_are_refused(folder: Path) -> None:
    pd.read_csv(folder / "part_1.csv").assign(label=0).to_csv(folder / "part_1.csv", index=False)
    with pytest.raises(DataError, match=r"data.target must be of one kind.*text in '.*part_2.csv' and numbers in"):
        load_dataset("part_*.csv", target="label", folder=folder)


def test_a_single_file_keeps_its_name(folder: Path) -> None:
    assert load(frame(), folder).name == "table.csv"


@pytest.mark.parametrize("values", [("s", "b"), ("one", "one")], ids=["the class", "constant"])
def test_text_that_only_says_the_class_is_left_out_with_a_warning(values: tuple[str, str], tmp_path: Path) -> None:
    numbers = np.random.default_rng(0)
    for name, label in zip(("signal", "background"), values, strict=True):
        frame = pd.DataFrame(numbers.normal(size=(30, 2)), columns=["pt", "eta"])
        frame.insert(1, "Label", label)
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    source = {"signal": "signal.csv", "background": "background.csv"}
    data = load_dataset(source, folder=tmp_path)
    assert data.feature_names == ("eta", "pt")
    assert data.warnings == ["text with a single value in each class is no input: Label"]
    assert data.fingerprint == load_dataset(source, folder=tmp_path, exclude=("Label",)).fingerprint
    with pytest.raises(DataError, match="numeric feature columns only, unlike Label"):
        load_dataset(source, folder=tmp_path, features=("pt", "eta", "Label"))


def test_text_with_two_values_in_a_class_is_still_refused(tmp_path: Path) -> None:
    for name in ("signal", "background"):
        frame = pd.DataFrame({"pt": np.arange(9.0), "eta": np.arange(9.0) ** 2, "channel": ["ee", "mumu", "ee"] * 3})
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    with pytest.raises(DataError, match="numeric feature columns only, unlike channel"):
        load_dataset({"signal": "signal.csv", "background": "background.csv"}, folder=tmp_path)
