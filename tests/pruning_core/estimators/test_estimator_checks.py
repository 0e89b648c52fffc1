"""Both estimators keep to what scikit-learn asks of an estimator."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import parametrize_with_checks

from pruning_core import PruningClassifier, PruningSelector

# Few and short trainings: what the checks look at does not depend on how well the pruning goes.
QUICK: dict[str, Any] = {"n_replicas": 2, "epochs": 12, "growth": 2.0, "settle_epochs": 2, "hidden": (8,)}
# A row that counts twice stands in one batch, two equal rows in two, and the validation part is drawn among other rows:
# no network that is trained in batches gives equal numbers then. scikit-learn expects the same of its SGDClassifier.
EXPECTED = {"check_sample_weight_equivalence_on_dense_data": "batches and validation part are drawn by rows"}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(
    [PruningClassifier(**QUICK), PruningSelector(**QUICK)], expected_failed_checks=lambda estimator: EXPECTED
)
def test_what_scikit_learn_asks_of_an_estimator(estimator: BaseEstimator, check: Callable[[Any], None]) -> None:
    check(estimator)


ARRAY_API = """
from sklearn.utils.estimator_checks import check_array_api_input
from pruning_core import PruningClassifier, PruningSelector

for kind in (PruningClassifier, PruningSelector):
    estimator = kind(n_replicas=2, epochs=12, hidden=(8,))
    check_array_api_input(kind.__name__, estimator, array_namespace="numpy", expect_only_array_outputs=False)
"""


def test_the_check_that_needs_another_environment() -> None:
    """SciPy looks at the variable when it is imported, so that the check above skips."""
    command = [sys.executable, "-W", "ignore", "-c", ARRAY_API]
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
