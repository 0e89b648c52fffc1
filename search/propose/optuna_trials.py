"""What deepPP leaves in an Optuna trial, and how to read it back: completion, the last accuracy, the objectives.

Knows nothing of Ray, so that the report reads trials with the same functions as the search.
"""

from collections.abc import Sequence

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.study import Study

CONSTRAINT = "incomplete"
NODE = "node"
LAST_ACCURACY = "pruned_accuracy"
FIXED_BY_ARM = ("strategy", "keep")
DIRECTIONS = {"pruned_accuracy": StudyDirection.MAXIMIZE, "completion_epoch": StudyDirection.MINIMIZE}


def directions(study: Study) -> list[StudyDirection]:
    """Whether Optuna shall maximise or minimise each of the study's objectives."""
    return [DIRECTIONS[name] for name in study.search.objectives]


def with_keep(trials: Sequence[FrozenTrial], keep: int) -> list[FrozenTrial]:
    """Those with this n; in a study about a single n trials do not name it, and all have it."""
    return [trial for trial in trials if trial.params.get("keep", keep) == keep]


def completed_fraction(trial: FrozenTrial) -> float:
    """The fraction of a trial's replicas that had completed when it ended."""
    return 1 - trial.constraints.get(CONSTRAINT, 1.0)


def completed(trial: FrozenTrial) -> bool:
    """Whether it came to its own end with every replica complete."""
    return trial.state == TrialState.COMPLETE and completed_fraction(trial) == 1


def last_accuracy(trial: FrozenTrial) -> float | None:
    """The pruned accuracy that a trial reported last, None if it reported none.

    With two objectives Optuna takes no reports, and the accuracy is an attribute of the trial instead.
    """
    if LAST_ACCURACY in trial.user_attrs:
        return float(trial.user_attrs[LAST_ACCURACY])
    return max(trial.intermediate_values.items(), default=(0, None))[1]
