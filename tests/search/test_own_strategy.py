"""A strategy of a user's own, in one class, through trial, search and report, without touching the project."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from torch import Tensor

from pruning_core.config import TrialConfig, register, strategy_hyperparameters
from pruning_core.hyperparameters import Hyperparameter, Range
from pruning_core.strategies import STRATEGIES, EpochMeans, Strategy
from search.cli import main

STUDY = {
    "name": "ramp",
    "data": {"source": "wine", "keep": 4},
    "network": {"hidden": [16]},
    "training": {"epochs": 60, "seeds": 2, "settle_epochs": 4},
    "strategies": ["ramp"],
    "space": {"learning_rate": 0.01, "pruner_learning_rate": 0.2},
    "search": {"trials": 3, "confirm_seeds": 2},
}


class Ramp(Strategy):
    """alpha rises by the same amount every epoch."""

    label = "ramp"
    hyperparameters = (
        Hyperparameter("slope", float, 0.5, "rise of alpha per epoch", Range(0.1, 2.0, log=True), {"gt": 0}),
    )

    def grown(self, epoch: EpochMeans) -> Tensor:
        return self.lambda_R + self.config.slope


@pytest.fixture(autouse=True)
def ramp() -> Iterator[None]:
    known = dict(STRATEGIES)
    register(Ramp)
    yield
    STRATEGIES.clear()
    STRATEGIES.update(known)
    register(known["markov"])  # the fields of `TrialConfig` follow the strategies that are known


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    path = tmp_path / "ramp.yaml"
    path.write_text(yaml.safe_dump(STUDY))
    return path


def test_its_hyperparameters_are_known_with_their_limits_only_while_it_is_registered(
    study_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert TrialConfig(keep=2, strategy="ramp", slope=0.3).used()["slope"] == 0.3
    assert "slope" not in TrialConfig(keep=2).used()
    assert main(["check", str(study_file)]) == 0
    assert "0.1 ... 2, log" in capfd.readouterr().out
    assert main(["check", str(study_file), "--set", "space.slope=-1"]) == 2
    assert "space.slope = -1 must be greater than 0" in capfd.readouterr().err
    assert "slope" in strategy_hyperparameters()


def test_it_is_trained_alone_and_under_the_chain(study_file: Path, tmp_path: Path) -> None:
    assert main(["trial", str(study_file), "--set", "slope=1", "--json", str(tmp_path / "trial.json")]) == 0
    result = json.loads((tmp_path / "trial.json").read_text())
    assert result["config"]["slope"] == 1
    assert "growth" not in result["config"]
    chain = ["--set", "strategy=markov", "--set", "alpha=ramp", "--set", "training.epochs=2"]
    assert main(["trial", str(study_file), *chain, "--json", str(tmp_path / "chain.json")]) == 0
    config = json.loads((tmp_path / "chain.json").read_text())["config"]
    assert (config["alpha"], config["slope"]) == ("ramp", 0.5)


@pytest.mark.slow
def test_it_is_searched_by_workers_that_have_no_file_of_it_and_reported(
    study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["search", "ramp.yaml", "--json", "result.json"]) == 0
    result = json.loads(Path("result.json").read_text())
    assert (result["trials"], result["failed"], result["winner"]) == (3, 0, "ramp")
    assert 0.1 <= result["strategies"]["ramp"]["config"]["slope"] <= 2
    assert main(["report", "ramp"]) == 0
    page = Path("runs/reports/ramp.html").read_text()
    assert "slope" in page
    run_id = result["strategies"]["ramp"]["run_id"]
    assert main(["replay", run_id]) == 0


def test_a_name_that_means_something_else_already_is_refused() -> None:
    class Clash(Strategy):
        label = "clash"
        hyperparameters = (Hyperparameter("growth", int, 3, "not a factor"),)

    with pytest.raises(ValueError, match="growth of clash exists with another meaning"):
        register(Clash)
    assert "clash" not in STRATEGIES
