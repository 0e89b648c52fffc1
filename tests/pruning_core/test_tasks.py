"""Classification: the loss and its gradient against the formula, answers and how they are counted."""

import numpy as np
import pytest
import torch

from pruning_core.tasks import answers, cross_entropy, cross_entropy_and_gradient


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_the_mean_over_the_rows_of_each_replica(smoothing: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(2, 5, 4, generator=generator)
    y = torch.randint(0, 4, (2, 5), generator=generator)
    z = logits.double().numpy()
    log_probability = z - np.log(np.exp(z).sum(-1, keepdims=True))
    labels = (1 - smoothing) * np.eye(4)[y.numpy()] + smoothing / 4
    expected = -(labels * log_probability).sum(-1).mean(-1)
    np.testing.assert_allclose(cross_entropy(logits, y, smoothing).numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("classes", [2, 10])
def test_the_gradient_of_the_cross_entropy(classes: int, smoothing: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(4, 6, classes, generator=generator, dtype=torch.float64)).requires_grad_()
    y = torch.randint(classes, (4, 6), generator=generator)
    (expected,) = torch.autograd.grad(cross_entropy(logits, y, smoothing).sum(), logits)
    loss, gradient = cross_entropy_and_gradient(logits.detach(), y, torch.full((4,), smoothing).double())
    torch.testing.assert_close(loss, cross_entropy(logits, y, smoothing).detach())
    torch.testing.assert_close(gradient, expected)


LOGITS = torch.tensor([[[1.0, 3, 2], [0, -1, -2], [5, 6, 7]], [[0.0, 0, 1], [1, 2, 3], [3, 2, 1]]])


def test_an_answer_is_the_class_with_the_largest_logit() -> None:
    assert answers(LOGITS).tolist() == [[1, 0, 2], [2, 2, 0]]
