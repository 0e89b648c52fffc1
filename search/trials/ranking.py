"""Which of two is better: completion first, then the validation score. The test part never has a say."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from search.trials.trial import Trial

AnyTrial = TypeVar("AnyTrial", bound=Trial)
Merit = tuple[float, float]


def merit(complete: float, score: float | None) -> Merit:
    """The greater the better.

    Args:
        complete: the fraction of the seeds that completed.
        score: on the validation part; None counts as 0.
    """
    return complete, score or 0.0


def merit_of(trial: Trial) -> Merit:
    """The merit of a trial with its own seeds."""
    return merit(trial.complete, trial.score)


def merit_of_confirmed(entry: Mapping[str, Any]) -> Merit:
    """The merit of an entry of `strategies` in `deeppp search --json`, with its fresh seeds, refitted or not."""
    return merit(entry["outcome"]["complete"], entry["validation"]["mean"])


def ranked(trials: Sequence[AnyTrial]) -> list[AnyTrial]:
    """Those that did not fail and reported a score, the best first, the earliest of equals."""
    known = [trial for trial in trials if trial.ending in ("ended", "stopped")]
    return sorted(known, key=merit_of, reverse=True)
