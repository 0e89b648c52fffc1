"""The Markov chain that moves the pruner weights instead of back-propagation (slide "Alternative strategy").

w_new = w_old + delta u, u_i uniform in [-1, 1], kept only if L_tot(w_new) < L_tot(w_old). Beyond the deck: a random
subset of the weights (`block`), several proposals a step (`proposals`), a temperature that also accepts worse points.
"""

from collections.abc import Callable, Sequence
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


class MarkovChain:
    """Moves the pruner weights of R replicas, each with random numbers of its own.

    Args:
        config: `delta`, `block`, `proposals` and `temperature` are used.
        units: N of each pruner.
        random: the replicas' random numbers.
    """

    def __init__(self, config: "TrialConfig", units: list[int], random: ReplicaRandom) -> None:
        self.config = config
        self.units = units
        self.random = random
        moved = sum(units)
        self.width = moved * (2 if config.block < 1 else 1) + (1 if config.temperature > 0 else 0)
        replicas = len(random.generators)
        self.temperature_R = (
            torch.full((replicas,), config.temperature, device=random.device) if config.temperature > 0 else None
        )
        self.steps_at_once = 1
        self.ahead: list[tuple[Tensor, Tensor]] = []

    def start_epoch(self, steps: int) -> None:
        """Forgets random numbers drawn ahead, so that an epoch depends on the generators' state alone."""
        self.ahead = []
        self.steps_at_once = min(steps, max(1, DRAWS_AT_ONCE // (self.width * self.config.proposals)))

    def _proposed(self) -> tuple[Tensor, Tensor]:
        """What one step proposes: moves of all pruner weights, (proposals, R, N), and a u in [0, 1) for each move.

        The numbers of many steps are drawn at once: drawing them step by step costs small networks a tenth of it.
        """
        if not self.ahead:
            moved = sum(self.units)
            noise_SPRK = self.random.uniform(self.steps_at_once, self.config.proposals, self.width).movedim(0, 2)
            moves_SPRN = self.config.delta * (2 * noise_SPRK[..., :moved] - 1)
            if self.config.block < 1:
                moves_SPRN *= noise_SPRK[..., moved : 2 * moved] < self.config.block
            self.ahead = list(zip(moves_SPRN.unbind(), noise_SPRK[..., -1].unbind(), strict=True))[::-1]
        return self.ahead.pop()

    @torch.no_grad()
    def step(self, weights: list[Tensor], loss_R: Tensor, total_loss: Callable[[list[Tensor]], Tensor]) -> Tensor:
        """Proposes `proposals` moves and applies the accepted ones in place.

        Args:
            weights: pruner weights, one (R, N) tensor per pruner.
            loss_R: L_tot at these weights.
            total_loss: L_tot, (R,), at other pruner weights, on the same data with the same network weights.

        Returns:
            The fraction of accepted proposals of each replica, (R,).
        """
        acceptance_R = torch.zeros_like(loss_R)
        for move_RN, uniform_R in zip(*self._proposed(), strict=True):
            proposal = [w + move for w, move in zip(weights, move_RN.split(self.units, dim=1), strict=True)]
            new_R = total_loss(proposal)
            accepted_R = accepted(loss_R, new_R, self.temperature_R, uniform_R)
            for weights_RN, proposal_RN in zip(weights, proposal, strict=True):
                weights_RN.copy_(torch.where(accepted_R[:, None], proposal_RN, weights_RN))
            loss_R = torch.where(accepted_R, new_R, loss_R)
            acceptance_R += accepted_R
        return acceptance_R / self.config.proposals


class JoinedChains(MarkovChain):
    """Several chains with as many proposals a step, for replicas that are trained as one stack.

    Args:
        parts: the chains; each draws its own random numbers, with its own `delta` and `block`.
        replicas: R of each.
    """

    def __init__(self, parts: Sequence[MarkovChain], replicas: Sequence[int]) -> None:
        self.parts = parts
        self.config = parts[0].config
        self.units = parts[0].units
        self.temperature_R = None
        if any(part.temperature_R is not None for part in parts):
            each = torch.tensor([part.config.temperature for part in parts], device=parts[0].random.device)
            self.temperature_R = each.repeat_interleave(torch.tensor(replicas, device=each.device))

    def start_epoch(self, steps: int) -> None:
        """Forgets random numbers drawn ahead."""
        for part in self.parts:
            part.start_epoch(steps)

    def _proposed(self) -> tuple[Tensor, Tensor]:
        moves, uniforms = zip(*(part._proposed() for part in self.parts), strict=True)
        return torch.cat(moves, dim=1), torch.cat(uniforms, dim=1)
