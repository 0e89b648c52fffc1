"""Folds: which rows a replica trains on, and which it holds out, follow from its seed."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pruning_core.data import DataError, Dataset, Part, from_arrays
from pruning_core.data.folds import Folds


@given(st.integers(2, 6), st.lists(st.integers(6, 30), min_size=2, max_size=4), st.integers(0, 2_000_000))
def test_k_seeds_in_a_row_hold_out_every_row_once_and_every_class_evenly(
    count: int, sizes: list[int], repetition: int
) -> None:
    y = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    folds = Folds(count, Part(torch.zeros(len(y), 1), y))
    held_out = []
    for seed in range(repetition * count, (repetition + 1) * count):
        training, validation = folds.of(seed)
        assert sorted([*training.tolist(), *validation.tolist()]) == list(range(len(y)))
        assert len(training) in (folds.training_rows, folds.training_rows + 1)
        for of_class, size in zip(torch.bincount(y[validation], minlength=len(sizes)).tolist(), sizes, strict=True):
            assert size // count <= of_class <= -(-size // count)
        held_out += validation.tolist()
    assert sorted(held_out) == list(range(len(y)))


def test_a_replica_s_rows_follow_from_its_seed_and_every_k_seeds_the_rows_are_dealt_anew() -> None:
    rows = Part(torch.zeros(40, 1), torch.arange(40) % 2)
    first, again = Folds(4, rows), Folds(4, rows)
    again.of(99)
    assert torch.equal(first.of(6)[1], again.of(6)[1])
    assert not torch.equal(first.of(2)[1], first.of(6)[1])


@given(st.lists(st.integers(1, 7), min_size=12, max_size=40), st.integers(0, 50))
def test_a_group_lies_in_one_fold(sizes: list[int], seed: int) -> None:
    group = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    y = group % 2
    training, validation = Folds(3, Part(torch.zeros(len(y), 1), y, group=group)).of(seed)
    assert not {*group[training].tolist()} & {*group[validation].tolist()}
    assert len(training) + len(validation) == len(y)


def test_rows_of_negative_weight_are_held_out_like_others_and_never_trained_on() -> None:
    weight = torch.where(torch.arange(60) % 5 == 0, -1.0, 1.0)
    folds = Folds(3, Part(torch.zeros(60, 1), torch.arange(60) % 2, weight))
    of_seeds = [folds.of(seed) for seed in range(3)]
    assert all(bool((weight[training] > 0).all()) for training, _ in of_seeds)
    assert sorted(torch.cat([validation for _, validation in of_seeds]).tolist()) == list(range(60))
    assert [int((weight[validation] < 0).sum()) for _, validation in of_seeds] == [4, 4, 4]


def test_a_class_needs_as_many_rows_or_groups_as_there_are_folds() -> None:
    y = torch.tensor([0] * 10 + [1] * 4)
    with pytest.raises(DataError, match=r"training\.folds = 5 must be at most 4, since a class has no more rows"):
        Folds(5, Part(torch.zeros(14, 1), y))
    with pytest.raises(DataError, match=r"training\.folds = 3 must be at most 2, since a class has no more groups"):
        Folds(3, Part(torch.zeros(14, 1), y, group=torch.tensor([*range(10), 1, 1, 2, 2])))


def test_a_fold_without_a_class_is_refused() -> None:
    groups = [(0, 0, 5), (0, 1, 2), (1, 1, 2), (2, 0, 5), (2, 2, 1), (3, 1, 30), (3, 2, 2)]
    group = torch.tensor([group for group, _, rows in groups for _ in range(rows)])
    y = torch.tensor([of_class for _, of_class, rows in groups for _ in range(rows)])
    folds = Folds(2, Part(torch.zeros(len(y), 1), y, group=group))
    with pytest.raises(DataError, match=r"training\.folds = 2 .* a fold has none of 'w': fewer folds may do"):
        folds.check(range(2), ["u", "v", "w"])
    Folds(2, Part(torch.zeros(len(y), 1), y)).check(range(2), ["u", "v", "w"])


@pytest.fixture
def weighted() -> Dataset:
    random = np.random.default_rng(0)

    def part(rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return random.normal(size=(rows, 3)), np.arange(rows) % 2, random.choice([-1.0, 1.0, 2.0], rows)

    return from_arrays(part(40), part(12), part(8))


def test_a_pool_has_every_row_that_is_not_test_once_and_the_parts_lie_in_it(weighted: Dataset) -> None:
    pooled = weighted.pooled()
    pool = pooled.rows
    assert len(pool.y) == 52
    assert pool.weight is not None
    assert int((pool.weight < 0).sum()) > 0
    for name in ("train", "validation", "left_out"):
        mine, theirs = getattr(pooled, name), getattr(weighted, name)
        assert torch.equal(mine.x, theirs.x)
        assert torch.equal(mine.weight, theirs.weight)
        assert mine.x.untyped_storage().data_ptr() == pool.x.untyped_storage().data_ptr()
    assert pooled.pooled() is pooled
    with pytest.raises(ValueError, match="must be pooled"):
        _ = weighted.rows


def test_pooled_data_is_pickled_with_each_row_once(weighted: Dataset) -> None:
    pooled = weighted.pooled()
    again = pickle.loads(pickle.dumps(pooled))
    assert torch.equal(again.rows.x, pooled.rows.x)
    assert torch.equal(again.validation.x, weighted.validation.x)
    assert again.validation.x.untyped_storage().data_ptr() == again.rows.x.untyped_storage().data_ptr()
    wide = from_arrays(*[(np.eye(200), np.arange(200) % 2)] * 3)
    assert len(pickle.dumps(wide.pooled())) < 1.1 * len(pickle.dumps(wide))
