"""How often replicas keep an input, and how alike their selections are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pruning_core.selection import frequency, kept_matrix, stability


@given(st.integers(1, 60), st.data())
def test_an_interval_holds_the_share_and_lies_within_0_and_1(replicas: int, data: st.DataObject) -> None:
    kept = data.draw(st.integers(0, replicas))
    share, low, high = frequency(kept, replicas)
    assert share == kept / replicas
    assert 0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1


def test_wilson_s_interval_is_the_published_one() -> None:
    # z = 1.959964: (p + z^2 / 2R +- z sqrt(p (1 - p) / R + z^2 / 4R^2)) / (1 + z^2 / R)
    z, share, replicas = 1.959963985, 15 / 16, 16
    middle = (share + z**2 / (2 * replicas)) / (1 + z**2 / replicas)
    half = z * np.sqrt(share * (1 - share) / replicas + z**2 / (4 * replicas**2)) / (1 + z**2 / replicas)
    assert frequency(15, 16) == pytest.approx((share, middle - half, middle + half))


def drawn(chance: float, replicas: int = 400, inputs: int = 30) -> NDArray[np.bool_]:
    """Ten inputs at random, or with so much chance the first ten."""
    random = np.random.default_rng(0)
    kept_RN = np.zeros((replicas, inputs), dtype=bool)
    for row in kept_RN:
        row[np.arange(10) if random.random() < chance else random.choice(inputs, 10, replace=False)] = True
    return kept_RN


def test_stability_is_1_for_equal_selections_and_0_by_chance() -> None:
    same, random = stability(drawn(1.0)), stability(drawn(0.0))
    assert same is not None
    assert (same.index, same.low, same.high) == (1, 1, 1)
    assert random is not None
    assert abs(random.index) < 0.01
    assert random.low < random.index < random.high
    between = stability(drawn(0.7))
    assert between is not None
    assert 0.4 < between.index < 0.6


def test_the_index_is_nogueira_s() -> None:
    kept_RN = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 0, 0]], dtype=bool)
    share_N = kept_RN.mean(0)
    variance_N = 3 / 2 * share_N * (1 - share_N)
    mean = 2 / 4
    found = stability(kept_RN)
    assert found is not None
    assert found.index == pytest.approx(1 - variance_N.mean() / (mean * (1 - mean)))


def test_its_interval_covers_what_more_replicas_find() -> None:
    truth = stability(drawn(0.7, replicas=4000))
    assert truth is not None
    some = [stability(rows) for rows in np.array_split(drawn(0.7, replicas=1600), 40)]
    covered = [each is not None and each.low <= truth.index <= each.high for each in some]
    assert np.mean(covered) > 0.8


@pytest.mark.parametrize("kept_RN", [np.ones((1, 3), bool), np.ones((4, 3), bool), np.zeros((4, 3), bool)])
def test_where_there_is_nothing_to_compare_there_is_no_index(kept_RN: NDArray[np.bool_]) -> None:
    assert stability(kept_RN) is None


def test_names_become_a_matrix() -> None:
    kept_RN = kept_matrix([["b"], ["c", "a", "hidden_3"]], ["a", "b", "c"])
    assert kept_RN.tolist() == [[False, True, False], [True, False, True]]
