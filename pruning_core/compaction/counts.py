"""How large a network is: parameters, and multiply-adds of one row."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pruning_core.pruner import Pruner


@dataclass(frozen=True)
class Size:
    """Of a network: parameters without those of gates, and multiply-adds of one row in products and attention."""

    parameters: int
    multiply_adds: int


def size(network: nn.Module, row_shape: torch.Size) -> Size:
    """Counts a network.

    Args:
        network: on the CPU, ready to answer.
        row_shape: of one row as it takes it.

    >>> size(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), torch.Size([4]))
    Size(parameters=23, multiply_adds=18)
    """
    gates = sum(m.weight.numel() for m in network.modules() if isinstance(m, Pruner))
    # With gradients: attention without them is one fused operation, which nobody counts.
    row = torch.zeros(1, *row_shape, requires_grad=True)
    with FlopCounterMode(display=False) as counter, torch.enable_grad():
        network(row)
    return Size(sum(p.numel() for p in network.parameters()) - gates, counter.get_total_flops() // 2)
