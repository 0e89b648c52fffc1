"""How training with many seeds is shared out."""

from hypothesis import given
from hypothesis import strategies as st

from search.train.pieces import FEWEST_SEEDS, seeds_per_task


@given(st.integers(1, 200), st.integers(1, 20), st.integers(1, 64))
def test_workers_have_two_tasks_each_or_tasks_are_as_small_as_they_get(seeds: int, trials: int, slots: int) -> None:
    size = seeds_per_task(seeds, trials, slots)
    tasks = trials * -(-seeds // size)
    assert 1 <= size <= seeds
    assert tasks >= 2 * slots or size <= FEWEST_SEEDS
    if size < seeds:
        assert trials * -(-seeds // min(seeds, 2 * size)) < 2 * slots
