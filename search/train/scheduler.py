"""What stops trials from outside, as Tune schedulers that do not take a trial's worker away while it starts."""

from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from search.study import Study


class LetsWorkersStart(FIFOScheduler):
    """Hands a free worker to the oldest trial that waits for a place, not to one whose own worker is just starting.

    Tune has one trial waiting at a time and hands the free worker to it, whose own starting worker it then kills. Where
    trials end sooner than a worker starts, one node thus does all the work. Here, one more trial waits than start.
    """

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The trial to be started or gone on with next, or None."""
        controller = tune_controller._tune_controller
        live = set(controller._actor_manager.live_actors)
        unfinished = sorted(tune_controller.get_live_trials(), key=lambda trial: trial.config["number"])
        waiting = [trial for trial in unfinished if trial.status in (Trial.PENDING, Trial.PAUSED)]
        starting = {trial for trial in waiting if controller._trial_to_actor.get(trial) in live}
        controller.update_max_pending_trials(1 + len(starting))
        return min((t for t in waiting if t not in starting), key=lambda t: t.status == Trial.PAUSED, default=None)


class Asha(LetsWorkersStart, ASHAScheduler):
    """ASHA."""


class Median(LetsWorkersStart, MedianStoppingRule):
    """The median rule."""


def make_scheduler(study: Study) -> TrialScheduler:
    """ASHA or the median rule if the study names them, else nothing that stops trials."""
    epochs = study.training.epochs
    about: dict[str, Any] = {
        "time_attr": "epoch",
        "metric": "pruned_accuracy",
        "mode": "max",
        "grace_period": max(1, epochs // 4),
    }
    match study.search.early_stopping:
        case "asha":
            return Asha(max_t=epochs, **about)
        case "median":
            return Median(**about)
        case _:
            return LetsWorkersStart()
