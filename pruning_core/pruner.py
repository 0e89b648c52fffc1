"""The gate layer. A `Pruner` multiplies each of N units by a trainable gate sigma(w) in (0, 1).

Put one wherever units shall be dropped: on the inputs of a network, behind a hidden layer, on the channels of a
convolution. The pruned network is the same network with the hard mask in place of the gates.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


class Pruner(nn.Module):
    """N trainable gates of which `keep` shall stay open.

    Parameters
    ----------
    units : int
        N, how many units are gated.
    keep : int
        n, how many units survive, 1 <= n < N.
    initial_weight : float, default=3.0
        w_0; sigma(3) = 0.953 (deck: "initialized to have sigma(w) ~ 1").
    trailing_dims : int, default=0
        Dimensions that follow the gated one: 0 for (..., N), 2 for the channels of (..., N, H, W).
    name : str, optional
        What it is called in results; None for its path in the network, such as `encoder.gates`.

    Raises
    ------
    ValueError
        `keep` outside 1 ... N-1.

    Examples
    --------
    >>> Pruner(units=4, keep=2)(torch.ones(3, 4)).shape
    torch.Size([3, 4])
    """

    def __init__(
        self, units: int, keep: int, initial_weight: float = 3.0, trailing_dims: int = 0, name: str | None = None
    ) -> None:
        super().__init__()
        if not 1 <= keep < units:
            raise ValueError(f"keep must lie in 1 ... {units - 1} for {units} units, got {keep}")
        self.keep = keep
        self.trailing_dims = trailing_dims
        self.name = name
        self.weight = nn.Parameter(torch.full((units,), float(initial_weight)))

    def gates(self) -> Tensor:
        """sigma(w), shape (N,), values in [0, 1]; exactly 0 and 1 where the weights are -inf and inf."""
        return torch.sigmoid(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Multiplies unit i of x, shape (..., N, trailing dimensions), by gate i."""
        return x * self.gates().reshape(-1, *(1,) * self.trailing_dims)


@dataclass(frozen=True)
class NamedPruner:
    """A pruner of a network: its name, its path there, n and N."""

    name: str
    path: str
    keep: int
    units: int

    @property
    def parameter(self) -> str:
        """The name of its weight among the network's parameters."""
        return f"{self.path}.weight" if self.path else "weight"


def named_pruners(network: nn.Module) -> list[NamedPruner]:
    """The pruners of a network, in the order of its modules; one that is the network itself is called `pruner`.

    Raises:
        ValueError: there is none, or two have one name.
    """
    pruners = [
        NamedPruner(module.name or path or "pruner", path, module.keep, len(module.weight))
        for path, module in network.named_modules()
        if isinstance(module, Pruner)
    ]
    if not pruners:
        raise ValueError("the network has no Pruner layer, so there is nothing to prune")
    seen: dict[str, str] = {}
    for pruner in pruners:
        if pruner.name in seen:
            raise ValueError(
                f"the pruners {seen[pruner.name]} and {pruner.path} are both called {pruner.name!r}: "
                "each must have a name of its own"
            )
        seen[pruner.name] = pruner.path
    return pruners


def open_units(weights_RN: Tensor, keep: int) -> Tensor:
    """Indices (R, n), ascending, of the units with the largest gates. Of equal gates the first ones are kept."""
    order_RN = torch.argsort(weights_RN, dim=-1, descending=True, stable=True)
    return order_RN[..., :keep].sort(dim=-1).values


def hard_mask(weights_RN: Tensor, keep: int) -> Tensor:
    """Pruner weights whose gates are exactly 1 for the n largest and exactly 0 for the others: inf and -inf.

    In place of w they turn a gated network into the pruned one, whatever it does with its gates.
    """
    mask_RN = torch.full_like(weights_RN, -torch.inf)
    return mask_RN.scatter_(-1, open_units(weights_RN, keep), torch.inf)
