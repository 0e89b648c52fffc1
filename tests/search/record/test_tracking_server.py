"""A search that is recorded on an MLflow server."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from free_port import free_port
from mlflow.tracking import MlflowClient
from tracked import CONFIG, EPOCHS, artifacts, curve, open_search, over, search_result, write_trial

from pruning_core.compaction import PrunedReplica
from pruning_core.data import load_dataset
from search.record.tracking import Tracking


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A real MLflow server that keeps runs and artifacts in a folder of its own."""
    home = tmp_path / "server"
    home.mkdir()
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}", "--workers", "1"]
    command += ["--artifacts-destination", str(home / "artifacts")]
    address = f"http://127.0.0.1:{port}"
    with (
        (home / "log").open("w") as log,
        subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            cwd=home,
            env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            start_new_session=True,
        ) as process,
    ):
        try:
            wait_until_healthy(address, process)
            yield address
        finally:
            stop(process)


def wait_until_healthy(address: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(240):
        try:
            urllib.request.urlopen(f"{address}/health", timeout=1)
        except OSError:
            assert process.poll() is None, "the server did not start"
            time.sleep(0.25)
        else:
            return
    pytest.fail("the server did not answer within a minute")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends the server together with the workers that it started."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_search_on_a_server(
    server: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking = Tracking(server, "quick", tmp_path / "mlartifacts")
    parent = open_search(tracking, tmp_path)
    run_id = tracking.start_trial(0, CONFIG)
    tracking.finish_trial(over(0), write_trial(tmp_path / "trial"))
    tracking.log_confirmation(0, search_result(run_id)["strategies"]["plateau"])
    data = load_dataset("wine", folder=tmp_path)
    layers: list[dict[str, Any]] = [{"type": "linear", "inputs": 2, "outputs": 3}]
    tensors = {"0.weight": np.ones((3, 2), np.float32), "0.bias": np.array([0, 1, 0], np.float32)}
    network = PrunedReplica(7, 0.9, 0.8, data.feature_names[:2], layers, tensors)
    model = tracking.log_model(0, network, data, None)
    tracking.close_search(search_result(run_id) | {"model": model}, "finished")
    client = MlflowClient(server)
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.info.artifact_uri.startswith("mlflow-artifacts:")
    assert run.data.metrics["pruned_accuracy"] == 0.9
    assert len(curve(client, run_id, "alpha")) == EPOCHS
    assert artifacts(client, run_id) >= {"trial.json", "gates.npz", "gates.png", "confirmation.json"}
    assert client.get_run(parent).info.status == "FINISHED"
    assert client.get_run(parent).data.metrics["model_test_accuracy"] == 0.8
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    assert list(mlflow.pyfunc.load_model("models:/quick/1").predict(np.ones((4, 13)))) == ["class_1"] * 4
    assert list((tmp_path / "server" / "artifacts").rglob("gates.png"))
    assert list((tmp_path / "server" / "artifacts").rglob("network.safetensors"))
    assert not (tmp_path / "mlartifacts").exists()
    assert capfd.readouterr() == ("", "")
