"""What the weights of rows do in training: negative ones are left out, and classes may be made to count alike."""

import torch
from torch import Tensor

from pruning_core.data.dataset import Part
from pruning_core.data.large import row_blocks

CLASS_WEIGHT = ("balanced",)


def for_training(part: Part) -> tuple[Part, Part | None]:
    """The training part as it is learnt from, and the rows that are left out, None where there are none.

    Those are the rows of negative weight: a loss that counts them negatively has no minimum.

    Args:
        part: as the data has it; its inputs are used up where rows are left out, since the others close up in place.
    """
    if part.weight is None or not bool((part.weight < 0).any()):
        return part, None
    used = part.weight >= 0
    left_out = _rows(part, ~used, part.x[~used])
    return _rows(part, used, _closed_up(part.x, used)), left_out


def class_factors(part: Part, class_weight: str | None) -> Tensor | None:
    """By what the weights of each class are multiplied in training, (C,) float64; None for nothing.

    With ``balanced`` all classes have the same sum then. What the sums come to makes no difference: L_cla divides by
    their mean (see `Training`), so that alpha means the same as without weights.

    Args:
        part: that is learnt from.
        class_weight: ``balanced`` or None.
    """
    if class_weight is None:
        return None
    weight = torch.ones(len(part.y), dtype=torch.float64) if part.weight is None else part.weight.double()
    sums_C = torch.zeros(int(part.y.max()) + 1, dtype=torch.float64).index_add_(0, part.y, weight)
    return sums_C.mean() / sums_C


def _rows(part: Part, which: Tensor, x: Tensor) -> Part:
    weight, group = (None if column is None else column[which] for column in (part.weight, part.group))
    return Part(x, part.y[which], weight, group)


def _closed_up(x: Tensor, used: Tensor) -> Tensor:
    """The rows that are used, moved to the front in place."""
    rows = used.nonzero().squeeze(1)
    for block in row_blocks(len(rows)):
        x[block] = x[rows[block]]
    return x[: len(rows)]
