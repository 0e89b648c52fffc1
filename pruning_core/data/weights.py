"""What the weights of rows do in training: negative ones are left out, and classes may be made to count alike."""

from dataclasses import replace

import torch
from torch import Tensor

from pruning_core.data.dataset import Part
from pruning_core.data.large import row_blocks

CLASS_WEIGHT = ("balanced",)


def for_training(part: Part, class_weight: str | None) -> Part:
    """The training part as it is learnt from.

    Rows of negative weight are left out: a loss that counts them negatively has no minimum. With ``balanced`` the
    weights of each class are multiplied by one number, so that all classes have the same sum. What the sums come to
    makes no difference: L_cla divides by their mean (see `Training`), so that alpha means the same as without weights.

    Args:
        part: as the data has it; its inputs are used up where rows are left out, since the others close up in place.
        class_weight: ``balanced`` or None.
    """
    if part.weight is not None and bool((part.weight < 0).any()):
        used = part.weight >= 0
        group = None if part.group is None else part.group[used]
        part = Part(_closed_up(part.x, used), part.y[used], part.weight[used], group)
    if class_weight is None:
        return part
    weight = torch.ones(len(part.y), dtype=torch.float64) if part.weight is None else part.weight.double()
    sums_C = torch.zeros(int(part.y.max()) + 1, dtype=torch.float64).index_add_(0, part.y, weight)
    return replace(part, weight=weight * (sums_C.mean() / sums_C)[part.y])


def _closed_up(x: Tensor, used: Tensor) -> Tensor:
    """The rows that are used, moved to the front in place."""
    rows = used.nonzero().squeeze(1)
    for block in row_blocks(len(rows)):
        x[block] = x[rows[block]]
    return x[: len(rows)]
