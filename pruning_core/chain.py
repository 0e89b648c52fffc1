"""The Markov chain that moves the pruner weights instead of back-propagation (slide "Alternative strategy").

w_new = w_old + delta u, u_i uniform in [-1, 1], kept only if L_tot(w_new) < L_tot(w_old). Beyond the deck: a random
subset of the weights (`block`), several proposals a step (`proposals`), a temperature that also accepts worse points.
"""

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
        self.proposals_R = torch.full((replicas,), config.proposals, device=random.device)
        self.steps_at_once = 1
        self.ahead: list[tuple[Tensor, Tensor]] = []

    def start_epoch(self, steps: int) -> None:
        """Forgets random numbers drawn ahead, so that an epoch depends on the generators' state alone."""
        self.ahead = []
        self.steps_at_once = min(steps, max(1, DRAWS_AT_ONCE // (self.width * self.config.proposals)))

    def proposed(self) -> tuple[Tensor, Tensor]:
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

    def _moves(self) -> Iterable[tuple[Tensor, Tensor]]:
        """The proposals of one step, one after the other: those of the first replicas, all or fewer and fewer."""
        return zip(*self.proposed(), strict=True)

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
        for move_KN, uniform_K in self._moves():
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


class JoinedChains(MarkovChain):
    """The chains of several parts of a stack, each with its own `delta`, `block`, temperature and random numbers.

    Args:
        parts: the chain of each part, those with more proposals a step first, and at the end None for the parts whose
            pruner weights move by back-propagation.
        replicas: R of each part.
    """

    def __init__(self, parts: Sequence[MarkovChain | None], replicas: Sequence[int]) -> None:
        self.parts = [part for part in parts if part]
        self.units = self.parts[0].units
        device = self.parts[0].random.device

        def each(values: Sequence[float]) -> Tensor:
            return torch.tensor(values, device=device).repeat_interleave(torch.tensor(replicas, device=device))

        proposals = [part.config.proposals if part else 0 for part in parts]
        if proposals != sorted(proposals, reverse=True):
            raise ValueError(f"parts with more proposals must come first, not those with {proposals}")
        self.proposals_R = each(proposals)
        self.temperature_R = None
        if any(part.temperature_R is not None for part in self.parts):
            self.temperature_R = each([part.config.temperature if part else 0.0 for part in parts])

    def start_epoch(self, steps: int) -> None:
        """Forgets random numbers drawn ahead."""
        for part in self.parts:
            part.start_epoch(steps)

    def _moves(self) -> Iterable[tuple[Tensor, Tensor]]:
        of_parts = [list(zip(*part.proposed(), strict=True)) for part in self.parts]
        for k in range(len(of_parts[0])):
            moves, uniforms = zip(*(proposals[k] for proposals in of_parts if k < len(proposals)), strict=True)
            yield torch.cat(moves), torch.cat(uniforms)
