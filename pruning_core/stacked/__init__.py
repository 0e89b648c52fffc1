"""R copies of a network of known layers as one network: products of stacked matrices in place of `vmap`.

`trace.py` finds out what a network's layers are and how they are connected, `layers.py` and `convolution.py` compute
each of them for R replicas at once, with its gradient, and `network.py` runs them one after the other.

Rows come last everywhere: R rows of shape (C, H, W) are a tensor (R, C, H, W, B). So a flattening is a view, the values
of a channel lie side by side, and a product with few classes is twice as fast as on (R, B, C).
"""

from pruning_core.stacked.network import StackedLayers
from pruning_core.stacked.trace import stacked_layers

__all__ = ["StackedLayers", "stacked_layers"]
