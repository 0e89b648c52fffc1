"""The engine: trials that train in one process at once report, fail and go on each by itself."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from pruning_core.config import TrialConfig
from pruning_core.data import Dataset
from pruning_core.inner_loop import InnerLoop
from pruning_core.joined import join
from pruning_core.training import train
from search.study import Study
from search.train.engine import Engine, trials_together

VALUES: list[dict[str, Any]] = [
    {"growth": 1.5},
    {"strategy": "plateau", "learning_rate": 0.01},
    {"strategy": "markov", "delta": 0.5},
    {"strategy": "markov"},
    {"strategy": "fixed", "lambda_start": 5.0},
]


def config(folder: Path, number: int, **values: Any) -> dict[str, Any]:
    hyperparameters = {"keep": 3, "hidden": (16,), "epochs": 20, "settle_epochs": 4, **values}
    return {
        **{"number": number, "folder": str(folder), "first_seed": 0, "stop_hopeless": False, "report_after": 0},
        "hyperparameters": TrialConfig.model_validate(hyperparameters).model_dump_json(),
    }


def to_the_end(engine: Engine, trial: dict[str, Any]) -> list[dict[str, Any]]:
    reports: list[dict[str, Any]] = []
    while not reports or not reports[-1]["ended"]:
        reports.append(engine.report(trial))
    return reports


def at_once(engine: Engine, trials: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    with ThreadPoolExecutor(len(trials)) as threads:
        return list(threads.map(lambda trial: to_the_end(engine, trial), trials))


def accuracies(trial: dict[str, Any], data: Dataset) -> list[float]:
    run = train(TrialConfig.model_validate_json(trial["hyperparameters"]), data, range(8), device="cpu")
    return [float(record.pruned_accuracy.mean()) for record in run]


@pytest.fixture
def engine(data: Dataset) -> Engine:
    return Engine(data.without_test(), threads=1, device="cpu")


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many trials each batch of several had."""
    sizes: list[int] = []

    def watched(parts: Any) -> InnerLoop:
        sizes.append(len(parts))
        return join(parts)

    monkeypatch.setattr("search.train.engine.join", watched)
    return sizes


def test_trials_train_in_batches_and_report_what_they_would_alone(
    engine: Engine, data: Dataset, joined: list[int], tmp_path: Path
) -> None:
    trials = [config(tmp_path, number, **values) for number, values in enumerate(VALUES)]
    reports = at_once(engine, trials)
    assert max(joined) >= 2
    for trial, of_trial in zip(trials, reports, strict=True):
        alone = accuracies(trial, data)
        assert of_trial[-1]["epoch"] == len(alone)
        assert all(accuracy == alone[epoch - 1] for epoch, accuracy in of_trial[-1]["curve"])
        assert [r["epoch"] for r in of_trial] == sorted({*range(2, len(alone) + 1, 2), len(alone)})
    assert engine.trials() == []


def test_a_trial_that_cannot_be_trained_leaves_the_others_alone(engine: Engine, data: Dataset, tmp_path: Path) -> None:
    good, bad = config(tmp_path, 0), config(tmp_path, 1, hidden=(10**12,))
    reports, failure = at_once(engine, [good, bad])
    assert "allocate" in failure[0]["error"]
    assert reports[-1]["pruned_accuracy"] == accuracies(good, data)[-1]


def test_when_a_batch_fails_each_trial_goes_on_by_itself(
    engine: Engine, data: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    failed = []

    def full(parts: Any) -> InnerLoop:
        failed.append(len(parts))
        raise torch.OutOfMemoryError("no memory for a batch")

    monkeypatch.setattr("search.train.engine.join", full)
    trials = [config(tmp_path, number, **values) for number, values in enumerate(VALUES[:2])]
    for trial, reports in zip(trials, at_once(engine, trials), strict=True):
        assert reports[-1]["error"] == ""
        assert reports[-1]["pruned_accuracy"] == accuracies(trial, data)[-1]
    assert failed in ([], [2])


def test_a_trial_goes_on_in_another_engine_from_its_checkpoint(engine: Engine, data: Dataset, tmp_path: Path) -> None:
    trial = config(tmp_path, 0)
    for _ in range(3):
        engine.report(trial)
    later = to_the_end(Engine(data.without_test(), threads=1, device="cpu"), trial)
    assert later[0]["epoch"] == 8
    assert later[-1]["pruned_accuracy"] == accuracies(trial, data)[-1]


def test_a_trial_that_nobody_asks_for_does_not_train(engine: Engine, tmp_path: Path) -> None:
    trial = config(tmp_path, 0)
    assert engine.report(trial)["epoch"] == 2
    to_the_end(engine, config(tmp_path, 1))
    assert engine.report(trial)["epoch"] == 4


def test_a_disk_that_takes_nothing_is_no_failure_of_the_trial(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "trial_00000").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="trial_00000"):
        engine.report(config(tmp_path, 0))


def test_an_engine_takes_a_trial_in_only_as_long_as_nothing_has_changed(engine: Engine, tmp_path: Path) -> None:
    first, second, third = (config(tmp_path, number) for number in range(3))
    assert engine.join(first, [])
    assert not engine.join(second, [])
    assert engine.join(second, [0])
    assert not engine.join(third, [0])
    assert engine.trials() == [0, 1]


def test_an_engine_that_nobody_asks_says_so(data: Dataset, tmp_path: Path) -> None:
    moments: list[float] = []
    engine = Engine(data.without_test(), 1, "cpu", abandoned=(0.3, lambda: moments.append(time.monotonic())))
    to_the_end(engine, config(tmp_path, 0))
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
