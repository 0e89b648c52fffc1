"""The losses of a pruner, as pure functions of its gates or weights over a leading replica dimension.

Every function takes (..., N) and returns (...), one value per replica, in [0, 1]. Slides "Pruner loss functions" and
"Modified rejection loss".
"""

import torch
from torch import Tensor
from torch.nn import functional


def selection_loss(gates_RN: Tensor, keep: int) -> Tensor:
    """L_sel = |sum sigma(w_i) - n| / N: how far the sum of the gates is from n."""
    return (gates_RN.sum(-1) - keep).abs() / gates_RN.shape[-1]


def rejection_loss(gates_RN: Tensor) -> Tensor:
    """L_rej = sum sigma(w_i) (1 - sigma(w_i)) / N: how far the gates are from 0 and 1."""
    return (gates_RN * (1 - gates_RN)).mean(-1)


def modified_rejection_loss(weights_RN: Tensor) -> Tensor:
    """(sum sigma (1 - sigma) + N prod sigma) / N = L_rej + prod sigma: (1, ..., 1) is no minimum any more.

    The product is exp(sum logsigmoid(w)): multiplied out it underflows for N in the hundreds.
    """
    return rejection_loss(torch.sigmoid(weights_RN)) + functional.logsigmoid(weights_RN).sum(-1).exp()


def pruner_losses(weights: list[Tensor], keeps: list[int], rejection: str) -> tuple[Tensor, Tensor]:
    """(L_sel, L_rej), each (R,), of a network with one or more pruners: the mean over its pruners.

    Args:
        weights: one (R, N) tensor of pruner weights per pruner.
        keeps: n of each pruner.
        rejection: `plain` or `modified`.
    """
    selections, rejections = [], []
    for weights_RN, keep in zip(weights, keeps, strict=True):
        gates_RN = torch.sigmoid(weights_RN)
        selections.append(selection_loss(gates_RN, keep))
        rejections.append(modified_rejection_loss(weights_RN) if rejection == "modified" else rejection_loss(gates_RN))
    if len(weights) == 1:
        return selections[0], rejections[0]
    return torch.stack(selections).mean(0), torch.stack(rejections).mean(0)


def pruner_gradients(weights: list[Tensor], keeps: list[int], rejection: str, rejection_weight: float) -> list[Tensor]:
    """dL_pru/dw of L_pru = L_sel + rejection_weight L_rej of `pruner_losses`, one (R, N) tensor per pruner.

    Written out: autograd over these few numbers would add a quarter to a training step of 8 small networks.
    """
    gradients = []
    for weights_RN, keep in zip(weights, keeps, strict=True):
        gates_RN = torch.sigmoid(weights_RN)
        side_R1 = (gates_RN.sum(-1, keepdim=True) - keep).sign()
        to_gates_RN = torch.sub(side_R1 + rejection_weight, gates_RN, alpha=2 * rejection_weight)
        gradient_RN = torch.ops.aten.sigmoid_backward(to_gates_RN, gates_RN).div_(gates_RN.shape[-1])
        if rejection == "modified":  # sigmoid(-w), since 1 - sigmoid(w) is 0 where sigmoid(w) rounds to 1
            product_R1 = functional.logsigmoid(weights_RN).sum(-1, keepdim=True).exp()
            gradient_RN += rejection_weight * product_R1 * torch.sigmoid(-weights_RN)
        gradients.append(gradient_RN / len(weights))
    return gradients
