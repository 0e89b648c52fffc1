"""From the network of one replica to the smaller one, which is checked against the hard-masked network."""

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pruning_core.compaction.analysis import analyse
from pruning_core.compaction.counts import Size, size
from pruning_core.compaction.description import as_chain
from pruning_core.compaction.fold import fold_constants
from pruning_core.compaction.layers import Arrange, Gates, Standardise
from pruning_core.compaction.shrink import Shrunk, pruner_names, shrink
from pruning_core.compaction.tracing import CompactionError, pruned, trace
from pruning_core.pruner import Pruner

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TOLERANCE, ROWS = 1e-5, 64


@dataclass(frozen=True)
class Compacted:
    """A pruned network without its gates and without the units that they closed.

    Args:
        network: raw (B, n) float32 -> logits (B, C); one of its layers is a graph where not all follow one another.
        inputs: indices of the columns that it takes, in this order, (n,).
        kept: indices of the units that each pruner keeps, by its name, ascending.
        before, after: how large the network was and is.
        masked: why closed units are still in it as zeros or constants, in one sentence; None where all are gone.
    """

    network: nn.Sequential
    inputs: Tensor
    kept: dict[str, list[int]] = field(default_factory=dict)
    before: Size = field(default_factory=lambda: Size(0, 0))
    after: Size = field(default_factory=lambda: Size(0, 0))
    masked: str | None = None


@dataclass(frozen=True)
class PrunedReplica:
    """The pruned network of one seed as plain data, to be sent and to be stored.

    Args:
        seed: that it was trained with.
        validation_accuracy, test_accuracy: under the hard mask, in [0, 1].
        validation_score: what the training measured beside accuracy, or the accuracy; NaN if that was not noted.
        refitted: whether it was trained from the start on these inputs alone.
        inputs: the names of the n columns that it takes, in this order, standardised.
        layers: as `describe` describes them.
        tensors: of the layers, `0.weight` and so on.
    """

    seed: int
    validation_accuracy: float
    test_accuracy: float
    inputs: tuple[str, ...]
    layers: list[dict[str, Any]]
    tensors: "dict[str, NDArray[np.float32]]"
    validation_score: float = float("nan")
    refitted: bool = False


@torch.no_grad()
def compact(
    network: nn.Module,
    mean: Tensor,
    scale: Tensor,
    input_shape: tuple[int, ...] | None = None,
    rows: Tensor | None = None,
) -> Compacted:
    """Removes closed units, and takes the standardisation in.

    Behind the hard mask a dropped unit is a constant (zero at its gate), so the layers that use it take it over into
    their bias, and the layer that computed it loses a row. The result is compared with the hard-masked network. Where
    it differs by more than 1e-5 of the largest logit, or the network cannot be traced, the masked network is returned.

    Args:
        network: of one replica, on the CPU, with `Pruner` layers.
        mean, scale: of the input columns, (F,): the network was trained on (raw - mean) / scale.
        input_shape: of one row as the network takes it; None for flat rows.
        rows: standardised, flat, to compare on, (B, F); None for random ones.
    """
    masked = pruned(network)
    shape = torch.Size(input_shape or (len(mean),))
    x_BF = torch.randn(ROWS, len(mean), generator=torch.Generator().manual_seed(1)) if rows is None else rows
    x_BF = x_BF.float().cpu()
    expected_BC = masked(x_BF.unflatten(1, shape))
    shrunk, why = _shrunk(masked, shape, x_BF, expected_BC)
    plain = as_chain(shrunk.module)
    kept = shrunk.inputs
    return Compacted(
        network=on_raw_columns(plain, mean.cpu()[kept], scale.cpu()[kept]),
        inputs=kept,
        kept={name: torch.nonzero(p.weight > 0).flatten().tolist() for name, p in pruner_names(masked).items()},
        before=size(masked, shape),
        after=size(plain, torch.Size([len(kept)])),
        masked=why,
    )


def _shrunk(masked: nn.Module, shape: torch.Size, x_BF: Tensor, expected_BC: Tensor) -> tuple[Shrunk, str | None]:
    """The smaller network, or the masked one, and why there are closed units in it."""
    try:
        shrunk = shrink(analyse(trace(masked), shape))
        fold_constants(shrunk.module, len(shrunk.inputs))
        off = float((shrunk.module(x_BF[:, shrunk.inputs]) - expected_BC).abs().max())
        if not off <= TOLERANCE * max(1.0, float(expected_BC.abs().max())):
            raise CompactionError(f"the smaller network would differ from it by {off:.1e}")
    except (CompactionError, RuntimeError) as error:  # what torch says of a graph that does not fit together
        reason = str(error).splitlines()[0]
        return _with_gates(masked, shape, x_BF), f"the network keeps its size, with 0 and 1 as gates: {reason}"
    if not shrunk.filled:
        return shrunk, None
    return shrunk, f"closed units enter as constants what cannot lose them: {', '.join(dict.fromkeys(shrunk.filled))}"


def _with_gates(masked: nn.Module, shape: torch.Size, x_BF: Tensor) -> Shrunk:
    """The network as it is with 0 and 1 in place of its gates, on the columns that it depends on."""
    network = copy.deepcopy(masked)
    closed = torch.zeros(x_BF.shape[1], dtype=torch.bool)
    for name, pruner in list(network.named_modules()):
        if isinstance(pruner, Pruner):
            is_open = pruner.weight > 0
            if len(is_open) == len(closed):
                closed |= _without_effect(masked, ~is_open, shape, x_BF)
            network.set_submodule(name, Gates(is_open.float(), pruner.trailing_dims)) if name else None
    inputs = torch.nonzero(~closed).flatten()
    layers: list[nn.Module] = []
    if len(inputs) < len(closed):
        places = torch.where(closed, len(inputs), (~closed).cumsum(0) - 1)
        layers.append(Arrange(0, len(inputs), places))
    if len(shape) > 1:
        layers.append(nn.Unflatten(1, tuple(shape)))
    module = nn.Sequential(*layers, network).eval()
    return Shrunk(module, inputs, [])  # type: ignore[arg-type]


def _without_effect(masked: nn.Module, closed: Tensor, shape: torch.Size, x_BF: Tensor) -> Tensor:
    """The closed columns if other values in them change no logit at all, else none, (F,)."""
    other_BF = torch.where(closed, x_BF.flip(0) + 1, x_BF)
    same = torch.equal(masked(x_BF.unflatten(1, shape)), masked(other_BF.unflatten(1, shape)))
    return closed if same else torch.zeros_like(closed)


@torch.no_grad()
def on_raw_columns(network: nn.Module, mean: Tensor, scale: Tensor) -> nn.Sequential:
    """The network with the standardisation in its first layer if that is linear, else in one before it."""
    layers = list(network) if isinstance(network, nn.Sequential) else [network]
    first = layers[0]
    if not isinstance(first, nn.Linear):
        return nn.Sequential(Standardise(mean, scale), *layers).eval()
    raw = copy.deepcopy(first)
    weight = first.weight.double() / scale
    raw.weight.copy_(weight)
    raw.bias.copy_(first.bias.double() - weight @ mean.double())
    return nn.Sequential(raw, *layers[1:]).eval()
