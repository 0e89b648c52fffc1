"""Records of a run: what they come to, the JSON, the files, and the way back from a saved state."""

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pruning_core import history as history_module
from pruning_core.config import TrialConfig
from pruning_core.history import QUANTITIES, EpochRecord, History, PrunedUnits, PrunerRecord

NAMES = tuple(f"x{i}" for i in range(6))
INTERFACE_KEYS = {
    *("config", "seeds", "outcome", "pruned_accuracy", "full_accuracy", "completion_epoch", "drasticness"),
    *("selected", "epochs_run", "seconds", "replica_epochs_per_second"),
}
FILE_KEYS = {
    *("classification_loss", "selection_loss", "rejection_loss", "total_loss", "alpha", "lambda", "mu"),
    *("active", "gate_variance", "weight_variance", "pruned_accuracy", "full_accuracy", "epoch"),
}


def record(epoch: int, **values: list[float]) -> EpochRecord:
    """A record of 4 replicas; what is not given counts up, and differs from quantity to quantity."""
    arrays = {q: np.arange(4.0) + 10 * i + 1000 * epoch for i, q in enumerate(QUANTITIES)}
    given = {q: np.array(v, dtype=float) for q, v in values.items()}
    return EpochRecord(epoch, **{**arrays, **given}, scores={}, pruners=())


def history(complete: list[list[int]], **config: Any) -> History:
    """A history of 4 replicas that keep 2 of 6, with the given completeness in each epoch."""
    made = History(TrialConfig(keep=2, settle_epochs=2, **config), [7, 8, 9, 10], [PrunedUnits("inputs", 2, NAMES)])
    made.gates.append((0, np.full((4, 6), 0.95, dtype=np.float16)))
    for epoch, row in enumerate(complete, start=1):
        made.records.append(record(epoch, complete=[float(c) for c in row], active=[2, 2, 3, 1], fell=[epoch, 1, 0, 4]))
        made.gates.append((epoch, np.full((4, 6), 0.1 * epoch, dtype=np.float16)))
    made.seconds = 2.0
    return made


def test_array_is_epochs_by_replicas() -> None:
    made = history([[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0]])
    assert len(made) == 3
    assert made.array("fell").tolist() == [[1, 1, 0, 4], [2, 1, 0, 4], [3, 1, 0, 4]]


def test_a_replica_has_settled_once_it_has_been_complete_for_settle_epochs() -> None:
    assert history([]).settled().tolist() == [False] * 4
    assert history([[1, 1, 1, 1]]).settled().tolist() == [False] * 4
    made = history([[1, 1, 0, 0], [1, 0, 1, 0], [0, 1, 1, 0], [0, 1, 1, 1]])
    assert made.settled().tolist() == [False, True, True, False]


def test_the_last_record_of_a_settled_replica_is_repeated() -> None:
    made = history([[0, 0, 0, 0], [1, 1, 0, 0], [1, 0, 0, 1]])
    new = record(4, complete=[0, 1, 1, 1])
    made.append(new)
    made.append(record(5, complete=[0, 0, 0, 0]))
    assert [r.epoch for r in made.records] == [1, 2, 3, 4, 5]
    for quantity in QUANTITIES:
        third, fourth, fifth = (getattr(r, quantity) for r in made.records[2:])
        assert fourth.tolist() == [third[0], *getattr(new, quantity)[1:]]
        assert fifth[[0, 3]].tolist() == fourth[[0, 3]].tolist()
    assert made.array("complete")[4].tolist() == [1, 0, 0, 1]


def test_append_starts_a_history() -> None:
    made, first = history([]), record(1)
    made.append(first)
    assert made.records == [first]


def test_outcomes_are_those_of_the_last_epoch() -> None:
    assert history([[1, 1, 1, 1], [1, 0, 0, 0]]).outcomes() == [
        "complete",
        "undecided",
        "too little",
        "collapsed",
    ]


def test_hopeless_looks_at_the_last_epoch() -> None:
    made = history([[0, 0, 0, 0]])
    assert made.hopeless() is None
    stuck = {"complete": [0, 0, 0, 0], "active": [1, 1, 4, 4], "drift": [0, 0, 1, 1]}
    made.records.append(record(2, **stuck))  # type: ignore[arg-type]
    assert "collapsed" in str(made.hopeless())
    far = {"complete": [0, 0, 0, 0], "active": [5, 5, 2, 2], "drift": [0, 0, 1, 1]}
    made.records.append(record(2, **far, alpha=[1e8] * 4, lambda_=[1e6] * 4))  # type: ignore[arg-type]
    assert made.hopeless() is None
    made.records.append(record(2, **far, alpha=[1.0] * 4, lambda_=[1e7] * 4))  # type: ignore[arg-type]
    assert "lambda_max" in str(made.hopeless())
    made.records.append(record(3, **stuck, total_loss=[1, 1, 1, np.nan]))  # type: ignore[arg-type]
    assert "finite" in str(made.hopeless())


def test_result_is_the_json_of_the_interface() -> None:
    made = history([[0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]])
    selected = [["x0", "x1"], ["x2", "x3"], ["x0", "x5"], ["x4", "x5"]]
    result = made.result(selected)
    assert set(result) >= INTERFACE_KEYS
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert result["config"] == made.config.used()
    assert result["seeds"] == [7, 8, 9, 10]
    assert result["outcome"] == {"complete": 0.25, "too little": 0.25, "collapsed": 0.25, "undecided": 0.25}
    assert result["completion_epoch"] == [2, None, None, None]
    assert result["drasticness"] == [3 / 4, 1 / 4, 0, 1]
    assert result["selected"] == selected
    assert result["epochs_run"] == 3
    assert result["seconds"] == 2.0
    assert result["replica_epochs_per_second"] == 3 * 4 / 2.0
    for accuracy in ("pruned_accuracy", "full_accuracy"):
        values = getattr(made.records[-1], accuracy)
        assert result[accuracy] == {"mean": values.mean(), "std": values.std(), "per_seed": list(values)}


@pytest.mark.parametrize("strategy", ["stepped", "markov"])
def test_the_files_of_a_finished_trial(strategy: str, tmp_path: Path) -> None:
    made = history([[0, 0, 0, 0], [1, 0, 0, 0]], strategy=strategy)
    selected = [["x0", "x1"]] * 4
    made.write(tmp_path, selected)
    assert json.loads((tmp_path / "trial.json").read_text()) == made.result(selected)
    with np.load(tmp_path / "history.npz") as written:
        assert set(written.files) >= FILE_KEYS
        assert ("acceptance" in written.files) == (strategy == "markov")
        assert written["epoch"].tolist() == [1, 2]
        assert written["lambda"].dtype == np.float32
        np.testing.assert_array_equal(written["lambda"], made.array("lambda_"))
        np.testing.assert_array_equal(written["active"], made.array("active"))
    with np.load(tmp_path / "gates.npz") as written:
        assert written["epoch"].tolist() == [0, 1, 2]
        assert written["gates"].shape == (3, 4, 6)
        assert written["gates"].dtype == np.float16
        assert written["gates"][2, 0, 0] == np.float16(0.2)
        assert tuple(written["names"]) == NAMES


@pytest.mark.parametrize("epochs", [0, 3])
def test_a_saved_history_comes_back_as_it_was(epochs: int) -> None:
    made, other = history([[0, 1, 0, 1]] * epochs), history([])
    file = io.BytesIO()
    torch.save(made.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert [r.epoch for r in other.records] == [r.epoch for r in made.records]
    for theirs, ours in zip(other.records, made.records, strict=True):
        for quantity in QUANTITIES:
            np.testing.assert_array_equal(getattr(theirs, quantity), getattr(ours, quantity))
    assert [epoch for epoch, _ in other.gates] == [epoch for epoch, _ in made.gates]
    for (_, theirs_gates), (_, our_gates) in zip(other.gates, made.gates, strict=True):
        np.testing.assert_array_equal(theirs_gates, our_gates)
    assert other.seconds == made.seconds


def test_trajectories_that_would_grow_too_large_are_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    assert history([]).gate_stride == 1
    monkeypatch.setattr(history_module, "GATE_NUMBERS", 4 * 6 * 50)
    assert [history([], epochs=epochs).gate_stride for epochs in (50, 51, 120)] == [1, 2, 3]


TWO = [PrunedUnits("inputs", 2, NAMES), PrunedUnits("neurons", 3, tuple(f"neurons.{i}" for i in range(8)))]


def of_two(epochs: int = 3) -> History:
    """A history of 4 replicas with two pruners, the last epoch of which is written out below."""
    made = History(TrialConfig(keep=2, settle_epochs=3), [7, 8, 9, 10], TWO)
    made.gates.append((0, np.full((4, 14), 0.95, dtype=np.float16)))
    for epoch in range(1, epochs + 1):
        late = epoch >= 2
        inputs = PrunerRecord(np.array([2.0, 3, 2, 1]), np.array([epoch, 0.0, 4, 2]), np.array([late, 0.0, 1, 0]))
        neurons = PrunerRecord(np.array([3.0, 2, 3, 5]), np.array([1.0, 5, 0, 0]), np.array([1.0, 0, 0, 0]))
        sums = {q: getattr(inputs, q) + getattr(neurons, q) for q in ("active", "fell")}
        both = {**sums, "complete": inputs.complete * neurons.complete}
        totals = record(epoch, **{q: list(values) for q, values in both.items()})
        made.append(dataclasses.replace(totals, pruners=(inputs, neurons)))
        made.gates.append((epoch, np.full((4, 14), 0.5, dtype=np.float16)))
    return made


SELECTED = [["x0", "x1", "neurons.0", "neurons.1", "neurons.7"]] * 4


def test_a_replica_comes_to_the_worst_that_one_of_its_pruners_comes_to() -> None:
    """Summed up, the second replica has as many open gates as it shall, and the last one more."""
    made = of_two()
    assert made.pruner_outcomes(0) == ["complete", "too little", "complete", "collapsed"]
    assert made.pruner_outcomes(1) == ["complete", "collapsed", "undecided", "too little"]
    assert made.outcomes() == ["complete", "collapsed", "undecided", "collapsed"]


def test_the_result_tells_of_each_of_several_pruners() -> None:
    result: dict[str, Any] = of_two().result(SELECTED)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert set(result) == INTERFACE_KEYS | {"pruners"}
    assert result["outcome"] == {"complete": 0.25, "too little": 0, "collapsed": 0.5, "undecided": 0.25}
    assert result["completion_epoch"] == [2, None, None, None]
    assert result["drasticness"] == [3 / 4, 1, 1, 2 / 4]
    assert result["selected"] == SELECTED
    assert result["pruners"] == {
        "inputs": {
            "outcome": {"complete": 0.5, "too little": 0.25, "collapsed": 0.25, "undecided": 0},
            "completion_epoch": [2, None, 1, None],
            "drasticness": [3 / 4, 0, 1, 2 / 4],
            "selected": [["x0", "x1"]] * 4,
        },
        "neurons": {
            "outcome": {"complete": 0.25, "too little": 0.25, "collapsed": 0.25, "undecided": 0.25},
            "completion_epoch": [1, None, None, None],
            "drasticness": [1 / 5, 1, 0, 0],
            "selected": [["neurons.0", "neurons.1", "neurons.7"]] * 4,
        },
    }


def test_one_pruner_is_not_told_of_twice(tmp_path: Path) -> None:
    made = history([[0, 0, 0, 0]])
    assert "pruners" not in made.result([["x0", "x1"]] * 4)
    made.write(tmp_path, [["x0", "x1"]] * 4)
    with np.load(tmp_path / "history.npz") as written:
        assert not [name for name in written.files if "." in name]
    with np.load(tmp_path / "gates.npz") as written:
        assert set(written.files) == {"epoch", "gates", "names"}


def test_the_files_hold_each_of_several_pruners_and_their_sums(tmp_path: Path) -> None:
    made = of_two()
    made.write(tmp_path, SELECTED)
    with np.load(tmp_path / "history.npz") as written:
        assert set(written.files) >= FILE_KEYS
        for quantity in ("active", "fell"):
            of_pruners = [written[f"{quantity}.{name}"] for name in ("inputs", "neurons")]
            np.testing.assert_array_equal(written[quantity], sum(of_pruners))
        np.testing.assert_array_equal(written["complete.neurons"], [[1, 0, 0, 0]] * 3)
    with np.load(tmp_path / "gates.npz") as written:
        assert written["pruner"].tolist() == ["inputs"] * 6 + ["neurons"] * 8
        assert tuple(written["names"]) == (*NAMES, *TWO[1].units)


def test_the_pruners_of_a_settled_replica_stay_as_they_are() -> None:
    made = of_two(epochs=5)
    assert made.settled().tolist() == [True, False, False, False]
    new = dataclasses.replace(record(6), pruners=tuple(PrunerRecord(*np.full((3, 4), 9.0)) for _ in TWO))
    made.append(new)
    for index in range(2):
        before, now = made.records[-2].of_pruner(index), made.records[-1].of_pruner(index)
        for quantity in ("active", "fell", "complete"):
            assert getattr(now, quantity).tolist() == [getattr(before, quantity)[0], 9, 9, 9]


@pytest.mark.parametrize("epochs", [0, 3])
def test_a_saved_history_of_several_pruners_comes_back_as_it_was(epochs: int) -> None:
    made, other = of_two(epochs), of_two(0)
    file = io.BytesIO()
    torch.save(made.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert len(other) == epochs
    for theirs, ours in zip(other.records, made.records, strict=True):
        for one, another in zip(theirs.pruners, ours.pruners, strict=True):
            for quantity in ("active", "fell", "complete"):
                np.testing.assert_array_equal(getattr(one, quantity), getattr(another, quantity))


def test_a_state_that_was_saved_before_pruners_had_records_can_be_loaded() -> None:
    made, other = history([[0, 1, 0, 1]] * 2), history([])
    state = made.state_dict()
    del state["pruners"]
    other.load_state_dict(state)
    assert other.outcomes() == made.outcomes()
