"""Whether a search has come to its end before its trials are used up: `search.plateau`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from search.trials.trial import Trial


@dataclass(frozen=True)
class Ended:
    """That a search ended on a plateau: how many trials it was to have, its patience, how many did not fail."""

    trials: int
    patience: int
    over: int


class Plateau:
    """Says whether the last so many trials brought no gain; once it has said so, it goes on saying it.

    A gain is that the score of the best complete trial has risen by more than its standard error, the spread of its
    seeds over the root of their number; of several n, that of any n. Failed trials do not count, and as long as none
    has completed, nothing is known.

    Args:
        patience: how many trials in a row; None for no limit.
        over: the trials that are over, in the order of their ends.
        trials: how many the search is to have.
        ended: that it has ended on a plateau before. That holds until it is given more patience, or more trials: then
            the count begins anew.
    """

    def __init__(
        self, patience: int | None, over: Iterable[Trial] = (), trials: int = 0, ended: Ended | None = None
    ) -> None:
        self.patience = patience
        self.trials = trials
        self.over = [trial for trial in over if trial.ending != "failed"]
        goes_on = ended is not None and trials > ended.trials
        self.since = ended.over if ended and goes_on else 0
        self.reached = ended is not None and not goes_on and patience is not None and patience <= ended.patience
        self._look()

    def ended(self, trial: Trial) -> None:
        """A trial is over."""
        if trial.ending != "failed":
            self.over.append(trial)
            self._look()

    def note(self) -> Ended:
        """That the search ends here."""
        return Ended(self.trials, self.patience or 0, len(self.over))

    def _look(self) -> None:
        if self.patience is None or self.reached:
            return
        first = len(self.over) - self.patience
        self.reached = first >= self.since and not _gains(self.over[:first], self.over[first:])


def _gains(before: Sequence[Trial], last: Sequence[Trial]) -> bool:
    """Whether the last trials brought a gain on those before, for any n; where nothing completed, one may come."""
    best_before, best = _best(before), _best([*before, *last])
    if not best:
        return True
    return any(
        keep not in best_before or (trial.score or 0.0) - (best_before[keep].score or 0.0) > trial.standard_error
        for keep, trial in best.items()
    )


def _best(trials: Iterable[Trial]) -> dict[object, Trial]:
    """The best complete trial of each n, the earliest of equals."""
    best: dict[object, Trial] = {}
    for trial in trials:
        keep = trial.params.get("keep")
        if trial.completed and (keep not in best or (trial.score or 0.0) > (best[keep].score or 0.0)):
            best[keep] = trial
    return best
