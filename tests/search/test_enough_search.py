"""A search that finds its n, as users run it: the curve, what is told of it, and that it is trained once."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from search.cli import main

pytestmark = pytest.mark.slow

STUDY = """
name: cellar
data: {source: wine, keep: auto, costs: {alcohol: 0.5, "*phenols": 4}}
training: {epochs: 40, batch_size: 32, seeds: 2, settle_epochs: 5}
strategies: [stepped]
space:
  {lambda_start: {choices: [0.3, 0.5]}, growth: 1.5, step_epochs: 1, mu: one, learning_rate: 0.01,
   pruner_learning_rate: 0.2, weight_decay: 0, label_smoothing: 0.1}
search: {trials: 2, confirm_seeds: 2}
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command in a folder of its own; what it printed."""
    monkeypatch.chdir(tmp_path)

    def told(*arguments: str) -> str:
        capfd.readouterr()
        assert main([*arguments]) == 0
        return capfd.readouterr().out

    return told


def test_auto_finds_n_once_and_the_search_goes_on_with_it(tmp_path: Path, run: Callable[..., str]) -> None:
    (tmp_path / "cellar.yaml").write_text(STUDY)
    told = run("search", "cellar.yaml", "--json", "result.json")
    result = json.loads((tmp_path / "result.json").read_text())
    curve, chosen = result["keep"]["curve"], result["keep"]["chosen"]
    assert [curve[0]["keep"], curve[-1]["keep"]] == [1, 12]
    best = max((point for point in curve if point["complete"] == 1), key=lambda point: point["mean"])
    enough = [p for p in curve if p["complete"] == 1 and p["mean"] >= best["mean"] - best["error"] - 1e-9]
    assert chosen == min(enough, key=lambda point: (point["cost"], point["keep"]))["keep"]
    assert any(point["cost"] != point["keep"] for point in curve), "costs are in the curve"
    assert len(result["strategies"]["stepped"]["selected"]) == chosen
    assert result["strategies"]["stepped"]["config"]["keep"] == chosen
    assert f"{chosen} input{'s are' if chosen > 1 else ' is'} enough at a mean cost of" in told
    assert "how many inputs are enough: trying n = 1, 2, 4, 8, 12" in told

    client = MlflowClient(f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
    parent = client.get_run(result["mlflow"]["parent_run_id"])
    assert parent.data.metrics["keep"] == chosen
    artifacts = tmp_path / "runs" / "mlartifacts" / "cellar" / parent.info.run_id / "artifacts"
    assert (artifacts / "keep.png").exists()
    assert json.loads((artifacts / "study.json").read_text())["data"]["keep"] == chosen
    assert "keep: auto" in (artifacts / "study.yaml").read_text()

    again = run("search", "cellar.yaml", "--resume", "--json", "again.json")
    assert "trying" not in again
    assert json.loads((tmp_path / "again.json").read_text())["keep"] == result["keep"]
    assert "are in MLflow" in run("sync", "cellar.yaml")

    run("report", "cellar")
    page = (tmp_path / "runs" / "reports" / "cellar.html").read_text()
    assert "How many inputs are enough" in page
    assert f"keep: {chosen}" in page, "the study on the page confirms it"
