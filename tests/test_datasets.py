"""What the data loader promises: a stratified split that never changes, standard features, plain refusals."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pruning_core.data.datasets import DataError, Dataset, load_dataset

LABELS = ["no", "yes"] * 15


def frame(**columns: Any) -> pd.DataFrame:
    """Thirty rows of two classes with three numeric features, changed by ``columns``."""
    rng = np.random.default_rng(0)
    rows: dict[str, Any] = {name: rng.normal(size=30) for name in ("height", "width", "depth")}
    return pd.DataFrame({**rows, "label": LABELS, **columns})


def load(table: pd.DataFrame, folder: Path, **arguments: Any) -> Dataset:
    table.to_csv(folder / "table.csv", index=False)
    return load_dataset("table.csv", **{"keep": 2, "target": "label", "folder": folder, **arguments})


def raw(data: Dataset) -> np.ndarray:
    """All rows as they were read, with the label as last column, part after part."""
    parts = [data.train, data.validation, data.test]
    return np.concatenate([torch.cat([p.x * data.scale + data.mean, p.y[:, None]], 1).numpy() for p in parts if p])


def sorted_rows(rows: np.ndarray) -> np.ndarray:
    return rows[np.lexsort(rows.T)]


def test_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    theirs, ours = load_digits(), load_dataset("digits", keep=16, folder=Path())
    columns = [theirs.feature_names.index(name) for name in ours.feature_names]
    assert sorted([*ours.feature_names, *ours.dropped]) == sorted(theirs.feature_names)
    expected = np.column_stack([theirs.data[:, columns], theirs.target])
    np.testing.assert_allclose(sorted_rows(raw(ours).round()), sorted_rows(expected))
    assert ours.class_names == tuple("0123456789")


def test_digits_load_without_importing_scikit_learn_or_pandas() -> None:
    code = (
        "import sys; from pathlib import Path; from pruning_core.datasets import load_dataset\n"
        "load_dataset('digits', keep=16, folder=Path())\n"
        "sys.exit(bool({'sklearn', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0


@pytest.mark.parametrize(
    ("source", "features", "feature", "classes"),
    [
        ("breast_cancer", 30, "mean radius", ("benign", "malignant")),
        ("wine", 13, "alcohol", ("class_0", "class_1", "class_2")),
    ],
)
def test_other_named_sources(source: str, features: int, feature: str, classes: tuple[str, ...]) -> None:
    from sklearn import datasets

    data = load_dataset(source, keep=5, folder=Path())
    assert (len(data.feature_names), data.feature_names[0], data.class_names) == (features, feature, classes)
    theirs = getattr(datasets, f"load_{source}")()
    for ours, name in enumerate(classes):
        of_class = theirs.data[theirs.target == list(theirs.target_names).index(name)]
        np.testing.assert_allclose(
            np.sort(raw(data)[raw(data)[:, -1] == ours][:, 0]), np.sort(of_class[:, 0]), rtol=1e-4
        )


def test_the_split_of_digits_never_changes() -> None:
    data = load_dataset("digits", keep=16, folder=Path())
    assert data.test is not None
    assert [len(part.y) for part in (data.train, data.validation, data.test)] == [1258, 270, 269]
    assert data.fingerprint == "e97652275ad6815e00a2bd166d891338ac6a810a92f9a91d81ead81ea3536544"


@given(
    sizes=st.lists(st.integers(3, 60), min_size=2, max_size=5),
    split=st.sampled_from([(0.7, 0.15, 0.15), (0.5, 0.25, 0.25), (0.1, 0.1, 0.8), (0.98, 0.01, 0.01)]),
)
def test_every_row_is_in_one_part_and_every_class_in_each(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], split: tuple[float, float, float]
) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    table = pd.DataFrame({"row": np.arange(len(labels)), "other": np.arange(len(labels)) % 7, "label": labels})
    data = load(table, tmp_path_factory.mktemp("split"), split=split, keep=1)
    assert data.test is not None

    rows = raw(data)
    assert sorted(rows[:, 0].round().tolist()) == list(range(len(labels)))
    assert (labels[rows[:, 0].round().astype(int)] == rows[:, -1]).all()
    for part, fraction in zip((data.train, data.validation, data.test), split, strict=True):
        counts = torch.bincount(part.y, minlength=len(sizes)).numpy()
        assert counts.min() >= 1
        if min(sizes) * min(split) >= 2:
            assert abs(counts.sum() - fraction * len(labels)) <= 1
            assert (abs(counts - fraction * np.array(sizes)) <= 2).all()


def test_features_are_standardised_by_the_training_part_alone(tmp_path: Path) -> None:
    data = load(frame(height=np.linspace(10, 20, 30)), tmp_path)
    np.testing.assert_allclose(data.train.x.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(data.train.x.std(0, correction=0), 1, rtol=1e-5)
    assert data.validation.x.mean(0).abs().min() > 1e-3
    assert data.train.x.dtype == torch.float32
    assert data.train.x.is_contiguous()
    assert data.train.y.dtype == torch.int64


def test_small_changes_of_a_large_number_survive(tmp_path: Path) -> None:
    seconds = 1.7e9 + np.arange(30)
    data = load(frame(height=seconds), tmp_path)
    assert len(set(data.train.x[:, 0].tolist())) == len(data.train.y)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["b", "a", "c"] * 10, ("a", "b", "c")),
        ([10, 9, 100] * 10, ("9", "10", "100")),
        ([1.0, 0.0] * 15, ("0", "1")),
        ([0.5, 1.5] * 15, ("0.5", "1.5")),
        ([True, False] * 15, ("False", "True")),
    ],
)
def test_labels_of_any_kind_are_encoded_in_order(tmp_path: Path, labels: list[Any], names: tuple[str, ...]) -> None:
    data = load(frame(label=labels, place=np.arange(30)), tmp_path)
    assert data.class_names == names
    place = raw(data)[:, data.feature_names.index("place")].round().astype(int)
    assert [names[int(y)] for y in raw(data)[:, -1]] == [str(labels[i]).removesuffix(".0") for i in place]


@pytest.mark.parametrize("name", ["table.csv", "table.tsv", "table.parquet", "table.feather"])
def test_the_file_type_makes_no_difference(tmp_path: Path, name: str) -> None:
    table = frame(flag=[True, False, True] * 10).round(3)
    expected = load(table, tmp_path)
    match Path(name).suffix:
        case ".tsv":
            table.to_csv(tmp_path / name, sep="\t", index=False)
        case ".parquet":
            table.to_parquet(tmp_path / name)
        case ".feather":
            table.to_feather(tmp_path / name)
    data = load_dataset(name, keep=2, target="label", folder=tmp_path)
    assert data.feature_names == ("height", "width", "depth", "flag")
    assert data.fingerprint == expected.fingerprint
    assert torch.equal(data.train.x, expected.train.x)


def test_the_fingerprint_tells_data_apart(tmp_path: Path) -> None:
    width = frame()["width"].to_numpy() + 1e-9 * (np.arange(30) == 3)
    fingerprints = [
        load(frame(), tmp_path).fingerprint,
        load(frame(width=width), tmp_path).fingerprint,
        load(frame(label=[*LABELS[:-2], "yes", "no"]), tmp_path).fingerprint,
        load(frame().rename(columns={"width": "breadth"}), tmp_path).fingerprint,
        load(frame(), tmp_path, split=(0.6, 0.2, 0.2)).fingerprint,
        load(frame(), tmp_path, split_seed=1).fingerprint,
    ]
    assert len(set(fingerprints)) == len(fingerprints)
    assert load(frame(), tmp_path, keep=1).fingerprint == fingerprints[0]


def test_columns_constant_in_the_training_part_are_dropped(tmp_path: Path) -> None:
    validation_only = load(frame(row=np.arange(30)), tmp_path)
    row = validation_only.feature_names.index("row")
    unseen = int((validation_only.validation.x * validation_only.scale + validation_only.mean)[0, row].round())
    almost = np.zeros(30)
    almost[unseen] = 1
    holes = np.where(np.arange(30) % 2, 4.0, np.nan)
    data = load(frame(almost=almost, holes=holes, empty=np.nan, flag=True), tmp_path)
    assert data.feature_names == ("height", "width", "depth")
    assert data.dropped == ("almost", "holes", "empty", "flag")
    assert "almost, holes, empty, flag" in data.warnings[0]
    assert load(frame(), tmp_path).warnings == []


def test_missing_values_take_the_mean_of_the_training_part(tmp_path: Path) -> None:
    table = frame()
    table.loc[::4, "width"] = np.nan
    data = load(table, tmp_path, impute="mean")
    assert data.test is not None
    width = torch.cat([part.x[:, 1] for part in (data.train, data.validation, data.test)])
    assert int((width == 0).sum()) == 8  # the mean is 0 after standardising
    known = raw(data)[: len(data.train.y), 1]
    assert data.mean[1] == pytest.approx(known[known != data.mean[1].item()].mean(), abs=1e-5)


def test_the_test_part_can_be_left_out_and_the_rest_moved(tmp_path: Path) -> None:
    data = load(frame(), tmp_path)
    assert data.without_test().test is None
    assert data.without_test().train is data.train
    assert data.test is not None
    on_device = data.to("meta")
    assert on_device.test is not None
    assert {on_device.train.x.device.type, on_device.test.y.device.type, on_device.scale.device.type} == {"meta"}
    assert data.without_test().to("meta").test is None


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
    ({}, {"keep": 0}, ["data.keep = 0", "1 ... 2"]),
    ({}, {"keep": 3}, ["data.keep = 3", "1 ... 2"]),
    ({"depth": 1.0}, {"keep": 2}, ["data.keep = 2", "1 ... 1", "constant"]),
    ({"depth": 1.0, "width": 1.0}, {"keep": 1}, ["data.source", "at least 2"]),
    ({}, {"split": (0.7, 0.2, 0.2)}, ["data.split", "0.7", "sum 1"]),
    ({}, {"split": (0.8, 0.2, 0.0)}, ["data.split", "above 0"]),
    ({}, {"split": (0.8, 0.2)}, ["data.split", "three"]),
    ({}, {"split_seed": -1}, ["data.split_seed = -1", "0 ... 4294967295"]),
    ({}, {"impute": "median"}, ["data.impute", "'median'", "'mean'"]),
]


@pytest.mark.parametrize(("columns", "arguments", "words"), REFUSED)
def test_refusals_name_the_key_the_value_and_what_is_allowed(
    tmp_path: Path, columns: dict[str, Any], arguments: dict[str, Any], words: list[str]
) -> None:
    frame(**columns).to_csv(tmp_path / "table.csv", index=False)
    (tmp_path / "empty.csv").touch()
    (tmp_path / "text.parquet").write_text("not a table")
    arguments = {"source": "table.csv", "keep": 2, "target": "label", "folder": tmp_path, **arguments}
    with pytest.raises(DataError) as caught:
        load_dataset(**arguments)
    message = str(caught.value)
    assert [word for word in words if word not in message] == []
    assert "\n" not in message
