"""The winner's pruned network in its folder, and on raw rows."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from quick_runs import start

from pruning_core.compaction import PrunedReplica
from pruning_core.data import Dataset
from search.train.confirmation import best_network
from search.trials.network import raw_network, read_network, write_network


@pytest.fixture(scope="module")
def network(data: Dataset) -> PrunedReplica:
    """The best of three pruned networks."""
    assert data.test is not None
    run = start(data.without_test())
    list(run)
    found = best_network(run, run.accuracy(data.test))
    assert isinstance(found, PrunedReplica)
    return found


def test_a_network_survives_its_files(network: PrunedReplica, tmp_path: Path) -> None:
    assert read_network(tmp_path / "winner") is None
    write_network(tmp_path / "winner", network)
    read = read_network(tmp_path / "winner")
    assert read is not None
    assert replace(read, tensors={}) == replace(network, tensors={})
    assert all((read.tensors[name] == tensor).all() for name, tensor in network.tensors.items())
    write_network(tmp_path / "winner", None)
    assert read_network(tmp_path / "winner") is None


def test_on_raw_rows_it_is_as_accurate_as_on_standardised_ones(network: PrunedReplica, data: Dataset) -> None:
    assert data.test is not None
    double = torch.float64
    mean, scale = torch.linspace(-20, 30, 12, dtype=double), torch.linspace(0.1, 5, 12, dtype=double)
    raw = raw_network(network, replace(data, mean=mean, scale=scale))
    assert raw.columns == network.inputs
    assert raw.classes == data.class_names
    kept = [data.feature_names.index(name) for name in raw.columns]
    raw_Bn = (data.test.x * scale + mean)[:, kept].float()
    with torch.no_grad():
        accuracy = float((raw(raw_Bn).argmax(1) == data.test.y).double().mean())
    assert accuracy == pytest.approx(network.test_accuracy)
    assert not any(module.training for module in raw.modules())
