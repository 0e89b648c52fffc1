"""The pruned network as MLflow loads it: a copy of this file lies in the `code` folder of every registered model.

It needs NumPy, pandas and safetensors, or ONNX Runtime where not all layers are linear ones with simple activations,
and nothing of deepPP, PyTorch or pickle.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors.numpy import load_file

WEIGHTS, DESCRIPTION, GRAPH = "network.safetensors", "network.json", "network.onnx"
COMPUTED = {"linear", "relu", "tanh", "sigmoid"}
ELEMENT = re.compile(r"(.+)\[(\d+)\]")


def origins(name: str) -> list[str]:
    """The columns of a file that an input of this name may have been made of, besides one that bears the name.

    >>> origins("Jet_pt[0]"), origins("channel=a=b"), origins("met")
    (['Jet_pt'], ['channel', 'channel=a'], [])
    """
    element = ELEMENT.fullmatch(name)
    begins = [name[:place] for place, letter in enumerate(name) if letter == "=" and place]
    return begins + ([element.group(1)] if element else [])


class PrunedNetwork:
    """Classifies raw rows.

    Args:
        folder: holds the weights and the description of the network.
    """

    def __init__(self, folder: Path) -> None:
        self.description: dict[str, Any] = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        self.tensors = load_file(folder / WEIGHTS)
        self.graph = _session(folder / GRAPH) if (folder / GRAPH).exists() else None
        self.classes = np.array(self.description["classes"])

    def predict(self, model_input: "pd.DataFrame | NDArray[Any]", params: dict[str, Any] | None = None) -> NDArray[Any]:
        """The class of each row, as the data has it, (rows,).

        Args:
            model_input: the columns of the data as they are there, not standardised: a frame that has the kept
                ones under their names, of whatever type, or all columns in the order of the data. Columns that were
                dropped may hold anything. Text and lists of which inputs were made may stand in place of these.
            params: not used; MLflow hands it on.

        Raises:
            ValueError: columns are missing, or values where the study did not fill them.
        """
        return self.classes[self.logits(model_input).argmax(1)]

    def logits(self, rows: "pd.DataFrame | NDArray[Any]") -> NDArray[np.float32]:
        """The logits of raw rows, (rows, C)."""
        raw_Bn = self._kept(rows)
        gaps_Bn = np.isnan(raw_Bn) | np.isin(raw_Bn, self.description.get("missing", []))
        if self.description["impute"]:  # a model of an earlier version, filled by the mean, does not name the filling
            raw_Bn = np.where(gaps_Bn, self.description.get("filling", self.description["mean"]), raw_Bn)
        elif gaps_Bn.any():
            gaps = np.flatnonzero(gaps_Bn.any(axis=0))
            raise ValueError(f"values are missing in {', '.join(self._names[i] for i in gaps)}")
        x = ((raw_Bn - self.description["mean"]) / self.description["scale"]).astype(np.float32)
        if self.graph is not None:
            computed: NDArray[np.float32] = self.graph.run(["logits"], {"columns": x})[0]
            return computed
        for i, layer in enumerate(self.description["layers"]):
            match layer["type"]:
                case "linear":
                    x = x @ self.tensors[f"{i}.weight"].T + self.tensors[f"{i}.bias"]
                case "relu":
                    x = np.maximum(x, 0)
                case "tanh":
                    x = np.tanh(x)
                case "sigmoid":
                    x = 1 / (1 + np.exp(-x))
        return x

    @property
    def _names(self) -> list[str]:
        return list(self.description["inputs"])

    def _kept(self, rows: "pd.DataFrame | NDArray[Any]") -> NDArray[np.float64]:
        """The columns that the network takes, (rows, n)."""
        columns: list[str] = self.description["columns"]
        if isinstance(rows, pd.DataFrame):
            found = [_find(rows, name) for name in self._names]
            if all(column is not None for column in found):
                return np.column_stack([column for column in found if column is not None])
            rows = rows.to_numpy()
        rows = np.asarray(rows, np.float64)
        if rows.ndim != 2 or rows.shape[1] != len(columns):
            raise ValueError(
                f"the rows must have the columns {', '.join(self._names)}, or all {len(columns)} columns of the data "
                f"in their order, and have the shape {rows.shape}"
            )
        return rows[:, [columns.index(name) for name in self._names]]


def _session(path: Path) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def _find(frame: pd.DataFrame, name: str) -> NDArray[np.float64] | None:
    """An input, from the column of its name or from that which it was made of, (rows,); None if there is none."""
    if name in frame:
        column = frame[name]
        plain = pd.Series(np.asarray(column)) if isinstance(column.dtype, pd.CategoricalDtype) else column
        numbers: NDArray[np.float64] = plain.to_numpy(np.float64, na_value=np.nan)
        return numbers
    made_of = next((each for each in origins(name) if each in frame), None)
    if made_of is None:
        return None
    if name.startswith(f"{made_of}="):
        return np.asarray(frame[made_of].astype(str) == name.removeprefix(f"{made_of}="), np.float64)
    place = int(name.removeprefix(made_of)[1:-1])
    return np.array([_element(values, place) for values in frame[made_of]])


def _element(values: "Sequence[float] | None", place: int) -> float:
    return float(values[place]) if values is not None and not np.isscalar(values) and len(values) > place else np.nan


def _load_pyfunc(path: str) -> PrunedNetwork:
    """What MLflow calls with the model's `data` folder."""
    return PrunedNetwork(Path(path))
