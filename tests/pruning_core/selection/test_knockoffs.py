"""Knockoffs look like the inputs beside all others, and know nothing of the label."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pruning_core.data import Dataset, from_arrays
from pruning_core.selection import twins, with_decoys
from pruning_core.selection.knockoffs import distinctness, knockoffs, normal_scores

ROWS, COPIES = 20_000, 3


def blocks(correlation: float, rows: int = ROWS, inputs: int = 6) -> NDArray[np.float64]:
    """Gaussian inputs, correlated within halves."""
    random = np.random.default_rng(0)
    common = np.repeat(random.standard_normal((rows, 2)), inputs // 2, axis=1)
    own = random.standard_normal((rows, inputs))
    mixed: NDArray[np.float64] = np.sqrt(1 - correlation) * own + np.sqrt(correlation) * common
    return mixed


@pytest.mark.parametrize("correlation", [0.0, 0.4, 0.8])
def test_exchanging_inputs_for_copies_changes_no_correlation_but_that_with_one_s_own_copy(correlation: float) -> None:
    x_BF = blocks(correlation)
    copies_MBF = knockoffs(x_BF, COPIES, seed=1)
    joint = np.corrcoef(np.hstack([x_BF, *copies_MBF]).T)
    size = x_BF.shape[1]
    others = ~np.eye(size, dtype=bool)
    truth = joint[:size, :size]
    for a in range(COPIES + 1):
        for b in range(COPIES + 1):
            block = joint[a * size : (a + 1) * size, b * size : (b + 1) * size]
            np.testing.assert_allclose(block[others], truth[others], atol=0.03)
            if a != b:  # the copies are as far from each other as from the input
                own = 1 - distinctness(truth, COPIES)
                np.testing.assert_allclose(np.diag(block), own, atol=0.03)


def test_a_copy_has_the_values_of_its_input() -> None:
    random = np.random.default_rng(0)
    x_BF = np.stack([random.exponential(size=500), random.integers(0, 3, 500), random.normal(size=500)], axis=1)
    for copy in knockoffs(x_BF, 2, seed=0):
        np.testing.assert_array_equal(np.sort(copy, axis=0), np.sort(x_BF, axis=0).astype(np.float32))


@pytest.mark.parametrize(("correlation", "copies"), [(0.0, 1), (0.5, 1), (0.5, 4), (0.9, 2)])
def test_distinctness_is_the_best_that_a_joint_distribution_allows(correlation: float, copies: int) -> None:
    size = 5
    matrix = np.full((size, size), correlation) + (1 - correlation) * np.eye(size)
    found = distinctness(matrix, copies)
    room = (copies + 1) / copies * matrix - np.diag(found)
    assert np.linalg.eigvalsh(room)[0] > 0

    def worth(s: NDArray[np.floating]) -> float:
        return float(np.linalg.slogdet((copies + 1) / copies * matrix - np.diag(s))[1] + copies * np.log(s).sum())

    for j in range(size):
        for step in (-0.02, 0.02):
            moved = found.copy()
            moved[j] = min(1.0, moved[j] + step)
            assert worth(moved) <= worth(found) + 1e-6


def test_normal_scores_keep_the_order_and_break_ties_at_random() -> None:
    x_BF = np.array([[3.0, 0], [1, 0], [2, 0], [5, 0]])
    scores_BF = normal_scores(x_BF, np.random.default_rng(0))
    assert np.argsort(scores_BF[:, 0]).tolist() == [1, 2, 0, 3]
    np.testing.assert_allclose(np.sort(scores_BF[:, 1]), np.sort(scores_BF[:, 0]))


@pytest.fixture
def data() -> Dataset:
    x, y = blocks(0.5, rows=200), np.arange(200) % 2
    return from_arrays((x[:150], y[:150]), (x[150:180], y[150:180]), (x[180:], y[180:]))


def test_data_with_decoys_has_them_behind_the_inputs_and_no_test_part(data: Dataset) -> None:
    beside = with_decoys(data, copies=2)
    assert beside.test is None
    assert beside.feature_names[:7] == (*data.feature_names, "x0 (decoy 1)")
    assert len(beside.feature_names) == len(beside.mean) == len(beside.scale) == 18
    assert np.array_equal(beside.train.x[:, :6], data.train.x)
    assert np.array_equal(beside.validation.x[:, :6], data.validation.x)
    assert np.array_equal(beside.train.y, data.train.y)


def test_of_very_many_rows_some_are_drawn(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pruning_core.selection.decoys.ROWS", 60)
    fewer = with_decoys(data.pooled(), 1)
    assert (len(fewer.train.y), len(fewer.validation.y)) == (50, 10)
    assert {*map(tuple, fewer.train.x[:, :6].tolist())} <= {*map(tuple, data.train.x.tolist())}


def test_decoys_do_not_depend_on_the_labels(data: Dataset) -> None:
    pooled = data.pooled()
    rows = pooled.rows
    other = pooled.with_rows(type(rows)(rows.x, 1 - rows.y))
    assert np.array_equal(with_decoys(data, 2).rows.x, with_decoys(other, 2).rows.x)
    assert not np.array_equal(with_decoys(data, 2, seed=1).rows.x, with_decoys(data, 2).rows.x)


def test_twins_are_what_is_like_an_input_and_what_takes_its_place() -> None:
    random = np.random.default_rng(0)
    x_BN = random.standard_normal((500, 5))
    x_BN[:, 1] = 0.9 * x_BN[:, 0] + 0.3 * random.standard_normal(500)
    kept_RN = np.zeros((8, 5), dtype=bool)
    kept_RN[:6, 0] = kept_RN[6:, 2] = True
    found = twins(kept_RN, x_BN, 0, [1, 2, 3, 4], list("abcde"))
    assert [twin.name for twin in found] == ["c", "b"]
    assert found[0].replaces == 1
    assert found[1].replaces == 0
    assert found[1].correlation == pytest.approx(0.95, abs=0.02)
