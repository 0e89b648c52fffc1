"""The engine: trials that train in one process at once report, fail and go on each by itself."""

import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from pruning_core.config import TrialConfig
from pruning_core.data import Dataset
from pruning_core.inner_loop import InnerLoop
from pruning_core.joined import join
from pruning_core.metrics import ACCURACY
from pruning_core.networks import GATED_MLP
from pruning_core.training import Training, train
from search.study import Study
from search.train import engine as engine_module
from search.train.engine import Engine, restore, standard_error, trials_together
from search.train.kit import Contents
from search.trials.order import Order, Report, Terms

VALUES: list[dict[str, Any]] = [
    {"growth": 1.5},
    {"strategy": "plateau", "learning_rate": 0.01},
    {"strategy": "markov", "delta": 0.5},
    {"strategy": "markov"},
    {"strategy": "fixed", "lambda_start": 5.0},
]


def an_order(folder: Path, number: int, **values: Any) -> Order:
    hyperparameters = {"keep": 3, "hidden": (16,), "epochs": 20, "settle_epochs": 4, **values}
    return Order(number, TrialConfig.model_validate(hyperparameters).model_dump_json(), Terms(str(folder)))


def contents(data: Dataset) -> Contents:
    return Contents(data.without_test(), GATED_MLP, ACCURACY)


def to_the_end(engine: Engine, order: Order) -> list[Report]:
    reports: list[Report] = []
    while not reports or not reports[-1].ended:
        reports.append(engine.report(order))
    return reports


def at_once(engine: Engine, orders: list[Order]) -> list[list[Report]]:
    with ThreadPoolExecutor(len(orders)) as threads:
        return list(threads.map(lambda order: to_the_end(engine, order), orders))


def accuracies(order: Order, data: Dataset) -> list[float]:
    run = train(TrialConfig.model_validate_json(order.hyperparameters), data, range(8), device="cpu")
    return [float(record.pruned_accuracy.mean()) for record in run]


@pytest.fixture
def engine(data: Dataset) -> Engine:
    return Engine(contents(data), threads=1, device="cpu")


@pytest.fixture
def begin_together(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Called before trials are asked for: none of them begins until there are so many."""

    def begin(trials: int) -> None:
        there = threading.Event()

        def restore_in_company(run: Training, folder: Path) -> str:
            deadline = time.monotonic() + 60
            while not there.is_set() and len(engine.trials()) < trials:
                assert time.monotonic() < deadline
                time.sleep(0.001)
            there.set()
            return restore(run, folder)

        monkeypatch.setattr("search.train.engine.restore", restore_in_company)

    return begin


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many trials each batch of several had."""
    sizes: list[int] = []

    def watched(parts: Any) -> InnerLoop:
        sizes.append(len(parts))
        return join(parts)

    monkeypatch.setattr(engine_module, "join", watched)
    return sizes


def test_trials_train_in_batches_and_report_what_they_would_alone(
    engine: Engine, data: Dataset, joined: list[int], begin_together: Callable[[int], None], tmp_path: Path
) -> None:
    orders = [an_order(tmp_path, number, **values) for number, values in enumerate(VALUES)]
    begin_together(len(orders))
    reports = at_once(engine, orders)
    assert max(joined) >= 2
    for order, of_trial in zip(orders, reports, strict=True):
        alone = accuracies(order, data)
        assert of_trial[-1].epoch == len(alone)
        assert all(accuracy == alone[epoch - 1] for epoch, accuracy in of_trial[-1].curve)
        assert [r.epoch for r in of_trial] == sorted({*range(2, len(alone) + 1, 2), len(alone)})
    assert engine.trials() == []


@pytest.mark.parametrize(("values", "error"), [([0.9], 0.0), ([0.8, 0.9, 1.0], 0.1 / 3**0.5), ([0.9, 0.9], 0.0)])
def test_the_standard_error_of_a_score_is_that_of_a_mean_over_the_seeds(values: list[float], error: float) -> None:
    assert standard_error(values) == pytest.approx(error)


def test_a_trial_that_cannot_be_trained_leaves_the_others_alone(engine: Engine, data: Dataset, tmp_path: Path) -> None:
    good, bad = an_order(tmp_path, 0), an_order(tmp_path, 1, hidden=(10**12,))
    reports, failure = at_once(engine, [good, bad])
    assert "allocate" in failure[0].error
    assert reports[-1].score == accuracies(good, data)[-1]


def test_when_a_batch_fails_each_trial_goes_on_by_itself(
    engine: Engine,
    data: Dataset,
    begin_together: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    failed = []

    def full(parts: Any) -> InnerLoop:
        failed.append(len(parts))
        raise torch.OutOfMemoryError("no memory for a batch")

    monkeypatch.setattr(engine_module, "join", full)
    orders = [an_order(tmp_path, number, **values) for number, values in enumerate(VALUES[:2])]
    begin_together(2)
    for order, reports in zip(orders, at_once(engine, orders), strict=True):
        assert reports[-1].error == ""
        assert reports[-1].score == accuracies(order, data)[-1]
    assert failed == [2]


def test_a_trial_goes_on_in_another_engine_from_its_checkpoint(engine: Engine, data: Dataset, tmp_path: Path) -> None:
    order = an_order(tmp_path, 0)
    for _ in range(3):
        engine.report(order)
    later = to_the_end(Engine(contents(data), threads=1, device="cpu"), order)
    assert later[0].epoch == 8
    assert later[-1].score == accuracies(order, data)[-1]


def test_a_checkpoint_that_cannot_be_read_costs_the_epochs_since_the_one_before(
    engine: Engine, data: Dataset, tmp_path: Path
) -> None:
    order = an_order(tmp_path, 0)
    engine.report(order)
    (first,) = (tmp_path / "trial_00000").glob("checkpoint_*")
    shutil.copytree(first, tmp_path / "kept")
    engine.report(order)
    (second,) = (tmp_path / "trial_00000").glob("checkpoint_*")
    shutil.copytree(tmp_path / "kept", first)
    (second / "state.pt").write_bytes((second / "state.pt").read_bytes()[:-100])
    (tmp_path / "trial_00000" / "partial_written").mkdir()
    again = to_the_end(Engine(contents(data), threads=1, device="cpu"), order)
    assert again[0].epoch == 4
    assert again[-1].score == accuracies(order, data)[-1]
    assert [path.name for path in (tmp_path / "trial_00000").iterdir()] == [f"checkpoint_{again[-1].epoch:06d}"]


def test_a_trial_that_nobody_asks_for_does_not_train(engine: Engine, tmp_path: Path) -> None:
    order = an_order(tmp_path, 0)
    assert engine.report(order).epoch == 2
    to_the_end(engine, an_order(tmp_path, 1))
    assert engine.report(order).epoch == 4


def test_a_disk_that_takes_nothing_is_no_failure_of_the_trial(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "trial_00000").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="trial_00000"):
        engine.report(an_order(tmp_path, 0))


def test_an_engine_takes_a_trial_in_only_as_long_as_nothing_has_changed(engine: Engine, tmp_path: Path) -> None:
    first, second, third = (an_order(tmp_path, number) for number in range(3))
    assert engine.join(first, [])
    assert not engine.join(second, [])
    assert engine.join(second, [0])
    assert not engine.join(third, [0])
    assert engine.trials() == [0, 1]


def test_an_engine_that_nobody_asks_says_so(data: Dataset, tmp_path: Path) -> None:
    moments: list[float] = []
    engine = Engine(contents(data), 1, "cpu", abandoned=(0.3, lambda: moments.append(time.monotonic())))
    to_the_end(engine, an_order(tmp_path, 0))
    ended = time.monotonic()
    while not moments:
        time.sleep(0.01)
        assert time.monotonic() < ended + 5
    assert moments[0] >= ended + 0.25


@pytest.mark.parametrize(
    ("sections", "workers", "expected"),
    [
        ({"search": {"trials": 100}}, 2, 4),
        ({"search": {"trials": 72}}, 2, 3),
        ({"search": {"trials": 40}}, 2, 1),
        ({"search": {"trials": 12}}, 2, 1),
        ({"search": {"trials": 100}}, 50, 1),
        ({"search": {"trials": 100}, "resources": {"cpu": 2}}, 1, 1),
        ({"search": {"trials": 100}, "network": {"hidden": [1000]}}, 2, 1),
        ({"search": {"trials": 100}, "network": {"hidden": [10**12]}}, 2, 1),
        ({"search": {"trials": 100}, "training": {"seeds": 32}}, 2, 1),
        ({"search": {"trials": 100}, "training": {"seeds": 3}}, 2, 1),
        ({"search": {"trials": 1000}, "resources": {"cpu": 1, "gpu": 1}}, 1, 16),
    ],
)
def test_how_many_trials_share_a_worker(sections: dict[str, Any], workers: int, expected: int) -> None:
    study = Study.model_validate({"name": "s", "data": {"source": "digits", "keep": 16}, **sections})
    assert trials_together(study, study.load_data(), workers, study.search.trials) == expected
