"""Carries what happens in Tune to MLflow and to the terminal, without keeping Tune waiting.

A thread of its own writes to MLflow. What cannot be delivered is tried again at the end; nothing is lost, because a
finished trial can be logged from its folder at any later time.
"""

from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from ray.tune import Callback
from ray.tune.experiment import Trial

from pruning_core.datasets import Dataset
from search.confirmation import Confirmed
from search.sampler import completed_fraction, last_accuracy
from search.study import Study
from search.summary import TrialEnding
from search.terminal import SearchDisplay, warn
from search.tracking import SearchEnding, Tracking, TrackingError
from search.trainable import checkpoints

ENDINGS: dict[TrialState, TrialEnding] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "stopped",
    TrialState.FAIL: "failed",
}


class Recorder(Callback):
    """Tune's callback.

    Args:
        study: the study file.
        ledger: the search's Optuna study.
        tracking: where trials are logged.
        display: what the user sees.
        folder: of the Tune experiment; trial k lies in `trial_0000k`.
    """

    def __init__(
        self, study: Study, ledger: optuna.Study, tracking: Tracking, display: SearchDisplay, folder: Path
    ) -> None:
        self.study = study
        self.ledger = ledger
        self.tracking = tracking
        self.display = display
        self.folder = folder
        self.writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mlflow")
        self.written: list[Future[Any]] = []

    def setup(self, *arguments: Any, **info: Any) -> None:
        """Shows the trials that ended before a resume."""
        for trial in self.ledger.get_trials(deepcopy=False):
            if trial.state.is_finished():
                self._show(trial, here=False)

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial begins, or begins again after a fault."""
        number = trial.config["number"]
        self.display.trial_started(number)
        self.written.append(self.writer.submit(self._start, self._ledger_trial(number)))

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial came to its end or was stopped; Optuna has been told already."""
        self.ended(trial.config["number"])

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial lost its worker and will go on from its checkpoint."""
        self.display.trial_lost(trial.config["number"])

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial lost its worker and Tune does not take it up again; the runner will."""
        self.display.trial_lost(trial.config["number"])

    def ended(self, number: int) -> None:
        """A trial is at its end in Optuna: it is shown and logged."""
        ended = self._ledger_trial(number)
        self._show(ended, here=True)
        self.written.append(self.writer.submit(self._log, ended))

    def _show(self, trial: FrozenTrial, here: bool) -> None:
        self.display.trial_ended(trial, last_accuracy(trial), completed_fraction(trial), here)

    def _ledger_trial(self, number: int) -> FrozenTrial:
        return self.ledger.get_trials(deepcopy=False)[number]

    def _start(self, trial: FrozenTrial) -> str:
        return self.tracking.start_trial(trial.number, self.study.trial_config(trial.params).used())

    def _log(self, trial: FrozenTrial) -> None:
        self._start(trial)
        folders = checkpoints(self.folder / f"trial_{trial.number:05d}")
        note = trial.user_attrs.get("stopped") or trial.user_attrs.get("error", "")
        self.tracking.finish_trial(trial.number, folders[0] if folders else None, ENDINGS[trial.state], note)

    def run_id(self, number: int) -> str:
        """The MLflow run of a trial."""
        return self.writer.submit(self._start, self._ledger_trial(number)).result()

    def publish(self, best: Confirmed, data: Dataset) -> dict[str, Any] | None:
        """Registers the winner's pruned network in MLflow; the entry `model` of `deeppp search --json`, if it can."""
        if best.network is None:
            warn("no fresh seed completed the pruning, so there is no network to register in MLflow")
            return None
        number, impute = best.trial.number, self.study.data.impute
        try:
            return self.writer.submit(self.tracking.log_model, number, best.network, data, impute).result()
        except TrackingError as error:
            warn(f"the pruned network is not registered in MLflow: {error}")
            return None

    def close(self, result: dict[str, Any], ending: SearchEnding) -> None:
        """Delivers what is still to be logged and closes the parent run."""
        self.writer.shutdown(wait=True)
        problems = Counter(str(f.exception()) for f in self.written if f.exception())
        try:
            for trial in self.ledger.get_trials(deepcopy=False):
                if trial.state.is_finished():
                    self._log(trial)
            for entry in result.get("strategies", {}).values():
                self.tracking.log_confirmation(entry["trial"], entry)
            self.tracking.close_search(result, ending)
        except TrackingError as error:
            warn(f"not everything reached MLflow ({error}); run again with --resume to deliver it")
        else:
            if problems:
                warn(f"MLflow failed at times, but everything is logged now ({problems.most_common(1)[0][0]})")
