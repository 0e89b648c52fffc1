"""Claims: an input must beat its decoys, and the rate of false ones is what was said."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pruning_core.selection import claims


def competition(real: list[float], noise: int, copies: int = 4, replicas: int = 8, seed: int = 0) -> np.ndarray:
    """Inputs that are kept with these chances, with decoys that never are, and inputs that are kept like theirs."""
    random = np.random.default_rng(seed)
    inputs = len(real) + noise
    kept_RKN = random.random((replicas, 1 + copies, inputs)) < 0.08
    kept_RKN[:, :, : len(real)] = False
    kept_RKN[:, 0, : len(real)] = random.random((replicas, len(real))) < np.array(real)
    return kept_RKN


def test_what_always_beats_its_decoys_is_claimed_and_the_surest_comes_first() -> None:
    found = claims(competition([1.0, 1.0, 1.0, 0.6], noise=20))
    assert {0, 1, 2} <= set(found.claimed.tolist())
    assert found.claimed[-1] == 3 or 3 not in found.claimed
    assert found.frequency[0] == 1
    assert found.decoys[0] == 0


def test_too_few_cannot_be_claimed_and_the_least_number_is_said() -> None:
    found = claims(competition([1.0, 1.0], noise=0))
    assert found.least == 3
    assert found.claimed.tolist() == []
    assert found.q_values.tolist() == [0.125, 0.125]
    assert claims(competition([1.0] * 10, noise=0, copies=1)).claimed.tolist() == list(range(10))
    assert claims(competition([1.0] * 9, noise=0, copies=1)).claimed.tolist() == []


def test_noise_is_claimed_at_most_as_often_as_the_level_says() -> None:
    rates = []
    for seed in range(300):
        claimed = claims(competition([0.9] * 6, noise=60, seed=seed)).claimed
        rates.append(float(np.mean(claimed >= 6)) if len(claimed) else 0.0)
    assert np.mean(rates) <= 0.1 + 2 * np.std(rates) / np.sqrt(len(rates))


def test_with_nothing_but_noise_hardly_anything_is_claimed() -> None:
    some = [len(claims(competition([], noise=60, seed=seed)).claimed) > 0 for seed in range(200)]
    assert np.mean(some) <= 0.1 + 2 * np.std(some) / np.sqrt(len(some))


def test_the_share_of_noise_is_told_by_the_decoys() -> None:
    shares = [claims(competition([1.0] * 6, noise=60, seed=seed)).noise for seed in range(50)]
    expected = 60 * 0.08 / (6 + 60 * 0.08)
    assert abs(np.mean(shares) - expected) < 0.02
    assert claims(np.zeros((4, 5, 10), dtype=bool)).noise == 1


@given(st.integers(0, 10_000), st.integers(1, 5))
def test_q_values_fall_as_an_input_wins_by_more(seed: int, copies: int) -> None:
    kept_RKN = competition([0.9, 0.5], noise=15, copies=copies, seed=seed)
    found = claims(kept_RKN)
    share_KN = np.sort(kept_RKN.mean(0), axis=0)
    margin_N, real_N = share_KN[-1] - share_KN[-2], kept_RKN.mean(0)[0] == share_KN[-1]
    counted = np.flatnonzero(real_N & (margin_N > 0))
    order = counted[np.argsort(margin_N[counted], kind="stable")]
    assert (np.diff(found.q_values[order]) <= 1e-12).all()
    assert ((found.q_values > 0) & (found.q_values <= 1)).all()
    assert (found.q_values[~real_N | (margin_N == 0)] == 1).all()
