"""What a study can ask for: a score that is maximised, and beside it maybe speed."""

from collections.abc import Mapping
from typing import Any

from pruning_core.metrics import METRICS, SIGNAL_EFFICIENCY, Metric, Rejection

PRUNED = "pruned_"
SPEED = "completion_epoch"
SCORES = tuple(f"{PRUNED}{name}" for name in METRICS)


def metric_name(score: str) -> str:
    """The metric that is measured under the hard mask: `pruned_auc` -> `auc`."""
    return score.removeprefix(PRUNED)


def metric_in(search: Mapping[str, Any]) -> Metric:
    """What a search maximises, as far as its values are to be written.

    Args:
        search: the section `search` of a resolved study.
    """
    objective = search.get("objective", SCORES[0])
    kind = METRICS[metric_name(objective if isinstance(objective, str) else objective[0])]
    return Rejection(search.get("signal_efficiency", SIGNAL_EFFICIENCY)) if kind is Rejection else kind()


def objectives(objective: object) -> tuple[str, ...] | None:
    """The objectives that `search.objective` asks for, None where it is wrong.

    >>> objectives("pruned_auc"), objectives(["pruned_auc", "completion_epoch"])
    (('pruned_auc',), ('pruned_auc', 'completion_epoch'))
    """
    match objective:
        case str() if objective in SCORES:
            return (objective,)
        case [str() as score, "completion_epoch"] if score in SCORES:
            return (score, SPEED)
    return None
