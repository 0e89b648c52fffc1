"""The gate layer and the hard mask."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pruning_core.networks import GatedMLP
from pruning_core.pruner import Pruner, hard_mask, named_pruners, open_units


def weights_and_keep(draw: st.DrawFn) -> tuple[list[list[float]], int]:
    """Pruner weights of 1 to 3 replicas, with many ties, and a valid n."""
    units = draw(st.integers(2, 12))
    values = st.one_of(st.sampled_from([-1.0, 0.0, 3.0]), st.floats(-50, 50, width=32))
    rows = draw(st.lists(st.lists(values, min_size=units, max_size=units), min_size=1, max_size=3))
    return rows, draw(st.integers(1, units - 1))


cases = st.composite(weights_and_keep)()


def test_gates_start_at_sigma_of_the_initial_weight() -> None:
    assert Pruner(5, 2).gates().tolist() == pytest.approx([1 / (1 + np.exp(-3))] * 5)
    assert Pruner(5, 2, initial_weight=-1.0).gates().tolist() == pytest.approx([1 / (1 + np.exp(1))] * 5)


@pytest.mark.parametrize(("shape", "trailing_dims"), [((4,), 0), ((7, 4), 0), ((2, 7, 4), 0), ((7, 4, 3, 5), 2)])
def test_each_unit_is_multiplied_by_its_gate(shape: tuple[int, ...], trailing_dims: int) -> None:
    torch.manual_seed(0)
    pruner = Pruner(4, 2, trailing_dims=trailing_dims)
    torch.nn.init.normal_(pruner.weight)
    x = torch.randn(shape)
    gates = 1 / (1 + np.exp(-pruner.weight.detach().numpy()))
    letters = "abcdef"[: len(shape)]
    unit = letters[len(shape) - 1 - trailing_dims]
    expected = np.einsum(f"{letters},{unit}->{letters}", x.numpy(), gates)
    np.testing.assert_allclose(pruner(x).detach().numpy(), expected, rtol=1e-6)


def test_the_weights_are_trainable() -> None:
    pruner = Pruner(3, 1, initial_weight=0.5)
    pruner(torch.tensor([1.0, 2.0, 0.0])).sum().backward()
    slope = 1 / (1 + np.exp(-0.5)) * (1 - 1 / (1 + np.exp(-0.5)))
    assert pruner.weight.grad is not None
    assert pruner.weight.grad.tolist() == pytest.approx([slope, 2 * slope, 0])


@pytest.mark.parametrize("keep", [0, -1, 4, 5])
def test_keep_lies_between_1_and_n_minus_1(keep: int) -> None:
    with pytest.raises(ValueError, match=rf"keep.*1 \.\.\. 3.*{keep}"):
        Pruner(4, keep)


@given(cases)
def test_the_hard_mask_opens_exactly_the_n_largest_gates(case: tuple[list[list[float]], int]) -> None:
    rows, keep = case
    weights = torch.tensor(rows)
    gates = torch.sigmoid(hard_mask(weights, keep)).numpy()
    assert set(gates.ravel()) == {0.0, 1.0}
    assert (gates.sum(1) == keep).all()
    for row, gate in zip(weights.numpy(), gates, strict=True):
        assert row[gate == 1].min() >= row[gate == 0].max()


@given(cases)
def test_of_equal_gates_the_first_are_kept(case: tuple[list[list[float]], int]) -> None:
    rows, keep = case
    expected = [sorted(sorted(range(len(row)), key=lambda i: (-row[i], i))[:keep]) for row in rows]
    weights = torch.tensor(rows, dtype=torch.float64)
    assert open_units(weights, keep).tolist() == expected
    assert open_units(weights[0], keep).tolist() == expected[0]
    assert (hard_mask(weights, keep) == torch.inf).nonzero()[:, 1].view(len(rows), keep).tolist() == expected


def test_of_many_equal_gates_the_first_are_kept() -> None:
    assert open_units(torch.full((2, 500), 3.0), 20).tolist() == [list(range(20))] * 2


def test_a_pruner_under_the_hard_mask_passes_units_on_at_full_strength_or_not_at_all() -> None:
    pruner = Pruner(4, 2)
    weights: Any = torch.tensor([0.1, 2.0, 0.1, -3.0])
    with torch.no_grad():
        pruner.weight.copy_(hard_mask(weights, 2))
    assert pruner.gates().tolist() == [1, 1, 0, 0]
    assert pruner(torch.tensor([5.0, -6.0, 7.0, -8.0])).tolist() == [5, -6, 0, 0]


def test_the_hard_mask_leaves_the_weights_alone() -> None:
    weights = torch.tensor([[0.5, -0.5, 3.0]])
    hard_mask(weights, 1)
    assert weights.tolist() == [[0.5, -0.5, 3.0]]


def test_a_pruner_is_called_by_its_name_or_by_its_path() -> None:
    network = nn.Sequential(Pruner(4, 2, name="inputs"), nn.Sequential(nn.Linear(4, 3), Pruner(3, 1)))
    first, second = named_pruners(network)
    assert (first.name, first.keep, first.units, first.parameter) == ("inputs", 2, 4, "0.weight")
    assert (second.name, second.keep, second.units, second.parameter) == ("1.1", 1, 3, "1.1.weight")
    assert {first.parameter, second.parameter} < set(network.state_dict())
    (alone,) = named_pruners(Pruner(4, 2))
    assert (alone.name, alone.parameter) == ("pruner", "weight")


def test_the_built_in_network_calls_its_pruner_inputs() -> None:
    (pruner,) = named_pruners(GatedMLP(6, 3, 2, (4,), 3.0))
    assert (pruner.name, pruner.keep, pruner.units) == ("inputs", 2, 6)


def test_two_pruners_of_one_name_are_refused() -> None:
    network = nn.Sequential(Pruner(4, 2, name="a"), Pruner(4, 2), Pruner(4, 3, name="a"))
    with pytest.raises(ValueError, match="the pruners 0 and 2 are both called 'a': each must have a name of its own"):
        named_pruners(network)
    with pytest.raises(ValueError, match="both called '1'"):
        named_pruners(nn.Sequential(Pruner(4, 2, name="1"), Pruner(4, 2)))


def test_a_pruner_in_two_places_is_one() -> None:
    pruner = Pruner(4, 2)
    assert len(named_pruners(nn.Sequential(pruner, nn.Tanh(), pruner))) == 1
