"""The entry `selection` of a search's JSON, and its table for a paper."""

import numpy as np
import pytest
import torch
from torch import nn

from pruning_core.compaction import PrunedReplica, describe
from pruning_core.data import Dataset, from_arrays
from search.trials.selection import as_latex, selection

pytestmark = pytest.mark.filterwarnings("error:The given NumPy array is not writable")
SELECTED = [["x0", "x_2"], ["x0", "x_2"], ["x0", "x_2"], ["x0", "100 %"]]


@pytest.fixture
def data() -> Dataset:
    random = np.random.default_rng(0)
    x = random.standard_normal((120, 4))
    x[:, 3] = 0.95 * x[:, 1] + 0.3 * random.standard_normal(120)
    y = (x[:, 0] + x[:, 1] > 0).astype(int)
    names = ["x0", "x_2", "free", "100 %"]
    return from_arrays((x[:80], y[:80]), (x[80:100], y[80:100]), (x[100:], y[100:]), feature_names=names)


def linear(data: Dataset) -> PrunedReplica:
    """A network that answers by the sum of x0 and x_2."""
    network = nn.Sequential(nn.Linear(2, 2))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 1.0]]))  # type: ignore[operator]
        network[0].bias.zero_()  # type: ignore[operator]
    tensors = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    for tensor in tensors.values():
        tensor.setflags(write=False)  # as Ray hands them over
    return PrunedReplica(
        seed=1,
        validation_accuracy=1.0,
        test_accuracy=1.0,
        inputs=("x0", "x_2"),
        layers=describe(network),
        tensors=tensors,
        validation_score=1.0,
    )


def test_inputs_come_by_frequency_and_the_n_most_frequent_are_kept(data: Dataset) -> None:
    found = selection(SELECTED, data)
    assert [(e["name"], e["frequency"], e["kept"]) for e in found["inputs"]] == [
        ("x0", 1.0, True),
        ("x_2", 0.75, True),
        ("100 %", 0.25, False),
        ("free", 0.0, False),
    ]
    assert (found["keep"], found["replicas"]) == (2, 4)
    assert "decoys" not in found
    assert 0 < found["stability"]["index"] < 1


def test_a_twin_costs_what_the_network_loses_with_it(data: Dataset) -> None:
    found = selection(SELECTED, data, linear(data))
    kept = {entry["name"]: entry for entry in found["inputs"]}
    assert kept["x0"]["twins"] == []
    (twin,) = kept["x_2"]["twins"]
    assert twin["name"] == "100 %"
    assert twin["correlation"] > 0.9
    assert twin["replaces"] == 1
    part = data.validation
    guess = part.x[:, 0] + twin["correlation"] * part.x[:, 3] > 0
    right = part.x[:, 0] + part.x[:, 1] > 0
    lost = float((right == part.y).double().mean() - (guess == part.y).double().mean())
    assert twin["accuracy_lost"] == pytest.approx(lost, abs=1e-6)


def test_decoys_give_q_values_and_claims(data: Dataset) -> None:
    beside_RKN = np.zeros((6, 5, 4), dtype=bool)
    beside_RKN[:, 0, :3] = True
    found = selection(SELECTED, data, beside_RKN=beside_RKN)
    assert found["decoys"]["claimed"] == ["x0", "x_2", "free"]
    assert [entry["q_value"] for entry in found["inputs"]] == pytest.approx([1 / 12, 1 / 12, 1, 1 / 12])
    assert (found["decoys"]["copies"], found["decoys"]["replicas"], found["decoys"]["noise"]) == (4, 6, 0)


def test_the_table_for_a_paper_has_the_kept_inputs_and_escapes_their_names(data: Dataset) -> None:
    latex = as_latex(selection(SELECTED, data))
    assert latex.splitlines()[0] == r"\begin{tabular}{lrrl}"
    assert r"x\_2 & 75\,\% & " in latex
    assert r"100 \% ($+0.9" in latex
    assert "free" not in latex
    with_q = as_latex(selection(SELECTED, data, beside_RKN=np.zeros((6, 5, 4), dtype=bool)))
    assert "$q$" in with_q
    assert "& 1.00 &" in with_q
