"""What a search can say of the inputs that its winner keeps: the entry `selection` of its JSON, and a table of it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pruning_core.compaction import PrunedReplica, rebuild
from pruning_core.data import Dataset, Part
from pruning_core.selection import Twin, claims, frequency, kept_matrix, stability, twins
from pruning_core.selection.claims import CLAIMED_AT

ROWS = 20_000


def selection(
    selected: Sequence[Sequence[str]],
    data: Dataset,
    network: PrunedReplica | None = None,
    beside_RKN: NDArray[np.bool_] | None = None,
) -> dict[str, Any]:
    """How often each input is kept, its q-value, and its twins; and what that says of all of them.

    Args:
        selected: the inputs that each replica keeps.
        data: that they trained on.
        network: a pruned network, which tells what it costs to put a twin in the place of an input.
        beside_RKN: what replicas keep of inputs and decoys, see `claims`; None where no decoys competed.
    """
    names = data.feature_names
    kept_RN = kept_matrix(selected, names)
    counts_N = kept_RN.sum(0)
    keep = round(kept_RN.sum(1).mean())
    order = sorted(range(len(names)), key=lambda i: -counts_N[i])
    found = None if beside_RKN is None else claims(beside_RKN)
    rows = _rows(data)
    answers = _Exchange(network, data) if network else None
    inputs = []
    for place, i in enumerate(order):
        share, low, high = frequency(int(counts_N[i]), len(kept_RN))
        entry: dict[str, Any] = {"name": names[i], "kept": place < keep, "frequency": share, "low": low, "high": high}
        if found is not None:
            entry |= {"q_value": float(found.q_values[i]), "beside_decoys": float(found.frequency[i])}
            entry["decoys"] = float(found.decoys[i])
        if place < keep:
            of_input = twins(kept_RN, rows.x.numpy(), i, order[keep:], names)
            entry["twins"] = [_twin(names[i], twin, answers) for twin in of_input]
        inputs.append(entry)
    result: dict[str, Any] = {"keep": keep, "replicas": len(kept_RN), "inputs": inputs}
    index = stability(kept_RN)
    if index is not None:
        result["stability"] = asdict(index)
    if found is not None and beside_RKN is not None:
        result["decoys"] = {
            "copies": beside_RKN.shape[1] - 1,
            "replicas": len(beside_RKN),
            "noise": found.noise,
            "level": CLAIMED_AT,
            "least": found.least,
            "claimed": [names[i] for i in found.claimed],
        }
    return result


def _twin(name: str, twin: Twin, answers: "_Exchange | None") -> dict[str, Any]:
    cost = answers.cost(name, twin) if answers else None
    return {**asdict(twin), **({} if cost is None else {"accuracy_lost": cost})}


class _Exchange:
    """What a pruned network loses on the validation part, not retrained, with a twin in the place of an input."""

    def __init__(self, network: PrunedReplica, data: Dataset) -> None:
        tensors = {name: torch.tensor(tensor) for name, tensor in network.tensors.items()}
        self.layers = rebuild(network.layers, tensors).eval()
        self.inputs, self.names, self.rows = network.inputs, data.feature_names, data.validation.to("cpu")
        self.x_Bn = self.rows.x[:, [data.feature_names.index(name) for name in network.inputs]]
        self.accuracy = self._accuracy(self.x_Bn)

    def cost(self, name: str, twin: Twin) -> float | None:
        """The loss when the input is told as the best linear guess from its twin; None if the network does not fit."""
        if name not in self.inputs or twin.name in self.inputs:
            return None
        x_Bn = self.x_Bn.clone()
        x_Bn[:, self.inputs.index(name)] = twin.correlation * self.rows.x[:, self.names.index(twin.name)]
        return self.accuracy - self._accuracy(x_Bn)

    @torch.no_grad()
    def _accuracy(self, x_Bn: torch.Tensor) -> float:
        right = self.layers(x_Bn).argmax(1) == self.rows.y
        weight = torch.ones(len(right)) if self.rows.weight is None else self.rows.weight
        return float((weight * right).sum() / weight.sum())


def _rows(data: Dataset) -> Part:
    """Rows of the training part on the CPU; of very many, some."""
    part = data.train.to("cpu")
    some = torch.randperm(len(part.y), generator=torch.Generator().manual_seed(0))[:ROWS].sort().values
    weight = None if part.weight is None else part.weight[some]
    return Part(part.x[some], part.y[some], weight)


def as_latex(found: Mapping[str, Any]) -> str:
    """The kept inputs as a table for a paper (`booktabs`): how often each is kept, q-value, best twin."""
    claimed = "decoys" in found
    head = ["input", "kept in", "95\\,\\% interval", *(["$q$"] if claimed else []), "twin ($r$)"]
    lines = [
        f"\\begin{{tabular}}{{l{'r' * (len(head) - 2)}l}}",
        "\\toprule",
        f"{' & '.join(head)} \\\\",
        "\\midrule",
    ]
    for entry in found["inputs"]:
        if not entry["kept"]:
            continue
        twin = next(iter(entry["twins"]), None)
        cells = [
            _escaped(entry["name"]),
            f"{100 * entry['frequency']:.0f}\\,\\%",
            f"{100 * entry['low']:.0f}--{100 * entry['high']:.0f}\\,\\%",
            *([f"{entry['q_value']:.2f}"] if claimed else []),
            f"{_escaped(twin['name'])} (${twin['correlation']:+.2f}$)" if twin else "--",
        ]
        lines.append(f"{' & '.join(cells)} \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def _escaped(name: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(letter, f"\\{letter}" if letter in "&%$#_{}" else letter) for letter in name)
