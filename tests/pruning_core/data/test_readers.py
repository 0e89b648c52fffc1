"""What is read from named sets and files, and that a file type makes no difference."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_tables import frame, load, raw, sorted_rows

from pruning_core.data import load_dataset


def test_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    theirs, ours = load_digits(), load_dataset("digits", folder=Path())
    columns = [theirs.feature_names.index(name) for name in ours.feature_names]
    assert sorted([*ours.feature_names, *ours.dropped]) == sorted(theirs.feature_names)
    expected = np.column_stack([theirs.data[:, columns], theirs.target])
    np.testing.assert_allclose(sorted_rows(raw(ours).round()), sorted_rows(expected))
    assert ours.class_names == tuple("0123456789")


def test_digits_load_without_importing_scikit_learn_or_pandas() -> None:
    code = (
        "import sys; from pathlib import Path; from pruning_core.data import load_dataset\n"
        "load_dataset('digits', folder=Path())\n"
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

    data = load_dataset(source, folder=Path())
    assert (len(data.feature_names), data.feature_names[0], data.class_names) == (features, feature, classes)
    theirs = getattr(datasets, f"load_{source}")()
    for ours, name in enumerate(classes):
        of_class = theirs.data[theirs.target == list(theirs.target_names).index(name)]
        np.testing.assert_allclose(
            np.sort(raw(data)[raw(data)[:, -1] == ours][:, 0]), np.sort(of_class[:, 0]), rtol=1e-4
        )


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
    data = load_dataset(name, target="label", folder=tmp_path)
    assert data.feature_names == ("depth", "flag", "height", "width")
    assert data.fingerprint == expected.fingerprint
    assert torch.equal(data.train.x, expected.train.x)
