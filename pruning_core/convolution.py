"""The built-in convolutional network: small, of layers of `torch.nn` alone, with a `Pruner` wherever one is asked for.

It shows how a network of your own is written: layers one after the other, and a `Pruner` behind whatever shall lose
units.
"""

from functools import partial
from math import prod
from typing import TYPE_CHECKING

from torch import nn

from pruning_core.networks import NetworkSpec, pruners
from pruning_core.pruner import Pruner

if TYPE_CHECKING:
    from pruning_core.config import TrialConfig

CHANNELS = (8, 16)


def convolutional(input_shape: tuple[int, ...]) -> NetworkSpec:
    """The network that takes rows of this shape: convolutions with ReLU and pooling, then linear layers.

    Of a configuration it uses `keep`, `hidden`, `initial_weight`, and the arguments `channels`, the widths of the
    convolutions, and `prune`: n of each pruner, as lists under `channels` and `hidden`. Its pruners are called
    `inputs`, `channels1`, `hidden1` and so on.

    Args:
        input_shape: (channels, height, width).

    Raises:
        ValueError: it has another number of dimensions.
    """
    if len(input_shape) != 3:
        raise ValueError(f"input_shape must be [channels, height, width], got {list(input_shape)}")
    return NetworkSpec(partial(_build, input_shape), input_shape)


def _build(shape: tuple[int, int, int], config: "TrialConfig", features: int, classes: int) -> nn.Module:
    channels, height, width = shape
    widths, prune = config.arguments.get("channels", CHANNELS), config.arguments.get("prune", {})
    layers: list[nn.Module] = []
    if config.keep is not None:
        on_inputs = Pruner(features, config.keep, config.initial_weight, name="inputs")
        layers += [nn.Flatten(), on_inputs, nn.Unflatten(1, shape)]
    behind = pruners("channels", widths, prune.get("channels", ()), config.initial_weight, trailing_dims=2)
    for of_layer, pruner in zip(widths, behind, strict=True):
        layers += [nn.Conv2d(channels, of_layer, 3, padding=1), nn.ReLU(), *filter(None, [pruner])]
        channels = of_layer
        if min(height, width) > 1:
            layers.append(nn.MaxPool2d(2))
            height, width = height // 2, width // 2
    layers.append(nn.Flatten())
    units = prod((channels, height, width))
    behind = pruners("hidden", config.hidden, prune.get("hidden", ()), config.initial_weight)
    for of_layer, pruner in zip(config.hidden, behind, strict=True):
        layers += [nn.Linear(units, of_layer), nn.ReLU(), *filter(None, [pruner])]
        units = of_layer
    return nn.Sequential(*layers, nn.Linear(units, classes))
