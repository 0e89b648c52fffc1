"""Several runs in one batch: which ones can, and the one loop that trains their replicas as each run alone would.

The same few dozen calls then move more of them. The batch is an arrangement of the work, not a part of the result: each
run keeps its own hyperparameters, random numbers and state, and can be saved, or joined with others, after any epoch.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pruning_core.chain import Chain
from pruning_core.inner_loop import InnerLoop, LossTerms, Rows
from pruning_core.networks import NetworkSpec
from pruning_core.optimizer import Optimizer
from pruning_core.replicas import ReplicaRandom, Replicas, StackedNetwork
from pruning_core.swap import SwapChain

if TYPE_CHECKING:
    from pruning_core.config import TrialConfig


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


def kind(loop: InnerLoop, network: NetworkSpec) -> Hashable | None:
    """What the loops of two runs must have in common to be joined: data, batches, network, the rejection loss.

    None where the network joins no other, and on a CPU, of which one thread is used, where a joined replica would not
    be the same to the last bit: a product of matrices depends on how far they are from a multiple of 64 bytes, so each
    part must end at one. None for `swap` as well, whose chain needs what back-propagation would not compute for others.

    Args:
        network: how the loop's networks were built.
    """
    stack, rows = loop.stack, loop.rows
    if isinstance(loop.chain, SwapChain):
        return None
    if rows.x.device.type == "cpu" and not _same_beside_others(stack, rows):
        return None
    of_network = network.kind(stack.network)
    if of_network is None:
        return None
    layers = tuple(
        (name, p.shape[1:], p.dtype, name in stack.pruner_parameters or p.requires_grad)
        for name, p in stack.parameters.items()
    )
    buffers = tuple((name, buffer.shape[1:], buffer.dtype) for name, buffer in stack.buffers.items())
    data = rows.x.data_ptr(), rows.y.data_ptr(), rows.batch_size, rows.count, rows.shares is None, stack.input_shape
    return of_network, layers, buffers, loop.losses.rejection, data


def _same_beside_others(stack: StackedNetwork, rows: Rows) -> bool:
    if stack.has_stacked_forward:
        widths = [rows.x[0].numel(), *(p.shape[1] for p in stack.parameters.values() if p.dim() == 3)]
        return aligned(len(stack), rows.batch_size, widths)
    layers = stack.layers(stack.in_shape(rows.x[0].flatten()))
    return layers is not None and layers.same_beside_others(len(stack), rows.batch_size)


def bytes_beside_others(
    network: NetworkSpec, config: "TrialConfig", features: int, classes: int, batch: int
) -> int | None:
    """About how much memory a step of a trial's replicas goes through; None where they must not be joined on a CPU.

    Of a network whose widths nobody said one is built.

    Args:
        batch: B.
    """
    widths = network.widths(config, features, classes)
    if widths is not None:
        shape = config.seeds, batch, widths
        return step_bytes(*shape) if aligned(*shape) else None
    stack = Replicas(partial(network.build, config, features, classes), [0], input_shape=network.input_shape)
    layers = stack.layers(stack.in_shape(torch.zeros(features)))
    if layers is None or not layers.same_beside_others(config.seeds, batch):
        return None
    parameters = sum(p[0].numel() for p in stack.parameters.values())
    return layers.step_bytes(config.seeds, parameters, batch)


def join(loops: Sequence[InnerLoop]) -> InnerLoop:
    """One loop over the replicas of several loops of one `kind`, each with hyperparameters of its own.

    A replica then trains as it would in its own loop, to the last bit where the products of a batch of matrices do not
    depend on how many they are. The parts' tensors are parts of the new ones from now on.

    Args:
        loops: those with more proposals first: a proposal is tried out for the first replicas only.

    Raises:
        ValueError: they stand in another order, or one of them joins no other.
    """
    counts = [len(loop.stack) for loop in loops]
    chains = [loop.chain for loop in loops if not isinstance(loop.chain, SwapChain)]
    if len(chains) < len(loops):
        raise ValueError("a run of `swap` joins no other")
    joined_chains = JoinedChains(chains, counts) if any(chains) else None
    first = loops[0]
    stack = StackedNetwork(
        first.stack.network,
        _one_after_the_other([loop.stack.parameters for loop in loops]),
        _one_after_the_other([loop.stack.buffers for loop in loops]),
        first.stack.input_shape,
        like=first.stack,
    )
    for weights_RN in stack.pruner_weights:
        weights_RN.requires_grad_(not all(chains))
    terms = [loop.losses for loop in loops]
    losses = LossTerms(
        first.losses.rejection,
        torch.cat([of_loop.smoothing_R for of_loop in terms]),
        torch.cat([of_loop.rejection_weight_R for of_loop in terms]),
        [torch.cat(of_pruner) for of_pruner in zip(*(of_loop.keeps for of_loop in terms), strict=True)],
    )
    random = ReplicaRandom([g for loop in loops for g in loop.random.generators], first.random.device)
    optimizer = JoinedOptimizers([loop.optimizer for loop in loops], counts)
    rows = first.rows.beside([loop.rows for loop in loops[1:]])
    return InnerLoop(stack, random, rows, losses, optimizer, joined_chains)


class JoinedChains(Chain):
    """The chains of several parts of a stack, each with its own `delta`, `block`, temperature and random numbers.

    Args:
        parts: the chain of each part, those with more proposals a step first, and at the end None for the parts whose
            pruner weights move by back-propagation.
        replicas: R of each part.

    Raises:
        ValueError: the parts stand in another order.
    """

    def __init__(self, parts: Sequence[Chain | None], replicas: Sequence[int]) -> None:
        proposals = [part.most_proposals if part else 0 for part in parts]
        if proposals != sorted(proposals, reverse=True):
            raise ValueError(f"parts with more proposals must come first, not those with {proposals}")
        self.parts = [part for part in parts if part]
        counts: list[int] = []
        temperatures: list[float] = []
        for part, count in zip(parts, replicas, strict=True):
            counts += [part.most_proposals if part else 0] * count
            temperatures += part.temperatures if part else [0.0] * count
        super().__init__(self.parts[0].units, counts, temperatures, self.parts[0].device)

    def start_epoch(self, steps: int) -> None:
        """Forgets random numbers drawn ahead."""
        for part in self.parts:
            part.start_epoch(steps)

    def proposals(self) -> Iterable[tuple[Tensor, Tensor]]:
        """The parts' proposals side by side: first those of all parts, at last those of the parts with the most."""
        of_parts = [list(part.proposals()) for part in self.parts]
        for k in range(self.most_proposals):
            moves, uniforms = zip(*(proposals[k] for proposals in of_parts if k < len(proposals)), strict=True)
            yield torch.cat(moves), torch.cat(uniforms)


class JoinedOptimizers:
    """Several optimisers, each with step sizes of its own, for replicas that are trained as one stack.

    Args:
        parts: the optimisers.
        replicas: R of each.
    """

    def __init__(self, parts: Sequence[Optimizer], replicas: Sequence[int]) -> None:
        self.parts = list(parts)
        self.replicas = list(replicas)

    def step(self, gradients: Mapping[str, Tensor]) -> None:
        """Moves the parameters of each part by its rows of the gradients."""
        shares = {name: gradient.split(self.replicas) for name, gradient in gradients.items()}
        for i, part in enumerate(self.parts):
            part.step({name: share[i] for name, share in shares.items()})


@torch.no_grad()
def _one_after_the_other(parts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The parts' tensors one after the other, by name; the parts' own ones become views of them."""
    joined = {}
    for name, first in parts[0].items():
        whole = torch.cat([part[name] for part in parts])
        for part, view in zip(parts, whole.split([len(part[name]) for part in parts]), strict=True):
            part[name].data = view
        joined[name] = whole.requires_grad_(first.requires_grad)
    return joined
