"""Which trials that are over keep their networks on the disk: the few best of each arm, which may be confirmed.

All others keep what was recorded of them; `deeppp export` of one of these trains it again.
"""

from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from search.trials.checkpoint import forget_state, trial_folder
from search.trials.ranking import merit_of
from search.trials.trial import Trial

CANDIDATES = 3
"""How many trials of a strategy are confirmed, to choose the best of them."""


class KeptNetworks:
    """The trials of a search whose networks are kept while it goes on.

    Args:
        folder: of the search.
        arm_of: the arm that a trial belongs to.
        over: the trials that are over already.
    """

    def __init__(self, folder: Path, arm_of: Callable[[Trial], str], over: Iterable[Trial] = ()) -> None:
        self.folder = folder
        self.arm_of = arm_of
        self.best: dict[str, list[Trial]] = {}
        for trial in over:
            self.add(trial)

    def add(self, trial: Trial) -> None:
        """Takes in a trial that is over; one that is not among the best of its arm loses its networks."""
        best = self.best.setdefault(self.arm_of(trial), [])
        best.append(trial)
        if trial.ending == "failed" or len(best) > CANDIDATES:
            worst = trial if trial.ending == "failed" else min(best, key=lambda t: (merit_of(t), -t.number))
            best.remove(worst)
            forget_state(trial_folder(self.folder, worst.number))

    def reduce_to(self, confirmed: Collection[int]) -> None:
        """After the confirmation: only the best of each arm and those with these numbers keep theirs."""
        for best in self.best.values():
            first = max(best, key=lambda t: (merit_of(t), -t.number), default=None)
            for trial in best:
                if trial is not first and trial.number not in confirmed:
                    forget_state(trial_folder(self.folder, trial.number))
