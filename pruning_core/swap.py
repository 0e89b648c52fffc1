"""A chain over hard masks: every gate is open or closed from the first step, and fewer and fewer are open.

In place of the blind moves of `chain.py` it swaps open and closed units, which holds their number, and chooses them by
the gradients that back-propagation has anyway. See docs/strategies.md.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pruning_core.chain import accepted
from pruning_core.replicas import ReplicaRandom
from pruning_core.timetable import share_left

if TYPE_CHECKING:
    from pruning_core.config import TrialConfig

OPEN = 8.0
"""w of an open gate, and -w of a closed one: within 0.0004 of 1 and 0, and its gradient can still be read off dL/dw."""
MEMORY = 0.95
"""How much of the average of squared gradients a step keeps: some twenty steps count."""
TINY = 1e-30


def open_gates(units: int, keep: int, share: float) -> int:
    """How many gates are open when this share of the shrinking is done: n + ceil((N - n) (1 - share)^3).

    >>> [open_gates(60, 16, share) for share in (0, 0.25, 0.5, 0.75, 1)]
    [60, 35, 22, 17, 16]
    """
    return keep + math.ceil((units - keep) * share_left(share))


class SwapChain:
    """Moves R hard masks: swaps an open and a closed unit where L_tot falls, and closes the units that matter least.

    How much a unit matters, S_i, is the average over the last steps of (dL_cla/dg_i)^2: half of it, times the rows of a
    step, is what L_cla rises by if an open unit of a trained network closes (the Fisher information of its gate, Theis
    et al. 2018, "Faster gaze prediction with dense networks and Fisher pruning"). A swap closes an open unit with a
    probability proportional to 1/S and opens a closed one with one proportional to S.

    Args:
        config: `shrink_epochs`, `proposals`, `temperature` and `epochs` are used.
        weights: pruner weights, one (R, N) tensor per pruner; all gates are opened.
        keeps: n of each pruner.
        random: the replicas' random numbers.
    """

    def __init__(
        self, config: "TrialConfig", weights: Sequence[Tensor], keeps: Sequence[int], random: ReplicaRandom
    ) -> None:
        self.most_proposals: int = config.proposals
        self.shrink_epochs = min(config.shrink_epochs, config.epochs)
        self.keeps = list(keeps)
        self.random = random
        self.temperature_R: Tensor | None = None
        if config.temperature > 0:
            self.temperature_R = torch.full_like(weights[0][:, 0], config.temperature)
        self.steps_of_epoch = 1
        self.steps = 0
        self.squares = [torch.zeros_like(weights_RN, dtype=torch.float64) for weights_RN in weights]
        with torch.no_grad():
            for weights_RN in weights:
                weights_RN.fill_(OPEN).requires_grad_(True)

    def start_epoch(self, steps: int) -> None:
        """Is told how many steps an epoch has."""
        self.steps_of_epoch = steps

    def observe(self, weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
        """Takes in dL_cla/dw of a step, (R, N) for each pruner; in float64, see `losses.py`."""
        for square_RN, weights_RN, gradient_RN in zip(self.squares, weights, gradients, strict=True):
            gates_RN = torch.sigmoid(weights_RN.double())
            to_gates_RN = gradient_RN.double() / (gates_RN * (1 - gates_RN))
            square_RN.mul_(MEMORY).addcmul_(to_gates_RN, to_gates_RN, value=1 - MEMORY)

    @torch.no_grad()
    def step(self, weights: list[Tensor], loss_R: Tensor, total_loss: Callable[[list[Tensor]], Tensor]) -> Tensor:
        """Tries `proposals` swaps, then closes what the schedule wants closed; in place.

        Args:
            weights: pruner weights, one (R, N) tensor per pruner.
            loss_R: L_tot at these weights.
            total_loss: L_tot, (R,), at other pruner weights, on the same data with the same network weights.

        Returns:
            The fraction of accepted swaps of each replica, (R,).
        """
        taken_R = torch.zeros_like(loss_R)
        numbers_RKM = self.random.uniform(self.most_proposals, 2 * sum(w.shape[1] for w in weights) + 2).double()
        for numbers_RM in numbers_RKM.unbind(1) if self.steps else ():  # before the first step all gates are open
            proposal = self._swapped(weights, numbers_RM[:, 2:], numbers_RM[:, 0])
            new_R = total_loss(proposal)
            accepted_R = accepted(loss_R, new_R, self.temperature_R, numbers_RM[:, 1])
            for weights_RN, proposal_RN in zip(weights, proposal, strict=True):
                weights_RN.copy_(torch.where(accepted_R[:, None], proposal_RN, weights_RN))
            loss_R = torch.where(accepted_R, new_R, loss_R)
            taken_R += accepted_R
        self.steps += 1
        share = self.steps / (self.shrink_epochs * self.steps_of_epoch)
        for weights_RN, square_RN, keep in zip(weights, self.squares, self.keeps, strict=True):
            self._close(weights_RN, square_RN, open_gates(weights_RN.shape[1], keep, share))
        return taken_R / self.most_proposals

    def _swapped(self, weights: list[Tensor], numbers_RM: Tensor, choice_R: Tensor) -> list[Tensor]:
        """Pruner weights of which, in one pruner of each replica, an open and a closed one are exchanged.

        The largest of log p - log(-log u) is drawn with probability p (Gumbel).
        """
        chosen_R = (choice_R * len(weights)).long()
        gumbel_RM = -torch.log(-torch.log(numbers_RM.clamp(TINY, 1 - 1e-12)))
        of_pruners = gumbel_RM.split([2 * w.shape[1] for w in weights], dim=1)
        proposal = []
        for p, (weights_RN, square_RN, noise) in enumerate(zip(weights, self.squares, of_pruners, strict=True)):
            to_close_RN, to_open_RN = noise.chunk(2, dim=1)
            open_RN, matters_RN = weights_RN > 0, torch.log(square_RN + TINY)
            close_R1 = (to_close_RN - matters_RN).where(open_RN, -torch.inf).argmax(1, keepdim=True)
            open_R1 = (to_open_RN + matters_RN).where(~open_RN, -torch.inf).argmax(1, keepdim=True)
            new_RN = weights_RN.scatter(1, close_R1, -OPEN).scatter(1, open_R1, OPEN)
            moves_R = (chosen_R == p) & ~open_RN.all(1)
            proposal.append(torch.where(moves_R[:, None], new_RN, weights_RN))
        return proposal

    def _close(self, weights_RN: Tensor, square_RN: Tensor, count: int) -> None:
        """Leaves `count` of the open gates open: those whose units matter most."""
        order_RN = square_RN.where(weights_RN > 0, -torch.inf).argsort(dim=1, descending=True, stable=True)
        weights_RN.scatter_(1, order_RN[:, count:], -OPEN)

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs besides the random numbers: tensors and numbers."""
        return {"steps": self.steps, "squares": [square_RN.clone() for square_RN in self.squares]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes back to the state that `state_dict` described."""
        self.steps = state["steps"]
        self.squares = [square_RN.clone() for square_RN in state["squares"]]
