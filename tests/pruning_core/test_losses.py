"""The losses of a pruner against the formula sheet, transcribed in float64."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pruning_core.losses import (
    modified_rejection_loss,
    pruner_losses,
    pruner_losses_and_gradients,
    rejection_loss,
    selection_loss,
)

weight_lists = st.lists(st.floats(-12, 12), min_size=1, max_size=40)


def sigma(w: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-w)))


def formula_selection(w: np.ndarray, keep: int) -> float:
    """|sum sigma(w_i) - n| / N."""
    return abs(math.fsum(sigma(w)) - keep) / len(w)


def formula_rejection(w: np.ndarray) -> float:
    """sum sigma(w_i) (1 - sigma(w_i)) / N."""
    return math.fsum(sigma(w) * (1 - sigma(w))) / len(w)


def formula_modified(w: np.ndarray) -> float:
    """(sum sigma(w_i) (1 - sigma(w_i)) + N prod sigma(w_i)) / N, the product as exp(sum log sigma)."""
    product = math.exp(-math.fsum(np.log1p(np.exp(-w))))
    return (math.fsum(sigma(w) * (1 - sigma(w))) + len(w) * product) / len(w)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
@given(values=weight_lists, keep=st.integers(1, 20))
def test_losses_equal_their_formulas(dtype: torch.dtype, tolerance: float, values: list[float], keep: int) -> None:
    w = np.array(values)
    weights = torch.tensor(values, dtype=dtype)
    gates = torch.sigmoid(weights)
    assert float(selection_loss(gates, keep)) == pytest.approx(formula_selection(w, keep), abs=tolerance)
    assert float(rejection_loss(gates)) == pytest.approx(formula_rejection(w), abs=tolerance)
    assert float(modified_rejection_loss(weights)) == pytest.approx(formula_modified(w), abs=tolerance)


@given(values=weight_lists, share=st.floats(0, 1))
def test_ranges(values: list[float], share: float) -> None:
    units = len(values)
    keep = max(1, round(share * units))
    weights = torch.tensor(values, dtype=torch.float64)
    gates = torch.sigmoid(weights)
    assert 0 <= float(selection_loss(gates, keep)) <= max(keep, units - keep) / units
    assert 0 <= float(rejection_loss(gates)) <= 0.25
    assert float(rejection_loss(gates)) <= float(modified_rejection_loss(weights)) <= 1


def test_selection_loss_is_zero_at_n_open_gates_and_grows_on_both_sides() -> None:
    gates = torch.tensor([[1.0, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0], [0.5, 0.5, 0.5, 0.5]])
    assert selection_loss(gates, 2).tolist() == [0, 0.25, 0.25, 0]


def test_rejection_loss_is_zero_at_decided_gates_only() -> None:
    gates = torch.tensor([[1.0, 1, 1, 1], [1, 0, 0, 1], [0, 0, 0, 0], [0.5, 0.5, 0.5, 0.5]])
    assert rejection_loss(gates).tolist() == [0, 0, 0, 0.25]


def test_all_gates_open_is_no_minimum_of_the_modified_rejection_loss() -> None:
    weights = torch.tensor([[50.0, 50, 50], [50, 50, -50]])
    assert modified_rejection_loss(weights).tolist() == pytest.approx([1, 0])
    assert rejection_loss(torch.sigmoid(weights)).tolist() == pytest.approx([0, 0])


@pytest.mark.parametrize("w", [3.0, 5.0, 8.0, 12.0, 18.0, 30.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_modified_rejection_keeps_its_product_at_2000_gates(w: float, dtype: torch.dtype) -> None:
    """In float32 sigma(18) rounds to 1: a product of gates would lose both 1 - 3e-5 and its slope."""
    units = 2000
    weights = torch.full((units,), w, dtype=dtype, requires_grad=True)
    product = modified_rejection_loss(weights) - rejection_loss(torch.sigmoid(weights))
    log_sigma = -math.log1p(math.exp(-w))
    expected = math.exp(units * log_sigma)
    assert float(product.detach()) == pytest.approx(expected, rel=1e-5, abs=1e-8)
    product.backward()
    slope = expected * math.exp(-w + log_sigma)
    assert weights.grad is not None
    np.testing.assert_allclose(weights.grad.numpy(), slope, rtol=1e-4, atol=1e-11)


@pytest.mark.parametrize("extreme", [-1e4, -200.0, 200.0, 1e4])
def test_modified_rejection_is_finite_with_finite_gradients_at_2000_gates(extreme: float) -> None:
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(2000, generator=generator) * 5
    weights[::7] = extreme
    weights.requires_grad_()
    loss = modified_rejection_loss(weights)
    loss.backward()
    assert weights.grad is not None
    assert torch.isfinite(weights.grad).all()
    w = weights.detach().double().clamp(-500, 500).numpy()
    assert float(loss.detach()) == pytest.approx(formula_modified(w), rel=1e-5)


def test_losses_are_per_replica() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(2, 3, 6, generator=generator)
    gates = torch.sigmoid(weights)
    for values, of_one in [
        (selection_loss(gates, 2), lambda r, s: selection_loss(gates[r, s], 2)),
        (rejection_loss(gates), lambda r, s: rejection_loss(gates[r, s])),
        (modified_rejection_loss(weights), lambda r, s: modified_rejection_loss(weights[r, s])),
    ]:
        assert values.shape == (2, 3)
        expected = [[float(of_one(r, s)) for s in range(3)] for r in range(2)]
        np.testing.assert_allclose(values.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("rejection", ["plain", "modified"])
@pytest.mark.parametrize("widths", [(5,), (5, 9), (5, 9, 3)])
def test_several_pruners_count_equally(rejection: str, widths: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(4, width, generator=generator) for width in widths]
    keeps = [2, 6, 1][: len(widths)]
    selection, rejected = pruner_losses(weights, keeps, rejection)
    formula = formula_modified if rejection == "modified" else formula_rejection
    for r in range(4):
        rows = [w[r].double().numpy() for w in weights]
        pairs = zip(rows, keeps, strict=True)
        assert float(selection[r]) == pytest.approx(np.mean([formula_selection(w, n) for w, n in pairs]), abs=1e-6)
        assert float(rejected[r]) == pytest.approx(np.mean([formula(w) for w in rows]), abs=1e-6)


@pytest.mark.parametrize("rejection", ["plain", "modified"])
@pytest.mark.parametrize("widths", [(6,), (6, 9), (6, 9, 4)])
@pytest.mark.parametrize("shift", [-20.0, 0.0, 3.0, 20.0])
def test_gradients_of_the_pruner_losses(rejection: str, widths: tuple[int, ...], shift: float) -> None:
    generator = torch.Generator().manual_seed(3)
    weights = [torch.randn(4, n, generator=generator, dtype=torch.float64) + shift for n in widths]
    weights = [w.requires_grad_() for w in weights]
    keeps = [2, 5, 3][: len(widths)]
    selection, rejected = pruner_losses(weights, keeps, rejection)
    expected = torch.autograd.grad((selection + 0.7 * rejected).sum(), weights)
    with torch.no_grad():
        *losses, gradients = pruner_losses_and_gradients(
            weights, keeps, rejection, torch.full((4,), 0.7, dtype=torch.float64)
        )
    torch.testing.assert_close(losses, [selection.detach(), rejected.detach()], rtol=1e-12, atol=1e-15)
    for gradient, of_autograd in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, of_autograd, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("extreme", [-1e4, 18.0, 200.0])
@pytest.mark.parametrize("rejection", ["plain", "modified"])
def test_gradients_of_the_pruner_losses_where_gates_round_to_0_and_1(rejection: str, extreme: float) -> None:
    """Adam divides a gradient by its own size: even the smallest must be autograd's, also in float32."""
    weights = torch.full((2, 50), extreme, requires_grad=True)
    selection, rejected = pruner_losses([weights], [20], rejection)
    (expected,) = torch.autograd.grad((selection + rejected).sum(), weights)
    with torch.no_grad():
        gradient = pruner_losses_and_gradients([weights], [20], rejection, torch.ones(2))[2][0]
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=0)
