"""Rows in memory become the same `Dataset` as those of a file."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits

from pruning_core.data import ArrayPart, DataError, from_arrays, load_dataset
from pruning_core.data.split import Labels, stratified

X = np.random.RandomState(0).normal(3, 2, size=(12, 4))
Y = np.array(["u", "d", "s"] * 4)


def test_arrays_give_the_tensors_that_a_source_gives(tmp_path: Any) -> None:
    x, y = load_digits(return_X_y=True)
    labels = Labels(y, tuple(map(str, range(10))))
    parts = stratified(labels, np.array([0.7, 0.15, 0.15]), seed=0)
    made = from_arrays(*((x[rows], y[rows]) for rows in parts))
    read = load_dataset("digits", folder=tmp_path)
    for part in ("train", "validation", "test"):
        assert torch.equal(getattr(made, part).x, getattr(read, part).x)
        assert torch.equal(getattr(made, part).y, getattr(read, part).y)
    assert torch.equal(made.mean, read.mean)
    assert torch.equal(made.scale, read.scale)
    assert made.class_names == read.class_names
    assert len(made.dropped) == len(read.dropped) == 4


def test_a_frame_brings_its_names_and_stays_as_it_was() -> None:
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"]).assign(e=1)
    before = frame.copy()
    data = from_arrays((frame, Y), (frame, pd.Series(Y)))
    pd.testing.assert_frame_equal(frame, before)
    assert (data.feature_names, data.dropped, data.class_names) == (("a", "b", "c", "d"), ("e",), ("d", "s", "u"))
    assert data.test is None
    assert data.source is not None
    assert data.source.named
    assert data.source.classes == ("d", "s", "u")
    assert data.train.y.tolist() == [2, 0, 1] * 4
    raw = data.train.x.double() * data.scale + data.mean
    np.testing.assert_allclose(raw, X, atol=1e-5)


def test_equal_fingerprints_mean_equal_data() -> None:
    weight = np.ones(12)
    made = [
        from_arrays((X, Y), (X, Y)),
        from_arrays((X, Y), (X, Y), name="other"),
        from_arrays((X, Y), (X[:11], Y[:11])),
        from_arrays((X, Y, weight), (X, Y, weight)),
    ]
    assert made[0].fingerprint == made[1].fingerprint
    assert len({data.fingerprint for data in made}) == 3


def test_negative_weights_count_in_validation_only() -> None:
    weight = np.where(np.arange(12) < 3, -0.5, 1)
    data = from_arrays(ArrayPart(X, Y, weight), ArrayPart(X, Y, weight))
    assert len(data.train.y) == 9
    assert len(data.validation.y) == 12
    assert data.validation.weight is not None
    assert data.validation.weight.tolist() == weight.tolist()


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        (((X, ["u"] * 12), (X, ["u"] * 12)), r"at least 2 classes apart, and hold \['u'\] only"),
        (((X, Y), (X[:, :3], Y)), r"the validation part must have shape \(rows, 4\), and has \(12, 3\)"),
        (((X, Y[:5]), (X, Y)), r"the training part has 12 rows, and labels of shape \(5,\)"),
        (((X, Y), (X, np.array(["x"] * 12))), "every class must have rows in the training part, and x has none"),
        (((X, [None, *Y[1:]]), (X, Y)), "every row must have a label, and 1 of 24 have none"),
        (((X * np.nan, Y), (X, Y)), "must not lack values"),
        (((np.eye(4)[[0] * 12], Y), (X, Y)), "at least 2 features that vary in the training part, and has 0"),
        (((X, Y, np.ones(12)), (X, Y)), "either every part must have weights, or none"),
        (((X, Y, np.ones(12)), (X, Y, np.zeros(12))), "weights of the validation part must be .* a sum above zero"),
        (((X, Y, (Y == "u") - (Y != "u") * 0.1), (X, Y, np.ones(12))), "a weight above zero to train on, and d has"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(parts: Any, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        from_arrays(*parts)
