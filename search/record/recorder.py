"""Carries what happens to trials to MLflow and to whoever watches, without keeping the search waiting.

A thread of its own writes to MLflow, and tries again what could not be delivered. Nothing is lost when the server stays
away: a finished trial can be logged from its folder at any later time, and so can the search's end from `search.json`.
"""

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pruning_core.data import Dataset
from search.propose.ledger import Ledger
from search.record.tracking import Tracking, TrackingError
from search.stores.addresses import Places
from search.study import Study, StudyError
from search.trials.checkpoint import checkpoints, search_folder, trial_folder
from search.trials.enough import Curve
from search.trials.network import WINNER, read_network
from search.trials.pareto import points
from search.trials.result import RESULT, by_keep, confirmed_by_keep, save_result
from search.trials.trial import SearchEnding, Trial
from search.trials.watcher import Watcher

RETRY_AFTER = 3.0
PATIENCE = 30.0


class Recorder:
    """Is told of trials while they train (see `search.train.tune.Listener`) and of the search's end.

    Args:
        study: the study file.
        data: that the trials train on.
        ledger: the search's trials.
        tracking: where trials are logged.
        folder: of the search; trial k lies in `trial_0000k`, the winner's network in `winner`.
        watcher: what the user sees.
    """

    def __init__(
        self, study: Study, data: Dataset, ledger: Ledger, tracking: Tracking, folder: Path, watcher: Watcher
    ) -> None:
        self.study = study
        self.data = data
        self.ledger = ledger
        self.tracking = tracking
        self.folder = folder
        self.watcher = watcher
        self.tasks: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self.closing = threading.Event()
        self.problem = ""
        self.writer = threading.Thread(target=self._write, name="mlflow", daemon=True)
        self.writer.start()

    def _write(self) -> None:
        """The writer's thread: what fails goes to the end of the queue and is tried again a little later."""
        while not (self.closing.is_set() and (self.problem or self.tasks.empty())):
            with suppress(queue.Empty):
                task = self.tasks.get(timeout=0.1)
                try:
                    task()
                except TrackingError as error:
                    self.problem = str(error)
                    self.tasks.put(task)
                    self.closing.wait(RETRY_AFTER)

    def show_earlier(self) -> None:
        """Shows the trials that were over before this run of the search."""
        for trial in self.ledger.trials:
            if trial.ending:
                self.watcher.trial_ended(trial, here=False)

    def started(self, number: int) -> None:
        """A trial begins, or begins again after a fault."""
        self.watcher.trial_started(number)
        trial = self.ledger.trial(number)
        self.tasks.put(lambda: self._start(trial))

    def lost(self, number: int) -> None:
        """A trial lost its worker and goes on from its checkpoint."""
        self.watcher.trial_lost(number)

    def ended(self, number: int) -> None:
        """A trial is at its end in the ledger: it is shown and logged."""
        trial = self.ledger.trial(number)
        self.watcher.trial_ended(trial)
        self.tasks.put(lambda: self._log(trial))

    def _start(self, trial: Trial) -> str:
        return self.tracking.start_trial(trial.number, self.study.trial_config(trial.params).used())

    def _log(self, trial: Trial) -> None:
        self._start(trial)
        self.tracking.finish_trial(trial, self._left_by(trial.number))

    def _left_by(self, number: int) -> Path | None:
        return next(iter(checkpoints(trial_folder(self.folder, number))), None)

    def close(self, result: dict[str, Any], ending: SearchEnding) -> None:
        """Delivers what is still to be logged, closes the parent run, and adds the `run_id` of the best trials.

        What cannot be delivered, though a finished search waits a little for its server, is left to `deliver`.

        Args:
            result: the JSON of `deeppp search --json`, of a search that did not finish as much as there is.
            ending: how the search ended.
        """
        self.closing.set()
        self.writer.join()
        self._save_result(result, ending)
        deadline = time.monotonic() + (PATIENCE if ending == "finished" else 0)
        while True:
            try:
                self.deliver(result, ending)
            except TrackingError as error:
                if time.monotonic() < deadline:
                    time.sleep(RETRY_AFTER)
                    continue
                self.watcher.warn(f"not everything reached MLflow ({error}); `deeppp sync` delivers the rest later")
            else:
                if self.problem:
                    self.watcher.warn(f"MLflow failed at times, but everything is logged now ({self.problem})")
            return

    def deliver(self, result: dict[str, Any], ending: SearchEnding) -> None:
        """Logs every trial that has ended, the confirmations, the winner's network and the search's end.

        Again does no harm. The entry `model` is added to `result`.

        Raises:
            TrackingError: it could not all be delivered.
        """
        trials = self.ledger.trials
        for trial in trials:
            if trial.ending:
                self._log(trial)
        for each in [result, *result.get("keeps", {}).values()]:
            for entry in [*each.get("pareto", ()), *each.get("strategies", {}).values()]:
                entry["run_id"] = self._start(trials[entry["trial"]])
        for each in by_keep(result).values():
            for entry in each.get("strategies", {}).values():
                self.tracking.log_confirmation(entry["trial"], entry, self._left_by(entry["trial"]))
        problem = None
        network = read_network(self.folder / WINNER) if result.get("winner") else None
        if network:
            number = result["strategies"][result["winner"]]["trial"]
            try:
                result["model"] = self.tracking.log_model(number, network, self.data, self.study.data.impute)
            except TrackingError as error:  # the store may have no registry; the search ends all the same
                problem = error
        self.tracking.close_search(result, ending, lambda to: self._draw(result, to))
        if problem:
            raise problem

    def _draw(self, result: dict[str, Any], to: Path) -> None:
        """Draws what the study calls for: of two objectives the Pareto front, of several n the score against n, and the
        curve from which n was taken."""
        trials, metric = self.ledger.trials, self.study.metric(self.data)
        for keep, each in by_keep(result).items():
            if each.get("pareto"):
                from search.figures.results import pareto  # loads what most searches do not need

                reached = points([t for t in trials if not keep or t.has(int(keep))])
                name = f"pareto_{keep}.png" if keep else "pareto.png"
                by_strategy = {s: [p for p in reached if p.strategy == s] for s in self.study.strategies}
                pareto(to / name, by_strategy, metric)
        if result.get("keep"):
            from search.figures.enough import score_within_band

            score_within_band(to / "keep.png", Curve.read(result["keep"]), metric)
        if results := confirmed_by_keep(result):
            from search.figures.results import score_against_n

            score_against_n(to / f"{metric.name}_against_n.png", results, (), metric)

    def _save_result(self, result: dict[str, Any], ending: SearchEnding) -> None:
        try:
            save_result(self.folder, result, ending)
        except OSError as error:  # the ledger still holds the trials
            self.watcher.warn(f"{self.folder / RESULT} cannot be written: {error.strerror}")


def open_tracking(study: Study, places: Places) -> Tracking:
    """The store that a search is to be recorded in.

    Raises:
        StudyError: MLflow cannot be used or reached.
    """
    try:
        return Tracking(places.tracking_uri, study.name, places.output / "mlartifacts")
    except TrackingError as error:
        raise StudyError(str(error)) from None


def open_recorder(
    tracking: Tracking, study: Study, data: Dataset, ledger: Ledger, places: Places, resume: bool, watcher: Watcher
) -> Recorder:
    """The recorder of a search whose n is known, its parent run opened.

    Raises:
        StudyError: MLflow does not take it.
    """
    try:
        tracking.open_search(ledger.label, study, data.fingerprint, places.output, resume)
    except TrackingError as error:
        raise StudyError(str(error)) from None
    return Recorder(study, data, ledger, tracking, search_folder(places.output, ledger.label), watcher)
