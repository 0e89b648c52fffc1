"""R copies of one network as stacked tensors, trained and evaluated at once.

Any `nn.Module` with `Pruner` layers works: `torch.func.stack_module_state` stacks the parameters of R of them,
`vmap` over `functional_call` runs them side by side. Each replica draws its random numbers from its own generator,
so that it does not depend on its neighbours (but for rounding).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional

from pruning_core.pruner import Pruner, hard_mask

EVALUATION_ELEMENTS = 2**22


class ReplicaRandom:
    """One random number generator per replica, on the CPU: the same numbers on every device."""

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.device = device
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def permutations(self, rows: int) -> Tensor:
        """A random order of the rows for each replica, (R, rows)."""
        return torch.stack([torch.randperm(rows, generator=g) for g in self.generators]).to(self.device)

    def uniform(self, *shape: int) -> Tensor:
        """Numbers in [0, 1), (R, *shape)."""
        return torch.stack([torch.rand(shape, generator=g) for g in self.generators]).to(self.device)

    def state_dict(self) -> list[Tensor]:
        return [g.get_state() for g in self.generators]

    def load_state_dict(self, states: list[Tensor]) -> None:
        for generator, state in zip(self.generators, states, strict=True):
            generator.set_state(state.cpu())


class Replicas:
    """R networks that `build` makes, one after each seed.

    Args:
        build: makes one network; called right after seeding torch's global generator.
        seeds: one per replica; R is their number.
        device: where the stacked parameters live.

    Raises:
        ValueError: the network has no `Pruner`.

    Dropout draws from torch's global generator: with it, a replica does depend on its neighbours.
    """

    def __init__(
        self, build: Callable[[], nn.Module], seeds: Sequence[int], device: torch.device | str = "cpu"
    ) -> None:
        networks = []
        with torch.random.fork_rng(devices=[]):
            for seed in seeds:
                torch.manual_seed(seed)
                networks.append(build())
        pruners = [(name, m) for name, m in networks[0].named_modules() if isinstance(m, Pruner)]
        if not pruners:
            raise ValueError("the network has no Pruner layer, so there is nothing to prune")
        self.keeps = [pruner.keep for _, pruner in pruners]
        self.pruner_names = [f"{name}.weight" if name else "weight" for name, _ in pruners]
        parameters, buffers = stack_module_state(networks)
        trainable = {name for name, p in networks[0].named_parameters() if p.requires_grad}
        self.parameters = {
            name: stacked.detach().to(device).requires_grad_(name in trainable) for name, stacked in parameters.items()
        }
        self.buffers = {name: stacked.to(device) for name, stacked in buffers.items()}
        self.network = networks[0]
        self._forward = vmap(self._one_forward, randomness="different")
        self._forward_shared = vmap(self._one_forward, in_dims=(0, 0, None), randomness="different")

    def __len__(self) -> int:
        return next(iter(self.parameters.values())).shape[0]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All stacked parameters and buffers, each (R, ...)."""
        return {**self.parameters, **self.buffers}

    @property
    def pruner_weights(self) -> list[Tensor]:
        """The pruner weights, one (R, N) tensor per pruner."""
        return [self.parameters[name] for name in self.pruner_names]

    @property
    def network_parameters(self) -> list[Tensor]:
        """All stacked parameters but the pruner weights, each (R, ...)."""
        return [p for name, p in self.parameters.items() if name not in self.pruner_names]

    def _one_forward(self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(self.network, (parameters, buffers), (x,))

    def logits(self, x: Tensor, pruner_weights: list[Tensor] | None = None, shared: bool = False) -> Tensor:
        """The networks' outputs, (R, B, C).

        Args:
            x: a batch for each replica, (R, B, ...), or with `shared` one batch for all, (B, ...).
            pruner_weights: used in place of the networks' own, e.g. a hard mask.
        """
        parameters, buffers = self.parameters, self.buffers
        if pruner_weights is not None:  # a trial leaves BatchNorm's running statistics alone
            buffers = {name: buffer.clone() for name, buffer in buffers.items()}
            parameters = {**parameters, **dict(zip(self.pruner_names, pruner_weights, strict=True))}
        forward = self._forward_shared if shared else self._forward
        return forward(parameters, buffers, x)

    @torch.no_grad()
    def accuracy(self, x: Tensor, y: Tensor, pruned: bool) -> Tensor:
        """Fraction of rows classified correctly by each replica, (R,).

        Args:
            x: rows, (rows, F). y: their classes, (rows,).
            pruned: under the hard mask instead of the gates as they are.
        """
        self.network.eval()
        weights = self.hard_masks() if pruned else None
        correct_R = torch.zeros(len(self), dtype=torch.float64, device=y.device)
        rows_at_once = max(1, EVALUATION_ELEMENTS // (len(self) * max(64, x[0].numel())))
        for x_BF, y_B in zip(x.split(rows_at_once), y.split(rows_at_once), strict=True):
            correct_R += (self.logits(x_BF, weights, shared=True).argmax(-1) == y_B).sum(-1)
        self.network.train()
        return correct_R / len(y)

    def hard_masks(self) -> list[Tensor]:
        """The hard mask of each pruner as pruner weights, (R, N)."""
        return [hard_mask(w.detach(), keep) for w, keep in zip(self.pruner_weights, self.keeps, strict=True)]


def cross_entropy(logits_RBC: Tensor, y_RB: Tensor) -> Tensor:
    """L_cla: the mean cross-entropy of each replica, (R,)."""
    losses = functional.cross_entropy(logits_RBC.flatten(0, 1), y_RB.flatten(), reduction="none")
    return losses.view(y_RB.shape).mean(1)
