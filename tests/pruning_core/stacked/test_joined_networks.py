"""Trials of a network of one's own share a batch where each then trains as it would alone, to the last bit."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pruning_core.config import TrialConfig
from pruning_core.data import Dataset, Part
from pruning_core.history import QUANTITIES
from pruning_core.joined import bytes_beside_others, join
from pruning_core.networks import GATED_MLP, NetworkSpec
from pruning_core.pruner import Pruner
from pruning_core.replicas import Replicas
from pruning_core.training import Training, train, train_epoch

EPOCHS, B, F, C = 3, 24, 16, 4
VALUES: list[dict[str, Any]] = [
    {"strategy": "markov", "proposals": 1},
    {"learning_rate": 0.02, "weight_decay": 0.1},
    {"strategy": "plateau", "pruner_learning_rate": 0.3, "label_smoothing": 0.0},
]


def noise(batch: int) -> Dataset:
    generator = torch.Generator().manual_seed(batch)
    part = Part(torch.randn(3 * batch, F, generator=generator), torch.arange(3 * batch) % C)
    names = tuple(f"x{i}" for i in range(F)), tuple(map(str, range(C)))
    return Dataset("noise", *names, part, part, part, torch.zeros(F), torch.ones(F), "noise", ())


def run(build: Callable[[], nn.Module], values: dict[str, Any], data: Dataset, seeds: int = 8) -> Training:
    config = TrialConfig.model_validate({"keep": 3, "epochs": EPOCHS, "batch_size": len(data.train.y) // 3, **values})
    return train(config, data, range(seeds), lambda config, features, classes: build(), device="cpu")


def assert_the_same_beside_others(build: Callable[[], nn.Module], data: Dataset) -> None:
    runs = [run(build, values, data) for values in VALUES]
    assert len({r.kind for r in runs}) == 1
    loop = join([r.loop for r in runs])
    for _ in range(EPOCHS):
        train_epoch(runs, loop)
    for joined, values in zip(runs, VALUES, strict=True):
        alone = run(build, values, data)
        for _ in range(EPOCHS):
            train_epoch([alone], alone.loop)
        for quantity in QUANTITIES:
            one, other = joined.history.array(quantity), alone.history.array(quantity)
            torch.testing.assert_close(torch.tensor(one), torch.tensor(other), rtol=0, atol=0, equal_nan=True)
        for name, tensor in alone.replicas.tensors.items():
            assert torch.equal(joined.replicas.tensors[name], tensor)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(Pruner(F, 3), nn.Linear(F, 12), nn.BatchNorm1d(12), nn.ReLU())
        self.inner = nn.Sequential(nn.Linear(12, 12), nn.SiLU(), Pruner(12, 4), nn.Dropout(0.2))
        self.last = nn.Linear(12, C)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        return self.last(h + self.inner(h))


def pictures() -> nn.Module:
    return nn.Sequential(
        *(Pruner(F, 3), nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()),
        *(nn.MaxPool2d(2), nn.Conv2d(4, 6, 2), Pruner(6, 2, trailing_dims=2), nn.Tanh(), nn.Flatten(), nn.Linear(6, C)),
    )


@pytest.mark.parametrize("build", [Residual, pictures])
def test_trials_that_share_a_batch_train_as_each_would_alone(build: Callable[[], nn.Module]) -> None:
    assert_the_same_beside_others(build, noise(B))


@st.composite
def chains(draw: st.DrawFn) -> list[nn.Module]:
    modules: list[nn.Module] = [Pruner(F, 3, name="inputs")]
    width = F
    for i in range(draw(st.integers(1, 3))):
        out = draw(st.integers(2, 40))
        modules.append(nn.Linear(width, out, bias=draw(st.booleans())))
        norm = draw(st.sampled_from([nn.BatchNorm1d, nn.LayerNorm, None]))
        if norm is not None:
            modules.append(norm(out))
        modules.append(draw(st.sampled_from([nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.ELU, nn.Softplus]))())
        if draw(st.booleans()):
            modules.append(Pruner(out, 1, name=f"hidden {i}"))
        width = out
    return [*modules, nn.Linear(width, C)]


@settings(max_examples=8)
@given(chains(), st.integers(2, 64))
def test_any_chain_of_layers_that_may_share_a_batch_does_so_to_the_last_bit(
    modules: list[nn.Module], batch: int
) -> None:
    def build() -> nn.Module:
        network = nn.Sequential(*copy.deepcopy(modules))
        for layer in network:
            if isinstance(layer, nn.Linear):
                layer.reset_parameters()
        return network

    data = noise(batch)
    assume(run(build, {}, data).kind is not None)
    assert_the_same_beside_others(build, data)


def of_width(width: int) -> nn.Module:
    return nn.Sequential(Pruner(F, 3), nn.Linear(F, width), nn.Tanh(), nn.Linear(width, C))


def test_networks_of_other_layers_or_sizes_share_no_batch() -> None:
    data = noise(B)
    kinds = [run(build, {}, data).kind for build in (Residual, pictures, lambda: of_width(8), lambda: of_width(10))]
    assert None not in kinds
    assert len(set(kinds)) == 4


@pytest.mark.parametrize(("width", "batch", "seeds"), [(5, 8, 3), (8, 5, 3), (4, 4, 1)])
def test_replicas_that_end_within_a_processor_s_vectors_share_no_batch(width: int, batch: int, seeds: int) -> None:
    assert run(lambda: of_width(width), {}, noise(batch), seeds).kind is None


def test_a_network_that_vmap_computes_shares_no_batch() -> None:
    def build() -> nn.Module:
        return nn.Sequential(Pruner(F, 3), nn.Linear(F, C), nn.PReLU())

    assert run(build, {}, noise(B)).kind is None
    assert bytes_beside_others(NetworkSpec(lambda *_: build()), TrialConfig(keep=3), F, C, B) is None


def test_memory_of_a_step_is_that_of_the_built_in_network_written_out() -> None:
    def build(config: TrialConfig, features: int, classes: int) -> nn.Module:
        return nn.Sequential(Pruner(features, 3), nn.Linear(features, 64), nn.ReLU(), nn.Linear(64, classes))

    own, built_in = (
        bytes_beside_others(spec, TrialConfig(keep=3), F, C, B) for spec in (NetworkSpec(build), GATED_MLP)
    )
    assert own is not None
    assert own == pytest.approx(built_in, rel=0.3)


def test_a_trial_goes_on_from_its_saved_state_with_its_running_statistics() -> None:
    data = noise(B)
    whole, first = run(Residual, VALUES[1], data), run(Residual, VALUES[1], data)
    train_epoch([first], first.loop)
    later = run(Residual, VALUES[1], data)
    later.load_state_dict(first.state_dict())
    for training in (whole, later):
        for _ in training:
            pass
    assert whole.history.array("full_accuracy").tolist() == later.history.array("full_accuracy").tolist()
    for name, tensor in whole.replicas.tensors.items():
        assert torch.equal(later.replicas.tensors[name], tensor)
    assert later.replicas.buffers["first.2.num_batches_tracked"].tolist() == [3 * EPOCHS] * 8


def test_what_a_replica_gives_does_not_depend_on_how_many_there_are() -> None:
    x = torch.randn(B, F, generator=torch.Generator().manual_seed(0))
    few, many = (Replicas(pictures, range(r)) for r in (2, 5))
    torch.testing.assert_close(few.logits(x, shared=True), many.logits(x, shared=True)[:2])
