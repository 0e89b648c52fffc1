"""Stacked layers compute what `vmap` over the network and autograd compute, in float64, for chains of any layers."""

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from pruning_core.config import TrialConfig
from pruning_core.data import Dataset
from pruning_core.networks import GATED_MLP
from pruning_core.pruner import Pruner
from pruning_core.replicas import Replicas
from pruning_core.stacked import stacked_layers
from pruning_core.training import train

R, B, F, C = 3, 5, 12, 4


def by_vmap(network: nn.Module) -> nn.Module:
    """The same network, of which nobody can know what it does: a hook may change it."""
    network.register_forward_hook(lambda *_: None)
    return network


def both(build: Callable[[], nn.Module], shape: tuple[int, ...] | None = None) -> tuple[Replicas, Replicas]:
    def random() -> nn.Module:
        network = build().double()
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.5)
        return network

    stacked = Replicas(random, range(R), input_shape=shape)
    return stacked, Replicas(lambda: by_vmap(random()), range(R), input_shape=shape)


def assert_same(build: Callable[[], nn.Module], shape: tuple[int, ...] | None = None) -> None:
    """In training and in evaluation, under gates and masks: outputs, gradients and buffers."""
    stacked, plain = both(build, shape)
    generator = torch.Generator().manual_seed(1)
    x_RBF, x_BF = (torch.randn(*s, F, generator=generator, dtype=torch.float64) for s in ((R, B), (7,)))
    to_logits_RBC = torch.randn(R, B, C, generator=generator, dtype=torch.float64)
    row = stacked.in_shape(x_BF[0])
    assert stacked.layers(row) is not None
    assert plain.layers(row) is None
    for _ in range(2):
        (logits, backward), (expected, autograd) = (s.logits_and_backward(x_RBF) for s in (stacked, plain))
        torch.testing.assert_close(logits, expected)
        gradients, of_autograd = backward(to_logits_RBC), autograd(to_logits_RBC)
        assert gradients.keys() >= of_autograd.keys()
        for name, gradient in of_autograd.items():
            torch.testing.assert_close(gradients[name], gradient)
    for name, buffer in plain.buffers.items():
        torch.testing.assert_close(stacked.buffers[name], buffer)
    trial = [w_RN[:2].flip(1) for w_RN in plain.pruner_weights]
    torch.testing.assert_close(stacked.logits(x_RBF[:2], trial), plain.logits(x_RBF[:2], trial))
    for replicas in (stacked, plain):
        replicas.network.eval()
    for masks in (None, plain.hard_masks()):
        torch.testing.assert_close(stacked.logits(x_BF, masks, True), plain.logits(x_BF, masks, True))
    for name, buffer in plain.buffers.items():
        torch.testing.assert_close(stacked.buffers[name], buffer)


class Residual(nn.Module):
    """Sums, functions and methods in a `forward`, with a layer that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs = Pruner(F, 4)
        self.first = nn.Linear(F, 6)
        self.again = nn.Linear(6, 6)
        self.norm = nn.BatchNorm1d(6)
        self.neurons = Pruner(6, 2)
        self.last = nn.Linear(6, C)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.first(self.inputs(x)))
        h = h + self.norm(self.again(h))
        h = functional.gelu(h) + functional.relu(self.again(h.tanh()))
        h = h.view(h.shape[0], 2, 3).flatten(1)
        return self.last(self.neurons(h))


class Branches(nn.Module):
    """Two ReLUs to which their sum gives one gradient, one of them behind a flattening."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs = Pruner(F, 4)
        self.left, self.right = nn.Linear(F, 6), nn.Linear(F, 6)
        self.last = nn.Linear(6, C)

    def forward(self, x: Tensor) -> Tensor:
        h = self.inputs(x)
        return self.last(torch.relu(self.left(h)).unsqueeze(1).flatten(1) + torch.relu(self.right(h)))


class Block(nn.Module):
    """A residual block of convolutions, with the mean over each channel at its end."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 6, 3, padding=1)
        self.second = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.channels = Pruner(6, 3, trailing_dims=2)
        self.last = nn.Linear(6, C)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.first(x))
        h = torch.relu(self.norm(self.second(h)) + h)
        return self.last(self.channels(h).mean((2, 3)))


PICTURE, LINE = (1, 3, 4), (1, F)
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...] | None]] = {
    "as the built-in one": (lambda: nn.Sequential(Pruner(F, 4), nn.Linear(F, 6), nn.ReLU(), nn.Linear(6, C)), None),
    "pruners that follow each other": (lambda: nn.Sequential(Pruner(F, 4), Pruner(F, 3), nn.Linear(F, C)), None),
    "pruner at the end": (lambda: nn.Sequential(nn.Linear(F, C, bias=False), Pruner(C, 2)), None),
    "nested": (
        lambda: nn.Sequential(nn.Identity(), nn.Sequential(Pruner(F, 4), nn.Linear(F, 5)), nn.Tanh(), nn.Linear(5, C)),
        None,
    ),
    "normalised": (
        lambda: nn.Sequential(
            *(nn.LayerNorm(F), Pruner(F, 3), nn.Linear(F, 6), nn.BatchNorm1d(6), nn.ReLU(), Pruner(6, 2)),
            *(nn.Linear(6, 6), nn.LayerNorm(6, elementwise_affine=False), nn.Linear(6, C)),
            nn.BatchNorm1d(C, affine=False),
        ),
        None,
    ),
    "dropout": (
        lambda: nn.Sequential(
            *(nn.Dropout(0.3), Pruner(F, 3), nn.Linear(F, 6), nn.ReLU(True), nn.Dropout(0.5), nn.Linear(6, C))
        ),
        None,
    ),
    "convolution of flat rows": (
        lambda: nn.Sequential(
            *(Pruner(F, 4), nn.Unflatten(1, LINE), nn.Conv1d(1, 3, 5, stride=2, padding=2, dilation=1), nn.ReLU()),
            *(Pruner(3, 1, trailing_dims=1, name="channels"), nn.Flatten(), nn.Linear(18, C)),
        ),
        None,
    ),
    "pictures": (
        lambda: nn.Sequential(
            *(nn.Conv2d(1, 4, (1, 3), padding="same"), nn.BatchNorm2d(4), nn.ReLU(), Pruner(4, 2, trailing_dims=2)),
            *(nn.Conv2d(4, 3, 2, dilation=(1, 2), padding=(1, 0), bias=False), nn.SiLU(), nn.Flatten()),
            nn.Linear(24, C),
        ),
        PICTURE,
    ),
    "pooled pictures": (
        lambda: nn.Sequential(
            *(nn.Conv2d(1, 4, 3, padding=1), Pruner(4, 2, trailing_dims=2), nn.MaxPool2d(2), nn.AvgPool2d(1)),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, C)),
        ),
        PICTURE,
    ),
    "pooled lines": (
        lambda: nn.Sequential(
            *(nn.Conv1d(1, 4, 3, padding="valid"), Pruner(4, 2, trailing_dims=1), nn.MaxPool1d(3, 1, padding=1)),
            *(nn.AvgPool1d(2, ceil_mode=True), nn.AdaptiveMaxPool1d(3), nn.Flatten(), nn.Linear(12, C)),
        ),
        LINE,
    ),
    "layer norm of pictures": (
        lambda: nn.Sequential(nn.LayerNorm((3, 4)), nn.Flatten(), Pruner(F, 2), nn.Linear(F, C)),
        PICTURE,
    ),
    "residual": (Residual, None),
    "branches": (Branches, None),
    "residual convolutions": (Block, PICTURE),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_stacked_layers_equal_vmap_and_autograd(name: str) -> None:
    assert_same(*NETWORKS[name])


ACTIVATIONS = [nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.LeakyReLU, nn.ELU, nn.SiLU, nn.Softplus]


@st.composite
def chains(draw: st.DrawFn) -> list[nn.Module]:
    """Layers that follow one another, at least one of them a pruner, from F inputs to C outputs."""
    modules: list[nn.Module] = [Pruner(F, draw(st.integers(1, F - 1)), name="inputs")]
    width = F
    for i in range(draw(st.integers(0, 5))):
        match draw(st.sampled_from(["linear", "activation", "pruner", "batch norm", "layer norm", "dropout"])):
            case "linear":
                out = draw(st.integers(2, 9))
                modules.append(nn.Linear(width, out, bias=draw(st.booleans())))
                width = out
            case "activation":
                modules.append(draw(st.sampled_from(ACTIVATIONS))())
            case "pruner":
                modules.append(Pruner(width, 1, name=f"pruner {i}"))
            case "batch norm":
                modules.append(nn.BatchNorm1d(width, momentum=draw(st.sampled_from([0.1, 0.7]))))
            case "layer norm":
                modules.append(nn.LayerNorm(width))
            case "dropout":
                modules.append(nn.Dropout(draw(st.sampled_from([0.0, 0.4]))))
    return [*modules, nn.Linear(width, C)]


@settings(max_examples=40)
@given(chains())
def test_any_chain_of_layers_equals_vmap_and_autograd(modules: list[nn.Module]) -> None:
    assert_same(lambda: nn.Sequential(*copy.deepcopy(modules)))


@pytest.mark.parametrize("name", ["convolution of flat rows", "pictures", "residual convolutions"])
@pytest.mark.parametrize("numbers", [50, 700])
def test_convolutions_in_pieces_equal_vmap_and_autograd(
    name: str, numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of lines of one replica, and of several replicas."""
    monkeypatch.setattr("pruning_core.stacked.convolution.CACHED_NUMBERS", numbers)
    monkeypatch.setattr("pruning_core.stacked.convolution.KEPT_NUMBERS", numbers)
    assert_same(*NETWORKS[name])


def test_the_built_in_network_written_by_a_user_trains_to_the_same_last_bit(data: Dataset) -> None:
    def written(config: TrialConfig, features: int, classes: int) -> nn.Module:
        return nn.Sequential(Pruner(features, config.keep), nn.Linear(features, 16), nn.ReLU(), nn.Linear(16, classes))

    config = TrialConfig(keep=4, hidden=(16,), epochs=3)
    own, built_in = (train(config, data, range(3), network, "cpu") for network in (written, GATED_MLP))
    for record, other in zip(own, built_in, strict=True):
        assert record.total_loss.tolist() == other.total_loss.tolist()
        assert record.pruned_accuracy.tolist() == other.pruned_accuracy.tolist()


def test_stacked_and_vmap_trainings_give_each_seed_the_same_accuracy(data: Dataset) -> None:
    """With BatchNorm and a second pruner, to half a point over a dozen epochs. On hard data rounding grows."""

    def normalised(config: TrialConfig, features: int, classes: int) -> nn.Module:
        return nn.Sequential(
            *(Pruner(features, config.keep or 1, name="inputs"), nn.Linear(features, 16), nn.BatchNorm1d(16)),
            *(nn.ReLU(), Pruner(16, 8, name="hidden"), nn.Linear(16, classes)),
        )

    config = TrialConfig(keep=4, epochs=12)
    stacked, plain = (
        train(config, data, range(3), network, "cpu") for network in (normalised, lambda *of: by_vmap(normalised(*of)))
    )
    for record, other in zip(stacked, plain, strict=True):
        last = record.pruned_accuracy, other.pruned_accuracy
    torch.testing.assert_close(*last, atol=0.005, rtol=0)


def test_tied_frozen_and_unused_parameters() -> None:
    def build() -> nn.Module:
        network = Residual()
        network.last = nn.Linear(6, C)
        network.again.weight = nn.Parameter(network.again.weight.detach())
        network.tied = nn.Linear(6, 6)
        network.unused = nn.Linear(2, 2)
        network.tied.weight = network.again.weight
        network.first.weight.requires_grad_(False)
        network.inputs.weight.requires_grad_(False)
        return network

    assert_same(build)


class Doubled(Residual):
    """What it does is not all known."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class Moody(Residual):
    """Computes something else in evaluation."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if self.training else x + x)


class Noisy(Residual):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + torch.randn(F))


class Overwriting(Residual):
    """Writes into what it still needs."""

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(self.inputs(x))
        return self.last(nn.ReLU(inplace=True)(h) + h)


class Transposed(Residual):
    """Mixes the rows of a batch: their number becomes the number of features."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten().view(F, -1).mT)


UNKNOWN = [
    Doubled,
    Moody,
    Noisy,
    Transposed,
    lambda: nn.Sequential(Pruner(F, 2), nn.Unflatten(1, (2, 6)), nn.Linear(6, 2), nn.Flatten()),
    lambda: nn.Sequential(Pruner(F, 2), nn.Linear(F, C), nn.PReLU()),
    lambda: nn.Sequential(Pruner(F, 2), nn.BatchNorm1d(F, momentum=None), nn.Linear(F, C)),
    lambda: nn.Sequential(Pruner(F, 2), nn.BatchNorm1d(F, track_running_stats=False), nn.Linear(F, C)),
    lambda: nn.Sequential(nn.Unflatten(1, (4, 3)), nn.Conv1d(4, 4, 3, groups=2), Pruner(4, 2, 1.0, 1), nn.Flatten()),
    lambda: Pruner(F, 2),
    lambda: nn.Sequential(Pruner(F, 2), nn.Unflatten(1, (3, 4))),
    lambda: nn.Sequential(Pruner(F, 2), nn.Linear(F, C), nn.Dropout1d(0.5)),
]


@pytest.mark.parametrize("build", UNKNOWN)
def test_a_network_with_anything_unknown_has_no_stacked_form(build: Callable[[], nn.Module]) -> None:
    assert stacked_layers(build(), torch.zeros(F)) is None


def test_looking_at_a_network_changes_nothing() -> None:
    network = nn.Sequential(Pruner(F, 2), nn.BatchNorm1d(F), nn.Linear(F, C))
    before, state = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    assert stacked_layers(network, torch.ones(F)) is not None
    assert network.training
    assert torch.equal(torch.get_rng_state(), state)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_one_value_per_channel_is_no_batch_to_normalise() -> None:
    stacked, _ = both(lambda: nn.Sequential(Pruner(F, 2), nn.BatchNorm1d(F), nn.Linear(F, C)))
    with pytest.raises(ValueError, match="'1' needs more than one value per channel"):
        stacked.logits_and_backward(torch.zeros(R, 1, F, dtype=torch.float64))
