"""What is used of Ray Tune that it does not document.

Each function says why it is here, and what breaks when Tune changes beneath it. Workers that only train read nothing of
this: importing Tune costs each of them seconds.
"""

from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler


def forget_reports(trial: Trial) -> None:
    """Lets go of the statistics that Tune keeps of every number that a trial reported, to the end of the search.

    Why: they are the largest part of what the driver holds. Without it: a search of thousands of trials needs more
    memory.
    """
    metadata = trial.run_metadata
    metadata.metric_analysis, metadata.metric_n_steps, metadata.last_result = {}, {}, {}


class LetsWorkersStart(FIFOScheduler):
    """Hands a free worker to the oldest trial that waits for a place, not to one whose own worker is just starting.

    Tune has one trial waiting at a time and hands the free worker to it, whose own starting worker it then kills. Where
    trials end sooner than a worker starts, one node thus does all the work. Here, one more trial waits than start.

    Why: `TUNE_MAX_PENDING_TRIALS_PG` sets how many wait as a constant, and says nothing of which gets the worker.
    Without it: `FIFOScheduler`, slower where trials are short.
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
