"""The pictures: drawn from whatever a trial or a search can leave behind, quickly, and of a fixed width."""

import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from search.figures.gates import gate_trajectories, strategy_summary

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


def size(path: Path) -> tuple[int, int]:
    header = path.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", header[16:24])
    return width, height


def result(**strategies: dict[str, Any]) -> dict[str, Any]:
    return {"study": "quick", "winner": next(iter(strategies), None), "strategies": strategies}


def accuracy(mean: float) -> dict[str, Any]:
    return {"mean": mean, "std": 0.01, "per_seed": [mean - 0.01, mean + 0.01]}


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


def test_summary_grows_with_the_strategies(tmp_path: Path) -> None:
    entry = {"trials": 10, "completed": 7, "validation": accuracy(0.95), "test": accuracy(0.94)}
    strategy_summary(result(plateau=entry), tmp_path / "one.png")
    strategy_summary(result(plateau=entry, stepped=entry, markov=entry), tmp_path / "three.png")
    (width, low), (same_width, high) = size(tmp_path / "one.png"), size(tmp_path / "three.png")
    assert width == same_width == 1000
    assert high > low


@pytest.mark.filterwarnings("error")
def test_summary_of_strategies_that_were_not_confirmed(tmp_path: Path) -> None:
    nothing: dict[str, Any] = {"mean": None, "std": None, "per_seed": []}
    entries: dict[str, dict[str, Any]] = {
        "plateau": {"trials": 0, "completed": 0},
        "stepped": {"trials": 3, "completed": 0, "validation": None, "test": nothing},
        "markov": {"trials": 3, "completed": 0, "test": {"mean": float("nan"), "std": 0.0, "per_seed": []}},
    }
    strategy_summary(result(**entries), tmp_path / "summary.png")
    assert size(tmp_path / "summary.png")[0] == 1000


def test_summary_needs_a_strategy(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one strategy"):
        strategy_summary(result(), tmp_path / "summary.png")
