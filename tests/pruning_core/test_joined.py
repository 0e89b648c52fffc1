"""Runs that join train as each would alone: the batch is an arrangement of the work, not a part of the result."""

import io
from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pruning_core.chain import MarkovChain
from pruning_core.config import TrialConfig
from pruning_core.data import Dataset, Part
from pruning_core.history import QUANTITIES
from pruning_core.inner_loop import InnerLoop, Rows, optimizer_of
from pruning_core.joined import JoinedChains, aligned, join, kind
from pruning_core.networks import GATED_MLP, Backward, GatedMLP, NetworkFactory, NetworkSpec
from pruning_core.pruner import Pruner
from pruning_core.replicas import ReplicaRandom, Replicas
from pruning_core.training import Training, train, train_epoch

EPOCHS = 12


def run(
    data: Dataset,
    values: dict[str, Any],
    seeds: range = range(8),
    network: NetworkSpec | NetworkFactory = GATED_MLP,
) -> Training:
    config = TrialConfig.model_validate({"keep": 3, "hidden": (16,), "epochs": EPOCHS, "settle_epochs": 4, **values})
    return train(config, data, seeds, network, device="cpu")


def assert_same(joined: Training, alone: Training) -> None:
    for quantity in QUANTITIES:
        one, other = joined.history.array(quantity), alone.history.array(quantity)
        torch.testing.assert_close(torch.tensor(one), torch.tensor(other), rtol=0, atol=0, equal_nan=True, msg=quantity)
    assert joined.selected() == alone.selected()


DIFFERENT: list[dict[str, Any]] = [
    {},
    {"learning_rate": 0.02, "weight_decay": 0.1, "label_smoothing": 0.0},
    {"strategy": "plateau", "pruner_learning_rate": 0.3, "rejection_weight": 0.4},
    {"strategy": "fixed", "lambda_start": 3.0, "initial_weight": 1.0},
    {"strategy": "ratio", "window": 3, "label_smoothing": 0.3},
]
CHAINS: list[dict[str, Any]] = [
    {"strategy": "markov"},
    {"strategy": "markov", "delta": 0.3, "block": 1.0},
    {"strategy": "markov", "temperature": 0.01, "alpha": "plateau"},
    {"strategy": "markov", "block": 0.4, "label_smoothing": 0.0, "rejection_weight": 2.0},
]


MIXED: list[dict[str, Any]] = [
    {**CHAINS[2], "proposals": 3},
    {**CHAINS[1], "keep": 5},
    {**CHAINS[3], "proposals": 1},
    {**DIFFERENT[1], "keep": 4},
    DIFFERENT[2],
]


@pytest.mark.parametrize("several", [DIFFERENT, CHAINS, MIXED], ids=["back-propagation", "chain", "both"])
def test_runs_that_join_train_as_each_would_alone(data: Dataset, several: list[dict[str, Any]]) -> None:
    seeds = [range(k, k + 8 * (1 + k % 2)) for k in range(len(several))]
    runs = [run(data, values, of_run) for values, of_run in zip(several, seeds, strict=True)]
    loop = join([r.loop for r in runs])
    for _ in range(EPOCHS):
        train_epoch(runs, loop)
    for joined, values, of_run in zip(runs, several, seeds, strict=True):
        alone = run(data, values, of_run)
        for _ in range(EPOCHS):
            train_epoch([alone], alone.loop)
        assert_same(joined, alone)


def test_the_saved_state_of_a_run_is_no_larger_because_it_has_joined_others(data: Dataset) -> None:
    runs = [run(data, values) for values in DIFFERENT]

    def saved() -> int:
        file = io.BytesIO()
        torch.save(runs[1].state_dict(), file)
        return len(file.getvalue())

    alone = saved()
    join([r.loop for r in runs])
    assert saved() == alone


def test_runs_come_and_go_between_epochs(data: Dataset) -> None:
    first, second, third = (run(data, values) for values in DIFFERENT[:3])
    for _ in range(4):
        train_epoch([first], first.loop)
    both = join([second.loop, first.loop])
    for _ in range(4):
        train_epoch([second, first], both)
    others = join([third.loop, second.loop])
    for _ in range(4):
        train_epoch([third, second], others)
    for _ in first:
        pass
    for joined, values in zip((first, second, third), DIFFERENT, strict=False):
        alone = run(data, values)
        for record in alone:
            if record.epoch == len(joined.history):
                break
        assert_same(joined, alone)


def test_a_run_is_saved_and_gone_on_with_apart_from_those_it_trained_with(data: Dataset) -> None:
    one, other = run(data, DIFFERENT[0]), run(data, DIFFERENT[2])
    loop = join([one.loop, other.loop])
    for _ in range(5):
        train_epoch([one, other], loop)
    later = run(data, DIFFERENT[2])
    later.load_state_dict(other.state_dict())
    for _ in later:
        pass
    alone = run(data, DIFFERENT[2])
    for _ in alone:
        pass
    assert_same(later, alone)


@pytest.mark.parametrize(
    "values",
    [{"hidden": (8,)}, {"rejection": "plain"}, {"batch_size": 14}],
)
def test_loops_of_another_kind_do_not_join(data: Dataset, values: dict[str, Any]) -> None:
    assert run(data, values).kind != run(data, {}).kind


def test_loops_of_one_kind_join_whatever_their_hyperparameters_are(data: Dataset) -> None:
    assert len({run(data, values).kind for values in [*DIFFERENT, *CHAINS, *MIXED]}) == 1


class Activated(GatedMLP):
    """The built-in network with another activation, which its parameters do not show."""

    def __init__(self, config: TrialConfig, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__(12, 3, config.keep, config.hidden, config.initial_weight)
        self.activation = activation

    def stacked_forward(self, parameters: Mapping[str, Tensor], x_RBF: Tensor) -> tuple[Tensor, Backward]:
        logits_RBC, backward = super().stacked_forward(parameters, x_RBF)
        return self.activation(logits_RBC), backward


def activated(activation: Callable[[Tensor], Tensor]) -> NetworkFactory:
    return lambda config, features, classes: Activated(config, activation)


def test_networks_with_other_activations_do_not_join(data: Dataset) -> None:
    tanh, relu, again = (run(data, {}, network=activated(each)).kind for each in (torch.tanh, torch.relu, torch.tanh))
    assert tanh is not None
    assert tanh == again
    assert tanh != relu


def test_other_activations_do_not_join_where_the_cpu_s_rule_does_not_count(data: Dataset) -> None:
    """On a device other than a CPU; `meta` computes nothing."""
    rows, seeds = Rows(data.train.x.to("meta"), data.train.y.to("meta"), 32), range(8)
    config = TrialConfig(keep=3)

    def of(activation: type[nn.Module]) -> Hashable:
        def build(config: TrialConfig, features: int, classes: int) -> nn.Module:
            return nn.Sequential(Pruner(12, 3), nn.Linear(12, 8), activation(), nn.Linear(8, 3))

        spec = NetworkSpec(build)
        replicas = Replicas(lambda: build(config, 12, 3), seeds, "meta")
        optimizer = optimizer_of(config, replicas, rows.steps)
        loop = InnerLoop.of(config, replicas, ReplicaRandom(seeds, "meta"), rows, optimizer)
        return kind(loop, spec)

    assert of(nn.ReLU) == of(nn.ReLU) is not None
    assert of(nn.ReLU) != of(nn.Tanh)


def test_a_network_that_must_not_be_joined_is_not(data: Dataset) -> None:
    assert run(data, {}, network=replace(GATED_MLP, kind=lambda network: None)).kind is None


def test_the_built_in_network_joins_however_it_is_handed_over(data: Dataset) -> None:
    assert run(data, {}, network=GATED_MLP.build).kind == run(data, {}).kind is not None


def test_loops_with_more_proposals_come_first(data: Dataset) -> None:
    with pytest.raises(ValueError, match=r"more proposals must come first, not those with \[0, 2\]"):
        join([run(data, values).loop for values in ({}, CHAINS[0])])


@pytest.mark.parametrize("values", [{"batch_size": 13, "hidden": (15,)}, {"batch_size": 15, "hidden": (14, 3)}])
def test_loops_that_would_not_train_the_same_to_the_last_bit_join_none(data: Dataset, values: dict[str, Any]) -> None:
    assert run(data, values).kind is None


@settings(max_examples=12)
@given(
    features=st.integers(4, 70),
    hidden=st.lists(st.integers(2, 70), max_size=2),
    classes=st.integers(2, 10),
    batch=st.integers(2, 64),
    parts=st.integers(2, 4),
    kinds=st.sampled_from([DIFFERENT, CHAINS, MIXED]),
)
def test_runs_of_any_shape_that_may_join_train_the_same_to_the_last_bit(
    features: int, hidden: list[int], classes: int, batch: int, parts: int, kinds: list[dict[str, Any]]
) -> None:
    assume(aligned(8, batch, (features, *hidden, classes)))
    generator = torch.Generator().manual_seed(features)
    part = Part(torch.randn(3 * batch, features, generator=generator), torch.arange(3 * batch) % classes)
    names = tuple(f"x{i}" for i in range(features)), tuple(map(str, range(classes)))
    zeros, ones = torch.zeros(features), torch.ones(features)
    shape = Dataset("noise", *names, part, part, part, zeros, ones, "noise", ())
    values = [
        {**v, "keep": 2 + v.get("keep", 3) % 2, "hidden": tuple(hidden), "batch_size": batch} for v in kinds[-parts:]
    ]
    runs = [run(shape, v) for v in values]
    loop = join([r.loop for r in runs])
    for _ in range(4):
        train_epoch(runs, loop)
    for joined, v in zip(runs, values, strict=True):
        alone = run(shape, v)
        for _ in range(4):
            train_epoch([alone], alone.loop)
        assert_same(joined, alone)


def test_joined_replicas_share_their_tensors_with_the_parts(data: Dataset) -> None:
    runs = [run(data, values) for values in DIFFERENT[:2]]
    whole = join([r.loop for r in runs]).stack
    assert len(whole) == 16
    with torch.no_grad():
        whole.parameters["pruner.weight"][9] += 1
    weights = runs[1].replicas.parameters["pruner.weight"]
    assert torch.equal(weights[1], weights[0] + 1)


def a_chain(seeds: range, **values: Any) -> MarkovChain:
    config = TrialConfig(keep=1, strategy="markov", **values)
    return MarkovChain(config, [5, 3], ReplicaRandom(seeds))


def test_joined_chains_propose_what_each_would_alone() -> None:
    several: list[tuple[range, dict[str, Any]]] = [
        (range(3), {"proposals": 3, "temperature": 0.5}),
        (range(4, 6), {"proposals": 1, "block": 1.0}),
    ]
    joined = JoinedChains([*(a_chain(seeds, **values) for seeds, values in several), None], [3, 2, 4])
    alone = [a_chain(seeds, **values) for seeds, values in several]
    for _ in range(3):
        expected = [list(part.proposals()) for part in alone]
        proposed = list(joined.proposals())
        assert [tuple(moves.shape) for moves, _ in proposed] == [(5, 8), (3, 8), (3, 8)]
        for k, (moves, uniforms) in enumerate(proposed):
            parts = [of_part[k] for of_part in expected if k < len(of_part)]
            assert torch.equal(moves, torch.cat([m for m, _ in parts]))
            assert torch.equal(uniforms, torch.cat([u for _, u in parts]))
    assert joined.most_proposals == 3
    assert joined.proposals_R.tolist() == [3, 3, 3, 1, 1, 0, 0, 0, 0]
    assert joined.temperature_R is not None
    assert joined.temperature_R.tolist() == [0.5] * 3 + [0.0] * 6


def test_joined_chains_of_replicas_without_one_report_no_acceptance() -> None:
    joined = JoinedChains([a_chain(range(2), proposals=1), None], [2, 1])
    joined.start_epoch(1)
    weights = [torch.full((3, width), 3.0) for width in (5, 3)]
    before = [w.clone() for w in weights]
    acceptance = joined.step(weights, torch.ones(3), lambda moved: torch.zeros(len(moved[0])))
    assert acceptance[:2].tolist() == [1, 1]
    assert bool(acceptance[2].isnan())
    assert all(torch.equal(w[2], b[2]) for w, b in zip(weights, before, strict=True))
    assert not torch.equal(weights[0][0], before[0][0])
