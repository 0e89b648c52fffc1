"""Rows with weights: what they do to L_cla, and that they leave its size, and so the meaning of alpha, alone."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from quick_runs import MARKOV, assert_same, start
from torch import Tensor

from pruning_core.data import Dataset, Part
from pruning_core.data.weights import class_factors, for_training
from pruning_core.tasks import cross_entropy, cross_entropy_and_gradient


def weighted(data: Dataset, weight: Tensor | None) -> Dataset:
    return replace(data, train=replace(data.train, weight=weight))


@pytest.mark.parametrize("values", [{}, MARKOV])
@pytest.mark.parametrize("each", [1.0, 0.25])
def test_weights_that_are_all_alike_change_nothing(data: Dataset, values: dict[str, Any], each: float) -> None:
    rows = len(data.train.y)
    plain, alike = start(data, epochs=6, **values), start(weighted(data, torch.full((rows,), each)), epochs=6, **values)
    assert_same(list(plain), list(alike))


@given(st.integers(0, 1000), st.floats(0, 0.9))
def test_a_row_of_weight_two_counts_like_two_rows(seed: int, smoothing: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits_RBC = torch.randn(3, 8, 4, generator=generator, dtype=torch.float64)
    y_RB = torch.randint(4, (3, 8), generator=generator)
    twice_RB = torch.randint(1, 3, (3, 8), generator=generator)
    smoothing_R = torch.full((3,), smoothing, dtype=torch.float64)
    loss_R, gradient_RBC = cross_entropy_and_gradient(logits_RBC, y_RB, smoothing_R, twice_RB.double())
    for r in range(3):
        rows = torch.repeat_interleave(torch.arange(8), twice_RB[r])
        of_rows = cross_entropy(logits_RBC[r : r + 1, rows], y_RB[r : r + 1, rows], smoothing_R[:1])
        torch.testing.assert_close(loss_R[r] * 8, of_rows[0] * len(rows))
    leaf_RBC = logits_RBC.clone().requires_grad_()
    (by_autograd_RBC,) = torch.autograd.grad(
        cross_entropy(leaf_RBC, y_RB, smoothing_R, twice_RB.double()).sum(), leaf_RBC
    )
    torch.testing.assert_close(gradient_RBC, by_autograd_RBC)


def test_l_cla_is_as_large_with_weights_of_any_scale_as_without(data: Dataset) -> None:
    weight = torch.rand(len(data.train.y), generator=torch.Generator().manual_seed(0)) + 0.1
    runs = [start(weighted(data, scale * weight), epochs=1) for scale in (1, 1e6)]
    losses = [next(iter(run)).classification_loss for run in runs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    plain = next(iter(start(data, epochs=1))).classification_loss
    assert losses[0] == pytest.approx(plain, rel=0.1)


def test_a_class_of_little_weight_is_learnt_less(data: Dataset) -> None:
    weight = torch.where(data.train.y == 2, 0.001, 1.0)
    run = start(weighted(data, weight), epochs=15)
    list(run)
    part = data.validation
    answers_RB = run.replicas.logits(part.x, shared=True).argmax(-1)
    assert (answers_RB == 2).float().mean() < 0.05


def test_negative_weights_do_not_train(data: Dataset) -> None:
    weight = torch.ones(len(data.train.y))
    weight[3] = -1
    with pytest.raises(ValueError, match="no negative weights"):
        start(weighted(data, weight))


def test_rows_of_negative_weight_are_left_out_and_balanced_classes_count_alike() -> None:
    part = Part(torch.arange(6.0)[:, None], torch.tensor([0, 0, 0, 1, 1, 1]), torch.tensor([1.0, -1, 3, 6, 2, 0]))
    kept, left_out = for_training(part)
    assert kept.x[:, 0].tolist() == [0, 2, 3, 4, 5]
    assert kept.weight is not None
    assert kept.weight.tolist() == [1, 3, 6, 2, 0]
    assert left_out is not None
    assert left_out.x.tolist() == [[1]]
    balanced = class_factors(kept, "balanced")
    assert balanced is not None
    assert balanced.tolist() == pytest.approx([1.5, 0.75])
    by_rows = class_factors(Part(torch.zeros(4, 1), torch.tensor([0, 1, 1, 1])), "balanced")
    assert by_rows is not None
    assert by_rows.tolist() == pytest.approx([2, 2 / 3])
    assert class_factors(kept, None) is None
