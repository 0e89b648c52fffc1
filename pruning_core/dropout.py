"""Dropout for stacked replicas: each draws its masks from a seed of its own, whatever trains beside it.

torch's dropout draws from one global generator: a replica would depend on its neighbours, and a resumed or repeated
training would not be the same.
"""

import torch
from torch import Tensor, nn

GOLDEN, FIRST, SECOND = -7046029254386353131, -4658895280553007687, -7723592293110705685


class ReplicaDropout(nn.Dropout):
    """`nn.Dropout` whose mask is a hash of `state` and an element's position; whoever trains it adds 1 to `state`.

    The same state gives the same mask, so that a chain compares two losses under one mask. The first state is drawn
    from torch's global generator. The hash is the finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
    """

    def __init__(self, p: float) -> None:
        super().__init__(p)
        self.state: Tensor
        self.register_buffer("state", torch.randint(2**62, ()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        dropped = uniform(torch.arange(x.numel(), device=x.device).view(x.shape), self.state) < self.p
        return torch.where(dropped, 0, x / max(1 - self.p, 1e-12))


def uniform(position: Tensor, state: Tensor) -> Tensor:
    """Numbers in [0, 1) that follow from an element's position and the state, both int64."""
    bits = position * GOLDEN + state
    bits = (bits ^ (bits >> 30 & (1 << 34) - 1)) * FIRST
    bits = (bits ^ (bits >> 27 & (1 << 37) - 1)) * SECOND
    return (bits >> 40 & (1 << 24) - 1) / 2**24


def use_replica_dropout(network: nn.Module) -> None:
    """Puts a `ReplicaDropout` in the place of every `nn.Dropout` of a network."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, ReplicaDropout(child.p))
