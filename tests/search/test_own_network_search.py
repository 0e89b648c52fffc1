"""A network of a user's own with two pruners, searched over one of its arguments, through every command."""

import json
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from report_page import Page

from search.cli import main

MODELS = """
from torch import nn
from pruning_core import Pruner
from parts import block

def make(inputs, classes, keep, width=16):
    return nn.Sequential(
        Pruner(inputs, keep, name="inputs"), *block(inputs, width), Pruner(width, 6, name="neurons"),
        nn.Linear(width, classes),
    )
"""
PARTS = """
from torch import nn

def block(inputs, width):
    return nn.Linear(inputs, width), nn.ReLU()
"""
STUDY = """
name: own
data: {source: wine, keep: 4}
network: {build: "models.py:make"}
training: {epochs: 60, seeds: 2, settle_epochs: 4}
strategies: [stepped]
space:
  {network.width: {low: 12, high: 24}, lambda_start: {low: 0.3, high: 1}, growth: 1.3, pruner_learning_rate: 0.2,
   weight_decay: 0, label_smoothing: 0.1}
search: {trials: 3, confirm_seeds: 2}
"""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "models.py").write_text(MODELS)
    (tmp_path / "parts.py").write_text(PARTS)
    (tmp_path / "own.yaml").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    return "own.yaml"


def test_check_shows_its_layers_and_pruners(study: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["check", study]) == 0
    shown = capfd.readouterr().out
    assert "its pruners keep inputs 4 of 13, neurons 6 of 16" in shown
    assert "the network has 304 parameters and takes 256 multiply-adds a row" in shown
    assert "network.width" in shown


def test_a_trial_tells_of_each_pruner(study: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["trial", study, "--set", "network.width=12", "--json", "trial.json"]) == 0
    result = json.loads(Path("trial.json").read_text())
    assert result["config"]["network.width"] == 12
    assert {name: len(pruner["selected"][0]) for name, pruner in result["pruners"].items()} == {
        "inputs": 4,
        "neurons": 6,
    }
    kept = capfd.readouterr().out.split("most often kept")[1].splitlines()[0]
    assert len(kept.split(",")) == 4
    assert "neurons." not in kept


def test_a_wrong_network_is_refused_before_anything_is_written(study: str, capfd: pytest.CaptureFixture[str]) -> None:
    Path("models.py").write_text(MODELS.replace("nn.Linear(width, classes)", "nn.Linear(width, classes + 1)"))
    assert main(["search", study]) == 2
    told = capfd.readouterr().err
    assert "network.build" in told
    assert "must give 3 outputs per row" in told
    assert not Path("runs").exists()


@pytest.mark.slow
def test_it_is_searched_and_lives_on_without_its_files(study: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["search", study, "--json", "result.json"]) == 0
    result = json.loads(Path("result.json").read_text())
    entry = result["strategies"]["stepped"]
    assert entry["outcome"]["complete"] == 1
    assert 12 <= entry["config"]["network.width"] <= 24
    assert set(entry["pruners"]) == {"inputs", "neurons"}
    assert len(entry["selected"]) == 4
    run = MlflowClient("sqlite:///runs/mlflow.db").get_run(entry["run_id"])
    assert run.data.params["network.width"] == str(entry["config"]["network.width"])
    assert run.data.metrics["completion_epoch.neurons"] > 0

    Path("models.py").write_text(MODELS.replace("6, name", "5, name"))
    capfd.readouterr()
    assert main(["replay", entry["run_id"]]) == 0
    shown = " ".join(capfd.readouterr().out.split())
    assert "has changed since: what was recorded with the search is used" in shown
    assert "the same numbers as recorded" in shown
    assert main(["report", "own"]) == 0
    changed = "models.py:make has changed since: what was recorded with the search is used."
    assert changed in Page(Path("runs/reports/own.html")).text
    capfd.readouterr()
    assert main(["search", study, "--resume", "--trials", "4"]) == 2
    assert "network (models.py) changed since it was started" in capfd.readouterr().err

    Path("models.py").unlink()
    Path("parts.py").unlink()
    Path("runs").rename("elsewhere")
    assert main(["replay", entry["run_id"], "--output", "elsewhere"]) == 0
    assert main(["export", entry["run_id"], "--output", "elsewhere", "--to", "small"]) == 0
    assert main(["report", "own", "--output", "elsewhere"]) == 0
    assert "has changed" not in capfd.readouterr().out
    page = Path("elsewhere/reports/own.html").read_text()
    assert "neurons keeps 6, 100&nbsp;% complete" in page
    assert "network.width" in page


def test_the_example_of_the_documentation_can_be_run(capfd: pytest.CaptureFixture[str]) -> None:
    examples = Path(__file__).parents[2] / "docs" / "examples"
    assert main(["check", str(examples / "residual.yaml")]) == 0
    shown = " ".join(capfd.readouterr().out.split())
    assert "its pruners keep inputs 16 of 60, 3.neurons 16 of 64, 4.neurons 16 of 64" in shown
    assert "by vmap" not in shown
