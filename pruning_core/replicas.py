"""R copies of one network as stacked tensors, trained and evaluated at once.

Any `nn.Module` with `Pruner` layers works: `torch.func.stack_module_state` stacks the parameters of R of them,
`vmap` over `functional_call` runs them side by side, unless the network's class offers a `stacked_forward` that does so
faster. Each replica draws its random numbers from its own generator, so that it does not depend on its neighbours (but
for rounding).
"""

from collections.abc import Callable, Sequence
from copy import copy

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from pruning_core.dropout import ReplicaDropout, use_replica_dropout
from pruning_core.networks import Backward, StackedForward
from pruning_core.pruner import Pruner, hard_mask
from pruning_core.tasks import right_answers

EVALUATION_ELEMENTS = 2**20  # a quarter as many do not use a core fully, four times as many leave its cache


class ReplicaRandom:
    """One random number generator per replica, on the CPU: the same numbers on every device."""

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.device = device
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def permutations(self, rows: int) -> Tensor:
        """A random order of the rows for each replica, (R, rows), in int32: half the memory, the same order."""
        order = torch.empty(len(self.generators), rows, dtype=torch.int32)
        for order_of_one, generator in zip(order, self.generators, strict=True):
            torch.randperm(rows, generator=generator, out=order_of_one)
        return order.to(self.device)

    def uniform(self, *shape: int) -> Tensor:
        """Numbers in [0, 1), (R, *shape)."""
        return torch.stack([torch.rand(shape, generator=g) for g in self.generators]).to(self.device)

    @classmethod
    def joined(cls, parts: Sequence["ReplicaRandom"]) -> "ReplicaRandom":
        """The generators of several parts, one after the other; drawing from it draws from them."""
        random = cls([], parts[0].device)
        random.generators = [generator for part in parts for generator in part.generators]
        return random

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

    `nn.Dropout` draws from the replica's own seed (see `ReplicaDropout`). Any other random operation draws from torch's
    global generator: with it, a replica depends on its neighbours, and a resumed training is not the same.
    """

    def __init__(
        self, build: Callable[[], nn.Module], seeds: Sequence[int], device: torch.device | str = "cpu"
    ) -> None:
        networks = []
        with torch.random.fork_rng(devices=[]):
            for seed in seeds:
                torch.manual_seed(seed)
                networks.append(build())
                use_replica_dropout(networks[-1])
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
        self.dropout_states = [
            f"{name}.state" for name, m in self.network.named_modules() if isinstance(m, ReplicaDropout)
        ]
        self._forward = vmap(self._one_forward, randomness="different")
        self._forward_shared = vmap(self._one_forward, in_dims=(0, 0, None), randomness="different")
        # Not that of a base class: a subclass may compute something else.
        self._stacked_forward: StackedForward | None = vars(type(networks[0])).get("stacked_forward")

    @classmethod
    def joined(cls, parts: Sequence["Replicas"]) -> "Replicas":
        """The replicas of several parts, one after the other, of networks with the same layers.

        They are for training only: which n a replica has, its part knows (`keeps` is empty).

        The parts stay what they were, but their tensors are parts of the new ones from now on: what is done to one is
        done to the other.
        """
        replicas = copy(parts[0])
        replicas.parameters = _joined([part.parameters for part in parts])
        replicas.buffers = _joined([part.buffers for part in parts])
        replicas.keeps = []
        return replicas

    def __len__(self) -> int:
        return next(iter(self.parameters.values())).shape[0]

    @property
    def has_stacked_forward(self) -> bool:
        """Whether the network's class has a shortcut for R of them."""
        return self._stacked_forward is not None

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
        """The networks' outputs, (R, B, C); of the first K networks (K, B, C).

        Args:
            x: a batch for each replica, (R, B, ...), or of the first K, (K, B, ...), or with `shared` one for all,
                (B, ...).
            pruner_weights: used in place of the networks' own, e.g. a hard mask; of as many replicas.
        """
        parameters, buffers = self.parameters, self.buffers
        if not shared and len(x) < len(self):
            parameters, buffers = ({name: t[: len(x)] for name, t in of.items()} for of in (parameters, buffers))
        if pruner_weights is not None:  # a trial leaves BatchNorm's running statistics alone
            buffers = {name: buffer.clone() for name, buffer in buffers.items()}
            parameters = {**parameters, **dict(zip(self.pruner_names, pruner_weights, strict=True))}
        if self._stacked_forward is not None:
            return self._stacked_forward(self.network, parameters, x.expand(len(self), *x.shape) if shared else x)[0]
        forward = self._forward_shared if shared else self._forward
        return forward(parameters, buffers, x)

    @torch.no_grad()
    def logits_and_backward(self, x_RBF: Tensor) -> tuple[Tensor, Backward]:
        """The outputs for a batch for each replica, (R, B, C), and the function that takes dL/dlogits to the gradients.

        The gradients are those of (at least) all parameters that require one, by name. Call the function only once.
        """
        if self._stacked_forward is not None:
            return self._stacked_forward(self.network, self.parameters, x_RBF)
        for name in self.dropout_states:
            self.buffers[name] += 1
        with torch.enable_grad():
            logits_RBC = self.logits(x_RBF)
        trained = {name: p for name, p in self.parameters.items() if p.requires_grad}

        def backward(to_logits_RBC: Tensor) -> dict[str, Tensor]:
            if not trained:
                return {}
            gradients = torch.autograd.grad(logits_RBC, list(trained.values()), to_logits_RBC, materialize_grads=True)
            return dict(zip(trained, gradients, strict=True))

        return logits_RBC.detach(), backward

    @torch.no_grad()
    def accuracy(self, x: Tensor, y: Tensor, pruned: bool, weight: Tensor | None = None) -> Tensor:
        """Fraction of rows classified correctly by each replica, (R,).

        Args:
            x: rows, (rows, F). y: their classes, (rows,).
            pruned: under the hard mask instead of the gates as they are.
            weight: how much each row counts, (rows,); negative ones too.
        """
        self.network.eval()
        masks = self.hard_masks() if pruned else None
        right_R = torch.zeros(len(self), dtype=torch.float64, device=y.device)
        rows_at_once = max(64, EVALUATION_ELEMENTS // (len(self) * max(64, x[0].numel())))
        for start in range(0, len(y), rows_at_once):
            rows = slice(start, start + rows_at_once)
            logits_RBC = self.logits(x[rows], masks, shared=True)
            right_R += right_answers(logits_RBC, y[rows], None if weight is None else weight[rows])
        self.network.train()
        return right_R / (len(y) if weight is None else weight.double().sum())

    def hard_masks(self) -> list[Tensor]:
        """The hard mask of each pruner as pruner weights, (R, N)."""
        return [hard_mask(w.detach(), keep) for w, keep in zip(self.pruner_weights, self.keeps, strict=True)]


@torch.no_grad()
def _joined(parts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The parts' tensors one after the other, by name; the parts' own ones become views of them."""
    joined = {}
    for name, first in parts[0].items():
        whole = torch.cat([part[name] for part in parts])
        for part, view in zip(parts, whole.split([len(part[name]) for part in parts]), strict=True):
            part[name].data = view
        joined[name] = whole.requires_grad_(first.requires_grad)
    return joined
