"""Going on from a saved state: exactly the numbers of a run that was never interrupted."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from quick_runs import MARKOV, QUICK, HiddenPruner, assert_same, start

from pruning_core.config import TrialConfig
from pruning_core.data import Dataset
from pruning_core.networks import GATED_MLP, NetworkFactory, NetworkSpec
from pruning_core.training import train

RESUMED: dict[str, dict[str, Any]] = {
    "stepped": {"mu": "windowed", "window": 8},
    "plateau": {"strategy": "plateau", "mu": "frozen", "window": 9, "patience": 3},
    "markov": {
        **{"strategy": "markov", "alpha": "plateau", "block": 0.5},
        **{"proposals": 2, "temperature": 0.01, "window": 8, "mu": "windowed"},
    },
    "swap": {"strategy": "swap", "shrink_epochs": 12, "temperature": 0.01},
}


def without_clock(result: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in result.items() if not key.startswith(("seconds", "replica_epochs"))}


@pytest.mark.parametrize("network", [GATED_MLP, HiddenPruner], ids=["default", "own"])
@pytest.mark.parametrize("values", RESUMED.values(), ids=RESUMED.keys())
def test_a_run_goes_on_from_its_file_exactly(
    values: dict[str, Any], network: NetworkSpec | NetworkFactory, data: Dataset, tmp_path: Path
) -> None:
    config = {**values, "network": network, "epochs": 14}
    uninterrupted = start(data, **config)
    for record in uninterrupted:
        if record.epoch == 7:
            torch.save(uninterrupted.state_dict(), tmp_path / "state.pt")
    resumed = start(data, **config)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    remaining = list(resumed)
    assert [record.epoch for record in remaining] == list(range(8, len(uninterrupted.history) + 1))
    assert_same(remaining, uninterrupted.history.records[7:])
    assert_same(resumed.history.records, uninterrupted.history.records)
    assert without_clock(resumed.result()) == without_clock(uninterrupted.result())
    for (epoch, gates), (other_epoch, others) in zip(resumed.history.gates, uninterrupted.history.gates, strict=True):
        assert epoch == other_epoch
        np.testing.assert_array_equal(gates, others)
    for name, parameter in resumed.replicas.parameters.items():
        assert torch.equal(parameter, uninterrupted.replicas.parameters[name])


@pytest.mark.parametrize("values", [{}, MARKOV], ids=["stepped", "markov"])
def test_a_run_goes_on_exactly_when_some_replicas_have_settled(
    values: dict[str, Any], data: Dataset, tmp_path: Path
) -> None:
    uninterrupted = start(data, **values)
    saved_after = 0
    for record in uninterrupted:
        if not saved_after and uninterrupted.history.settled().any():
            saved_after = record.epoch
            torch.save(uninterrupted.state_dict(), tmp_path / "state.pt")
    assert 0 < saved_after < len(uninterrupted.history)
    resumed = start(data, **values)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert_same(list(resumed), uninterrupted.history.records[saved_after:])
    assert without_clock(resumed.result()) == without_clock(uninterrupted.result())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("map_location", [None, "cpu", "cuda"])
@pytest.mark.parametrize("values", [{}, MARKOV], ids=["stepped", "markov"])
def test_a_run_goes_on_on_a_gpu_wherever_its_file_is_loaded(
    values: dict[str, Any], map_location: str | None, data: Dataset, tmp_path: Path
) -> None:
    config = TrialConfig(**{**QUICK, **values, "epochs": 6})
    uninterrupted = train(config, data, range(3), device="cuda")
    for record in uninterrupted:
        if record.epoch == 3:
            torch.save(uninterrupted.state_dict(), tmp_path / "state.pt")
    resumed = train(config, data, range(3), device="cuda")
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True, map_location=map_location))
    for record, other in zip(resumed, uninterrupted.history.records[3:], strict=True):
        np.testing.assert_allclose(record.total_loss, other.total_loss, rtol=1e-4)


def test_a_run_can_be_saved_before_its_first_epoch(data: Dataset, tmp_path: Path) -> None:
    first, second = start(data, epochs=3), start(data, epochs=3)
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert_same(list(first), list(second))


def test_a_finished_run_stays_finished_when_loaded(data: Dataset, tmp_path: Path) -> None:
    run, loaded = start(data), start(data)
    list(run)
    torch.save(run.state_dict(), tmp_path / "state.pt")
    loaded.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert loaded.finished
    assert without_clock(loaded.result()) == without_clock(run.result())


def test_a_run_that_is_over_needs_neither_moments_nor_settled_copies(data: Dataset, tmp_path: Path) -> None:
    run, loaded = start(data), start(data)
    list(run)
    torch.save(run.final_state(), tmp_path / "final.pt")
    assert run.state_dict().keys() - run.final_state().keys() == {"optimizer", "settled_tensors"}
    loaded.load_state_dict(torch.load(tmp_path / "final.pt", weights_only=True))
    assert loaded.finished
    assert without_clock(loaded.result()) == without_clock(run.result())
    assert loaded.scores(data.validation) == run.scores(data.validation)
