"""The Pareto set of a search: the trials that no other one beats in both score and speed.

Only trials count of which every replica completed. The search and the report ask the same functions.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from search.trials.trial import Trial


class Timed(Protocol):
    """A trial with its score and the epoch at which its replicas were complete, None where it has none."""

    @property
    def number(self) -> int: ...
    @property
    def score(self) -> float | None: ...
    @property
    def completion_epoch(self) -> float | None: ...
    @property
    def completed(self) -> bool: ...


AnyTimed = TypeVar("AnyTimed", bound=Timed)


@dataclass(frozen=True)
class Point:
    """A completed trial of a search with two objectives: means over its replicas, the score on validation."""

    number: int
    strategy: str
    score: float
    completion_epoch: float
    completed: bool = True


def front(trials: Iterable[AnyTimed]) -> list[AnyTimed]:
    """The completed trials that no other one beats in one of score and speed and equals in the other.

    The earliest complete comes first, so the best scored last.
    """
    known = [t for t in trials if t.completed and t.score is not None and t.completion_epoch is not None]
    found: list[AnyTimed] = []
    for trial in sorted(known, key=lambda t: (t.completion_epoch or 0.0, -(t.score or 0.0))):
        best = found[-1] if found else None
        same = best and (best.score, best.completion_epoch) == (trial.score, trial.completion_epoch)
        if best is None or same or (trial.score or 0.0) > (best.score or 0.0):
            found.append(trial)
    return found


def points(trials: Sequence[Trial]) -> list[Point]:
    """The completed ones of the trials of a search with two objectives, the second of which is `completion_epoch`."""
    return [Point(t.number, t.strategy, t.values[0], t.values[1]) for t in trials if t.completed]


def pareto_set(trials: Sequence[Trial], score: str) -> list[dict[str, Any]]:
    """The entry `pareto` of `deeppp search --json`, the best scored first; `run_id` is still to be filled in.

    Args:
        trials: of the search.
        score: the name of the first objective, such as `pruned_accuracy`.
    """
    return [
        {
            "trial": point.number,
            "strategy": point.strategy,
            score: point.score,
            "completion_epoch": point.completion_epoch,
            "run_id": None,
        }
        for point in reversed(front(points(trials)))
    ]
