"""Columns are prepared by what the training part holds, and a fingerprint tells data apart."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_tables import LABELS, frame, load, raw

from pruning_core.data import load_dataset


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


def test_columns_constant_in_the_training_part_are_dropped(tmp_path: Path) -> None:
    validation_only = load(frame(row=np.arange(30)), tmp_path)
    row = validation_only.feature_names.index("row")
    unseen = int((validation_only.validation.x * validation_only.scale + validation_only.mean)[0, row].round())
    almost = np.zeros(30)
    almost[unseen] = 1
    holes = np.where(np.arange(30) % 2, 4.0, np.nan)
    data = load(frame(almost=almost, holes=holes, empty=np.nan, flag=True), tmp_path)
    assert data.feature_names == ("depth", "height", "width")
    assert data.dropped == ("almost", "empty", "flag", "holes")
    assert "almost, empty, flag, holes" in data.warnings[0]
    assert load(frame(), tmp_path).warnings == []


@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
def test_whole_numbers_beyond_double_precision_are_named(tmp_path: Path, name: str) -> None:
    numbers = {
        "near": 2**60 + np.arange(30),
        "far": 2**60 + 1001 * np.arange(30),
        "whole": 2**60 + 1024 * np.arange(30),
    }
    table = frame(**numbers, unsigned=np.arange(30, dtype=np.uint64) * 2 + 2**63)
    table.to_csv(tmp_path / name, index=False) if "csv" in name else table.to_parquet(tmp_path / name)
    data = load_dataset(name, target="label", folder=tmp_path)
    assert data.dropped == ("near", "unsigned")
    assert data.warnings == [
        "dropped constant columns: near, unsigned",
        "whole numbers beyond 2^53 lose their last digits, and neighbours become alike: far, near, unsigned",
    ]


def test_missing_values_take_the_mean_of_the_training_part(tmp_path: Path) -> None:
    table = frame()
    table.loc[::4, "width"] = np.nan
    data = load(table, tmp_path, impute="mean")
    assert data.test is not None
    width = torch.cat([part.x[:, 2] for part in (data.train, data.validation, data.test)])
    assert int((width == 0).sum()) == 8  # the mean is 0 after standardising
    known = raw(data)[: len(data.train.y), 2]
    assert data.mean[2] == pytest.approx(known[known != data.mean[2].item()].mean(), abs=1e-5)
