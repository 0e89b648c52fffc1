"""A search at a glance: how many trials ended how, for each arm and in all, and the best so far."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from search.trials.ranking import ranked
from search.trials.trial import Trial

NOT_FINITE = "the loss is not finite"


@dataclass(frozen=True)
class Overview:
    """Counts of the trials that are over, and the best of them; `arms` has the same for each arm.

    `errors` are the last lines of what failed trials raised, the most frequent first.
    """

    trials: int
    completed: int
    stopped: int
    failed: int
    best: Trial | None
    epochs_run: int
    errors: dict[str, int]
    arms: "dict[str, Overview]"

    @classmethod
    def of(cls, trials: Iterable[Trial], arms: Sequence[str], arm_of: Callable[[Trial], str]) -> "Overview":
        """The overview of trials, of which those that are on their way do not count."""
        over = [trial for trial in trials if trial.ending is not None]
        by_arm: dict[str, list[Trial]] = {arm: [] for arm in arms}
        for trial in over:
            by_arm.setdefault(arm_of(trial), []).append(trial)
        return cls._count(over, {arm: cls._count(mine, {}) for arm, mine in by_arm.items()})

    @classmethod
    def _count(cls, over: Sequence[Trial], arms: "dict[str, Overview]") -> "Overview":
        endings = Counter(trial.ending for trial in over)
        errors = Counter(last_line(t.error) or NOT_FINITE for t in over if t.ending == "failed")
        return cls(
            trials=len(over),
            completed=sum(trial.completed for trial in over),
            stopped=endings["stopped"],
            failed=endings["failed"],
            best=next(iter(ranked([trial for trial in over if trial.score is not None])), None),
            epochs_run=sum(trial.epochs_run for trial in over),
            errors=dict(errors.most_common()),
            arms=arms,
        )


def last_line(text: str) -> str:
    """The last line of a traceback, which names the error."""
    return (text.strip().splitlines() or [""])[-1]
