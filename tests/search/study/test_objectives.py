"""What a study can ask for, on which data, and what follows for its training."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pruning_core import load_dataset
from pruning_core.data import DataError, Dataset
from pruning_core.metrics import Rejection
from search.study import Study
from search.study.objectives import metric_for, metric_in


@pytest.fixture(scope="module")
def cancer() -> Dataset:
    return load_dataset("breast_cancer", folder=Path())


def a_study(objective: Any, **data: Any) -> Study:
    document = {"name": "s", "data": {"source": "breast_cancer", "keep": 4, **data}, "search": {"objective": objective}}
    return Study.model_validate(document)


def test_a_rejection_needs_a_signal_of_two_classes(cancer: Dataset) -> None:
    with pytest.raises(DataError, match=r"data\.signal is missing: .* 'benign' or 'malignant'"):
        metric_for("rejection", cancer)
    assert metric_for("rejection", replace(cancer, signal="benign"), 0.3) == Rejection(0.3, signal=0)
    with pytest.raises(DataError, match="data of two classes, and several has 3"):
        metric_for("rejection", replace(cancer, name="several", class_names=("a", "b", "c"), signal="a"))


def test_the_metric_is_the_first_objective() -> None:
    study = a_study(["pruned_auc", "completion_epoch"])
    assert (study.search.score, study.search.objectives) == ("pruned_auc", ("pruned_auc", "completion_epoch"))
    assert metric_in(study.model_dump(mode="json")["search"]).label == "AUC"
    assert metric_in({}).label == "accuracy"


@pytest.mark.parametrize(
    ("objective", "given", "expected"),
    [
        ("pruned_accuracy", None, None),
        ("pruned_accuracy", "balanced", "balanced"),
        ("pruned_auc", None, "balanced"),
        (["pruned_balanced_accuracy", "completion_epoch"], None, "balanced"),
        ("pruned_auc", "none", None),
    ],
)
def test_classes_count_alike_in_training_where_they_do_in_the_score(
    objective: Any, given: str | None, expected: str | None, cancer: Dataset
) -> None:
    study = a_study(objective, class_weight=given)
    assert study.class_weight == expected
    data = study.load_data()
    weight = data.training_weight(data.train)
    assert (weight is None) == (expected is None)
    if weight is not None:
        sums = [float(weight[cancer.train.y == c].sum()) for c in (0, 1)]
        assert sums[0] == pytest.approx(sums[1])
