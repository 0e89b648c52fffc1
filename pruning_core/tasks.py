"""What a network learns: classification. Its loss with the gradient, and how outputs become answers."""

import torch
from torch import Tensor


def cross_entropy(
    logits_RBC: Tensor, y_RB: Tensor, smoothing: Tensor | float = 0.0, weight_RB: Tensor | None = None
) -> Tensor:
    """L_cla: the mean cross-entropy of each replica, (R,), against smoothed labels.

    Args:
        logits_RBC: the networks' outputs.
        y_RB: the rows' classes.
        smoothing: the share of each label that is spread evenly over all classes, 0 ... 1, for all or (R,); 0 leaves
            the labels alone.
        weight_RB: how much each row counts, 1 on average over the training part; None counts all alike.
    """
    return _mean_loss(*_log_likelihoods(logits_RBC, y_RB), smoothing, weight_RB)


def cross_entropy_and_gradient(
    logits_RBC: Tensor, y_RB: Tensor, smoothing_R: Tensor, weight_RB: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """L_cla, (R,), and its gradient with respect to the logits, (R, B, C): (softmax(logits) - smoothed label) / B.

    With weights, each row's share of both is multiplied by its weight.
    """
    log_RCB, log_R1B = _log_likelihoods(logits_RBC, y_RB)
    loss_R, smoothing_R11 = _mean_loss(log_RCB, log_R1B, smoothing_R, weight_RB), smoothing_R[:, None, None]
    gradient_RCB = torch.softmax(log_RCB, 1).scatter_add_(1, y_RB.unsqueeze(1), (smoothing_R11 - 1).expand_as(log_R1B))
    gradient_RCB.sub_(smoothing_R11 / log_RCB.shape[1]).div_(y_RB.shape[1])
    if weight_RB is not None:
        gradient_RCB.mul_(weight_RB.unsqueeze(1))
    return loss_R, gradient_RCB.mT


def answers(logits_RBC: Tensor) -> Tensor:
    """The classes that the networks choose, (R, B): those with the largest logits, of equal ones any."""
    return logits_RBC.max(-1).indices


def _mean_loss(log_RCB: Tensor, log_R1B: Tensor, smoothing: Tensor | float, weight_RB: Tensor | None = None) -> Tensor:
    if weight_RB is not None:
        log_RCB, log_R1B = log_RCB * weight_RB.unsqueeze(1), log_R1B * weight_RB.unsqueeze(1)
    right_R, all_R = log_R1B.mean((1, 2)), log_RCB.mean((1, 2))
    return (right_R - all_R) * smoothing - right_R


def _log_likelihoods(logits_RBC: Tensor, y_RB: Tensor) -> tuple[Tensor, Tensor]:
    """The logarithms of the probabilities of all classes, (R, C, B), and of the right one, (R, 1, B).

    Classes in the middle: on a CPU torch's softmax over a short last dimension takes fifteen times as long.
    """
    log_RCB = torch.log_softmax(logits_RBC.mT.contiguous(), 1)
    return log_RCB, log_RCB.gather(1, y_RB.unsqueeze(1))
