"""The picture of a trial's gates: drawn from whatever a trial can leave behind, quickly, and of a fixed width."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from png import size

from search.figures.gates import gate_trajectories

Arrays = dict[str, NDArray[Any]]


def a_trial(
    epochs: int = 30, replicas: int = 3, units: int = 12, keep: int = 4, completion: int | None = 20
) -> tuple[dict[str, Any], Arrays, Arrays]:
    """The contents of a trial's three files: its first `keep` gates stay open, the others close."""
    epoch = np.arange(1, epochs + 1)
    closing = 0.95 / (1 + np.exp((np.arange(epochs + 1) - epochs / 2) / 2))
    gates = np.broadcast_to(closing[:, None, None], (epochs + 1, replicas, units)).copy()
    gates[:, :, :keep] = 0.97
    names = np.array([f"x{i}" for i in range(units)])
    trial = {
        "seeds": list(range(replicas)),
        "selected": [names[:keep].tolist()] * replicas,
        "completion_epoch": [completion] * replicas,
    }
    history = {
        "epoch": epoch,
        "active": (gates[1:] > 0.5).sum(-1).astype(np.float32),
        "alpha": np.repeat(0.01 * 1.02 ** epoch[:, None], replicas, axis=1).astype(np.float32),
    }
    return trial, history, {"gates": gates.astype(np.float16), "epoch": np.arange(epochs + 1), "names": names}


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"completion": None},
        {"replicas": 1},
        {"epochs": 1, "completion": 1},
        {"units": 2, "keep": 1},
        {"epochs": 900},
    ],
    ids=str,
)
def test_gates_of_any_trial_can_be_drawn(tmp_path: Path, shape: dict[str, Any]) -> None:
    gate_trajectories(tmp_path / "gates.png", "plateau #3", *a_trial(**shape))
    assert size(tmp_path / "gates.png") == (1000, 620)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("alpha", [0.0, np.nan, np.inf, 1.0, 1e30])
def test_alpha_need_not_be_a_usable_number(tmp_path: Path, alpha: float) -> None:
    trial, history, gates = a_trial()
    history["alpha"][:] = alpha
    gate_trajectories(tmp_path / "gates.png", "fixed #0", trial, history, gates)
    assert size(tmp_path / "gates.png")[0] == 1000


@pytest.mark.filterwarnings("error")
def test_gates_that_diverged_can_be_drawn(tmp_path: Path) -> None:
    trial, history, gates = a_trial(completion=None)
    gates["gates"][5:] = np.nan
    gate_trajectories(tmp_path / "gates.png", "stepped #0", trial, history, gates)
    assert size(tmp_path / "gates.png")[0] == 1000


def test_ten_thousand_gates_are_drawn_quickly(tmp_path: Path) -> None:
    content = a_trial(epochs=100, replicas=2, units=10_000, keep=300)
    gate_trajectories(tmp_path / "gates.png", "plateau #1", *content)
    start = time.process_time()
    gate_trajectories(tmp_path / "gates.png", "plateau #1", *content)
    assert time.process_time() - start < 2


def test_drawing_is_reproducible(tmp_path: Path) -> None:
    for name in ("a", "b"):
        gate_trajectories(tmp_path / name, "plateau #1", *a_trial())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
