"""What ends a search early, in good order: more failures than the study allows, or a full disk."""

import shutil
import signal
from pathlib import Path
from typing import Any

from optuna.trial import TrialState
from ray.tune import Callback
from ray.tune.experiment import Trial

from search.propose.ledger import Ledger
from search.record.summary import last_line
from search.study import Study

SPACE_TO_GO_ON = 256 * 2**10


class Halted(Exception):  # noqa: N818
    """Ends a search for a reason, which is the message."""


class Halt(Callback):
    """Ends Tune's run early, as SIGINT would, when going on is of no use: trials on the way can be resumed.

    Args:
        study: `search.max_failures` says how many trials may fail.
        ledger: the search's trials.
        folder: of the search, on the disk that may be full.
    """

    def __init__(self, study: Study, ledger: Ledger, folder: Path) -> None:
        self.study = study
        self.ledger = ledger
        self.folder = folder
        self.reason = ""

    def check(self) -> None:
        """Raises `Halted` if there is a reason."""
        self.reason = self.reason or self._too_many_failures()
        if self.reason:
            raise Halted(self.reason)

    def _too_many_failures(self) -> str:
        most = self.study.search.max_failures
        if most is None:
            return ""
        failed = [trial for trial in self.ledger.trials if trial.state == TrialState.FAIL]
        if len(failed) <= most:
            return ""
        last = last_line(failed[-1].user_attrs.get("error", "the loss is not finite"))
        return f"{len(failed)} trials failed, more than search.max_failures = {most}, the last one with {last}"

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial ended, maybe as one failure too many."""
        self._halt(self._too_many_failures())

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A worker was lost, maybe to a full disk, which every other worker will meet, too."""
        self._halt(no_space(self.folder))

    on_trial_error = on_trial_recover

    def _halt(self, reason: str) -> None:
        if reason and not self.reason:
            self.reason = reason
            signal.raise_signal(signal.SIGUSR1)


def no_space(folder: Path) -> str:
    """That the disk of a folder is full, or ""."""
    return f"no space is left for {folder}" if shutil.disk_usage(folder).free < SPACE_TO_GO_ON else ""
