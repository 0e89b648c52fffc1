"""On which device a worker's arithmetic is done."""

import os

import torch

STAND_IN = "DEEPPP_GPU_STAND_IN"
"""Names a device on which the arithmetic of workers with a GPU is done, such as `cpu`: so that everything else about
GPUs (placement, shares, batches) can be tried where there is none."""


def device_of(kind: str) -> torch.device:
    """The device of a worker.

    Args:
        kind: `cpu` or `cuda`, see `Resources.device`.
    """
    return torch.device(os.environ.get(STAND_IN, kind) if kind == "cuda" else kind)


def memory_in_use(kind: str) -> float:
    """The fraction of a device's memory that is in use; 0 where nobody counts it."""
    if device_of(kind).type != "cuda":
        return 0.0
    free, total = torch.cuda.mem_get_info()
    return 1 - free / total
