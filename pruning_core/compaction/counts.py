"""How large a network is: parameters, and multiply-adds of one row."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
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
    return Size(
        sum(p.numel() for p in network.parameters()) - gates, multiply_adds(network, torch.zeros(1, *row_shape))
    )


@torch.no_grad()
def multiply_adds(network: nn.Module, row: Tensor) -> int:
    """Of matrix products, convolutions and attention, for a batch of one row, (1, ...); `nn.LSTM` is not counted.

    The first call loads torch's compiler, up to two seconds.
    """
    # Fused attention is one operation that nobody counts; its products one after the other are counted.
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            network(row)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    operations: int = counter.get_total_flops()
    return operations // 2
