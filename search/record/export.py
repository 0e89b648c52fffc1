"""The pruned network of a trial as files that need nothing of deepPP: safetensors with a JSON description, and ONNX.

The network takes the kept columns as they are in the data, not standardised, and gives a logit per class.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pruning_core.compaction import Compacted, describe, rebuild
from pruning_core.data import Dataset
from pruning_core.progress import best_complete
from pruning_core.replicas import one_replica
from pruning_core.training import Training
from search.study import StudyError

if TYPE_CHECKING:
    from search.record.replay import RecordedTrial

FILES = WEIGHTS, DESCRIPTION, ONNX, KEPT = "pruned.safetensors", "pruned.json", "pruned.onnx", "kept.txt"
OPERATORS: dict[type[nn.Module], str] = {nn.ReLU: "Relu", nn.Tanh: "Tanh", nn.Sigmoid: "Sigmoid"}
OPSET, IR_VERSION = 17, 8
ROWS_CHECKED = 1000


@dataclass(frozen=True)
class Written:
    """What has been written, and how it compares with the network under the hard mask on validation rows.

    `other_class` of `rows` rows get another class from the safetensors or the ONNX file; `largest` is the largest
    difference of a logit.
    """

    columns: list[str]
    summary: str
    rows: int
    other_class: int
    largest: float


def choose_replica(result: Mapping[str, Any], seed: int | None, score: str) -> int:
    """Which replica to export: that of `seed`, or the best (on validation) of the complete ones.

    Args:
        result: the trial's `trial.json`.
        seed: None for the best.
        score: what the study maximises.

    Raises:
        StudyError: the trial had no such seed, or no seed of it completed.
    """
    seeds, epochs = result["seeds"], result["completion_epoch"]
    if seed is not None:
        if seed not in seeds:
            raise StudyError(f"--seed {seed} must be one of the trial's seeds {', '.join(map(str, seeds))}")
        return int(seeds.index(seed))
    best = best_complete(epochs, result[score]["per_seed"])
    if best is None:
        raise StudyError(
            f"none of the trial's seeds completed the pruning: --seed must name one of {', '.join(map(str, seeds))}"
        )
    return best


def write_pruned(folder: Path, recorded: "RecordedTrial", run: Training, replica: int) -> Written:
    """Writes one replica's pruned network into a folder: `pruned.safetensors`, `.json`, `.onnx` and `kept.txt`.

    Args:
        folder: made if need be; the files replace earlier ones.
        recorded: where the network comes from.
        run: the trained replicas.
        replica: index of the one to export.

    Returns:
        What was written; the files have been read back and compared with the network under the hard mask.
    """
    data = run.data.to("cpu")
    result: dict[str, Any] = run.result()
    compacted = run.network.compact(one_replica(run.replicas, replica), data.mean, data.scale)
    columns = [data.feature_names[int(i)] for i in compacted.inputs]
    description: dict[str, Any] = {
        "columns": columns,
        "mean": data.mean[compacted.inputs].tolist(),
        "scale": data.scale[compacted.inputs].tolist(),
        "standardisation": "folded into the first layer: feed raw columns, in this order, as float32",
        **_gaps(recorded.study.data.impute, data, compacted),
        "classes": list(data.class_names),
        "output": "one logit per class",
        "layers": describe(compacted.network),
        "trained_by": {
            "run_id": recorded.run_id,
            "search": recorded.search,
            "trial": recorded.name,
            "seed": recorded.seeds[replica],
            "complete": result["completion_epoch"][replica] is not None,
            "validation_accuracy": result["pruned_accuracy"]["per_seed"][replica],
            "data": data.name,
            "data_fingerprint": data.fingerprint,
            "versions": dict(recorded.versions),
            "config": result["config"],
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(compacted.network.state_dict(), folder / WEIGHTS)
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    onnx.save(onnx_model(compacted.network, description), folder / ONNX)
    (folder / KEPT).write_text("".join(f"{name}\n" for name in columns), encoding="utf-8")
    widths = [len(columns), *(layer.out_features for layer in compacted.network if isinstance(layer, nn.Linear))]
    parameters = sum(p.numel() for p in compacted.network.parameters())
    accuracy = description["trained_by"]["validation_accuracy"]
    summary = (
        f"{len(columns)} of {len(data.feature_names)} columns, layers {' - '.join(map(str, widths))}, "
        f"{parameters} parameters, {100 * accuracy:.1f} % right on validation"
    )
    return Written(columns, summary, *_compare(folder, run, replica, compacted))


def _gaps(impute: str | None, data: Dataset, compacted: Compacted) -> dict[str, Any]:
    """Which numbers stand for a missing value, and what must take the place of one before the network sees the row."""
    filling = data.mean if data.filling is None else data.filling
    return {
        "impute": impute,
        "missing": [] if data.source is None else list(data.source.missing),
        "filling": None if impute is None else filling[compacted.inputs].tolist(),
    }


def load_pruned(folder: Path) -> tuple[nn.Sequential, dict[str, Any]]:
    """The network that `write_pruned` wrote, raw (B, n) float32 -> logits (B, C), and its description.

    >>> network, description = load_pruned(Path("runs/export/quick/trial_00036_seed_3"))  # doctest: +SKIP
    >>> raw = torch.tensor(frame[description["columns"]].to_numpy("float32"))  # doctest: +SKIP
    >>> [description["classes"][i] for i in network(raw).argmax(1)]  # doctest: +SKIP
    """
    description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    return rebuild(description["layers"], load_file(folder / WEIGHTS)), description


def onnx_model(network: nn.Sequential, description: Mapping[str, Any]) -> onnx.ModelProto:
    """A compacted network as ONNX: input `columns` (rows, n) float32, output `logits` (rows, C).

    Written by hand, since it holds four kinds of nodes; `torch.onnx.export` takes eleven seconds for them.
    """
    nodes, tensors, value = [], [], "columns"
    for i, layer in enumerate(network):
        output = "logits" if i == len(network) - 1 else f"layer{i}"
        if isinstance(layer, nn.Linear):
            names = [f"{i}.weight", f"{i}.bias"]
            tensors += [numpy_helper.from_array(_array(p), n) for p, n in zip(layer.parameters(), names, strict=True)]
            nodes.append(helper.make_node("Gemm", [value, *names], [output], transB=1))
        else:
            nodes.append(helper.make_node(OPERATORS[type(layer)], [value], [output]))
        value = output
    columns, logits = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", len(description[of])])
        for name, of in (("columns", "columns"), ("logits", "classes"))
    )
    graph = helper.make_graph(nodes, "pruned", [columns], [logits], initializer=tensors)
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="deeppp")
    helper.set_model_props(model, {name: json.dumps(value) for name, value in description.items()})
    onnx.checker.check_model(model)
    return model


@torch.no_grad()
def _compare(folder: Path, run: Training, replica: int, compacted: Compacted) -> tuple[int, int, float]:
    """Reads the files back and compares them with the masked network, on raw rows of the validation part."""
    part, data = run.data.validation, run.data
    x_BF = part.x[:ROWS_CHECKED]
    masked_BC = run.replicas.logits(x_BF, run.replicas.hard_masks(), shared=True)[replica].cpu()
    raw_BF = (x_BF.double() * data.scale + data.mean).float().cpu()
    raw_Bn = raw_BF[:, compacted.inputs]
    network, _ = load_pruned(folder)
    in_torch_BC = network(raw_Bn)
    (in_onnx,) = ReferenceEvaluator(onnx.load(folder / ONNX)).run(["logits"], {"columns": raw_Bn.numpy()})
    in_onnx_BC = torch.tensor(in_onnx)
    classes_B = masked_BC.argmax(1)
    other_B = (in_torch_BC.argmax(1) != classes_B) | (in_onnx_BC.argmax(1) != classes_B)
    largest = max(float((logits_BC - masked_BC).abs().max()) for logits_BC in (in_torch_BC, in_onnx_BC))
    return len(x_BF), int(other_B.sum()), largest


def _array(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.detach().numpy()
