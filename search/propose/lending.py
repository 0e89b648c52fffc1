"""What arms tell each other: how the network trains in the best trial of all.

A schedule is an arm's own, but step size, weight decay, label smoothing and the like mean the same in all of them, and
each arm has too few trials to find good ones alone.
"""

from pruning_core.config import strategy_hyperparameters
from search.propose.optimiser import startup
from search.study import Study
from search.study.samplers import SAMPLERS
from search.study.space import Point
from search.trials.ranking import merit_of
from search.trials.trial import Trial


class Lending:
    """Notes the best trial of each arm, and says what another arm might try of it.

    An arm borrows now and then, as often as it drew points at random before its sampler learnt: its own best point with
    what the best trial of all has for hyperparameters that belong to no strategy. Samplers that do not learn do not
    borrow.

    Args:
        study: the study file.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self.every = startup(study) if SAMPLERS[study.search.sampler].learns else 0
        self.best: dict[str, Trial] = {}

    def ended(self, trial: Trial) -> None:
        """Takes in a trial that is over."""
        arm = self.study.arm(trial.params)
        if trial.ending != "failed" and (arm not in self.best or merit_of(trial) > merit_of(self.best[arm])):
            self.best[arm] = trial

    def point(self, arm: str, created: int) -> Point | None:
        """What an arm that has so many trials tries next, or None to leave that to its sampler."""
        if not self.every or not created or created % self.every or arm not in self.best:
            return None
        own, lender = self.best[arm], max(self.best.values(), key=merit_of)
        shared = (own.searched.keys() & lender.searched.keys()) - strategy_hyperparameters() - {"alpha"}
        lent = {name: lender.params[name] for name in shared}
        return None if lent.items() <= own.params.items() else {**own.params, **lent}
