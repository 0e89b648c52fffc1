"""The inner loop: the training steps of one epoch over R stacked replicas, of one run or of several that join.

Knows tensors only and needs nothing but torch; `training.py` does all that happens once per epoch. The whole loop runs
without waiting for the device.
"""

from collections.abc import Hashable, Sequence
from copy import copy
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pruning_core.chain import JoinedChains, MarkovChain
from pruning_core.losses import pruner_losses, pruner_losses_and_gradients
from pruning_core.optimizer import AdamW, Group, JoinedAdamW
from pruning_core.replicas import ReplicaRandom, Replicas
from pruning_core.tasks import cross_entropy, cross_entropy_and_gradient

if TYPE_CHECKING:
    from pruning_core.config import TrialConfig


def equal_batches(rows: int, most: int) -> int:
    """The size of as few equal batches as the rows allow, at most `most` each."""
    return rows // -(-rows // most)


def aligned(replicas: int, batch: int, widths: Sequence[int]) -> bool:
    """Whether the matrices of R stacked networks, and of their batches, end at multiples of 64 bytes.

    Args:
        replicas: R.
        batch: B.
        widths: of all layers, from the inputs to the classes.
    """
    sizes = [batch * width for width in widths] + [a * b for a, b in pairwise(widths)]
    return all(replicas * size % 16 == 0 for size in sizes)


def step_bytes(replicas: int, batch: int, widths: Sequence[int]) -> int:
    """About how much memory a step goes through: parameters with all that Adam keeps, and a batch in all layers."""
    parameters = sum(a * b for a, b in pairwise(widths))
    return 4 * replicas * (6 * parameters + batch * (2 * widths[0] + 5 * sum(widths[1:])))


class InnerLoop:
    """Moves the parameters of R replicas, epoch by epoch.

    Args:
        config: the learning rates, `weight_decay`, `label_smoothing`, the rejection loss, and for `markov` the chain
            are read.
        replicas: what is trained.
        random: the replicas' random numbers.
        x, y: the training part, (rows, F) and (rows,), on the replicas' device.
        batch_size: rows per training step, at most.
    """

    def __init__(
        self,
        config: "TrialConfig",
        replicas: Replicas,
        random: ReplicaRandom,
        x: Tensor,
        y: Tensor,
        batch_size: int,
    ) -> None:
        self.config = config
        self.replicas = replicas
        self.random = random
        self.x, self.y = x, y
        self.batch_size = equal_batches(len(y), batch_size)
        self.steps = len(y) // self.batch_size
        units = [w.shape[1] for w in replicas.pruner_weights]
        self.smoothing_R = torch.full((len(replicas),), config.label_smoothing, device=x.device)
        self.rejection_weight_R = torch.full((len(replicas),), config.rejection_weight, device=x.device)
        self.keeps = [torch.full((len(replicas), 1), float(keep), device=x.device) for keep in replicas.keeps]
        self.chain = MarkovChain(config, units, random) if config.chain else None
        for weights_RN in replicas.pruner_weights:
            weights_RN.requires_grad_(not config.chain)
        pruners = {name: replicas.parameters[name] for name in replicas.pruner_names}
        network = {name: p for name, p in replicas.parameters.items() if name not in pruners}
        self.optimizer = AdamW(
            [Group(network, config.learning_rate, config.weight_decay), Group(pruners, config.pruner_learning_rate)]
        )

    @cached_property
    def kind(self) -> Hashable | None:
        """What two loops must have in common to be joined: data, batches, layers, the rejection loss.

        None on a CPU, of which one thread is used, where a joined replica would not be the same to the last bit: a
        product of matrices depends on how far they are from a multiple of 64 bytes, so each part must end at one.
        """
        replicas, config = self.replicas, self.config
        layers = tuple(
            (name, p.shape[1:], p.dtype, name in replicas.pruner_names or p.requires_grad)
            for name, p in replicas.parameters.items()
        )
        data = (self.x.data_ptr(), self.y.data_ptr(), self.batch_size)
        if self.x.device.type == "cpu":
            widths = [self.x[0].numel(), *(p.shape[1] for p in replicas.parameters.values() if p.dim() == 3)]
            if not (replicas.has_stacked_forward and aligned(len(replicas), self.batch_size, widths)):
                return None
        return type(replicas.network), layers, config.rejection, data

    @property
    def proposals(self) -> int:
        """How many proposals a step has; 0 where the pruner weights move by back-propagation."""
        return self.config.proposals if self.chain else 0

    @classmethod
    def joined(cls, parts: Sequence["InnerLoop"]) -> "InnerLoop":
        """One loop over the replicas of several loops of one `kind`, each with hyperparameters of its own.

        A replica then trains as it would in its own loop, to the last bit where the products of a batch of matrices
        do not depend on how many they are. The parts' states stay their own: they can be saved, and joined otherwise.

        Args:
            parts: the loops, those with more proposals first: a proposal is tried out for the first replicas only.
        """
        loop = copy(parts[0])
        counts = [len(part.replicas) for part in parts]
        loop.replicas = Replicas.joined([part.replicas for part in parts])
        loop.random = ReplicaRandom.joined([part.random for part in parts])
        loop.smoothing_R = torch.cat([part.smoothing_R for part in parts])
        loop.rejection_weight_R = torch.cat([part.rejection_weight_R for part in parts])
        loop.keeps = [torch.cat(of_pruner) for of_pruner in zip(*(part.keeps for part in parts), strict=True)]
        chains = [part.chain for part in parts]
        loop.chain = JoinedChains(chains, counts) if any(chains) else None
        for weights_RN in loop.replicas.pruner_weights:
            weights_RN.requires_grad_(not all(chains))
        loop.optimizer = JoinedAdamW([part.optimizer for part in parts], counts)
        return loop

    def epoch(self, alpha_R: Tensor) -> Tensor:
        """Trains one epoch; returns the means of L_cla, L_sel, L_rej and the acceptance over its steps, (4, R).

        Every step has equally many rows; the few that would be left over are others in each epoch.

        Args:
            alpha_R: the weight of the pruner loss, (R,).
        """
        order = self.random.permutations(len(self.y))[:, : self.steps * self.batch_size]
        batches_SRB = order.unflatten(1, (self.steps, self.batch_size)).transpose(0, 1).contiguous()
        sums_KR = torch.zeros(4, len(self.replicas), device=alpha_R.device)
        if self.chain is not None:
            self.chain.start_epoch(self.steps)
        for rows_RB in batches_SRB:
            rows = rows_RB.view(-1)  # index_select by flat indices: 4 % of a step less than x[rows_RB]
            x_RBF = self.x.index_select(0, rows).view(*rows_RB.shape, -1)
            y_RB = self.y.index_select(0, rows).view_as(rows_RB)
            sums_KR += self._step(x_RBF, y_RB, alpha_R.float())
        return sums_KR / self.steps

    @torch.no_grad()
    def _step(self, x_RBF: Tensor, y_RB: Tensor, alpha_R: Tensor) -> Tensor:
        """One step of back-propagation and, for `markov`, of the chain.

        The losses' gradients are written out; `backward` takes the one of L_cla through the network.

        Returns L_cla, L_sel, L_rej and the acceptance, (4, R).
        """
        replicas, rejection = self.replicas, self.config.rejection
        weights = replicas.pruner_weights

        def total(classification_K: Tensor, selection_K: Tensor, rejection_K: Tensor) -> Tensor:
            k = len(classification_K)
            return classification_K + alpha_R[:k] * (selection_K + self.rejection_weight_R[:k] * rejection_K)

        def total_at(moved: list[Tensor]) -> Tensor:
            k = len(moved[0])
            classification_K = cross_entropy(replicas.logits(x_RBF[:k], moved), y_RB[:k], self.smoothing_R[:k])
            return total(classification_K, *pruner_losses(moved, [keep_R1[:k] for keep_R1 in self.keeps], rejection))

        logits_RBC, backward = replicas.logits_and_backward(x_RBF)
        classification_R, to_logits_RBC = cross_entropy_and_gradient(logits_RBC, y_RB, self.smoothing_R)
        gradients = backward(to_logits_RBC)
        if weights[0].requires_grad:
            selection_R, rejection_R, of_pruners = pruner_losses_and_gradients(
                weights, self.keeps, rejection, self.rejection_weight_R
            )
            for name, gradient_RN in zip(replicas.pruner_names, of_pruners, strict=True):
                gradients[name] = gradient_RN.mul_(alpha_R.unsqueeze(1)).add_(gradients[name])
        else:
            selection_R, rejection_R = pruner_losses(weights, self.keeps, rejection)
        acceptance_R = torch.full_like(alpha_R, torch.nan)
        if self.chain is not None:
            acceptance_R = self.chain.step(weights, total(classification_R, selection_R, rejection_R), total_at)
        self.optimizer.step(gradients)
        return torch.stack([classification_R, selection_R, rejection_R, acceptance_R])
