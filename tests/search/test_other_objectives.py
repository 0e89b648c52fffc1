"""A search that maximises another metric than accuracy, from the study file to the page, on weighted rows."""

import contextlib
import io
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
import torch
from mlflow.tracking import MlflowClient
from report_page import Page
from sklearn.metrics import roc_auc_score

from search.cli import main
from search.result import SearchResult
from search.stores.addresses import Stored
from search.study import load_study
from search.trials.result import network_of

pytestmark = pytest.mark.slow

STUDY = """
name: events
data: {source: events.csv, target: kind, weight: w, signal: higgs, keep: 3}
network: {hidden: [8]}
training: {epochs: 30, batch_size: 64, seeds: 2, settle_epochs: 3, folds: 4}
strategies: [stepped]
space: {growth: 2, step_epochs: 1, mu: one, lambda_start: {choices: [0.1, 1.0]}}
search: {trials: 2, confirm_seeds: 2, objective: pruned_auc, sampler: random, decoys: 2}
"""


@dataclass(frozen=True)
class Searched:
    folder: Path
    result: dict[str, Any]

    @property
    def output(self) -> Path:
        return self.folder / "runs"


def events(rows: int = 600) -> pd.DataFrame:
    """Two classes that differ in two of six inputs, and weights of which some are negative."""
    numbers = np.random.default_rng(0)
    frame = pd.DataFrame(numbers.normal(size=(rows, 6)), columns=[f"x{k}" for k in range(6)])
    signal = numbers.uniform(size=rows) < 0.3
    frame["x0"] += 1.2 * signal
    frame["x1"] -= 0.8 * signal
    frame["w"] = numbers.uniform(0.5, 2, rows) * np.where(numbers.uniform(size=rows) < 0.05, -1, 1)
    frame["kind"] = np.where(signal, "higgs", "noise")
    return frame


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Searched:
    folder = tmp_path_factory.mktemp("events")
    (folder / "runs").mkdir()
    events().to_csv(folder / "events.csv", index=False)
    (folder / "events.yaml").write_text(STUDY)
    shutil.copy(empty_store, folder / "runs" / "mlflow.db")
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()) as told:
        assert main(["search", "events.yaml", "--json", "events.json"]) == 0
    assert "validation, test (AUC)" in told.getvalue()
    return Searched(folder, json.loads((folder / "events.json").read_text()))


def test_the_json_is_about_the_objective_and_has_accuracy_beside_it(searched: Searched) -> None:
    assert searched.result["objective"] == "pruned_auc"
    entry = searched.result["strategies"]["stepped"]
    assert 0.5 < entry["test"]["mean"] <= 1
    for name in ("validation_accuracy", "test_accuracy", "validation_balanced_accuracy", "test_balanced_accuracy"):
        assert len(entry[name]["per_seed"]) == 2
        assert entry[name] != entry["test"]
    assert len(entry["roc"]["background_efficiency"]) == len(entry["roc"]["signal_efficiency"])


def test_optuna_knows_the_objective_by_name_and_the_best_value_is_the_trials(searched: Searched) -> None:
    study = optuna.load_study(study_name="events", storage=f"sqlite:///{searched.output / 'optuna.db'}")
    assert study.metric_names == ["pruned_auc"]
    trial = study.trials[searched.result["strategies"]["stepped"]["trial"]]
    assert trial.value == searched.result["strategies"]["stepped"]["search_auc"]
    assert max(trial.intermediate_values.items())[1] == trial.value


def test_mlflow_has_the_objective_beside_accuracy(searched: Searched) -> None:
    client = MlflowClient(f"sqlite:///{searched.output / 'mlflow.db'}")
    entry = searched.result["strategies"]["stepped"]
    metrics = client.get_run(entry["run_id"]).data.metrics
    assert metrics["pruned_auc"] == entry["search_auc"]
    assert metrics["test_auc"] == entry["test"]["mean"]
    assert metrics["test_accuracy"] == entry["test_accuracy"]["mean"]
    assert {"pruned_accuracy", "full_auc", "pruned_balanced_accuracy", "confirmed_validation_auc"} <= metrics.keys()
    assert len(client.get_metric_history(entry["run_id"], "pruned_auc")) > 5
    parent = client.get_run(searched.result["mlflow"]["parent_run_id"]).data.metrics
    assert parent["test_auc.stepped"] == entry["test"]["mean"]


def test_a_trial_in_folds_replays_to_the_last_digit(searched: Searched, capsys: pytest.CaptureFixture[str]) -> None:
    entry = searched.result["strategies"]["stepped"]
    params = MlflowClient(f"sqlite:///{searched.output / 'mlflow.db'}").get_run(entry["run_id"]).data.params
    assert params["folds"] == "4"
    assert main(["replay", entry["run_id"], "--output", str(searched.output)]) == 0
    assert "the same numbers" in capsys.readouterr().out


def test_the_selection_is_told_with_its_decoys_and_twins(searched: Searched) -> None:
    selection = searched.result["selection"]
    assert (selection["keep"], selection["replicas"], selection["decoys"]["copies"]) == (3, 2, 2)
    assert [entry["kept"] for entry in selection["inputs"]] == [True] * 3 + [False] * 3
    assert all(entry["low"] <= entry["frequency"] <= entry["high"] for entry in selection["inputs"])
    frequencies = searched.result["strategies"]["stepped"]["selection_frequency"]
    assert {e["name"]: e["frequency"] for e in selection["inputs"] if e["frequency"]} == frequencies
    data = load_study(searched.folder / "events.yaml").load_data()
    table = SearchResult(searched.result, Stored(searched.output), data).selection
    assert list(table.index) == [entry["name"] for entry in selection["inputs"]]
    assert {"frequency", "low", "high", "kept", "q_value", "twins"} <= set(table.columns)


def test_mlflow_has_the_selection_as_json_latex_and_picture(searched: Searched, tmp_path: Path) -> None:
    client = MlflowClient(f"sqlite:///{searched.output / 'mlflow.db'}")
    parent = searched.result["mlflow"]["parent_run_id"]
    names = {artifact.path for artifact in client.list_artifacts(parent)}
    assert {"selection.json", "selection.tex", "selection.png"} <= names
    kept = json.loads(Path(client.download_artifacts(parent, "selection.json", str(tmp_path))).read_text())
    assert kept == searched.result["selection"]
    latex = Path(client.download_artifacts(parent, "selection.tex", str(tmp_path))).read_text()
    assert latex.count("\\\\") == 4
    assert latex.startswith("\\begin{tabular}")


def test_the_registered_network_has_the_auc_that_scikit_learn_measures(searched: Searched) -> None:
    data = load_study(searched.folder / "events.yaml").load_data()
    result = SearchResult(searched.result, Stored(searched.output), data)
    network = result.network()
    assert list(result.trials["auc"]) == [pytest.approx(value) for value in result.trials["auc"]]
    kept = [data.feature_names.index(name) for name in network.columns]
    assert data.test is not None
    assert data.test.weight is not None
    raw = data.test.x[:, kept] * data.scale[kept] + data.mean[kept]
    with torch.no_grad():
        logits = network(raw.float())
    positive = data.test.weight > 0
    ours = roc_auc_score(
        (data.test.y == 1)[positive], (logits[:, 1] - logits[:, 0])[positive], sample_weight=data.test.weight[positive]
    )
    assert abs(ours - searched.result["strategies"]["stepped"]["test"]["mean"]) < 0.1


def test_the_page_speaks_of_the_objective_and_shows_the_rejection(searched: Searched) -> None:
    assert main(["report", "events", "--output", str(searched.output)]) == 0
    page = Page(searched.output / "reports" / "events.html")
    assert {"AUC against speed", "Background rejection", "What the kept inputs look like"} <= set(page.headings)
    entry = searched.result["strategies"]["stepped"]
    mean = entry["test"]["mean"]
    assert f"the {network_of(entry)} network reaches an AUC of {mean:.3f}" in page.text
    assert "higgs being the signal" in page.text
    assert "balanced accuracy" in page.text
    assert "The stability of the selection is" in page.text
    assert "can be claimed" in page.text


def test_a_trial_shows_the_metric(searched: Searched, capsys: pytest.CaptureFixture[str]) -> None:
    study = str(searched.folder / "events.yaml")
    to = searched.folder / "trial.json"
    settings = [
        "--set",
        "search.objective=[pruned_rejection,completion_epoch]",
        "--set",
        "search.signal_efficiency=0.4",
    ]
    assert main(["trial", study, *settings, "--seeds", "2", "--json", str(to)]) == 0
    written = json.loads(to.read_text())
    assert len(written["pruned_rejection"]["per_seed"]) == len(written["full_rejection"]["per_seed"]) == 2
    printed = capsys.readouterr().out
    assert "pruned, full: background rejection at 40 % signal efficiency" in printed
    assert f"{written['pruned_rejection']['mean']:.1f}" in printed


def test_a_rejection_without_a_signal_is_refused(searched: Searched, capsys: pytest.CaptureFixture[str]) -> None:
    study = str(searched.folder / "events.yaml")
    assert main(["check", study, "--set", "search.objective=pruned_rejection", "--set", "data.signal=null"]) == 2
    assert "data.signal is missing" in capsys.readouterr().err
