"""The accuracy of replicas on rows, as the metric has it."""

from torch import Tensor

from pruning_core.data import Part
from pruning_core.metrics import ACCURACY
from pruning_core.replicas import Replicas


def accuracies(replicas: Replicas, x: Tensor, y: Tensor, pruned: bool, weight: Tensor | None = None) -> Tensor:
    """The accuracy of each replica, (R,)."""
    return ACCURACY.of(replicas.answers(Part(x, y, weight), pruned))
