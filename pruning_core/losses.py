"""The losses of a pruner, as pure functions of its gates or weights over a leading replica dimension.

Every function takes (..., N) and returns (...), one value per replica, in [0, 1]. Slides "Pruner loss functions" and
"Modified rejection loss".

What a training step takes from here is computed in float64 and rounded. On CPUs, torch's float32 functions such as the
sigmoid differ in their last bit between the middle of a tensor and its last few elements, so that a replica would
depend on its place in the stack.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

Keep = int | Tensor


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


def pruner_losses(weights: Sequence[Tensor], keeps: Sequence[Keep], rejection: str) -> tuple[Tensor, Tensor]:
    """(L_sel, L_rej), each (R,), of a network with one or more pruners: the mean over its pruners.

    Args:
        weights: one (R, N) tensor of pruner weights per pruner.
        keeps: n of each pruner, one for all replicas or (R, 1).
        rejection: `plain` or `modified`.
    """
    each = [_Terms.of(weights_RN, keep, rejection) for weights_RN, keep in zip(weights, keeps, strict=True)]
    return _means(each, weights[0].dtype)


def pruner_losses_and_gradients(
    weights: Sequence[Tensor], keeps: Sequence[Keep], rejection: str, rejection_weight_R: Tensor
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """What `pruner_losses` returns, and dL_pru/dw of L_pru = L_sel + rejection_weight L_rej, (R, N) for each pruner.

    Written out: autograd over these few numbers would add a quarter to a training step of 8 small networks.
    """
    each, gradients = [], []
    weight_R1 = rejection_weight_R.double().unsqueeze(1)
    for rounded_RN, keep in zip(weights, keeps, strict=True):
        terms = _Terms.of(rounded_RN, keep, rejection)
        gradient_RN = torch.addcmul(terms.excess_R1.sign() + weight_R1, terms.gates_RN, weight_R1, value=-2)
        gradient_RN.mul_(terms.slope_RN).div_(rounded_RN.shape[1])
        if terms.product_R1 is not None:  # sigmoid(-w), since 1 - sigmoid(w) is 0 where sigmoid(w) rounds to 1
            gradient_RN.addcmul_(weight_R1 * terms.product_R1, torch.sigmoid(-rounded_RN.double()))
        each.append(terms)
        gradients.append((gradient_RN / len(weights)).to(rounded_RN.dtype))
    return *_means(each, weights[0].dtype), gradients


class _Terms(NamedTuple):
    """What losses and gradients of one pruner are made of, in float64: sums over its N units are (R, 1)."""

    gates_RN: Tensor
    slope_RN: Tensor
    excess_R1: Tensor
    product_R1: Tensor | None

    @classmethod
    def of(cls, rounded_RN: Tensor, keep: Keep, rejection: str) -> "_Terms":
        weights_RN = rounded_RN.double()
        gates_RN = torch.sigmoid(weights_RN)
        slope_RN = torch.addcmul(gates_RN, gates_RN, gates_RN, value=-1)
        modified = rejection == "modified"
        product_R1 = functional.logsigmoid(weights_RN).sum(1, keepdim=True).exp() if modified else None
        return cls(gates_RN, slope_RN, gates_RN.sum(1, keepdim=True) - keep, product_R1)

    def selection(self) -> Tensor:
        return (self.excess_R1.abs() / self.gates_RN.shape[1]).squeeze(1)

    def rejection(self) -> Tensor:
        rejection_R1 = self.slope_RN.mean(1, keepdim=True)
        return (rejection_R1 if self.product_R1 is None else rejection_R1 + self.product_R1).squeeze(1)


def _means(each: list[_Terms], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    selection_R, rejection_R = _mean([t.selection() for t in each]), _mean([t.rejection() for t in each])
    return selection_R.to(dtype), rejection_R.to(dtype)


def _mean(losses: list[Tensor]) -> Tensor:
    return losses[0] if len(losses) == 1 else torch.stack(losses).mean(0)
