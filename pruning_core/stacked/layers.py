"""Layers of R networks at once. Legend: `R` replicas, `F` and `H` a layer's inputs and outputs, `B` rows of a batch.

Each takes values with the rows last, such as (R, F, B), and gives its output and the function that takes the gradient
of the output to those of the input and of its parameters.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pruning_core.dropout import ReplicaDropout, uniform

NUMBERS_AT_ONCE = 32  # two vectors of 512 bits, the most that torch's loops take in a turn
Gradients = dict[str, Tensor]
LayerBackward = Callable[[Tensor], tuple[Tensor | None, Gradients]]


@dataclass(frozen=True)
class Layer(ABC):
    """One layer of R networks.

    Attributes:
        to_input: whether the gradient of its input is wanted.
        leaves_output: whether its output is a tensor of its own that its backward function does not need, so that the
            next layer may overwrite it.
        leaves_gradient: the same of the gradient of its input, which the layer before may overwrite.
    """

    to_input: bool
    leaves_output: ClassVar[bool] = False
    leaves_gradient: ClassVar[bool] = False

    @property
    def trains(self) -> tuple[str, ...]:
        """The names of its parameters."""
        return ()

    @abstractmethod
    def forward(self, tensors: Mapping[str, Tensor], x: Tensor, differentiate: bool) -> tuple[Tensor, LayerBackward]:
        """The output and what takes its gradient to those of the input (None where not wanted) and the parameters.

        Args:
            tensors: parameters and buffers of the whole stack, each (R, ...), by name.
            x: (R, ..., B).
            differentiate: whether the second result will be called; once.
        """

    def same_beside_others(self, replicas: int, rows: tuple[int, ...], batch: int) -> bool:
        """Whether R networks get the same numbers to the last bit on a CPU, whatever is stacked beside them.

        Args:
            replicas: R.
            rows: shape of one row of its input.
            batch: B.
        """
        return True


def all_aligned(replicas: int, *sizes: int) -> bool:
    """Whether R matrices of each size end at a multiple of 64 bytes, on which a product depends; see `joined`."""
    return all(replicas * size % 16 == 0 for size in sizes)


def gates_of(tensors: Mapping[str, Tensor], pruner: str, dtype: torch.dtype) -> Tensor:
    """sigma(w), (R, N), of a pruner's weights, computed in float64: see losses.py."""
    return torch.sigmoid(tensors[pruner].double()).to(dtype)


@dataclass(frozen=True)
class Linear(Layer):
    """`nn.Linear`, and the pruner before it: gates multiply the weights, (x g) W^T = x (g W)^T.

    Attributes:
        weight, bias: names of the parameters, (R, H, F) and (R, H).
        sizes: F and H.
        pruner: name of the pruner weights, (R, N); N = F, or F is N channels of several values each.
    """

    weight: str
    bias: str | None
    sizes: tuple[int, int]
    pruner: str | None = None
    leaves_output: ClassVar[bool] = True
    leaves_gradient: ClassVar[bool] = True

    @property
    def trains(self) -> tuple[str, ...]:
        return tuple(name for name in (self.weight, self.bias, self.pruner) if name is not None)

    def forward(self, tensors: Mapping[str, Tensor], x: Tensor, differentiate: bool) -> tuple[Tensor, LayerBackward]:
        weight_RHF, x_RFB = tensors[self.weight], x
        gates_RF = None
        if self.pruner is not None:
            gates_RN = gates_of(tensors, self.pruner, x.dtype)
            gates_RF = gates_RN.repeat_interleave(weight_RHF.shape[2] // gates_RN.shape[1], 1)
            weight_RHF = weight_RHF * gates_RF.unsqueeze(1)
        if self.bias is None:
            y_RHB = torch.bmm(weight_RHF, x_RFB)
        else:
            y_RHB = torch.baddbmm(tensors[self.bias].unsqueeze(2), weight_RHF, x_RFB)

        def backward(to_y_RHB: Tensor) -> tuple[Tensor | None, Gradients]:
            gradients = {self.weight: torch.bmm(to_y_RHB, x_RFB.mT)}
            if self.bias is not None:
                gradients[self.bias] = to_y_RHB.sum(2)
            to_x_RFB = torch.bmm(weight_RHF.mT, to_y_RHB) if self.to_input else None
            if self.pruner is not None and gates_RF is not None:
                to_gated_RHF = gradients[self.weight]
                if tensors[self.pruner].requires_grad:
                    units = tensors[self.pruner].shape[1]
                    to_gates_RF = weight_RHF.mul_(to_gated_RHF).sum(1) * (1 - gates_RF)
                    gradients[self.pruner] = to_gates_RF.unflatten(1, (units, -1)).sum(2)
                to_gated_RHF.mul_(gates_RF.unsqueeze(1))
            return to_x_RFB, gradients

        return y_RHB, backward

    def same_beside_others(self, replicas: int, rows: tuple[int, ...], batch: int) -> bool:
        inputs, outputs = self.sizes
        return all_aligned(replicas, inputs * outputs, inputs * batch, outputs * batch)


@dataclass(frozen=True)
class Gate(Layer):
    """A `Pruner` by itself: unit i of (R, ..., N, ..., B) times gate i.

    Attributes:
        pruner: name of its weights, (R, N).
        shape: that of a row in which only the gated dimension has a size: (N, 1, 1) for channels.
    """

    pruner: str
    shape: tuple[int, ...]
    leaves_output: ClassVar[bool] = True
    leaves_gradient: ClassVar[bool] = True

    @property
    def trains(self) -> tuple[str, ...]:
        return (self.pruner,)

    def forward(self, tensors: Mapping[str, Tensor], x: Tensor, differentiate: bool) -> tuple[Tensor, LayerBackward]:
        gates_RN = gates_of(tensors, self.pruner, x.dtype)
        gates, x = gates_RN.view(-1, *self.shape, 1), x.contiguous()

        def backward(to_y: Tensor) -> tuple[Tensor | None, Gradients]:
            gradients = {}
            if tensors[self.pruner].requires_grad:
                others = [1 + i for i, size in enumerate(self.shape) if size == 1]
                to_gates_RN = (to_y * x).sum([*others, -1]).view_as(gates_RN)
                gradients[self.pruner] = to_gates_RN * gates_RN * (1 - gates_RN)
            return (to_y * gates if self.to_input else None), gradients

        return x * gates, backward


@dataclass(frozen=True)
class ReLU(Layer):
    """`nn.ReLU`; `in_place` where nobody needs its input, `gradient_in_place` where nobody that of its output."""

    in_place: bool = False
    gradient_in_place: bool = False

    def forward(self, tensors: Mapping[str, Tensor], x: Tensor, differentiate: bool) -> tuple[Tensor, LayerBackward]:
        y = x.relu_() if self.in_place else x.relu()

        def backward(to_y: Tensor) -> tuple[Tensor | None, Gradients]:
            if self.gradient_in_place:  # half the time
                return torch.ops.aten.threshold_backward.grad_input(to_y, y, 0, grad_input=to_y), {}
            return torch.ops.aten.threshold_backward(to_y, y, 0), {}

        return y, backward


@dataclass(frozen=True)
class Reshaped(Layer):
    """Rows of another shape: `nn.Flatten`, `view`, `squeeze` and the like; of the same for a mere sum."""

    shape: tuple[int, ...]

    def forward(self, tensors: Mapping[str, Tensor], x: Tensor, differentiate: bool) -> tuple[Tensor, LayerBackward]:
        y = x.reshape(len(x), *self.shape, x.shape[-1])
        return y, lambda to_y: (to_y.reshape(x.shape), {})


@dataclass(frozen=True)
class Differentiated(Layer):
    """Any function of the values with the rows last, whose gradient autograd finds.

    Attributes:
        function: (x, *parameters) -> output.
        parameters: names of what it takes besides, each (R, ...).
    """

    function: Callable[..., Tensor]
    parameters: tuple[str, ...] = ()

    @property
    def trains(self) -> tuple[str, ...]:
        return self.parameters

    def forward(self, tensors: Mapping[str, Tensor], x: Tensor, differentiate: bool) -> tuple[Tensor, LayerBackward]:
        if not differentiate:
            return self.function(x, *(tensors[name] for name in self.parameters)), lambda to_y: (None, {})
        x = x.detach().requires_grad_(self.to_input)
        trained = {name: tensors[name] for name in self.parameters if tensors[name].requires_grad}
        wanted = [*([x] if self.to_input else []), *trained.values()]
        with torch.enable_grad():
            y = self.function(x, *(tensors[name] for name in self.parameters))

        def backward(to_y: Tensor) -> tuple[Tensor | None, Gradients]:
            if not wanted:
                return None, {}
            found = list(torch.autograd.grad(y, wanted, to_y))
            to_x = found.pop(0) if self.to_input else None
            return to_x, dict(zip(trained, found, strict=True))

        return y.detach(), backward

    def same_beside_others(self, replicas: int, rows: tuple[int, ...], batch: int) -> bool:
        """A function of the numbers that are left over by a processor's vectors differs from that of the others."""
        return replicas * math.prod(rows) * batch % NUMBERS_AT_ONCE == 0


@dataclass(frozen=True)
class BatchNorm(Layer):
    """`nn.BatchNorm1d` and `2d` on (R, C, ..., B), with running statistics of each replica.

    Attributes:
        module: that of the network, of which the mode and the constants are used.
        path: its place there: the names of its parameters and buffers start with it.
        parameters: names of weight and bias, if it has any.
    """

    module: torch.nn.BatchNorm1d | torch.nn.BatchNorm2d
    path: str
    parameters: tuple[str, ...]
    leaves_output: ClassVar[bool] = True
    leaves_gradient: ClassVar[bool] = True

    @property
    def trains(self) -> tuple[str, ...]:
        return self.parameters

    def forward(self, tensors: Mapping[str, Tensor], x: Tensor, differentiate: bool) -> tuple[Tensor, LayerBackward]:
        def flat(name: str) -> Tensor | None:
            stacked = tensors.get(f"{self.path}.{name}")
            return None if stacked is None else stacked.view(-1)

        training, eps = self.module.training, self.module.eps
        x_1KM = x.reshape(1, x.shape[0] * x.shape[1], -1)
        if training:
            if x_1KM.shape[2] == 1:
                raise ValueError(f"BatchNorm {self.path!r} needs more than one value per channel to train on, got one")
            tensors[f"{self.path}.num_batches_tracked"].add_(1)
        weight_K, mean_K, var_K = flat("weight"), flat("running_mean"), flat("running_var")
        y_1KM, saved_mean_K, saved_scale_K = torch.native_batch_norm(
            x_1KM, weight_K, flat("bias"), mean_K, var_K, training, self.module.momentum or 0.0, eps
        )

        def backward(to_y: Tensor) -> tuple[Tensor | None, Gradients]:
            affine = weight_K is not None
            to_x, to_weight_K, to_bias_K = torch.ops.aten.native_batch_norm_backward(
                to_y.reshape(x_1KM.shape),
                x_1KM,
                weight_K,
                mean_K,
                var_K,
                saved_mean_K,
                saved_scale_K,
                training,
                eps,
                [self.to_input, affine, affine],
            )
            found = {"weight": to_weight_K, "bias": to_bias_K} if affine else {}
            gradients = {f"{self.path}.{name}": of_K.view(len(x), -1) for name, of_K in found.items()}
            return (to_x.view(x.shape) if self.to_input else None), gradients

        return y_1KM.view(x.shape), backward


@dataclass(frozen=True)
class Dropout(Layer):
    """`ReplicaDropout`, with the masks that it draws for one replica.

    Attributes:
        module: that of the network, of which the mode is used.
        state: name of the buffer, (R,).
    """

    module: ReplicaDropout
    state: str

    def forward(self, tensors: Mapping[str, Tensor], x: Tensor, differentiate: bool) -> tuple[Tensor, LayerBackward]:
        if not self.module.training or self.module.p == 0:
            return x, lambda to_y: (to_y, {})
        rows = x.shape[1:-1]
        position = torch.arange(x[0].numel(), device=x.device).view(x.shape[-1], *rows).movedim(0, -1)
        state_R = tensors[self.state].view(-1, *(1,) * (x.dim() - 1))
        dropped, share = uniform(position, state_R) < self.module.p, max(1 - self.module.p, 1e-12)

        def thinned(values: Tensor) -> Tensor:
            return torch.where(dropped, 0, values / share)

        return thinned(x), lambda to_y: (thinned(to_y), {})


def layer_norm(x: Tensor, *affine: Tensor, dims: int, eps: float) -> Tensor:
    """`nn.LayerNorm` over the last `dims` dimensions of the rows of (R, ..., B); weight and bias are (R, dims...)."""
    over = list(range(x.dim() - 1 - dims, x.dim() - 1))
    centred = x - x.mean(over, keepdim=True)
    y = centred * (centred.square().mean(over, keepdim=True) + eps).rsqrt()
    shape = (len(x), *(1,) * (x.dim() - 2 - dims), *x.shape[-1 - dims : -1], 1)
    if affine:
        y = y * affine[0].view(shape)
    return y + affine[1].view(shape) if len(affine) > 1 else y
