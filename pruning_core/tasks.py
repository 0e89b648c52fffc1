"""What a network learns: classification. Its loss with the gradient, how outputs become answers and answers a score."""

import torch
from torch import Tensor


def cross_entropy(logits_RBC: Tensor, y_RB: Tensor, smoothing: Tensor | float = 0.0) -> Tensor:
    """L_cla: the mean cross-entropy of each replica, (R,), against smoothed labels.

    Args:
        logits_RBC: the networks' outputs.
        y_RB: the rows' classes.
        smoothing: the share of each label that is spread evenly over all classes, 0 ... 1, for all or (R,); 0 leaves
            the labels alone.
    """
    return _mean_loss(*_log_likelihoods(logits_RBC, y_RB), smoothing)


def cross_entropy_and_gradient(logits_RBC: Tensor, y_RB: Tensor, smoothing_R: Tensor) -> tuple[Tensor, Tensor]:
    """L_cla, (R,), and its gradient with respect to the logits, (softmax(logits) - smoothed label) / B, (R, B, C)."""
    log_RCB, log_R1B = _log_likelihoods(logits_RBC, y_RB)
    loss_R, smoothing_R11 = _mean_loss(log_RCB, log_R1B, smoothing_R), smoothing_R[:, None, None]
    gradient_RCB = torch.softmax(log_RCB, 1).scatter_add_(1, y_RB.unsqueeze(1), (smoothing_R11 - 1).expand_as(log_R1B))
    return loss_R, gradient_RCB.sub_(smoothing_R11 / log_RCB.shape[1]).div_(y_RB.shape[1]).mT


def answers(logits_RBC: Tensor) -> Tensor:
    """The classes that the networks choose, (R, B): those with the largest logits, of equal ones any."""
    return logits_RBC.max(-1).indices


def right_answers(logits_RBC: Tensor, y_B: Tensor, weight_B: Tensor | None = None) -> Tensor:
    """How many rows each replica gets right, (R,), or the sum of their weights, in float64.

    Args:
        logits_RBC: the networks' outputs.
        y_B: the rows' classes, the same for all replicas.
        weight_B: how much each row counts; negative ones too.
    """
    right_RB = answers(logits_RBC) == y_B
    return right_RB.sum(-1) if weight_B is None else (right_RB * weight_B.double()).sum(-1)


def _mean_loss(log_RCB: Tensor, log_R1B: Tensor, smoothing: Tensor | float) -> Tensor:
    right_R, all_R = log_R1B.mean((1, 2)), log_RCB.mean((1, 2))
    return (right_R - all_R) * smoothing - right_R


def _log_likelihoods(logits_RBC: Tensor, y_RB: Tensor) -> tuple[Tensor, Tensor]:
    """The logarithms of the probabilities of all classes, (R, C, B), and of the right one, (R, 1, B).

    Classes in the middle: on a CPU torch's softmax over a short last dimension takes fifteen times as long.
    """
    log_RCB = torch.log_softmax(logits_RBC.mT.contiguous(), 1)
    return log_RCB, log_RCB.gather(1, y_RB.unsqueeze(1))
