"""The inner loop: the training steps of one epoch over R stacked replicas, of one run or of several that join.

Knows tensors only and needs nothing but torch; `training.py` does all that happens once per epoch. The whole loop runs
without waiting for the device.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pruning_core.chain import Chain, MarkovChain
from pruning_core.losses import pruner_losses, pruner_losses_and_gradients
from pruning_core.optimizer import AdamW, Group, Optimizer
from pruning_core.replicas import ReplicaRandom, Replicas, StackedNetwork
from pruning_core.swap import SwapChain
from pruning_core.tasks import cross_entropy, cross_entropy_and_gradient

if TYPE_CHECKING:
    from pruning_core.config import TrialConfig

REFERENCE_STEPS = 25
"""Steps of an epoch of some 1,600 rows in batches of 64: what `pruner_learning_rate` and `weight_decay` are for."""


def equal_batches(rows: int, most: int) -> int:
    """The size of as few equal batches as the rows allow, at most `most` each."""
    return rows // -(-rows // most)


@dataclass(frozen=True)
class Rows:
    """Rows to train on, (rows, F) and (rows,), on the replicas' device; a training step takes `most` rows at most.

    `weight`, (rows,) float32 and 1 on average, is how much each row counts in L_cla; None counts all alike.
    `shares` are the rows of each replica, int32 on the CPU, of which an epoch takes `per_epoch`; None where each takes
    all rows.
    """

    x: Tensor
    y: Tensor
    most: int
    weight: Tensor | None = None
    shares: tuple[Tensor, ...] | None = None
    per_epoch: int | None = None

    @property
    def count(self) -> int:
        """How many rows an epoch has for each replica."""
        return len(self.y) if self.per_epoch is None else self.per_epoch

    @property
    def batch_size(self) -> int:
        """B, how many rows a training step takes."""
        return equal_batches(self.count, self.most)

    @property
    def steps(self) -> int:
        """How many training steps an epoch has."""
        return self.count // self.batch_size

    def order(self, random: ReplicaRandom) -> Tensor:
        """The rows of an epoch for each replica in the order in which it takes them, (R, count) int32."""
        if self.shares is None:
            return random.permutations(len(self.y))
        return random.shuffled(self.shares, self.count)

    def beside(self, others: Sequence["Rows"]) -> "Rows":
        """The same rows for the replicas of this loop and of others."""
        if self.shares is None:
            return self
        return replace(self, shares=sum((rows.shares or () for rows in others), self.shares))


@dataclass(frozen=True)
class LossTerms:
    """What the losses of R replicas are made of.

    `rejection` is the same for all. `keeps` is n of each pruner, (R, 1).
    """

    rejection: str
    smoothing_R: Tensor
    rejection_weight_R: Tensor
    keeps: list[Tensor]

    @classmethod
    def of(cls, config: "TrialConfig", replicas: Replicas) -> "LossTerms":
        """Those that a configuration asks for (`rejection`, `label_smoothing`, `rejection_weight`)."""
        count, device = len(replicas), replicas.pruner_weights[0].device
        return cls(
            config.rejection,
            torch.full((count,), config.label_smoothing, device=device),
            torch.full((count,), config.rejection_weight, device=device),
            [torch.full((count, 1), float(pruner.keep), device=device) for pruner in replicas.pruners],
        )


def of_an_epoch(size: float, steps: int) -> float:
    """A step size, or a decay, that an epoch has no more of than `REFERENCE_STEPS` steps of `size` come to.

    The schedules count epochs. So that lambda rises as often while the gates fall, however many the rows, a pruner
    weight moves no further in an epoch of many steps; and the more rows speak, the less `weight_decay` has to.

    >>> [of_an_epoch(0.1, steps) for steps in (8, 25, 250)]
    [0.1, 0.1, 0.01]
    """
    return size * min(1.0, REFERENCE_STEPS / steps)


def optimizer_of(config: "TrialConfig", replicas: Replicas, steps: int) -> AdamW:
    """The optimiser of all that moves by back-propagation; with a chain, the pruner weights do not.

    Args:
        config: `learning_rate`, `weight_decay` and `pruner_learning_rate` are used.
        replicas: of which the pruner weights require a gradient from here on, or none.
        steps: how many an epoch has (see `of_an_epoch`).
    """
    for weights_RN in replicas.pruner_weights:
        weights_RN.requires_grad_(not config.chain)
    pruners = {name: replicas.parameters[name] for name in replicas.pruner_parameters}
    network = {name: p for name, p in replicas.parameters.items() if name not in pruners}
    decay, step = of_an_epoch(config.weight_decay, steps), of_an_epoch(config.pruner_learning_rate, steps)
    return AdamW([Group(network, config.learning_rate, decay), Group(pruners, step)])


class InnerLoop:
    """Moves the parameters of R replicas, epoch by epoch.

    Args:
        stack: what is trained.
        random: the replicas' random numbers.
        rows: the training part.
        losses: how the replicas' losses are put together.
        optimizer: of all that moves by back-propagation.
        chain: that moves the pruner weights instead, of all replicas or of the first ones; None for none.
    """

    def __init__(
        self,
        stack: StackedNetwork,
        random: ReplicaRandom,
        rows: Rows,
        losses: LossTerms,
        optimizer: Optimizer,
        chain: Chain | SwapChain | None,
    ) -> None:
        self.stack = stack
        self.random = random
        self.rows = rows
        self.losses = losses
        self.optimizer = optimizer
        self.chain = chain

    @classmethod
    def of(
        cls, config: "TrialConfig", replicas: Replicas, random: ReplicaRandom, rows: Rows, optimizer: Optimizer
    ) -> "InnerLoop":
        """The loop of one configuration; see `LossTerms.of` and `MarkovChain` for what is used of it.

        Args:
            optimizer: as `optimizer_of` makes it.
        """
        chain: Chain | SwapChain | None = None
        if config.chain and config.masks:
            chain = SwapChain(config, replicas.pruner_weights, [pruner.keep for pruner in replicas.pruners], random)
        elif config.chain:
            chain = MarkovChain(config, [pruner.units for pruner in replicas.pruners], random)
        return cls(replicas, random, rows, LossTerms.of(config, replicas), optimizer, chain)

    @property
    def proposals(self) -> int:
        """How many proposals a step has; 0 where the pruner weights move by back-propagation."""
        return self.chain.most_proposals if self.chain else 0

    def epoch(self, alpha_R: Tensor) -> Tensor:
        """Trains one epoch; returns the means of L_cla, L_sel, L_rej and the acceptance over its steps, (4, R).

        Every step has equally many rows; the few that would be left over are others in each epoch.

        Args:
            alpha_R: the weight of the pruner loss, (R,).
        """
        x, y, weight = self.rows.x, self.rows.y, self.rows.weight
        steps, batch_size = self.rows.steps, self.rows.batch_size
        order = self.rows.order(self.random)[:, : steps * batch_size]
        batches_SRB = order.unflatten(1, (steps, batch_size)).transpose(0, 1).contiguous()
        sums_KR = torch.zeros(4, len(self.stack), device=alpha_R.device)
        if self.chain is not None:
            self.chain.start_epoch(steps)
        for rows_RB in batches_SRB:
            rows = rows_RB.view(-1)  # index_select by flat indices: 4 % of a step less than x[rows_RB]
            x_RBF = x.index_select(0, rows).view(*rows_RB.shape, -1)
            y_RB = y.index_select(0, rows).view_as(rows_RB)
            weight_RB = None if weight is None else weight.index_select(0, rows).view_as(rows_RB)
            sums_KR += self._step(x_RBF, y_RB, weight_RB, alpha_R.float())
        return sums_KR / steps

    @torch.no_grad()
    def _step(self, x_RBF: Tensor, y_RB: Tensor, weight_RB: Tensor | None, alpha_R: Tensor) -> Tensor:
        """One step of back-propagation and, for `markov` and `swap`, of the chain.

        The losses' gradients are written out; `backward` takes the one of L_cla through the network.

        Returns L_cla, L_sel, L_rej and the acceptance, (4, R).
        """
        stack, losses = self.stack, self.losses
        weights = stack.pruner_weights

        def total(classification_K: Tensor, selection_K: Tensor, rejection_K: Tensor) -> Tensor:
            k = len(classification_K)
            return classification_K + alpha_R[:k] * (selection_K + losses.rejection_weight_R[:k] * rejection_K)

        def total_at(moved: list[Tensor]) -> Tensor:
            k = len(moved[0])
            weight_KB = None if weight_RB is None else weight_RB[:k]
            logits_KBC = stack.logits(x_RBF[:k], moved)
            classification_K = cross_entropy(logits_KBC, y_RB[:k], losses.smoothing_R[:k], weight_KB)
            keeps = [keep_R1[:k] for keep_R1 in losses.keeps]
            return total(classification_K, *pruner_losses(moved, keeps, losses.rejection))

        logits_RBC, backward = stack.logits_and_backward(x_RBF)
        classification_R, to_logits_RBC = cross_entropy_and_gradient(logits_RBC, y_RB, losses.smoothing_R, weight_RB)
        gradients = backward(to_logits_RBC)
        if isinstance(self.chain, SwapChain):
            self.chain.observe(weights, [gradients[name] for name in stack.pruner_parameters])
            selection_R, rejection_R = pruner_losses(weights, losses.keeps, losses.rejection)
        elif weights[0].requires_grad:
            selection_R, rejection_R, of_pruners = pruner_losses_and_gradients(
                weights, losses.keeps, losses.rejection, losses.rejection_weight_R
            )
            for name, gradient_RN in zip(stack.pruner_parameters, of_pruners, strict=True):
                gradients[name] = gradient_RN.mul_(alpha_R.unsqueeze(1)).add_(gradients[name])
        else:
            selection_R, rejection_R = pruner_losses(weights, losses.keeps, losses.rejection)
        acceptance_R = torch.full_like(alpha_R, torch.nan)
        if self.chain is not None:
            acceptance_R = self.chain.step(weights, total(classification_R, selection_R, rejection_R), total_at)
        self.optimizer.step(gradients)
        return torch.stack([classification_R, selection_R, rejection_R, acceptance_R])
