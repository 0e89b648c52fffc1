"""A pruned network as an ONNX model: raw columns in, logits and probabilities out, gaps filled as the study fills them.

A chain of linear layers is written by hand, since it holds four kinds of nodes and `torch.onnx.export` takes seconds;
any other network goes through `torch.onnx.export`.
"""

import json
import logging
import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import Tensor, nn

from pruning_core.compaction import PrunedReplica, rebuild
from search.study import StudyError

OPERATORS: dict[type[nn.Module], str] = {nn.ReLU: "Relu", nn.Tanh: "Tanh", nn.Sigmoid: "Sigmoid"}
OPSET, IR_VERSION = 17, 8
TURNS = {1: 500, 256: 50}  # of a batch of so many rows


def onnx_model(network: nn.Sequential, description: Mapping[str, Any]) -> onnx.ModelProto:
    """A compacted network as ONNX: input `columns` (rows, n) float32, outputs `logits` and `probabilities` (rows, C).

    Args:
        network: raw (B, n) float32 -> logits (B, C).
        description: `columns` and `classes`, and where gaps are filled, `filling` and `missing`; all of it is stored.

    Raises:
        StudyError: it is no chain of linear layers, and onnxscript is not installed, or its forward fixes the number of
            rows.
    """
    plain = all(isinstance(layer, nn.Linear) or type(layer) in OPERATORS for layer in network)
    model = _chain(network, description) if plain else _exported(network, len(description["columns"]))
    if description.get("filling") is not None:
        _fill_gaps(model.graph, description["filling"], description["missing"])
    model.graph.node.append(helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1))
    classes: list[str | int | None] = ["rows", len(description["classes"])]
    model.graph.output.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, classes))
    helper.set_model_props(model, {name: json.dumps(value) for name, value in description.items()})
    onnx.checker.check_model(model)
    return model


def standardised_graph(network: PrunedReplica) -> bytes:
    """A network of any layers as an ONNX file: input `columns`, standardised, output `logits`.

    Raises:
        StudyError: onnxscript or onnxruntime is not installed.
    """
    if find_spec("onnxruntime") is None:
        raise StudyError("a model of this network needs onnxruntime: pip install 'deeppp[onnx]'")
    tensors = {name: torch.tensor(tensor) for name, tensor in network.tensors.items()}
    return _exported(rebuild(network.layers, tensors).eval(), len(network.inputs)).SerializeToString()


def _chain(network: nn.Sequential, description: Mapping[str, Any]) -> onnx.ModelProto:
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
    return helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="deeppp")


def _exported(network: nn.Module, columns: int) -> onnx.ModelProto:
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)  # torchvision is missing
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            program = torch.onnx.export(
                network,
                (torch.zeros(3, columns),),
                dynamo=True,
                verbose=False,
                input_names=["columns"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("rows")},),
            )
    except ImportError as error:
        raise StudyError(f"ONNX of this network needs {error.name}: pip install 'deeppp[onnx]'") from None
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    if not model.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        raise StudyError(
            "this network has no ONNX file, as its forward fixes the number of rows: len(x) and int(x.shape[0]) do, "
            "x.view(-1, ...) and x.flatten(1) do not"
        )
    return model


def _fill_gaps(graph: onnx.GraphProto, filling: Sequence[float], missing: Sequence[float]) -> None:
    """Puts the filling where a column is NaN or one of the numbers that stand for a missing value."""
    for node in graph.node:
        node.input[:] = ["filled" if name == "columns" else name for name in node.input]
    graph.initializer.append(numpy_helper.from_array(np.array(filling, np.float32), "filling"))
    nodes, gaps = [helper.make_node("IsNaN", ["columns"], ["gaps"])], "gaps"
    for i, number in enumerate(missing):
        graph.initializer.append(numpy_helper.from_array(np.array(number, np.float32), f"missing{i}"))
        nodes.append(helper.make_node("Equal", ["columns", f"missing{i}"], [f"is_missing{i}"]))
        nodes.append(helper.make_node("Or", [gaps, f"is_missing{i}"], [f"gaps{i}"]))
        gaps = f"gaps{i}"
    nodes.append(helper.make_node("Where", [gaps, "filling", "columns"], ["filled"]))
    others = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *others])


def _array(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.detach().numpy()


def _session(model: onnx.ModelProto) -> Any:
    """What computes a model: onnxruntime with one thread, or ONNX's own slow evaluator where it is not installed."""
    try:
        import onnxruntime
    except ImportError:
        return ReferenceEvaluator(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def logits(model: onnx.ModelProto, raw_Bn: Tensor) -> Tensor:
    """What a model says of raw rows, (B, C)."""
    return torch.tensor(_session(model).run(["logits"], {"columns": raw_Bn.numpy()})[0])


def latencies(models: Sequence[onnx.ModelProto]) -> list[dict[int, float]]:
    """How many microseconds each model takes for a batch of 1 and of 256 rows, the median of turns side by side.

    On one thread, with the memory of rows and logits bound beforehand, as a program that waits for events would.
    """
    sessions = [_session(model) for model in models]
    found: list[dict[int, float]] = [{} for _ in models]
    for batch, turns in TURNS.items():
        calls = [_call(session, model, batch) for session, model in zip(sessions, models, strict=True)]
        taken: list[list[float]] = [[] for _ in models]
        for _ in range(turns):
            for call, times in zip(calls, taken, strict=True):
                start = time.perf_counter()
                call()
                times.append(1e6 * (time.perf_counter() - start))
        for each, times in zip(found, taken, strict=True):
            each[batch] = statistics.median(times)
    return found


def _call(session: Any, model: onnx.ModelProto, batch: int) -> Callable[[], object]:
    """What computes the logits of a batch of zeros; onnxruntime owns the memory of both from the start."""
    values = model.graph.input[0], model.graph.output[0]
    columns, classes = (value.type.tensor_type.shape.dim[1].dim_value for value in values)
    zeros = np.zeros((batch, columns), np.float32)
    if isinstance(session, ReferenceEvaluator):
        return lambda: session.run(["logits"], {"columns": zeros})
    from onnxruntime import OrtValue

    rows, answers = (OrtValue.ortvalue_from_shape_and_type((batch, n), np.float32) for n in (columns, classes))
    rows.update_inplace(zeros)
    binding = session.io_binding()
    binding.bind_ortvalue_input("columns", rows)
    binding.bind_ortvalue_output("logits", answers)
    return lambda: session.run_with_iobinding(binding)
