"""The registered model: loads without pickle, PyTorch and deepPP, and is as accurate on raw rows as the search says."""

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import optuna
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from optuna.distributions import CategoricalDistribution
from optuna.trial import create_trial
from small_models import trained
from small_search import SmallSearch, small_search

from pruning_core.convolution import convolutional
from pruning_core.data import Dataset, load_dataset
from search.propose.ledger import Ledger
from search.propose.storage import open_storage
from search.record.recorder import Recorder
from search.record.tracking import Tracking
from search.study import Study
from search.trials.network import write_network
from search.trials.watcher import Watcher

Load = Callable[[Path, str], Any]
STUDY = Study.model_validate({"name": "study", "data": {"source": "wine", "keep": 2}})


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Loads a model from the store in a search's output."""

    def load_model(output: Path, address: str) -> Any:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{output / 'mlflow.db'}")
        return mlflow.pyfunc.load_model(address)

    return load_model


@pytest.fixture
def tracking(tmp_path: Path, empty_store: Path) -> Tracking:
    """A search of one trial, without results so far."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    tracking = Tracking(f"sqlite:///{tmp_path / 'mlflow.db'}", "study", tmp_path / "mlartifacts")
    tracking.open_search("study", STUDY, "f00d", tmp_path, resume=False)
    tracking.start_trial(0, {"strategy": "stepped"})
    return tracking


def raw_test_rows(data: Dataset, values: np.ndarray) -> list[int]:
    """Which rows of a source, (rows, F) without its constant columns, are the test part."""
    assert data.test is not None
    x = (values - data.mean.numpy()) / data.scale.numpy()
    return [int(np.abs(x - row).max(1).argmin()) for row in data.test.x.numpy()]


@pytest.mark.slow
def test_the_winner_of_a_search_is_registered_and_as_accurate_as_stated(
    tmp_path_factory: pytest.TempPathFactory, load: Load
) -> None:
    searched: SmallSearch = small_search(tmp_path_factory.getbasetemp())
    parent = searched.runs[-1]
    client = MlflowClient(f"sqlite:///{searched.output / 'mlflow.db'}")
    folder = searched.output / "mlartifacts" / "cellar" / parent.info.run_id / "artifacts"
    result: dict[str, Any] = json.loads((folder / "search.json").read_text())
    stated = result["model"]
    assert stated["uri"] == parent.data.tags["model"] == "models:/cellar/1"
    best = result["strategies"][result["winner"]]
    assert stated["trial"] == best["trial"]
    winner = client.get_run(best["run_id"])
    for run in (parent, winner):
        assert run.data.metrics["model_test_accuracy"] == stated["test_accuracy"]
        assert run.outputs is not None
        assert len(run.outputs.model_outputs) == 1

    frame = pd.read_csv(searched.data)
    study = Study.model_validate(json.loads((folder / "study.json").read_text()))
    data = study.load_data()
    rows = raw_test_rows(data, frame[list(data.feature_names)].to_numpy(np.float64))
    model = load(searched.output, stated["uri"])
    predicted = model.predict(frame.drop(columns="target").iloc[rows])
    assert np.mean(predicted == frame.target.to_numpy()[rows]) == pytest.approx(stated["test_accuracy"])
    assert np.array_equal(model.predict(frame[best["selected"]].iloc[rows]), predicted)
    assert list(model.input_example.columns) == list(frame.columns[:-1])
    with pytest.raises(MlflowException, match="missing inputs"):
        model.predict(frame.drop(columns=best["selected"][0]))


@pytest.mark.slow
def test_a_network_with_convolutions_is_computed_by_onnx(tracking: Tracking, tmp_path: Path, load: Load) -> None:
    from sklearn.datasets import load_digits

    data = load_dataset("digits", folder=Path(), constant=True)
    network = trained(data, keep=24, network=convolutional((1, 8, 8)))
    address = str(tracking.log_model(0, network, data, None)["uri"])
    digits = load_digits()
    rows = raw_test_rows(data, digits.data)
    model = load(tmp_path, address)
    right = np.mean(model.predict(digits.data[rows]) == digits.target[rows])
    assert right == pytest.approx(network.test_accuracy, abs=0.004)
    assert any(requirement.startswith("onnxruntime==") for requirement in requirements(tmp_path, address))


def requirements(output: Path, address: str) -> list[str]:
    client = MlflowClient(f"sqlite:///{output / 'mlflow.db'}")
    _, name, number = address.replace(":", "").split("/")
    place = client.get_model_version_download_uri(name, number)
    return (Path(mlflow.artifacts.download_artifacts(place)) / "requirements.txt").read_text().splitlines()


@pytest.mark.slow
def test_named_data_comes_as_an_array(tracking: Tracking, tmp_path: Path, load: Load) -> None:
    from sklearn.datasets import load_digits

    data = load_dataset("digits", folder=Path())
    network = trained(data)
    stated = tracking.log_model(0, network, data, None)
    digits = load_digits()
    constant = [
        name not in data.feature_names for name in (f"pixel_{row}_{column}" for row in range(8) for column in range(8))
    ]
    rows = raw_test_rows(data, digits.data[:, ~np.array(constant)])
    model = load(tmp_path, "models:/study/1")
    predicted = model.predict(digits.data[rows])
    assert np.mean(predicted == digits.target[rows]) == pytest.approx(network.test_accuracy)
    assert stated["test_accuracy"] == network.test_accuracy
    assert np.array_equal(model.predict(pd.DataFrame(digits.data[rows], columns=digits.feature_names)), predicted)
    assert np.shape(model.input_example) == (5, 64)
    with pytest.raises(MlflowException, match="64"):
        model.predict(digits.data[:, :63])


def table(rows: int = 240) -> pd.DataFrame:
    """Three classes with names, told apart by two columns; a constant column and one with holes."""
    random = np.random.default_rng(0)
    kind = np.arange(rows) % 3
    frame = pd.DataFrame(
        {
            "constant": 7,
            "count": 1000 * kind + random.integers(-200, 200, rows),
            "grösse": 1e6 + kind % 2 + 0.2 * random.normal(size=rows),
            "noise": random.normal(size=rows),
            "kind": np.array(["brie", "gouda", "feta"])[kind],
        }
    )
    frame.loc[::17, "noise"] = np.nan
    frame.loc[::19, "grösse"] = np.nan
    return frame


def test_columns_of_a_file_keep_their_names_types_and_gaps(tracking: Tracking, tmp_path: Path, load: Load) -> None:
    frame = table()
    frame.to_csv(tmp_path / "cheese.csv", index=False)
    data = load_dataset("cheese.csv", target="kind", impute="mean", folder=tmp_path)
    network = replace(trained(data), inputs=("count", "grösse"))
    tracking.log_model(0, network, data, "mean")
    model = load(tmp_path, "models:/study/1")
    schema = {spec.name: (str(spec.type), spec.required) for spec in model.metadata.signature.inputs}
    assert schema == {
        "constant": ("Any", False),
        "count": ("Any", True),
        "grösse": ("Any", True),
        "noise": ("Any", False),
    }
    predicted = model.predict(frame.drop(columns="kind"))
    assert set(predicted) <= {"brie", "gouda", "feta"}
    filled = frame.fillna({"grösse": data.mean[1].item()})
    assert np.array_equal(model.predict(filled.drop(columns="kind")), predicted)


def test_placeholders_are_filled_as_the_study_filled_them(tracking: Tracking, tmp_path: Path, load: Load) -> None:
    frame = table().fillna({"grösse": -999.0, "noise": -999.0})
    frame.to_csv(tmp_path / "cheese.csv", index=False)
    data = load_dataset("cheese.csv", target="kind", missing=[-999], impute="median", folder=tmp_path)
    tracking.log_model(0, replace(trained(data), inputs=("count", "grösse")), data, "median")
    model = load(tmp_path, "models:/study/1")
    assert data.filling is not None
    median = data.filling[data.feature_names.index("grösse")].item()
    assert median != data.mean[data.feature_names.index("grösse")].item()
    rows = frame.drop(columns="kind")
    assert np.array_equal(model.predict(rows), model.predict(rows.replace({"grösse": {-999.0: median}})))


def test_gaps_are_refused_where_the_study_did_not_fill_them(tracking: Tracking, tmp_path: Path, load: Load) -> None:
    table().dropna().to_csv(tmp_path / "cheese.csv", index=False)
    data = load_dataset("cheese.csv", target="kind", folder=tmp_path)
    tracking.log_model(0, replace(trained(data), inputs=("count", "grösse")), data, None)
    with pytest.raises(ValueError, match="missing in grösse"):
        load(tmp_path, "models:/study/1").predict(table())


@pytest.fixture
def cheese(tmp_path: Path) -> Dataset:
    table().dropna().to_csv(tmp_path / "cheese.csv", index=False)
    return load_dataset("cheese.csv", target="kind", folder=tmp_path)


def test_the_same_network_is_registered_once(tracking: Tracking, cheese: Dataset) -> None:
    network = trained(cheese)
    assert tracking.log_model(0, network, cheese, None)["uri"] == "models:/study/1"
    assert tracking.log_model(0, network, cheese, None)["uri"] == "models:/study/1"
    assert tracking.log_model(0, replace(network, seed=network.seed + 1), cheese, None)["uri"] == "models:/study/2"


def test_a_model_is_files_without_pickle_that_need_neither_torch_nor_deeppp(
    tracking: Tracking, cheese: Dataset, tmp_path: Path, load: Load
) -> None:
    tracking.log_model(0, trained(cheese), cheese, None)
    frame = pd.read_csv(tmp_path / "cheese.csv")
    here = load(tmp_path, "models:/study/1").predict(frame.drop(columns="kind"))
    files = [path for path in (tmp_path / "mlartifacts" / "study" / "models").rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix in (".pkl", ".pt", ".pth") or b"pickle" in path.read_bytes()[:40]]
    assert {"network.safetensors", "network.json", "pruned_network.py", "MLmodel"} <= {path.name for path in files}
    code = f"""
import sys, mlflow, pandas
mlflow.set_tracking_uri({tracking.tracking_uri!r})
rows = pandas.read_csv("cheese.csv").drop(columns="kind")
print(",".join(mlflow.pyfunc.load_model("models:/study/1").predict(rows)))
print([name for name in ("torch", "pruning_core", "search", "cloudpickle.cloudpickle_fast") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    labels, imported = done.stdout.split()
    assert labels.split(",") == list(here)
    assert imported == "[]"


def test_a_store_that_cannot_register_costs_one_warning(
    tracking: Tracking,
    cheese: Dataset,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        connection.execute("DROP TABLE registered_models")
        connection.commit()
    storage = open_storage(f"sqlite:///{tmp_path / 'optuna.db'}")
    ledger = optuna.create_study(study_name="study", storage=storage)
    strategy = CategoricalDistribution(STUDY.strategies)
    ledger.add_trial(create_trial(value=1.0, params={"strategy": "stepped"}, distributions={"strategy": strategy}))
    write_network(tmp_path / "winner", trained(cheese))
    monkeypatch.setattr("search.record.recorder.PATIENCE", 0.0)
    accuracy = {"mean": 0.9, "std": 0.0, "per_seed": [0.9]}
    entry = {"trial": 0, "test": accuracy, "validation": accuracy, "outcome": {"complete": 1.0}}
    result = {"winner": "stepped", "strategies": {"stepped": entry}}
    Recorder(STUDY, cheese, Ledger(ledger, storage), tracking, tmp_path, Watcher()).close(result, "finished")
    (warning,) = [record.message for record in caplog.records if record.name == "deeppp"]
    assert "register the pruned network" in warning
    assert "`deeppp sync` delivers the rest later" in warning
    assert "model" not in result
    parents = MlflowClient(tracking.tracking_uri).search_runs([tracking.experiment_id], "tags.winner = 'stepped'")
    assert [run.info.status for run in parents] == ["FINISHED"]
