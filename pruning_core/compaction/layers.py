"""The few layers that a compacted network has beside those of `torch.nn`."""

import torch
from torch import Tensor, nn


class Arrange(nn.Module):
    """Puts units where a layer expects them: selects, reorders, and fills gaps with constants.

    Args:
        axis: of the units among the dimensions of a row, 0 for the channels of (B, C, H, W).
        units: how many units it is given.
        places: for each unit of the output the index of the given one, or `units` for a gap, (N,).
        constants: added to every row: zero but for the gaps; of a shape that broadcasts to a row, None for zeros alone.
    """

    def __init__(self, axis: int, units: int, places: Tensor, constants: Tensor | None = None) -> None:
        super().__init__()
        self.axis, self.units, self.gaps = axis, units, bool((places == units).any())
        self.places: Tensor
        self.constants: Tensor | None
        self.register_buffer("places", places)
        self.register_buffer("constants", constants)

    def forward(self, x: Tensor) -> Tensor:
        if self.gaps:
            x = torch.cat([x, torch.zeros_like(x.narrow(self.axis + 1, 0, 1))], self.axis + 1)
        x = x.index_select(self.axis + 1, self.places)
        return x if self.constants is None else x + self.constants

    def extra_repr(self) -> str:
        return f"axis={self.axis}, units={self.units}, places={len(self.places)}"


class AddConstant(nn.Module):
    """Adds what closed units contribute where it differs from place to place, as behind a padded convolution.

    Args:
        constant: of a shape that broadcasts to a row.
    """

    def __init__(self, constant: Tensor) -> None:
        super().__init__()
        self.constant: Tensor
        self.register_buffer("constant", constant)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.constant


class Gates(nn.Module):
    """The hard mask of a `Pruner` that could not be taken out: 0 and 1 in place of its gates.

    Args:
        mask: (N,).
        trailing_dims: dimensions that follow the gated one.
    """

    def __init__(self, mask: Tensor, trailing_dims: int = 0) -> None:
        super().__init__()
        self.mask: Tensor
        self.register_buffer("mask", mask)
        self.trailing_dims = trailing_dims

    def gates(self) -> Tensor:
        """The mask, (N,)."""
        return self.mask

    def forward(self, x: Tensor) -> Tensor:
        return x * self.mask.reshape(-1, *(1,) * self.trailing_dims)


class Standardise(nn.Module):
    """(raw - mean) / scale in float64, so that large values keep their digits: raw (B, n) -> (B, n) float32.

    Args:
        mean, scale: (n,).
    """

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", mean.double())
        self.register_buffer("scale", scale.double())

    def forward(self, raw_Bn: Tensor) -> Tensor:
        return ((raw_Bn.double() - self.mean) / self.scale).float()
