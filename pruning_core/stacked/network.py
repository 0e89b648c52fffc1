"""The layers of R networks one after the other, forward and backward."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pruning_core.stacked.layers import Gradients, Layer, LayerBackward


@dataclass(frozen=True)
class Step:
    """A layer and its place among the others.

    Attributes:
        inputs: numbers of the values that it takes, of which it computes the sum where they are several. Value 0 is the
            network's input, value i the output of the i-th step.
        rows: shape of a row of its input.
        last_used: numbers of the values that no later step takes.
    """

    layer: Layer
    inputs: tuple[int, ...]
    rows: tuple[int, ...]
    last_used: tuple[int, ...] = ()


class StackedLayers:
    """R networks of one kind as steps over stacked tensors.

    Args:
        steps: in order; the last one gives the logits, (R, C, B).
        unused: names of parameters that no step takes.
    """

    def __init__(self, steps: Sequence[Step], unused: Sequence[str] = ()) -> None:
        self.steps = list(steps)
        self.unused = list(unused)

    @torch.no_grad()
    def forward(
        self, tensors: Mapping[str, Tensor], x: Tensor, differentiate: bool
    ) -> tuple[Tensor, Callable[[Tensor], Gradients]]:
        """The logits, (R, B, C), and the function from dL/dlogits to dL/dparameters, by name.

        Args:
            tensors: parameters and buffers, each (R, ...), by name.
            x: (R, B, ...).
            differentiate: whether the second result will be called; once.
        """
        values = {0: x.movedim(1, -1)}
        done: list[tuple[Step, int, LayerBackward]] = []
        for number, step in enumerate(self.steps, start=1):
            total = sum((values[i] for i in step.inputs[1:]), values[step.inputs[0]])
            for i in step.last_used:
                del values[i]
            values[number], backward = step.layer.forward(tensors, total, differentiate)
            if differentiate:
                done.append((step, number, backward))
            del total, backward
        logits_RCB = values[len(self.steps)]

        @torch.no_grad()
        def all_backward(to_logits_RBC: Tensor) -> Gradients:
            to_values = {len(done): to_logits_RBC.mT}
            gradients: Gradients = {name: torch.zeros_like(tensors[name]) for name in self.unused}
            while done:
                step, number, backward = done.pop()
                if number not in to_values:  # nothing follows from its output
                    gradients |= {name: torch.zeros_like(tensors[name]) for name in step.layer.trains} | gradients
                    continue
                to_input, found = backward(to_values.pop(number))
                for name, gradient in found.items():
                    gradients[name] = gradients[name] + gradient if name in gradients else gradient
                if to_input is None:
                    continue
                for i in step.inputs:
                    to_values[i] = to_values[i] + to_input if i in to_values else to_input
            return gradients

        return logits_RCB.mT, all_backward

    def same_beside_others(self, replicas: int, batch: int) -> bool:
        """Whether R networks train the same to the last bit on a CPU, whatever is stacked beside them."""
        return all(step.layer.same_beside_others(replicas, step.rows, batch) for step in self.steps)

    def step_bytes(self, replicas: int, parameters: int, batch: int) -> int:
        """About how much memory a step goes through: parameters with all that Adam keeps, and what the layers make.

        Args:
            replicas: R.
            parameters: how many numbers each of them has.
            batch: B.
        """
        return 4 * replicas * (6 * parameters + 3 * batch * sum(math.prod(step.rows) for step in self.steps))
