"""The trials of a search as scikit-learn's `cv_results_`."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from search.trials.ranking import merit_of
from search.trials.trial import Trial


def cv_results(trials: Sequence[Trial]) -> dict[str, Any]:
    """One entry per trial in every array, in their order.

    Ranks put completion before accuracy, as a search does; a trial that failed or has no accuracy comes last. Of a
    single split the deviation is 0.
    """
    score = np.array([np.nan if trial.score is None else trial.score for trial in trials])
    merits = [
        merit_of(trial) if trial.score is not None and trial.ending != "failed" else (-1.0, 0.0) for trial in trials
    ]
    results: dict[str, Any] = {
        "params": [dict(trial.params) for trial in trials],
        "split0_test_score": score,
        "mean_test_score": score,
        "std_test_score": score * 0,
        "rank_test_score": np.array([1 + sum(other > mine for other in merits) for mine in merits], dtype=np.int32),
    }
    for name in dict.fromkeys(name for trial in trials for name in trial.params):
        absent = [name not in trial.params for trial in trials]
        values = np.array([trial.params.get(name) for trial in trials], dtype=object)
        results[f"param_{name}"] = np.ma.MaskedArray(values, mask=absent)
    return results | {name: np.array([getattr(trial, name) for trial in trials]) for name in ("ending", "complete")}
