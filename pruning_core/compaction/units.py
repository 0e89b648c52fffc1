"""What is known of the units of each tensor in a traced network: which are constant, and which may go missing.

Every tensor has a *layout*. `WHOLE`: it stays as it is. A number: units along this dimension of a row may go missing.
`PACKED`: a row is kept flat, (B, n), and each of its elements may go missing, as the columns of a picture do.
"""

from dataclasses import dataclass, replace
from enum import Enum

import torch
from torch import Tensor


class Flat(Enum):
    """The layouts that have no axis."""

    WHOLE = "whole"
    PACKED = "packed"


WHOLE, PACKED = Flat.WHOLE, Flat.PACKED
Layout = Flat | int


@dataclass(frozen=True)
class Units:
    """What is known of a tensor; every field of the shape of one row.

    Args:
        constant: which elements have the same value in every row, (...).
        value: that value; of the other elements any, (...) float64.
        layout: see above. Where units may go missing, only those are certain to be there, and right, that are not
            constant.
        unit: the number of the unit that each element belongs to; None where all are there.
    """

    constant: Tensor
    value: Tensor
    layout: Layout = WHOLE
    unit: Tensor | None = None

    @property
    def shape(self) -> torch.Size:
        """Of one row."""
        return self.constant.shape

    def along(self, axis: int) -> "Units":
        """The same with units along an axis, where this is another name for its layout."""
        return replace(self, layout=axis) if self.layout is WHOLE and self.unit is None else self

    def fixed(self, axis: int) -> Tensor:
        """Which places along an axis are constant altogether, (N,)."""
        return self.constant.movedim(axis, 0).flatten(1).all(1) if self.constant.ndim > 1 else self.constant

    def numbers(self, axis: int) -> Tensor | None:
        """The unit of each place along an axis, (N,)."""
        if self.unit is None or self.unit.ndim == 1:
            return self.unit
        return self.unit.movedim(axis, 0).flatten(1)[:, 0]

    def whole(self) -> "Units":
        """The same after all units have been put in their places."""
        return replace(self, layout=WHOLE, unit=None)

    def closed(self, mask: Tensor, axis: int) -> "Units":
        """The same behind gates along an axis, of which those are closed where `mask` is False."""
        shut = ~mask.reshape(-1, *(1,) * (self.constant.ndim - 1 - axis)).expand(self.shape)
        return replace(self, constant=self.constant | shut, value=self.value.masked_fill(shut, 0))


class Numbers:
    """Hands out numbers of units."""

    def __init__(self) -> None:
        self.count = 0

    def along(self, shape: torch.Size, axis: int) -> Tensor:
        """A new number for each place along an axis, of the shape of a row."""
        new = torch.arange(self.count, self.count + shape[axis])
        self.count += shape[axis]
        return new.reshape(-1, *(1,) * (len(shape) - 1 - axis)).expand(shape)

    def each(self, shape: torch.Size) -> Tensor:
        """A new number for each element."""
        new = torch.arange(self.count, self.count + shape.numel())
        self.count += shape.numel()
        return new.reshape(shape)
