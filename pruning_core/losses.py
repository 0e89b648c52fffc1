"""The losses of a pruner, as pure functions of its gates or weights over a leading replica dimension.

Every function takes (..., N) and returns (...), one value per replica, in [0, 1]. Slides "Pruner loss functions" and
"Modified rejection loss".

What a training step takes from here is computed in float64 and rounded. On CPUs, torch's float32 functions such as the
sigmoid differ in their last bit between the middle of a tensor and its last few elements, so that a replica would
depend on its place in the stack.
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
    for rounded_RN, keep in zip(weights, keeps, strict=True):
        weights_RN = rounded_RN.double()
        gates_RN = torch.sigmoid(weights_RN)
        selections.append(selection_loss(gates_RN, keep))
        rejections.append(modified_rejection_loss(weights_RN) if rejection == "modified" else rejection_loss(gates_RN))
    return _mean(selections).to(weights[0].dtype), _mean(rejections).to(weights[0].dtype)


def pruner_losses_and_gradients(
    weights: list[Tensor], keeps: list[int], rejection: str, rejection_weight_R: Tensor
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """What `pruner_losses` returns, and dL_pru/dw of L_pru = L_sel + rejection_weight L_rej, (R, N) for each pruner.

    Written out: autograd over these few numbers would add a quarter to a training step of 8 small networks.
    """
    selections, rejections, gradients = [], [], []
    weight_R1 = rejection_weight_R.double().unsqueeze(1)
    for rounded_RN, keep in zip(weights, keeps, strict=True):
        weights_RN = rounded_RN.double()
        units = weights_RN.shape[1]
        gates_RN = torch.sigmoid(weights_RN)
        slope_RN = torch.addcmul(gates_RN, gates_RN, gates_RN, value=-1)
        excess_R1 = gates_RN.sum(1, keepdim=True) - keep
        rejection_R1 = slope_RN.mean(1, keepdim=True)
        gradient_RN = torch.addcmul(excess_R1.sign() + weight_R1, gates_RN, weight_R1, value=-2)
        gradient_RN.mul_(slope_RN).div_(units)
        if rejection == "modified":  # sigmoid(-w), since 1 - sigmoid(w) is 0 where sigmoid(w) rounds to 1
            product_R1 = functional.logsigmoid(weights_RN).sum(1, keepdim=True).exp()
            rejection_R1 += product_R1
            gradient_RN.addcmul_(weight_R1 * product_R1, torch.sigmoid(-weights_RN))
        selections.append(excess_R1.squeeze(1).abs() / units)
        rejections.append(rejection_R1.squeeze(1))
        gradients.append((gradient_RN / len(weights)).to(rounded_RN.dtype))
    return _mean(selections).to(weights[0].dtype), _mean(rejections).to(weights[0].dtype), gradients


def _mean(losses: list[Tensor]) -> Tensor:
    return losses[0] if len(losses) == 1 else torch.stack(losses).mean(0)
