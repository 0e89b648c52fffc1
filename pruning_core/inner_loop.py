"""The inner loop: the training steps of one epoch over R stacked replicas.

Knows tensors only and needs nothing but torch; `training.py` does all that happens once per epoch. The whole loop runs
without waiting for the device.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pruning_core.chain import MarkovChain
from pruning_core.losses import pruner_gradients, pruner_losses
from pruning_core.optimizer import AdamW, Group
from pruning_core.replicas import ReplicaRandom, Replicas, cross_entropy, cross_entropy_and_gradient

if TYPE_CHECKING:
    from pruning_core.config import TrialConfig


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
        self.steps = -(-len(y) // batch_size)
        self.batch_size = len(y) // self.steps
        units = [w.shape[1] for w in replicas.pruner_weights]
        self.chain = MarkovChain(config, units, random) if config.chain else None
        for weights_RN in replicas.pruner_weights:
            weights_RN.requires_grad_(not config.chain)
        pruners = {name: replicas.parameters[name] for name in replicas.pruner_names}
        network = {name: p for name, p in replicas.parameters.items() if name not in pruners}
        self.optimizer = AdamW(
            [Group(network, config.learning_rate, config.weight_decay), Group(pruners, config.pruner_learning_rate)]
        )

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
        config, replicas = self.config, self.replicas
        weights, keeps = replicas.pruner_weights, replicas.keeps

        def total(classification_R: Tensor, selection_R: Tensor, rejection_R: Tensor) -> Tensor:
            return classification_R + alpha_R * (selection_R + config.rejection_weight * rejection_R)

        def total_at(moved: list[Tensor]) -> Tensor:
            classification_R = cross_entropy(replicas.logits(x_RBF, moved), y_RB, config.label_smoothing)
            return total(classification_R, *pruner_losses(moved, keeps, config.rejection))

        logits_RBC, backward = replicas.logits_and_backward(x_RBF)
        classification_R, to_logits_RBC = cross_entropy_and_gradient(logits_RBC, y_RB, config.label_smoothing)
        selection_R, rejection_R = pruner_losses(weights, keeps, config.rejection)
        gradients = backward(to_logits_RBC)
        if self.chain is None:
            of_pruners = pruner_gradients(weights, keeps, config.rejection, config.rejection_weight)
            for name, gradient_RN in zip(replicas.pruner_names, of_pruners, strict=True):
                gradients[name] = torch.addcmul(gradients[name], gradient_RN, alpha_R.unsqueeze(1))
            acceptance_R = torch.full_like(alpha_R, torch.nan)
        else:
            acceptance_R = self.chain.step(weights, total(classification_R, selection_R, rejection_R), total_at)
        self.optimizer.step(gradients)
        return torch.stack([classification_R, selection_R, rejection_R, acceptance_R])
