"""The split: stratified, complete, and the same for ever."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_tables import load, raw

from pruning_core.data import load_dataset


def test_the_split_of_digits_never_changes() -> None:
    data = load_dataset("digits", folder=Path())
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
    data = load(table, tmp_path_factory.mktemp("split"), split=split)
    assert data.test is not None

    rows = raw(data)
    assert sorted(rows[:, 1].round().tolist()) == list(range(len(labels)))
    assert (labels[rows[:, 1].round().astype(int)] == rows[:, -1]).all()
    for part, fraction in zip((data.train, data.validation, data.test), split, strict=True):
        counts = torch.bincount(part.y, minlength=len(sizes)).numpy()
        assert counts.min() >= 1
        if min(sizes) * min(split) >= 2:
            assert abs(counts.sum() - fraction * len(labels)) <= 1
            assert (abs(counts - fraction * np.array(sizes)) <= 2).all()
