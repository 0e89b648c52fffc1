"""Which trials that are over keep their networks on the disk: the few of each arm that may be confirmed.

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
        is_default: whether a trial has its strategy's defaults, which are confirmed in any case.
        over: the trials that are over already.
    """

    def __init__(
        self,
        folder: Path,
        arm_of: Callable[[Trial], str],
        is_default: Callable[[Trial], bool],
        over: Iterable[Trial] = (),
    ) -> None:
        self.folder = folder
        self.arm_of = arm_of
        self.is_default = is_default
        self.best: dict[str, list[Trial]] = {}
        self.defaults: list[Trial] = []
        for trial in over:
            self.add(trial)

    def add(self, trial: Trial) -> None:
        """Takes in a trial that is over: neither its arm's default nor among its best, it loses its networks."""
        if self.is_default(trial) and trial.ending != "failed":
            self.defaults.append(trial)
        best = self.best.setdefault(self.arm_of(trial), [])
        best.append(trial)
        if trial.ending == "failed" or len(best) > CANDIDATES:
            worst = trial if trial.ending == "failed" else min(best, key=lambda t: (merit_of(t), -t.number))
            best.remove(worst)
            if worst not in self.defaults:
                forget_state(trial_folder(self.folder, worst.number))

    def reduce_to(self, confirmed: Collection[int]) -> None:
        """After the confirmation: only the best of each arm and those with these numbers keep theirs."""
        firsts = {max(best, key=lambda t: (merit_of(t), -t.number)).number for best in self.best.values() if best}
        known = [*self.defaults, *(trial for best in self.best.values() for trial in best)]
        for number in {trial.number for trial in known} - firsts - set(confirmed):
            forget_state(trial_folder(self.folder, number))
