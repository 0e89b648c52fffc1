"""Trains the trials of a search through Ray Tune: proposes, starts workers, takes their reports, ends in good order.

Every run is a fresh one for Tune: what is still to be trained is what the ledger has running, from the checkpoints in
the trials' folders, and what has yet to be proposed.
"""

import shutil
import signal
import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from ray import tune
from ray.exceptions import RayError
from ray.tune import Callback, ProgressReporter, TuneError
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.search import Searcher

from pruning_core.data import Dataset
from search.propose.ledger import Ledger
from search.propose.optimiser import budget
from search.propose.proposer import Proposer
from search.study import Study
from search.study.early_stopping import STOPPING_RULES
from search.train.engine import trials_together
from search.train.kit import Kit, pack
from search.train.private_tune import forget_reports
from search.train.resources import slots
from search.train.scheduler import make_scheduler
from search.train.shared_engine import stop_engines
from search.train.trainable import prune
from search.trials.checkpoint import search_folder, trial_folder
from search.trials.kept import KeptNetworks
from search.trials.order import Report, Terms
from search.trials.pace import Pace, confirmation_trials
from search.trials.plateau import Plateau

WORKER_FAULTS = 3
SECONDS_BETWEEN_REPORTS = 5
SPACE_TO_GO_ON = 256 * 2**10
CLUSTER_ERRORS = (RayError, TuneError)
"""What is raised when the cluster is lost."""


class Halted(Exception):  # noqa: N818
    """Ends a search for a reason, which is the message."""


class Listener(Protocol):
    """Is told about trials, by their number in the ledger, which knows of it already."""

    def started(self, number: int) -> None:
        """A trial begins, or begins again after a fault."""

    def lost(self, number: int) -> None:
        """A trial lost its worker; it goes on from its checkpoint."""

    def ended(self, number: int) -> None:
        """A trial is over."""


@dataclass(frozen=True)
class Trials:
    """The trials of a search that are to be trained.

    Args:
        study: the study file.
        ledger: the search's trials.
        data: that they train on.
        output: the folder of the results.
        listener: is told about them.
        kept: which of those that are over keep their networks.
        until: when the search, its confirmation included, must be over, in seconds of `time.monotonic`; None for any.
    """

    study: Study
    ledger: Ledger
    data: Dataset
    output: Path
    listener: Listener
    kept: KeptNetworks
    until: float | None = None

    @property
    def folder(self) -> Path:
        """Of the search; trial k lies in `trial_0000k`."""
        return search_folder(self.output, self.ledger.label)

    def train(self) -> str:
        """Trains all that are still to be trained; returns why these are fewer than the study's trials, or "".

        Tune itself takes a trial up again when its worker dies in training. What it leaves behind, such as a trial
        whose reused worker died just before it began, is run again at the end, from its checkpoint; only a trial that
        keeps losing its worker fails.

        Raises:
            KeyboardInterrupt: SIGINT, or SIGUSR1 from outside.
            Halted: more failures than the study allows, or a full disk.
        """
        halt = _Halt(self)
        halt.check()
        kit = pack(self.data.without_test(), self.study)  # once: Tune never lets go of it
        terms = self._terms()
        pace = self._pace(terms)
        plateau = Plateau(self.study.search.plateau, self.ledger.over, self.study.search.trials, self.ledger.plateau)
        for _ in range(1 + WORKER_FAULTS):
            proposer = Proposer(self.study, self.ledger, terms, pace, plateau)
            lost = self._train_once(proposer, halt, kit)
            halt.check()
            if set(proposer.running) - set(lost) or proposer.left():
                raise KeyboardInterrupt
            if not lost:
                return self._early(pace, plateau)
        for number, error in lost.items():
            proposer.give_up(number, f"its worker died again and again: {error}")
            self.listener.ended(number)
        halt.check()
        return self._early(pace, plateau)

    def _early(self, pace: Pace, plateau: Plateau) -> str:
        if pace.used_up:
            return "the hours are used up"
        if not plateau.reached or len(self.ledger.entries) >= budget(self.study):
            return ""
        self.ledger.note_plateau(plateau.note())
        return f"the last {plateau.patience} brought no gain beyond the spread of the seeds"

    def _pace(self, terms: Terms) -> Pace:
        study = self.study
        arms, seeds, fresh_seeds = len(study.arms), study.training.seeds, study.search.confirm_seeds
        confirmed = partial(confirmation_trials, arms=arms, seeds=seeds, fresh_seeds=fresh_seeds)
        return Pace(self.until, slots(study.resources) * terms.together, confirmed)

    def _terms(self) -> Terms:
        study, resources = self.study, self.study.resources
        rule = STOPPING_RULES[study.search.early_stopping]
        return Terms(
            folder=str(self.folder),
            threads=resources.threads,
            device=resources.device,
            cpu=resources.cpu or 1,
            gpu=resources.gpu or 0,
            together=trials_together(study, self.data, slots(resources), budget(study)),
            stop_hopeless=rule.hopeless,
            report_after=0 if rule.ray else SECONDS_BETWEEN_REPORTS,
        )

    def _train_once(self, proposer: Proposer, halt: "_Halt", kit: Kit) -> dict[int, str]:
        """One run of Tune; returns the trials whose worker was lost too often, with the last error of each."""
        terms = proposer.terms
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGUSR1)}
        try:
            analysis = tune.run(
                tune.with_parameters(prune, kit=kit),
                name=self.folder.name,
                storage_path=str(self.folder.parent),
                num_samples=-1,
                search_alg=_Search(proposer),
                scheduler=make_scheduler(self.study),
                resources_per_trial={"cpu": terms.cpu / terms.together, "gpu": terms.gpu / terms.together},
                max_failures=WORKER_FAULTS,
                reuse_actors=True,
                raise_on_failed_trial=False,
                callbacks=[_Listening(self.listener, self.ledger, self.kept), _Pacing(proposer.pace), halt],
                trial_dirname_creator=_folder_name,
                trial_name_creator=_folder_name,
                verbose=0,
                progress_reporter=_Silent(),
            )
        finally:
            if threading.current_thread() is threading.main_thread():
                for number, handler in handlers.items():
                    signal.signal(number, handler)
            stop_engines()
        failed = [trial for trial in analysis.trials or () if trial.status == TuneTrial.ERROR]
        return {n: str(t.get_error()) for t in failed if (n := t.config["number"]) in proposer.running}


def _folder_name(trial: TuneTrial) -> str:
    return trial_folder(Path(), trial.config["number"]).name


class _Silent(ProgressReporter):
    """Tune's own reporter would clear the cell of a notebook, whatever `verbose` is."""

    def should_report(self, trials: list[TuneTrial], done: bool = False) -> bool:
        return False


class _Search(Searcher):
    """Tune's side of a `Proposer`."""

    def __init__(self, proposer: Proposer) -> None:
        super().__init__(metric="score", mode="max")
        self.proposer = proposer
        self.numbers: dict[str, int] = {}

    def suggest(self, trial_id: str) -> Any:
        order = self.proposer.next()
        if order is None:
            return Searcher.FINISHED
        self.numbers[trial_id] = order.number
        return {"number": order.number, "order": order.as_text()}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self.proposer.reported(self.numbers[trial_id], Report.read(result))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A trial that lost its worker is not told: it is still to be run."""
        if not error and result is not None:
            self.proposer.ended(self.numbers[trial_id], Report.read(result), result["hostname"])

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Saves nothing: the ledger holds everything."""

    def save(self, checkpoint_path: str) -> None:
        """Saves nothing."""

    def restore(self, checkpoint_path: str) -> None:
        """Is never called: every run of Tune is a fresh one."""


class _Listening(Callback):
    """Tune's side of a `Listener`."""

    def __init__(self, listener: Listener, ledger: Ledger, kept: KeptNetworks) -> None:
        self.listener = listener
        self.ledger = ledger
        self.kept = kept

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        self.listener.started(trial.config["number"])

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """A trial came to its end or was stopped; Optuna has been told already."""
        number = trial.config["number"]
        self.listener.ended(number)
        self.kept.add(self.ledger.trial(number))
        forget_reports(trial)

    def on_trial_recover(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        self.listener.lost(trial.config["number"])

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """Tune does not take the trial up again; the next run of Tune will."""
        self.listener.lost(trial.config["number"])


class _Pacing(Callback):
    """Tune's side of a `Pace`."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        self.pace.started(trial.config["number"])

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """A trial came to its end or was stopped."""
        self.pace.ended(trial.config["number"])


class _Halt(Callback):
    """Ends Tune's run early, as SIGINT would, when going on is of no use: trials on the way can be resumed."""

    def __init__(self, trials: Trials) -> None:
        self.trials = trials
        self.reason = ""

    def check(self) -> None:
        """Raises `Halted` if there is a reason."""
        self.reason = self.reason or self._too_many_failures()
        if self.reason:
            raise Halted(self.reason)

    def _too_many_failures(self) -> str:
        most = self.trials.study.search.max_failures
        if most is None:
            return ""
        failures = self.trials.ledger.failures
        if len(failures) <= most:
            return ""
        return (
            f"{len(failures)} trials failed, more than search.max_failures = {most}, the last one with {failures[-1]}"
        )

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """A trial ended, maybe as one failure too many."""
        self._halt(self._too_many_failures())

    def on_trial_recover(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """A worker was lost, maybe to a full disk, which every other worker will meet, too."""
        self._halt(no_space(self.trials.folder))

    on_trial_error = on_trial_recover

    def _halt(self, reason: str) -> None:
        if reason and not self.reason:
            self.reason = reason
            signal.raise_signal(signal.SIGUSR1)


def no_space(folder: Path) -> str:
    """That the disk of a folder is full, or ""."""
    return f"no space is left for {folder}" if shutil.disk_usage(folder).free < SPACE_TO_GO_ON else ""
