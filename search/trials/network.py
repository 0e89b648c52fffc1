"""The winner's pruned network in the folder of its search, so that it can be published later."""

import json
import shutil
from dataclasses import fields
from pathlib import Path

import torch
from safetensors.numpy import load_file, save
from torch import nn

from pruning_core.compaction import PrunedReplica, on_raw_columns, rebuild
from pruning_core.data import Dataset

PLAIN, TENSORS = "network.json", "network.safetensors"
WINNER = "winner"


def write_network(folder: Path, network: PrunedReplica | None) -> None:
    """Writes a network as JSON and safetensors in place of what `folder` held; None leaves nothing there."""
    shutil.rmtree(folder, ignore_errors=True)
    if network is None:
        return
    folder.mkdir(parents=True)
    (folder / TENSORS).write_bytes(save(network.tensors))
    plain = {field.name: getattr(network, field.name) for field in fields(network) if field.name != "tensors"}
    (folder / PLAIN).write_text(json.dumps(plain, indent=1))


def read_network(folder: Path) -> PrunedReplica | None:
    """What `write_network` wrote; None where there is nothing."""
    if not (folder / PLAIN).exists():
        return None
    plain = json.loads((folder / PLAIN).read_text())
    return PrunedReplica(**{**plain, "inputs": tuple(plain["inputs"])}, tensors=load_file(folder / TENSORS))


class RawNetwork(nn.Sequential):
    """A pruned network that takes its columns as they are in the data: raw (B, n) float32 -> logits (B, C).

    Attributes:
        columns: the names of the n columns, in the order in which it takes them.
        classes: the name of each logit's class.
    """

    columns: tuple[str, ...]
    classes: tuple[str, ...]


def raw_network(network: PrunedReplica, data: Dataset) -> RawNetwork:
    """A pruned network with the standardisation of the data in its first layer."""
    layers = rebuild(network.layers, {name: torch.tensor(tensor) for name, tensor in network.tensors.items()})
    kept = [data.feature_names.index(name) for name in network.inputs]
    raw = RawNetwork(*on_raw_columns(layers, data.mean[kept].cpu(), data.scale[kept].cpu())).eval()
    raw.columns, raw.classes = network.inputs, data.class_names
    return raw
