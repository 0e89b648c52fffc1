"""What workers are given: large data lies in memory that all processes of a node share."""

import logging
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import ray
import torch

from pruning_core.data import Dataset, Part
from pruning_core.data.large import is_large
from search.study import Study
from search.train.kit import Kit, pack, users_strategies

STUDY = Study.model_validate({"name": "s", "data": {"source": "wine", "keep": 4}})


@pytest.fixture
def store() -> Iterator[None]:
    """An object store."""
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


def is_shared(tensor: torch.Tensor) -> bool:
    """Whether other processes may have the same memory."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, permissions, *_ = line.split()
        first, end = (int(address, 16) for address in addresses.split("-"))
        if first <= tensor.data_ptr() < end:
            return permissions.endswith("s")
    raise AssertionError("the tensor lies nowhere")


def test_strategies_of_the_library_are_the_worker_s_own_and_do_not_travel(data: Dataset, store: None) -> None:
    def swap_is_the_library_s(kit: Kit) -> bool:
        from pruning_core.strategies import STRATEGIES, Swap  # the worker's, not a copy of those here

        kit.open()
        return STRATEGIES["swap"] is Swap

    assert users_strategies() == []
    worker = ray.remote(swap_is_the_library_s)
    assert ray.get(worker.remote(pack(data, STUDY))), "another class is no Swap, and its chain closes nothing"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_large_part_is_shared_and_a_small_one_is_the_workers_own(data: Dataset, store: None) -> None:
    x = torch.arange(12.0 * 1_400_000).reshape(-1, 12)
    assert is_large(x.numel())
    large = replace(data, train=Part(x, torch.arange(len(x)) % 3))
    kits = [pack(large, STUDY) for _ in range(2)]
    one, other = (kit.open().data for kit in kits)
    again = kits[0].open().data
    assert torch.equal(one.train.x, x)
    assert is_shared(one.train.x)
    assert one.train.x.data_ptr() == again.train.x.data_ptr() != other.train.x.data_ptr()
    assert not is_shared(one.validation.x)
    assert torch.equal(one.validation.x, data.validation.x)
