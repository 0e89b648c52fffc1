"""The few layers that a compacted network has beside those of `torch.nn`."""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, one_hot, pad

MOST_BY_PRODUCT = 400  # units; each is one more multiply-add for each unit of the output


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
        self.matrix: Tensor
        self.register_buffer("places", places)
        self.register_buffer("constants", constants)
        few = units <= MOST_BY_PRODUCT
        matrix = one_hot(places, units + 1)[:, :-1].float() if few else torch.zeros(0)
        self.register_buffer("matrix", matrix, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_exporting() and len(self.matrix) and x.ndim == self.axis + 2:
            return self._product(x)
        if self.gaps:
            x = pad(x, (0, 0) * (x.ndim - self.axis - 2) + (0, 1))
        x = x.index_select(self.axis + 1, self.places)
        return x if self.constants is None else x + self.constants

    def _product(self, x: Tensor) -> Tensor:
        """The same of the last axis in ONNX Runtime, whose selection there takes four to nine times as long."""
        if self.constants is not None and self.constants.numel() == len(self.places):
            return linear(x, self.matrix, self.constants.flatten())
        x = linear(x, self.matrix)
        return x if self.constants is None else x + self.constants

    def same_as(self, other: "Arrange") -> bool:
        """Whether both do the same."""
        if (self.axis, self.units) != (other.axis, other.units) or not torch.equal(self.places, other.places):
            return False
        if self.constants is None or other.constants is None:
            return self.constants is other.constants
        return torch.equal(self.constants.float(), other.constants.float())

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
