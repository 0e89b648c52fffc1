"""Which columns are inputs, what stands for a missing value, and text as categories."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from small_tables import LABELS, frame, load

from pruning_core.data import DataError, load_dataset


def wide() -> pd.DataFrame:
    """Columns of several kinds, with an event number and a weight."""
    rng = np.random.default_rng(1)
    pts = {f"lep_{axis}": rng.normal(size=30) for axis in "xyz"}
    return frame(**pts, event=np.arange(30), weight=rng.uniform(1, 2, 30))


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({}, "depth event height lep_x lep_y lep_z weight width"),
        ({"features": ["lep_*", "depth"]}, "lep_x lep_y lep_z depth"),
        ({"features": "lep_[xz]"}, "lep_x lep_z"),
        ({"features": ["lep_z", "lep_*"]}, "lep_z lep_x lep_y"),
        ({"features": ["lep_*", "e*"], "exclude": ["lep_y", "event"]}, "lep_x lep_z"),
        ({"exclude": ["lep_*", "event"]}, "depth height weight width"),
        ({"weight": "weight"}, "depth event height lep_x lep_y lep_z width"),
        ({"features": ["*"], "weight": "weight"}, "depth event height lep_x lep_y lep_z width"),
        ({"cut": "event >= 0 and weight > 0"}, "depth event height lep_x lep_y lep_z weight width"),
    ],
)
def test_inputs_are_the_columns_that_are_named_and_have_no_other_role(
    tmp_path: Path, arguments: dict[str, Any], names: str
) -> None:
    assert load(wide(), tmp_path, **arguments).feature_names == tuple(names.split())


def test_what_the_split_uses_is_no_input(tmp_path: Path) -> None:
    by_event = {"column": "event", "modulo": 5, "validation": 3, "test": [4]}
    assert "event" not in load(wide(), tmp_path, split=by_event).feature_names
    assert "event" not in load(wide(), tmp_path, split={"group": "event"}).feature_names


REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({"features": ["heigth"]}, ["data.features = 'heigth'", "did you mean 'height'"]),
    ({"features": ["jet_*"]}, ["data.features = 'jet_*' must match a column of 'table.csv'", "height"]),
    ({"features": ["height[0]"]}, ["data.features = 'height[0]'", "one value per row"]),
    ({"features": ["jet[0]"]}, ["data.features = 'jet[0]'", "must be a column"]),
    ({"features": ["height", "label"]}, ["data.features = 'label' must not be an input, as it is data.target"]),
    ({"features": ["weight"], "weight": "weight"}, ["data.features = 'weight'", "as it is data.weight"]),
    ({"features": ["event"], "split": {"group": "event"}}, ["data.features = 'event'", "as it is data.split"]),
    ({"exclude": ["Kaggle*"]}, ["data.exclude = 'Kaggle*' must match a column"]),
    ({"exclude": ["evnet"]}, ["data.exclude = 'evnet'", "did you mean 'event'"]),
    ({"features": ["height"]}, ["at least 2 features", "it has 1"]),
    ({"exclude": ["*"]}, ["at least 2 features", "it has 0"]),
    ({"weight": "wieght"}, ["data.weight = 'wieght' must be a column", "did you mean 'weight'"]),
    ({"split": {"group": "run"}}, ["data.split = 'run' must be a column"]),
    ({"encode": "label"}, ["data.encode = 'label' must be 'onehot' or null"]),
]


@pytest.mark.parametrize(("arguments", "words"), REFUSED)
def test_refusals(tmp_path: Path, arguments: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        load(wide(), tmp_path, **arguments)
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize("impute", ["mean", "median"])
def test_placeholders_count_as_missing_and_are_filled(tmp_path: Path, impute: str) -> None:
    holes = np.arange(30) % 4 == 0
    values = np.exp(frame()["width"].to_numpy())
    count = np.arange(30) % 5
    marked = frame(width=np.where(holes, -999, values), count=np.where(count == 0, -1, count))
    emptied = frame(width=np.where(holes, np.nan, values), count=np.where(count == 0, np.nan, count))
    data = load(marked, tmp_path, missing=[-999, -1], impute=impute)
    expected = load(emptied, tmp_path, impute=impute)
    assert data.fingerprint == expected.fingerprint
    assert torch.equal(data.train.x, expected.train.x)
    assert data.missing == pytest.approx((6 / 30, 0, 0, 8 / 30))
    assert data.source is not None
    assert data.source.dtypes == ("float64", "float64", "float64", "float64")
    assert data.filling is not None
    filled = data.train.x * data.scale + data.mean
    width = filled[:, 3][torch.isclose(filled[:, 3], data.filling[3])]
    assert len(width) >= 3
    rows = np.setdiff1d(filled[:, 3].numpy(), width.numpy())
    # a row that is the median itself is not among them
    assert data.filling[3] == pytest.approx(getattr(np, impute)(rows), rel=0.02)
    with pytest.raises(
        DataError, match=r"must not lack values, as it does in count, width \(count in row 1\); data.impute: mean"
    ):
        load(marked, tmp_path, missing=[-999, -1])


def test_a_placeholder_is_found_in_single_precision(tmp_path: Path) -> None:
    table = frame(width=np.where(np.arange(30) % 3, 1.5 * np.arange(30), -99.9).astype(np.float32))
    table.to_parquet(tmp_path / "single.parquet")
    data = load_dataset("single.parquet", target="label", missing=[-99.9], impute="mean", folder=tmp_path)
    assert data.missing[2] == pytest.approx(1 / 3)


def test_text_becomes_an_input_for_each_category(tmp_path: Path) -> None:
    channel = ["mu", "e", None] * 10
    table = frame(channel=channel, flag=[True, False] * 15)
    data = load(table, tmp_path, encode="onehot")
    assert data.feature_names == ("channel=e", "channel=mu", "depth", "flag", "height", "width")
    ones = load(
        frame(
            **{"channel=e": [c == "e" for c in channel], "channel=mu": [c == "mu" for c in channel], "flag": table.flag}
        ),
        tmp_path,
    )
    assert torch.equal(data.train.x, ones.train.x)
    assert data.fingerprint == ones.fingerprint
    with pytest.raises(
        DataError, match=r"numeric feature columns only, unlike channel \(channel holds 'mu' in row 1\)"
    ):
        load(table, tmp_path)


def test_text_that_differs_in_every_row_is_no_category(tmp_path: Path) -> None:
    rows = 400
    table = pd.DataFrame({"x": np.arange(rows) ** 0.5, "name": [f"n{i}" for i in range(rows)], "label": [0, 1] * 200})
    with pytest.raises(DataError, match=r"data.encode = 'onehot'.*name has 280 of them \(at most 100"):
        load(table, tmp_path, encode="onehot")


@pytest.mark.parametrize(
    ("signal", "words"), [("mayby", "must be a class, one of maybe, no, yes"), ("yes", "two classes, and there are 3")]
)
def test_the_signal_is_one_of_two_classes(tmp_path: Path, signal: str, words: str) -> None:
    assert load(frame(), tmp_path, signal="yes").signal == "yes"
    with pytest.raises(DataError, match=f"data.signal = '{signal}'.*{words}"):
        load(frame(label=["maybe", *LABELS[1:-3], "maybe", "maybe", "no"]), tmp_path, signal=signal)
