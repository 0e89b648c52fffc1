"""Where the pruned network errs: regions of the inputs, what stands out and what chance makes."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning_core import from_arrays
from pruning_core.data import Dataset, Part
from search.report.baselines import sampled_test
from search.report.blocks import Picture
from search.report.regions import REGIONS, regions, section, sentence


def rows(count: int, seed: int = 0, weighted: bool = False) -> Dataset:
    """Six inputs, of which `d` takes the values 3, 4 and 5, and classes that have nothing to do with them."""
    random = np.random.default_rng(seed)

    def part(size: int) -> tuple[np.ndarray, ...]:
        x = random.normal(size=(size, 6))
        x[:, 3] = 3 + np.arange(size) % 3
        given = (x, np.arange(size) % 2)
        return (*given, random.uniform(0.1, 2, size)) if weighted else given

    return from_arrays(part(40), part(40), part(count), feature_names=list("abcdef"))


def noise(count: int, seed: int) -> np.ndarray:
    """Shares of 16 seeds that are wrong, one row in ten by all of them."""
    return (np.random.default_rng(seed).random(count) < 0.1).astype(float)


def test_a_region_in_which_the_pruned_network_errs_more_is_found(tmp_path: Path) -> None:
    data = rows(4000)
    assert data.test is not None
    raw = data.test.x[:, 1].double().numpy() * float(data.scale[1]) + float(data.mean[1])
    full, pruned = noise(4000, 1), noise(4000, 2)
    pruned[(raw > 1.3) & (np.random.default_rng(3).random(4000) < 0.3)] = 1
    found = section(data, ["a", "c"], pruned, full, tmp_path)
    (picture,) = found.blocks
    assert isinstance(picture, Picture)
    assert picture.path.stat().st_size > 5000
    assert "stands out most where b lies from 1.2" in picture.caption or "where b lies from 1.3" in picture.caption
    assert "(10 % of the rows)" in picture.caption


@pytest.mark.parametrize("seed", range(5))
def test_noise_stands_out_nowhere(seed: int) -> None:
    data = rows(3000, seed)
    full, pruned = noise(3000, 10 + seed), noise(3000, 20 + seed)
    assert sentence(regions(data, pruned, full), pruned, full, data).startswith("In none of the 53 regions")


@settings(deadline=None, max_examples=25)
@given(count=st.integers(20, 400), seed=st.integers(0, 99), weighted=st.booleans())
def test_the_regions_of_an_input_have_every_row_once(count: int, seed: int, weighted: bool) -> None:
    data = rows(count, seed, weighted)
    full, pruned = noise(count, seed), noise(count, seed + 1)
    part = sampled_test(data)
    weight = None if part.weight is None else part.weight.numpy()
    for name, found in regions(data, pruned, full).items():
        assert len(found) <= (3 if name == "d" else REGIONS)
        assert sum(region.share for region in found) == pytest.approx(1)
        assert sum(region.share * region.pruned for region in found) == pytest.approx(
            np.average(pruned, weights=weight)
        )
        assert sum(region.share * region.excess for region in found) == pytest.approx(0, abs=1e-9)
        assert all(one.high <= other.low for one, other in pairwise(found))


def test_of_a_large_test_part_some_rows_are_looked_at() -> None:
    data = rows(20)
    large = Part(torch.arange(6.0 * 100_500).reshape(-1, 6), torch.arange(100_500) % 2)
    part = sampled_test(replace(data, test=large))
    assert len(part.y) == len(part.x.unique(dim=0)) == 100_000
    assert torch.equal(part.y, (part.x[:, 0] / 6).long() % 2), "a row's class is its own"
