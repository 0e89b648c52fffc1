"""R copies of one network as stacked tensors, trained and evaluated at once.

Any `nn.Module` with `Pruner` layers works: `torch.func.stack_module_state` stacks the parameters of R of them,
`vmap` over `functional_call` runs them side by side, unless the network's class offers a `stacked_forward` that does so
faster, or all its layers are known (see `stacked`). Each replica draws its random numbers from its own generator, so
that it does not depend on its neighbours (but for rounding).
"""

import copy
import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from pruning_core.dropout import ReplicaDropout, use_replica_dropout
from pruning_core.metrics import Answers, right_by_class, weights_by_class
from pruning_core.networks import Backward, StackedForward
from pruning_core.pruner import hard_mask, named_pruners
from pruning_core.stacked import StackedLayers, stacked_layers

if TYPE_CHECKING:
    from pruning_core.data import Part

EVALUATION_ELEMENTS = 2**20  # a quarter as many do not use a core fully, four times as many leave its cache


class ReplicaRandom:
    """One random number generator per replica, on the CPU: the same numbers on every device.

    Args:
        seeds: one per replica, or a generator that exists already: drawing from here then draws from it.
        device: where the numbers are wanted.
    """

    def __init__(self, seeds: Sequence[int | torch.Generator], device: torch.device | str = "cpu") -> None:
        self.device = device
        self.generators = [
            seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed) for seed in seeds
        ]

    def __len__(self) -> int:
        return len(self.generators)

    def permutations(self, rows: int) -> Tensor:
        """A random order of the rows for each replica, (R, rows), in int32: half the memory, the same order."""
        order = torch.empty(len(self), rows, dtype=torch.int32)
        for order_of_one, generator in zip(order, self.generators, strict=True):
            torch.randperm(rows, generator=generator, out=order_of_one)
        return order.to(self.device)

    def shuffled(self, shares: Sequence[Tensor], count: int) -> Tensor:
        """So many of each replica's own rows in random order, (R, count).

        A replica that has fewer takes them in one order after the other.

        Args:
            shares: the rows of each replica, (rows,) int32 on the CPU.
            count: at most about as many as each has.
        """
        orders = [
            torch.cat([torch.randperm(len(share), generator=generator) for _ in range(-(-count // len(share)))])[:count]
            for share, generator in zip(shares, self.generators, strict=True)
        ]
        return torch.stack([share[order] for share, order in zip(shares, orders, strict=True)]).to(self.device)

    def uniform(self, *shape: int) -> Tensor:
        """Numbers in [0, 1), (R, *shape)."""
        return torch.stack([torch.rand(shape, generator=g) for g in self.generators]).to(self.device)

    def state_dict(self) -> list[Tensor]:
        return [g.get_state() for g in self.generators]

    def load_state_dict(self, states: list[Tensor]) -> None:
        for generator, state in zip(self.generators, states, strict=True):
            generator.set_state(state.cpu())


@contextmanager
def _slow_vmap() -> Iterator[None]:
    """Without torch's warning that `vmap` computes an operation row by row, and its request to report that."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "There is a performance drop because we have not yet implemented the batching"
        )
        yield


class StackedNetwork:
    """R networks of one kind as stacked tensors, computed side by side: what a training step works on.

    Args:
        network: one of them: the layers are its own, the numbers are not.
        parameters, buffers: of all R, each (R, ...), by name.
        input_shape: of one row as the network takes it; None for flat rows.
        like: a stack with the same network, whose stacked form is used.
    """

    def __init__(
        self,
        network: nn.Module,
        parameters: dict[str, Tensor],
        buffers: dict[str, Tensor],
        input_shape: tuple[int, ...] | None = None,
        like: "StackedNetwork | None" = None,
    ) -> None:
        self.network = network
        self.input_shape = input_shape
        self.parameters = parameters
        self.buffers = buffers
        self.pruner_parameters = [pruner.parameter for pruner in named_pruners(network)]
        self.dropout_states = [f"{name}.state" for name, m in network.named_modules() if isinstance(m, ReplicaDropout)]
        self._forward = vmap(self._one_forward, randomness="different")
        self._forward_shared = vmap(self._one_forward, in_dims=(0, 0, None), randomness="different")
        # Not that of a base class: a subclass may compute something else.
        self._stacked_forward: StackedForward | None = vars(type(network)).get("stacked_forward")
        self._layers: dict[Hashable, StackedLayers | None] = like._layers if like else {}

    def __len__(self) -> int:
        return next(iter(self.parameters.values())).shape[0]

    @property
    def has_stacked_forward(self) -> bool:
        """Whether the network's class has a shortcut for R of them."""
        return self._stacked_forward is not None

    def layers(self, row: Tensor) -> StackedLayers | None:
        """The network's layers as stacked products; None where it has others, which `vmap` computes.

        Args:
            row: any row as the network takes it.
        """
        shape = row.shape, row.dtype
        if shape not in self._layers:
            self._layers[shape] = stacked_layers(self.network, row)
        return self._layers[shape]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All stacked parameters and buffers, each (R, ...)."""
        return {**self.parameters, **self.buffers}

    @property
    def pruner_weights(self) -> list[Tensor]:
        """The pruner weights, one (R, N) tensor per pruner."""
        return [self.parameters[name] for name in self.pruner_parameters]

    @property
    def network_parameters(self) -> list[Tensor]:
        """All stacked parameters but the pruner weights, each (R, ...)."""
        return [p for name, p in self.parameters.items() if name not in self.pruner_parameters]

    def in_shape(self, x: Tensor) -> Tensor:
        """Flat rows, (..., F), as the network takes them."""
        return x if self.input_shape is None else x.unflatten(-1, self.input_shape)

    def _one_forward(self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(self.network, (parameters, buffers), (x,))

    def logits(self, x: Tensor, pruner_weights: list[Tensor] | None = None, shared: bool = False) -> Tensor:
        """The networks' outputs, (R, B, C); of the first K networks (K, B, C).

        Args:
            x: a batch of flat rows for each replica, (R, B, F), or of the first K, (K, B, F), or with `shared` one for
                all, (B, F).
            pruner_weights: used in place of the networks' own, e.g. a hard mask; of as many replicas.
        """
        parameters, buffers = self.parameters, self.buffers
        if not shared and len(x) < len(self):
            parameters, buffers = ({name: t[: len(x)] for name, t in of.items()} for of in (parameters, buffers))
        x = self.in_shape(x)
        if pruner_weights is not None:  # a trial leaves BatchNorm's running statistics alone
            buffers = {name: buffer.clone() for name, buffer in buffers.items()}
            parameters = {**parameters, **dict(zip(self.pruner_parameters, pruner_weights, strict=True))}
        if self._stacked_forward is not None:
            return self._stacked_forward(self.network, parameters, x.expand(len(self), *x.shape) if shared else x)[0]
        if layers := self.layers(x[0] if shared else x[0, 0]):
            x = x.expand(len(self), *x.shape) if shared else x
            return layers.forward({**parameters, **buffers}, x, differentiate=False)[0]
        forward = self._forward_shared if shared else self._forward
        with _slow_vmap():
            return forward(parameters, buffers, x)

    @torch.no_grad()
    def logits_and_backward(self, x_RBF: Tensor) -> tuple[Tensor, Backward]:
        """The outputs for a batch for each replica, (R, B, C), and the function that takes dL/dlogits to the gradients.

        The gradients are those of (at least) all parameters that require one, by name. Call the function only once.
        """
        if self._stacked_forward is not None:
            return self._stacked_forward(self.network, self.parameters, self.in_shape(x_RBF))
        for name in self.dropout_states:
            self.buffers[name] += 1
        x = self.in_shape(x_RBF)
        if layers := self.layers(x[0, 0]):
            return layers.forward(self.tensors, x, differentiate=True)
        with torch.enable_grad():
            logits_RBC = self.logits(x_RBF)
        trained = {name: p for name, p in self.parameters.items() if p.requires_grad}

        def backward(to_logits_RBC: Tensor) -> dict[str, Tensor]:
            if not trained:
                return {}
            with _slow_vmap():
                gradients = torch.autograd.grad(
                    logits_RBC, list(trained.values()), to_logits_RBC, materialize_grads=True
                )
            return dict(zip(trained, gradients, strict=True))

        return logits_RBC.detach(), backward


class Replicas(StackedNetwork):
    """R networks that `build` makes, one after each seed.

    Args:
        build: makes one network; called right after seeding torch's global generator.
        seeds: one per replica; R is their number.
        device: where the stacked parameters live.
        input_shape: of one row as the networks take it; None for flat rows.

    Raises:
        ValueError: the network has no `Pruner`, or two of one name.

    Attributes:
        pruners: name, n, N and parameter of each pruner.

    `nn.Dropout` draws from the replica's own seed (see `ReplicaDropout`). Any other random operation draws from torch's
    global generator: with it, a replica depends on its neighbours, and a resumed training is not the same.
    """

    def __init__(
        self,
        build: Callable[[], nn.Module],
        seeds: Sequence[int],
        device: torch.device | str = "cpu",
        input_shape: tuple[int, ...] | None = None,
    ) -> None:
        networks = []
        with torch.random.fork_rng(devices=[]):
            for seed in seeds:
                torch.manual_seed(seed)
                networks.append(build())
                use_replica_dropout(networks[-1])
        self.pruners = named_pruners(networks[0])
        parameters, buffers = stack_module_state(networks)
        trainable = {name for name, p in networks[0].named_parameters() if p.requires_grad}
        super().__init__(
            networks[0],
            {name: p.detach().to(device).requires_grad_(name in trainable) for name, p in parameters.items()},
            {name: stacked.to(device) for name, stacked in buffers.items()},
            input_shape,
        )

    @torch.no_grad()
    def answers(self, part: "Part", pruned: bool, with_logits: bool = False, rows_RB: Tensor | None = None) -> Answers:
        """What the replicas say of the rows of a part, from which every metric follows.

        Args:
            part: rows, on the replicas' device.
            pruned: under the hard mask instead of the gates as they are.
            with_logits: whether the outputs are to be kept, (R, B, C) float32.
            rows_RB: which rows of the part each replica is asked about, -1 for none; all of them, unless given.
        """
        self.network.eval()
        masks = self.hard_masks() if pruned else None
        x, y, weight = part.x.flatten(1), part.y, part.weight
        if rows_RB is not None:
            asked_RB, rows_RB = rows_RB >= 0, rows_RB.clamp(min=0)
            y, weight = y[rows_RB], asked_RB.double() * (1 if weight is None else weight[rows_RB])
        rows_at_once = max(64, EVALUATION_ELEMENTS // (len(self) * max(64, x[0].numel())))
        right_RC, sums, kept = torch.zeros(0), torch.zeros(0), []
        for start in range(0, y.shape[-1], rows_at_once):
            rows = slice(start, start + rows_at_once)
            logits_RBC = self.logits(x[rows] if rows_RB is None else x[rows_RB[:, rows]], masks, rows_RB is None)
            weights = weights_by_class(y[..., rows], logits_RBC.shape[2], None if weight is None else weight[..., rows])
            right, sum_of_rows = right_by_class(logits_RBC, y[..., rows], weights), weights.sum(-2)
            right_RC, sums = (right_RC + right, sums + sum_of_rows) if start else (right, sum_of_rows)
            kept += [logits_RBC] if with_logits else []
        self.network.train()
        return Answers(right_RC, sums, torch.cat(kept, 1) if kept else None, y, weight)

    def hard_masks(self) -> list[Tensor]:
        """The hard mask of each pruner as pruner weights, (R, N)."""
        return [hard_mask(w.detach(), p.keep) for w, p in zip(self.pruner_weights, self.pruners, strict=True)]


@torch.no_grad()
def one_replica(replicas: Replicas, replica: int) -> nn.Module:
    """One of the R networks by itself, on the CPU, gates included; it takes rows in its `input_shape`."""
    network = copy.deepcopy(replicas.network).cpu()
    for name, tensor in chain(network.named_parameters(), network.named_buffers()):
        tensor.copy_(replicas.tensors[name][replica])
    return network.eval()
