"""What the page says of the kept inputs: their raw values, and which dropped ones are their twins."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer

from pruning_core import load_dataset
from pruning_core.data import Dataset
from search.figures.inputs import correlations
from search.report import inputs
from search.report.inputs import correlation, raw_values


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_dataset("breast_cancer", folder=Path())


def test_values_are_those_of_the_source_row_by_row(data: Dataset) -> None:
    frame = load_breast_cancer(as_frame=True).frame
    columns = [3, 0, 21]
    values = raw_values(data, columns)
    assert list(values.names) == [data.feature_names[c] for c in columns]
    expected = frame[list(values.names)].to_numpy()
    order, same = np.lexsort(expected.T), np.lexsort(values.x_BF.T)
    np.testing.assert_allclose(values.x_BF[same], expected[order], rtol=1e-5)
    assert sorted(np.bincount(values.y_B)) == [212, 357]
    assert (values.weight_B == 1).all()


def test_of_very_many_rows_some_are_drawn_each_with_its_class_and_weight(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "ROWS", 100)
    assert data.test is not None
    parts = {name: getattr(data, name) for name in ("train", "validation", "test")}
    marked = {name: replace(part, weight=part.x[:, 0].double()) for name, part in parts.items()}
    values = raw_values(replace(data, **marked), [0])
    assert len(values.y_B) == len(values.x_BF) == 100
    standardised = (values.x_BF[:, 0] - float(data.mean[0])) / float(data.scale[0])
    np.testing.assert_allclose(standardised, values.weight_B, atol=1e-6)


def test_correlations_are_pearsons_with_the_weights_of_the_training_part(data: Dataset) -> None:
    np.testing.assert_allclose(correlation(data), np.corrcoef(data.train.x.numpy(), rowvar=False), atol=1e-5)
    twice = torch.where(torch.arange(len(data.train.y)) < 100, 2.0, 1.0)
    doubled = data.train.x[torch.cat([torch.arange(len(twice)), torch.arange(100)])].double().numpy()
    weighed = correlation(replace(data, train=replace(data.train, weight=twice)))
    np.testing.assert_allclose(weighed, np.corrcoef(doubled, rowvar=False), atol=1e-3)


def test_the_matrix_leaves_out_those_dropped_inputs_that_follow_least(data: Dataset, tmp_path: Path) -> None:
    wide = np.eye(50)
    names = [f"x{k}" for k in range(50)]
    assert correlations(tmp_path / "wide.png", wide, names, list(range(5))) == 15
    assert correlations(tmp_path / "cancer.png", correlation(data), data.feature_names, [0, 1]) == 0
