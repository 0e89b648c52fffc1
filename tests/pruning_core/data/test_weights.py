"""Weights stand beside the rows as they are in the file, and cannot be nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_tables import LABELS, frame, load, raw

from pruning_core.data import DataError

WEIGHTS = np.linspace(0.5, 2, 30)


def test_each_row_keeps_its_weight(tmp_path: Path) -> None:
    table = frame(place=np.arange(30), w=WEIGHTS)
    data = load(table, tmp_path, weight="w")
    assert "w" not in data.feature_names
    place = raw(data)[:, data.feature_names.index("place")].round().astype(int)
    weights = torch.cat(
        [part.weight for part in (data.train, data.validation, data.test) if part and part.weight is not None]
    )
    assert weights.dtype == torch.float64
    np.testing.assert_array_equal(weights.numpy(), WEIGHTS[place])


def test_weights_are_part_of_the_fingerprint_and_change_nothing_else(tmp_path: Path) -> None:
    plain = load(frame(), tmp_path)
    weighted = load(frame(w=WEIGHTS), tmp_path, weight="w")
    other = load(frame(w=2 * WEIGHTS), tmp_path, weight="w")
    assert len({data.fingerprint for data in (plain, weighted, other)}) == 3
    assert torch.equal(plain.train.x, weighted.train.x)
    assert plain.train.weight is None


def test_negative_weights_are_counted(tmp_path: Path) -> None:
    weights = np.where(np.arange(30) < 3, -0.1, 1.0)
    data = load(frame(w=weights), tmp_path, weight="w")
    (warning,) = [sentence for sentence in data.warnings if "negative" in sentence]
    assert "the weight w is negative in 3 of 30 rows, -1.12 % of the sum" in warning


REFUSED: list[tuple[Any, list[str]]] = [
    (["heavy"] * 30, ["must be a column of numbers", "'heavy'"]),
    ([np.nan, *WEIGHTS[1:]], ["finite number in every row", "1 of 30"]),
    ([np.inf, *WEIGHTS[1:]], ["finite number in every row", "1 of 30"]),
    ([0.0] * 30, ["must not be 0 in every row"]),
    ([0.0 if label == "no" else 1.0 for label in LABELS], ["sum above 0 in every class", "'no' is 0"]),
    ([-1.0 if label == "no" else 1.0 for label in LABELS], ["sum above 0 in every class", "'no' is -15"]),
]


@pytest.mark.parametrize(("weights", "words"), REFUSED)
def test_refusals(tmp_path: Path, weights: Any, words: list[str]) -> None:
    with pytest.raises(DataError, match=r"data.weight = 'w'") as caught:
        load(frame(w=weights), tmp_path, weight="w")
    assert [word for word in words if word not in str(caught.value)] == []


def test_a_class_without_weight_in_one_part_is_refused(tmp_path: Path) -> None:
    part = ["training"] * 20 + ["validation"] * 5 + ["test"] * 5
    weights = np.where((np.arange(30) >= 25) & (np.array(LABELS) == "no"), 0.0, 1.0)
    with pytest.raises(DataError, match=r"that of 'no' is 0 in the test part"):
        load(frame(part=part, w=weights), tmp_path, weight="w", split={"column": "part"})
