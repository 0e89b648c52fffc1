"""The winner's pruned network as an MLflow model, registered under the study's name.

Its folder holds safetensors, JSON and `pruned_network.py`, and ONNX where not all layers are linear ones with simple
activations, so that loading it unpickles nothing. It takes the columns of the data as they are there and gives class
labels.
"""

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
from mlflow.entities import LoggedModelOutput
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import AnyType
from safetensors.numpy import save_file

from pruning_core.compaction import PrunedReplica
from pruning_core.data import Dataset, Source
from search.record import pruned_network
from search.record.onnx_file import standardised_graph
from search.record.pruned_network import COMPUTED, DESCRIPTION, GRAPH, WEIGHTS, PrunedNetwork, origins
from search.study import StudyError

NAME, CONTENT = "pruned-network", "content"
REQUIREMENTS = ("mlflow", "numpy", "pandas", "safetensors")
LABELS = {bool: DataType.boolean, int: DataType.long, float: DataType.double, str: DataType.string}


def publish(
    client: MlflowClient,
    study: str,
    run_ids: Sequence[str],
    network: PrunedReplica,
    data: Dataset,
    impute: str | None,
) -> str:
    """Logs a network as a model and registers it as the newest version under the study's name.

    A model of the same content that is registered already is left as it is.

    Args:
        client: of the store.
        study: the study's name.
        run_ids: of the trial that it comes from, and of others that shall show it too.
        network: what to publish.
        data: that the network was trained on, as `load_dataset` read it.
        impute: how the study fills missing values (`data.impute`).

    Returns:
        Its address, such as `models:/quick/1`.

    Raises:
        MlflowException: the store cannot do it.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        content = _write_network(folder / "network", network, data, impute)
        if known := _registered(client, study, content):
            return known
        experiment = client.get_run(run_ids[0]).info.experiment_id
        logged = client.create_logged_model(experiment, NAME, run_ids[0], model_type="pruned network")
        model = Model(artifact_path=logged.artifact_location, run_id=run_ids[0], model_id=logged.model_id)
        _write_model(folder / "model", folder / "network", data, model)
        client.log_model_artifacts(logged.model_id, str(folder / "model"))
    client.finalize_logged_model(logged.model_id, "READY")
    for run_id in run_ids:
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    if not client.search_registered_models(f"name = '{study}'"):
        client.create_registered_model(study, description=f"The pruned networks that won searches of {study}.")
    registered = client.create_model_version(
        study, logged.artifact_location, run_ids[0], tags={CONTENT: content}, model_id=logged.model_id
    )
    return _address(study, registered.version)


def _registered(client: MlflowClient, study: str, content: str) -> str | None:
    versions = client.search_model_versions(f"name = '{study}'")
    same = [int(found.version) for found in versions if found.tags.get(CONTENT) == content]
    return _address(study, max(same)) if same else None


def _address(study: str, number: int | str) -> str:
    return f"models:/{study}/{number}"


def _write_network(folder: Path, network: PrunedReplica, data: Dataset, impute: str | None) -> str:
    """Writes what `PrunedNetwork` reads; returns the SHA-256 of it."""
    source = _source(data)
    kept = [data.feature_names.index(name) for name in network.inputs]
    description = {
        "inputs": list(network.inputs),
        "columns": list(source.columns),
        "mean": data.mean[kept].tolist(),
        "scale": data.scale[kept].tolist(),
        "impute": impute,
        "missing": list(source.missing),
        "filling": None if impute is None else (data.mean if data.filling is None else data.filling)[kept].tolist(),
        "classes": list(source.classes),
        "layers": network.layers,
        "seed": network.seed,
    }
    folder.mkdir()
    text = json.dumps(description, indent=1, ensure_ascii=False)
    (folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8")
    save_file({name: np.ascontiguousarray(tensor) for name, tensor in network.tensors.items()}, folder / WEIGHTS)
    if not {layer["type"] for layer in network.layers} <= COMPUTED:
        try:
            (folder / GRAPH).write_bytes(standardised_graph(network))
        except StudyError as error:
            raise MlflowException(str(error)) from None
    return hashlib.sha256((folder / WEIGHTS).read_bytes() + text.encode()).hexdigest()


def _write_model(folder: Path, network: Path, data: Dataset, model: Model) -> None:
    source, loaded = _source(data), PrunedNetwork(network)
    packages = [*REQUIREMENTS, *(["onnxruntime"] if (network / GRAPH).exists() else [])]
    example = _example(source)
    assert len(loaded.predict(example)) == len(example)
    mlflow.pyfunc.save_model(
        folder,
        loader_module=Path(pruned_network.__file__).stem,
        data_path=str(network),
        code_paths=[pruned_network.__file__],
        mlflow_model=model,
        signature=_signature(source, loaded.description),
        input_example=example,
        pip_requirements=[f"{package}=={version(package)}" for package in packages],
    )


def _signature(source: Source, description: Mapping[str, Any]) -> ModelSignature:
    """Columns of a file by name, of which only the kept ones must be there; those of an array by their number.

    They may have any type: MLflow would refuse a file's own columns where another part of it has gaps or wider numbers.
    An input that may have been made of another column is not demanded; the network says if both are missing.
    """
    kind = LABELS[type(source.classes[0])]
    if not source.named:
        return ModelSignature(Schema([ColSpec(AnyType()) for _ in source.columns]), Schema([ColSpec(kind)]))
    made_of = {name: origins(name) for name in source.columns}
    required = {name for name in description["inputs"] if not made_of[name]}
    names = dict.fromkeys([*source.columns, *(each for found in made_of.values() for each in found)])
    inputs: list[ColSpec | TensorSpec] = [ColSpec(AnyType(), name, required=name in required) for name in names]
    return ModelSignature(Schema(inputs), Schema([ColSpec(kind)]))


def _example(source: Source) -> "pd.DataFrame | np.ndarray":
    if not source.named:
        return source.head
    frame = pd.DataFrame(source.head, columns=list(source.columns))
    whole = frame.dropna()
    return (frame if whole.empty else whole).astype(dict(zip(source.columns, source.dtypes, strict=True)))


def _source(data: Dataset) -> Source:
    if data.source is None:
        raise MlflowException("a data set made in memory has no columns that a model could name")
    return data.source
