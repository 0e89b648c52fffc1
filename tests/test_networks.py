"""The default network's shortcut computes what its `forward` and autograd compute."""

import pytest
import torch
from torch import Tensor, nn

from pruning_core.networks import GatedMLP
from pruning_core.replicas import Replicas

HIDDEN = [(), (16,), (16, 8)]


class Plain(GatedMLP):
    """The default network without its shortcut: a subclass might have changed `forward`."""


def replicas_of(network: type[GatedMLP], hidden: tuple[int, ...]) -> Replicas:
    def build() -> nn.Module:
        module = network(12, 3, 4, hidden, 1.0).double()
        nn.init.normal_(module.pruner.weight)
        return module

    return Replicas(build, range(5))


def rows(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("hidden", HIDDEN)
def test_stacked_forward_equals_vmap_over_forward(hidden: tuple[int, ...]) -> None:
    fast, plain = replicas_of(GatedMLP, hidden), replicas_of(Plain, hidden)
    x_RBF, x_BF = rows(5, 7, 12), rows(9, 12)
    torch.testing.assert_close(fast.logits(x_RBF), plain.logits(x_RBF))
    torch.testing.assert_close(fast.logits(x_BF, shared=True), plain.logits(x_BF, shared=True))
    torch.testing.assert_close(fast.logits(x_BF, fast.hard_masks(), True), plain.logits(x_BF, plain.hard_masks(), True))


@pytest.mark.parametrize("hidden", HIDDEN)
def test_its_gradients_are_those_of_autograd(hidden: tuple[int, ...]) -> None:
    fast, plain = replicas_of(GatedMLP, hidden), replicas_of(Plain, hidden)
    x_RBF, to_logits_RBC = rows(5, 7, 12), rows(5, 7, 3)
    (logits, backward), (expected_logits, autograd) = fast.logits_and_backward(x_RBF), plain.logits_and_backward(x_RBF)
    torch.testing.assert_close(logits, expected_logits)
    gradients, expected = backward(to_logits_RBC), autograd(to_logits_RBC)
    assert gradients.keys() == expected.keys() == fast.parameters.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name])


@pytest.mark.parametrize("network", [GatedMLP, Plain])
def test_no_gradient_of_pruner_weights_that_need_none(network: type[GatedMLP]) -> None:
    replicas = replicas_of(network, (16,))
    replicas.pruner_weights[0].requires_grad_(False)
    gradients = replicas.logits_and_backward(rows(5, 7, 12))[1](rows(5, 7, 3))
    assert gradients.keys() == replicas.parameters.keys() - {"pruner.weight"}


def test_a_subclass_is_taken_at_its_own_forward() -> None:
    class Doubled(GatedMLP):
        def forward(self, x_BF: Tensor) -> Tensor:
            return 2 * super().forward(x_BF)

    x_RBF = rows(5, 7, 12)
    once, twice = replicas_of(GatedMLP, (16,)), replicas_of(Doubled, (16,))
    torch.testing.assert_close(twice.logits(x_RBF), 2 * once.logits(x_RBF))
