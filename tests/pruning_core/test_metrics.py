"""Metrics: the values of scikit-learn, with weights and ties; and what formulas.md says where scikit-learn refuses."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score, roc_curve

from pruning_core import TrialConfig, load_dataset, train
from pruning_core.data import Dataset
from pruning_core.metrics import (
    ACCURACY,
    AUC,
    METRICS,
    Answers,
    BalancedAccuracy,
    Rejection,
    auc,
    background_efficiency,
    right_by_class,
    weights_by_class,
)


@pytest.fixture(scope="module")
def cancer() -> Dataset:
    return load_dataset("breast_cancer", folder=Path())


def answers(logits_RBC: torch.Tensor, y_B: torch.Tensor, weight_B: torch.Tensor | None = None) -> Answers:
    weight_BC = weights_by_class(y_B, logits_RBC.shape[2], weight_B)
    return Answers(right_by_class(logits_RBC, y_B, weight_BC), weight_BC.sum(0), logits_RBC, y_B, weight_B)


@st.composite
def rows(draw: st.DrawFn, classes: int = 2, ties: bool = True) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits of two replicas with many ties, classes that all occur, and weights."""
    count = draw(st.integers(2 * classes, 40))
    seed = draw(st.integers(0, 2**32 - 1))
    numbers = np.random.default_rng(seed)
    logits = 2 * numbers.normal(size=(2, count, classes))
    logits = np.round(logits) if ties and draw(st.booleans()) else logits
    y = np.concatenate([np.arange(classes), numbers.integers(0, classes, count - classes)])
    return torch.tensor(logits, dtype=torch.float32), torch.tensor(y), torch.tensor(numbers.uniform(0.1, 3, count))


@given(rows())
@settings(deadline=None)
def test_auc_is_scikit_learns(found: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    logits_RBC, y_B, weight_B = found
    for weight in (None, weight_B):
        expected = [roc_auc_score(y_B, of[:, 1] - of[:, 0], sample_weight=weight) for of in logits_RBC.double()]
        np.testing.assert_allclose(AUC().of(answers(logits_RBC, y_B, weight)), expected, rtol=0, atol=1e-12)


@given(rows(classes=4, ties=False))
@settings(deadline=None)
def test_auc_of_several_classes_is_the_mean_of_one_against_the_rest(
    found: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    logits_RBC, y_B, weight_B = found
    expected = [
        np.mean([roc_auc_score(y_B == c, p[:, c], sample_weight=weight_B) for c in range(4)])
        for p in torch.softmax(logits_RBC.double(), 2)
    ]
    measured = AUC().of(answers(logits_RBC, y_B, weight_B))
    np.testing.assert_allclose(measured, expected, rtol=0, atol=1e-9)


@given(rows(classes=3))
@settings(deadline=None)
def test_accuracies_are_scikit_learns(found: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    logits_RBC, y_B, weight_B = found
    for weight in (None, weight_B):
        said, predicted = answers(logits_RBC, y_B, weight), logits_RBC.max(-1).indices
        for metric, expected in ((ACCURACY, accuracy_score), (BalancedAccuracy(), balanced_accuracy_score)):
            theirs = [expected(y_B, of, sample_weight=weight) for of in predicted]
            np.testing.assert_allclose(metric.of(said), theirs, rtol=0, atol=1e-12)


@given(rows(), st.floats(0.05, 0.95))
@settings(deadline=None)
def test_the_roc_curve_is_scikit_learns(
    found: tuple[torch.Tensor, torch.Tensor, torch.Tensor], efficiency: float
) -> None:
    logits_RBC, y_B, weight_B = found
    scores_RB = (logits_RBC[..., 1] - logits_RBC[..., 0]).double()
    measured = background_efficiency(scores_RB, y_B == 1, torch.tensor([efficiency], dtype=torch.float64), weight_B)
    for score_B, of_replica in zip(scores_RB, measured, strict=True):
        leaked, passed, _ = roc_curve(y_B, score_B, sample_weight=weight_B, drop_intermediate=False)
        at = np.flatnonzero(passed >= efficiency)[0]
        expected = np.interp(efficiency, passed[at - 1 : at + 1], leaked[at - 1 : at + 1])
        np.testing.assert_allclose(of_replica, expected, rtol=0, atol=1e-9)


def test_negative_weights_count_as_they_are() -> None:
    scores, signal = torch.tensor([[3.0, 2.0, 2.0, 1.0]]), torch.tensor([True, True, False, False])
    weight = torch.tensor([2.0, -0.5, 1.0, 3.0])
    pairs = 2 * 1 + 2 * 3 + -0.5 * 1 * 0.5 + -0.5 * 3
    assert auc(scores, signal, weight).item() == pytest.approx(pairs / (1.5 * 4), abs=1e-12)


def test_a_rejection_that_the_rows_cannot_show_is_their_number() -> None:
    y_B = torch.tensor([0] * 20 + [1] * 10)
    apart_RBC = torch.nn.functional.one_hot(y_B, 2)[None].float()
    assert Rejection(0.5).of(answers(apart_RBC, y_B)).tolist() == pytest.approx([20])
    heavy = torch.where(torch.arange(30) == 0, 5.0, 1.0)
    effective = (5 + 19) ** 2 / (25 + 19)
    assert Rejection(0.5).of(answers(apart_RBC, y_B, heavy)).tolist() == pytest.approx([effective])


def test_a_rejection_follows_the_signal() -> None:
    scores = torch.tensor([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]])
    y_B = torch.tensor([0, 0, 0, 1, 0, 1, 1, 1])
    said = answers(torch.stack([torch.zeros_like(scores), scores], 2), y_B)
    assert Rejection(1 - 1e-9, signal=1).of(said).item() == pytest.approx(4, rel=1e-6)
    assert Rejection(1 - 1e-9, signal=0).of(said).item() == pytest.approx(4, rel=1e-6)
    assert Rejection(0.75, signal=1).of(said).item() == pytest.approx(4)  # none leaks: the four background rows


@pytest.mark.parametrize(
    ("metric", "value", "spread", "expected"),
    [
        ("accuracy", 0.9613, 0.004, "96.1 ± 0.4 %"),
        ("balanced_accuracy", 0.5, None, "50.0 %"),
        ("auc", 0.91234, 0.0021, "0.912 ± 0.002"),
        ("rejection", 45.21, None, "45.2"),
        ("auc", None, None, "-"),
    ],
)
def test_values_are_written_as_physicists_write_them(
    metric: str, value: float | None, spread: float | None, expected: str
) -> None:
    assert METRICS[metric]().text(value, spread) == expected


def test_a_training_measures_its_metric_at_every_epoch(cancer: Dataset) -> None:
    run = train(TrialConfig(keep=2, epochs=3, hidden=(8,)), cancer, range(3), metric=AUC())
    records = list(run)
    result = run.result()
    logits = run.replicas.logits(cancer.validation.x, run.replicas.hard_masks(), shared=True).detach().double()
    expected = [roc_auc_score(cancer.validation.y, of[:, 1] - of[:, 0]) for of in logits]
    assert result["pruned_auc"]["per_seed"] == pytest.approx(expected, abs=1e-9)  # type: ignore[index]
    assert run.scores(cancer.validation)["auc"] == result["pruned_auc"]["per_seed"]  # type: ignore[index]
    assert [float(record.quantity("pruned_auc").mean()) for record in records] == run.history.array("pruned_auc").mean(
        1
    ).tolist()
    assert {"pruned_accuracy", "full_accuracy", "full_auc", "pruned_balanced_accuracy"} <= result.keys()
    assert "pruned_rejection" not in result


def test_a_metric_changes_nothing_about_a_training(cancer: Dataset) -> None:
    config = TrialConfig(keep=2, epochs=3, hidden=(8,))
    plain, with_auc = (train(config, cancer, range(2), metric=metric) for metric in (ACCURACY, AUC()))
    for run in (plain, with_auc):
        list(run)
    assert plain.result()["pruned_accuracy"] == with_auc.result()["pruned_accuracy"]


def test_a_checkpoint_from_before_a_metric_is_gone_on_with(cancer: Dataset) -> None:
    config = TrialConfig(keep=2, epochs=3, hidden=(8,))
    first, second = (train(config, cancer, range(2), metric=metric) for metric in (ACCURACY, AUC()))
    next(iter(first))
    second.load_state_dict(first.state_dict())
    list(second)
    assert np.isnan(second.history.array("pruned_auc")[0]).all()
    assert np.isfinite(second.history.array("pruned_auc")[1:]).all()
