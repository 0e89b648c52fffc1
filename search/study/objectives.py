"""What a study can ask for: a score that is maximised, and beside it maybe speed."""

from collections.abc import Mapping
from typing import Any

from pruning_core.data import DataError, Dataset
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


def metric_for(name: str, data: Dataset, signal_efficiency: float = SIGNAL_EFFICIENCY) -> Metric:
    """A metric as it is measured on a data set.

    Args:
        name: one of `METRICS`.
        data: with two classes and a signal, if the metric needs them.
        signal_efficiency: at which the rejection is measured.

    Raises:
        DataError: the metric needs two classes, or `data.signal`.
    """
    kind = METRICS[name]
    if kind is not Rejection:
        return kind()
    classes = data.class_names
    if len(classes) != 2:
        raise DataError(
            f"search.objective = pruned_rejection needs data of two classes, and {data.name} has {len(classes)}"
        )
    if data.signal is None:
        raise DataError(
            f"data.signal is missing: for search.objective = pruned_rejection it must name the class that is the "
            f"signal, {classes[0]!r} or {classes[1]!r}"
        )
    return Rejection(signal_efficiency, classes.index(data.signal))


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
