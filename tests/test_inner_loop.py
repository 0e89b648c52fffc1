"""Runs that join train as each would alone: the batch is an arrangement of the work, not a part of the result."""

import io
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pruning_core.config import TrialConfig
from pruning_core.data import Dataset, Part
from pruning_core.history import QUANTITIES
from pruning_core.inner_loop import InnerLoop, aligned
from pruning_core.replicas import Replicas
from pruning_core.training import Training, train, train_epoch

EPOCHS = 12


def run(data: Dataset, values: dict[str, Any], seeds: range = range(8)) -> Training:
    config = TrialConfig.model_validate({"keep": 3, "hidden": (16,), "epochs": EPOCHS, "settle_epochs": 4, **values})
    return train(config, data, seeds, device="cpu")


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
    loop = InnerLoop.joined([r.loop for r in runs])
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
    InnerLoop.joined([r.loop for r in runs])
    assert saved() == alone


def test_runs_come_and_go_between_epochs(data: Dataset) -> None:
    first, second, third = (run(data, values) for values in DIFFERENT[:3])
    for _ in range(4):
        train_epoch([first], first.loop)
    both = InnerLoop.joined([second.loop, first.loop])
    for _ in range(4):
        train_epoch([second, first], both)
    others = InnerLoop.joined([third.loop, second.loop])
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
    loop = InnerLoop.joined([one.loop, other.loop])
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
    assert run(data, values).loop.kind != run(data, {}).loop.kind


def test_loops_of_one_kind_join_whatever_their_hyperparameters_are(data: Dataset) -> None:
    assert len({run(data, values).loop.kind for values in [*DIFFERENT, *CHAINS, *MIXED]}) == 1


def test_loops_with_more_proposals_come_first(data: Dataset) -> None:
    with pytest.raises(ValueError, match=r"more proposals must come first, not those with \[0, 2\]"):
        InnerLoop.joined([run(data, values).loop for values in ({}, CHAINS[0])])


@pytest.mark.parametrize("values", [{"batch_size": 13, "hidden": (15,)}, {"batch_size": 15, "hidden": (14, 3)}])
def test_loops_that_would_not_train_the_same_to_the_last_bit_join_none(data: Dataset, values: dict[str, Any]) -> None:
    assert run(data, values).loop.kind is None


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
    loop = InnerLoop.joined([r.loop for r in runs])
    for _ in range(4):
        train_epoch(runs, loop)
    for joined, v in zip(runs, values, strict=True):
        alone = run(shape, v)
        for _ in range(4):
            train_epoch([alone], alone.loop)
        assert_same(joined, alone)


def test_joined_replicas_share_their_tensors_with_the_parts(data: Dataset) -> None:
    parts = [run(data, values).replicas for values in DIFFERENT[:2]]
    whole = Replicas.joined(parts)
    assert len(whole) == 16
    with torch.no_grad():
        whole.parameters["pruner.weight"][9] += 1
    assert torch.equal(parts[1].parameters["pruner.weight"][1], parts[1].parameters["pruner.weight"][0] + 1)
