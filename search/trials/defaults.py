"""Whether a search found anything better than a strategy's defaults, which are among its trials."""

from collections.abc import Mapping, Sequence
from typing import Any

from pruning_core.metrics import ACCURACY, Metric
from search.study.space import Point
from search.trials.estimate import Estimate, count
from search.trials.trial import Trial


def default_trial(trials: Sequence[Trial], points: Sequence[Point], strategy: str) -> Trial | None:
    """The trial that has a strategy's defaults; None where the search did not try them.

    Args:
        trials: of one n, none that failed.
        points: where the search starts (`Space.known_points`), the defaults of each strategy first.
    """
    defaults = next((point for point in points if point["strategy"] == strategy), None)
    if defaults is None:
        return None
    alike = (t for t in trials if all(t.params.get(name) == value for name, value in defaults.items()))
    return next(alike, None)


def needed(above: Mapping[str, Any] | None) -> bool:
    """Whether the best trial of a strategy is above its defaults by more than the standard error of the difference.

    It is the one-standard-error rule (Breiman et al., Classification and Regression Trees, 1984): of what the data
    cannot tell apart the simplest is taken.

    Args:
        above: `above_defaults` of an entry of `strategies` in `deeppp search --json`; earlier searches went by half the
            95 % interval, and have no standard error.
    """
    return above is None or above["mean"] > above.get("standard_error", above["half"] or 0.0)


def verdict(strategy: str, entry: Mapping[str, Any], metric: Metric = ACCURACY) -> str:
    """A sentence on what the search gained over a strategy's defaults; "" where these were not tried.

    Args:
        entry: of `strategies` in `deeppp search --json`.
    """
    above = entry.get("above_defaults")
    if above is None:
        return ""
    gain = Estimate(above["mean"], above["half"], metric)
    size = f"{gain.short.removesuffix(metric.sign)}{metric.apart}"
    tried = count(entry["trials"], "trial")
    if needed(above):
        return f"The best of {tried} of {strategy} is {size} above its defaults on validation."
    if above["mean"] == 0:
        return f"No search was needed for {strategy}: none of its {tried} is better than its defaults."
    return (
        f"No search was needed for {strategy}: the best of {tried}, {size} above its defaults on validation, cannot be "
        "told from them by its standard error, so the defaults were taken."
    )
