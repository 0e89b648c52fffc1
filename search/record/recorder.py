"""Carries what happens in Tune to MLflow and to the terminal, without keeping Tune waiting.

A thread of its own writes to MLflow, and tries again what could not be delivered. Nothing is lost when the server stays
away: a finished trial can be logged from its folder at any later time, and so can the search's end from `search.json`.
"""

import json
import os
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

from optuna.trial import FrozenTrial, TrialState
from ray.tune import Callback
from ray.tune.experiment import Trial

from pruning_core.data import Dataset
from search.propose.ledger import Ledger
from search.propose.optuna_trials import NODE, completed_fraction, last_accuracy, with_keep
from search.record.summary import TrialEnding
from search.record.tracking import SearchEnding, Tracking, TrackingError
from search.study import Study
from search.terminal import SearchDisplay, warn
from search.train.confirmation import read_network
from search.trials.folder import checkpoints, trial_folder
from search.trials.keeps import by_keep, confirmed_by_keep
from search.trials.pareto import points

ENDINGS: dict[TrialState, TrialEnding] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "stopped",
    TrialState.FAIL: "failed",
}
RETRY_AFTER = 3.0
PATIENCE = 30.0
RESULT, WINNER = "search.json", "winner"


class Recorder(Callback):
    """Tune's callback.

    Args:
        study: the study file.
        ledger: the search's trials.
        tracking: where trials are logged.
        display: what the user sees.
        folder: of the Tune experiment; trial k lies in `trial_0000k`, the winner's network in `winner`.
        data: that the trials train on.
    """

    def __init__(
        self,
        study: Study,
        ledger: Ledger,
        tracking: Tracking,
        display: SearchDisplay,
        folder: Path,
        data: Dataset,
    ) -> None:
        self.data = data
        self.study = study
        self.ledger = ledger
        self.tracking = tracking
        self.display = display
        self.folder = folder
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

    def setup(self, *arguments: Any, **info: Any) -> None:
        """Shows the trials that ended before a resume."""
        for trial in self.ledger.trials:
            if trial.state.is_finished():
                self._show(trial, here=False)

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial begins, or begins again after a fault."""
        number = trial.config["number"]
        self.display.trial_started(number)
        self.tasks.put(lambda: self._start(self.ledger.trials[number]))

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial came to its end or was stopped; Optuna has been told already.

        Tune keeps its trials to the end of the search: let go of the largest part, statistics of every number reported.
        """
        self.ended(trial.config["number"])
        metadata = trial.run_metadata
        metadata.metric_analysis, metadata.metric_n_steps, metadata.last_result = {}, {}, {}

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial lost its worker and will go on from its checkpoint."""
        self.display.trial_lost(trial.config["number"])

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial lost its worker and Tune does not take it up again; the runner will."""
        self.display.trial_lost(trial.config["number"])

    def ended(self, number: int) -> None:
        """A trial is at its end in Optuna: it is shown and logged."""
        ended = self.ledger.trials[number]
        self._show(ended, here=True)
        self.tasks.put(lambda: self._log(ended))

    def _show(self, trial: FrozenTrial, here: bool) -> None:
        self.display.trial_ended(trial, last_accuracy(trial), completed_fraction(trial), here)

    def _start(self, trial: FrozenTrial) -> str:
        return self.tracking.start_trial(trial.number, self.study.trial_config(trial.params).used())

    def _log(self, trial: FrozenTrial) -> None:
        self._start(trial)
        note = trial.user_attrs.get("stopped") or trial.user_attrs.get("error", "")
        self.tracking.finish_trial(
            trial.number,
            self._left_by(trial.number),
            ENDINGS[trial.state],
            note,
            node=trial.user_attrs.get(NODE, ""),
        )

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
        save_result(self.folder, result, ending)
        deadline = time.monotonic() + (PATIENCE if ending == "finished" else 0)
        while True:
            try:
                self.deliver(result, ending)
            except TrackingError as error:
                if time.monotonic() < deadline:
                    time.sleep(RETRY_AFTER)
                    continue
                warn(f"not everything reached MLflow ({error}); `deeppp sync` delivers the rest later")
            else:
                if self.problem:
                    warn(f"MLflow failed at times, but everything is logged now ({self.problem})")
            return

    def deliver(self, result: dict[str, Any], ending: SearchEnding) -> None:
        """Logs every trial that has ended, the confirmations, the winner's network and the search's end.

        Again does no harm. The entry `model` is added to `result`.

        Raises:
            TrackingError: it could not all be delivered.
        """
        for trial in self.ledger.trials:
            if trial.state.is_finished():
                self._log(trial)
        for each in [result, *result.get("keeps", {}).values()]:
            for entry in [*each.get("pareto", ()), *each.get("strategies", {}).values()]:
                entry["run_id"] = self._start(self.ledger.trials[entry["trial"]])
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
        """Draws what the study calls for: of two objectives the Pareto front, of several n the accuracy against n."""
        trials = self.ledger.trials
        for keep, each in by_keep(result).items():
            if each.get("pareto"):
                from search.figures.results import pareto  # loads what most searches do not need

                reached = points(with_keep(trials, int(keep)) if keep else trials)
                name = f"pareto_{keep}.png" if keep else "pareto.png"
                pareto(to / name, {s: [p for p in reached if p.strategy == s] for s in self.study.strategies})
        if results := confirmed_by_keep(result):
            from search.figures.results import accuracy_against_n

            accuracy_against_n(to / "accuracy_against_n.png", results)


def save_result(folder: Path, result: dict[str, Any], ending: SearchEnding) -> None:
    """Leaves in a search's folder how it ended; if not even this can be written, the ledger still holds the trials."""
    try:
        new = folder / f"{RESULT}.new"
        new.write_text(json.dumps({"ending": ending, "result": result}, indent=1))
        os.replace(new, folder / RESULT)
    except OSError as error:
        warn(f"{folder / RESULT} cannot be written: {error.strerror}")


def saved_result(folder: Path) -> tuple[dict[str, Any], SearchEnding]:
    """How the search in a folder ended when it last ran; one that was killed counts as interrupted."""
    try:
        saved = json.loads((folder / RESULT).read_text())
    except (OSError, ValueError):
        return {}, "interrupted"
    return saved["result"], next(e for e in get_args(SearchEnding) if e == saved["ending"])
