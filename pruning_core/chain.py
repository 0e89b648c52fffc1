"""The Markov chain that moves the pruner weights instead of back-propagation (slide "Alternative strategy").

w_new = w_old + delta u, u_i uniform in [-1, 1], kept only if L_tot(w_new) < L_tot(w_old). Beyond the deck: a random
subset of the weights (`block`), several proposals a step (`proposals`), a temperature that also accepts worse points.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pruning_core.replicas import ReplicaRandom

if TYPE_CHECKING:
    from pruning_core.config import TrialConfig

DRAWS_AT_ONCE = 2**16


def accepted(
    old_R: Tensor, new_R: Tensor, temperature_R: Tensor | None = None, uniform_R: Tensor | None = None
) -> Tensor:
    """Which replicas, (R,) bool, take the proposal: L_new < L_old or, at T > 0, u < exp(-(L_new - L_old)/T).

    Args:
        old_R, new_R: L_tot before and after the proposal. A NaN is never accepted.
        temperature_R: T >= 0; 0, and None for all, is the deck's rule.
        uniform_R: u in [0, 1), needed at T > 0 only.
    """
    better_R = new_R < old_R
    if temperature_R is None or uniform_R is None:
        return better_R
    return better_R | (uniform_R < torch.exp(-(new_R - old_R) / temperature_R))  # at T = 0: u < 0, or u < NaN


class Chain(ABC):
    """Moves the pruner weights of R replicas.

    Args:
        units: N of each pruner.
        proposals: how many a step has for each replica, the most first; 0 for one whose weights move otherwise.
        temperatures: T of each replica.
        device: where the pruner weights live.
    """

    def __init__(
        self, units: Sequence[int], proposals: Sequence[int], temperatures: Sequence[float], device: torch.device | str
    ) -> None:
        self.units = list(units)
        self.temperatures = list(temperatures)
        self.device = device
        self.most_proposals = max(proposals)
        self.proposals_R = torch.tensor(proposals, device=device)
        self.temperature_R = torch.tensor(temperatures, device=device) if any(temperatures) else None

    @abstractmethod
    def start_epoch(self, steps: int) -> None:
        """Forgets random numbers drawn ahead, so that an epoch depends on the generators' state alone."""

    @abstractmethod
    def proposals(self) -> Iterable[tuple[Tensor, Tensor]]:
        """What one step proposes, one after the other: moves of all pruner weights, (K, N), and a u in [0, 1), (K,).

        They are for the first K replicas: all, or fewer and fewer.
        """

    @torch.no_grad()
    def step(self, weights: list[Tensor], loss_R: Tensor, total_loss: Callable[[list[Tensor]], Tensor]) -> Tensor:
        """Proposes moves and applies the accepted ones in place.

        Args:
            weights: pruner weights, one (R, N) tensor per pruner.
            loss_R: L_tot at these weights.
            total_loss: L_tot, (K,), at other pruner weights, (K, N), of the first K replicas, on the same data with the
                same network weights.

        Returns:
            The fraction of accepted proposals of each replica, (R,); NaN for one without a chain.
        """
        acceptance_R, loss_R = torch.zeros_like(loss_R), loss_R.clone()
        for move_KN, uniform_K in self.proposals():
            k = len(move_KN)
            moves = move_KN.split(self.units, dim=1)
            proposal = [weights_RN[:k] + move for weights_RN, move in zip(weights, moves, strict=True)]
            old_K, new_K = loss_R[:k], total_loss(proposal)
            temperature_K = None if self.temperature_R is None else self.temperature_R[:k]
            accepted_K = accepted(old_K, new_K, temperature_K, uniform_K)
            for weights_RN, proposal_KN in zip(weights, proposal, strict=True):
                weights_RN[:k] = torch.where(accepted_K[:, None], proposal_KN, weights_RN[:k])
            loss_R[:k] = torch.where(accepted_K, new_K, old_K)
            acceptance_R[:k] += accepted_K
        return acceptance_R / self.proposals_R


class MarkovChain(Chain):
    """The chain of one configuration, each of whose replicas has random numbers of its own.

    Args:
        config: `delta`, `block`, `proposals` and `temperature` are used.
        units: N of each pruner.
        random: the replicas' random numbers.
    """

    def __init__(self, config: "TrialConfig", units: Sequence[int], random: ReplicaRandom) -> None:
        replicas = len(random.generators)
        super().__init__(units, [config.proposals] * replicas, [config.temperature] * replicas, random.device)
        self.config = config
        self.random = random
        self.width = sum(units) * (2 if config.block < 1 else 1) + (1 if config.temperature > 0 else 0)
        self.steps_at_once = 1
        self.ahead: list[tuple[Tensor, Tensor]] = []

    def start_epoch(self, steps: int) -> None:
        """Forgets random numbers drawn ahead, so that an epoch depends on the generators' state alone."""
        self.ahead = []
        self.steps_at_once = min(steps, max(1, DRAWS_AT_ONCE // (self.width * self.config.proposals)))

    def proposals(self) -> Iterable[tuple[Tensor, Tensor]]:
        """What one step proposes to all replicas.

        The numbers of many steps are drawn at once: drawing them step by step costs small networks a tenth of it.
        """
        if not self.ahead:
            moved = sum(self.units)
            noise_SPRK = self.random.uniform(self.steps_at_once, self.config.proposals, self.width).movedim(0, 2)
            moves_SPRN = self.config.delta * (2 * noise_SPRK[..., :moved] - 1)
            if self.config.block < 1:
                moves_SPRN *= noise_SPRK[..., moved : 2 * moved] < self.config.block
            self.ahead = list(zip(moves_SPRN.unbind(), noise_SPRK[..., -1].unbind(), strict=True))[::-1]
        return zip(*self.ahead.pop(), strict=True)
