"""What an estimator keeps of a training: the pruned network of one replica, and which inputs it keeps."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pruning_core.data import Dataset
from pruning_core.progress import completion_epochs
from pruning_core.pruner import Pruner, hard_mask, open_units
from pruning_core.replicas import one_replica
from pruning_core.tasks import cross_entropy
from pruning_core.training import Training

ROWS_AT_ONCE = 2**14


@dataclass(frozen=True)
class PrunedNetwork:
    """The network of one replica under the hard mask, which takes raw rows.

    Attributes
    ----------
    network : nn.Module
        On the CPU, in float64, so that an answer does not depend on the rows beside it.
    input_shape : tuple of int or None
        Of one row as the network takes it.
    varies : ndarray of bool of shape (F,)
        The columns that it takes; the others were constant in training.
    mean, scale : ndarray of shape (N,)
        Of these columns.
    """

    network: nn.Module
    input_shape: tuple[int, ...] | None
    varies: NDArray[np.bool_]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @torch.no_grad()
    def logits(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Raw rows, (rows, F), to the outputs of the network, (rows, C)."""
        answers = []
        for start in range(0, len(x), ROWS_AT_ONCE):
            raw = x[start : start + ROWS_AT_ONCE]
            rows = torch.from_numpy((raw[:, self.varies] - self.mean) / self.scale)
            answers.append(self.network(rows if self.input_shape is None else rows.unflatten(-1, self.input_shape)))
        return torch.cat(answers).numpy()


def pruned_network(run: Training, replica: int, varies: NDArray[np.bool_]) -> PrunedNetwork:
    """The network of a replica as it predicts."""
    network = one_replica(run.replicas, replica).double()
    for module in network.modules():
        if isinstance(module, Pruner):
            module.weight.data = hard_mask(module.weight.data, module.keep)
    network.requires_grad_(False)
    data: Dataset = run.data
    return PrunedNetwork(network, run.network.input_shape, varies, data.mean.cpu().numpy(), data.scale.cpu().numpy())


def chosen_replica(run: Training) -> int:
    """The most accurate replica of those that completed, or of all where none did; by the validation part.

    Of equally accurate ones it is that with the lowest cross-entropy: on a few dozen rows many are equal.
    """
    accuracy_R = run.history.records[-1].pruned_accuracy
    part = run.data.validation
    logits_RBC = run.replicas.answers(part, pruned=True, with_logits=True).logits_RBC
    assert logits_RBC is not None
    shape = logits_RBC.shape[:2]
    weight_RB = None if part.weight is None else part.weight.expand(shape)
    loss_R = cross_entropy(logits_RBC, part.y.expand(shape), weight_RB=weight_RB).tolist()
    complete = completion_epochs(run.history.array("complete").astype(bool))
    there = [r for r, epoch in enumerate(complete) if epoch is not None] or range(len(complete))
    return max(there, key=lambda r: (accuracy_R[r], -loss_R[r]))


@dataclass(frozen=True)
class KeptInputs:
    """The gates of the pruner on the inputs at the end, (R, N), and their history, (E', R, N).

    Raises
    ------
    ValueError
        There is no such pruner.
    """

    weights_RN: torch.Tensor
    gates_ERN: NDArray[np.floating]
    keep: int

    @classmethod
    def of(cls, run: Training) -> "KeptInputs":
        """Those of a training."""
        start = 0
        for pruner, weights_RN in zip(run.history.pruners, run.replicas.pruner_weights, strict=True):
            end = start + len(pruner.units)
            if pruner.units == run.data.feature_names:
                gates_ERN = np.stack([gates_RN[:, start:end] for _, gates_RN in run.history.gates])
                return cls(weights_RN.detach().cpu(), gates_ERN, pruner.keep)
            start = end
        raise ValueError("network must have a Pruner on its inputs, and has none there")

    def kept(self) -> NDArray[np.bool_]:
        """Which inputs each replica keeps, (R, N)."""
        kept_RN = np.zeros(tuple(self.weights_RN.shape), dtype=bool)
        np.put_along_axis(kept_RN, open_units(self.weights_RN, self.keep).numpy(), True, axis=1)
        return kept_RN

    def ranking(self, replica: int) -> NDArray[np.int64]:
        """1 for the inputs that a replica keeps, 2 for the gate that closed last, and so on to the first, (N,).

        A gate closes when it falls below 0.5 for good; of several in one epoch the smaller one at the end was first.
        """
        weights_N = self.weights_RN[replica].numpy()
        last_open_N = ((self.gates_ERN[:, replica] > 0.5) * np.arange(1, len(self.gates_ERN) + 1)[:, None]).max(0)
        kept_N = self.kept()[replica]
        order = np.lexsort((-weights_N, -last_open_N, ~kept_N))
        ranking = np.ones(len(weights_N), dtype=np.int64)
        ranking[order[self.keep :]] = np.arange(2, len(weights_N) - self.keep + 2)
        return ranking
