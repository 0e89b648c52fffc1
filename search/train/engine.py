"""Trains the trials that one worker has, those that can in one batch, and answers each when it has something to report.

A batch of small networks costs less than its parts: the same few dozen calls move more of them. Ray Tune knows nothing
of it: each trial reports, is stopped and taken up again by itself.
"""

import math
import shutil
import threading
import time
import traceback
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pruning_core.config import TrialConfig
from pruning_core.data import Dataset
from pruning_core.inner_loop import InnerLoop, equal_batches
from pruning_core.joined import bytes_beside_others, join
from pruning_core.progress import completion_epochs
from pruning_core.training import Training, train_epoch
from pruning_core.training_rows import default_batch
from search.study import Study
from search.train.devices import device_of
from search.train.kit import Contents, begin
from search.trials.checkpoint import PARTIAL, Checkpoint, read_checkpoints, trial_folder, write_checkpoint
from search.trials.order import Order, Report

JOINED_BYTES = 10 * 2**20
JOINED_REPLICAS = {"cpu": 32, "cuda": 128}
TRIALS_IN_TURN = 12
CURVE_POINTS = 10
SECONDS_TO_ASK_AGAIN = 30


def trials_together(study: Study, data: Dataset, workers: int, trials: int) -> int:
    """How many trials at once one worker trains.

    More than one pay where networks are so small that a batch of several stays in a core's cache (measured: see
    benchmarks/README), and there are at least `TRIALS_IN_TURN` for each process that starts to wait for an engine: so
    the start is paid for, and what is proposed next knows of most that went before.

    Args:
        study: the study file.
        data: that it names.
        workers: how many there are.
        trials: how many the search has in all.
    """
    config, device = study.trial_config(), study.resources.device
    most = JOINED_REPLICAS[device] // config.seeds
    if device == "cpu":
        batch = equal_batches(len(data.train.y), default_batch(config, len(data.train.y)))
        sizes = len(data.feature_names), len(data.class_names), batch
        one = bytes_beside_others(study.network.spec, config, *sizes) if study.resources.threads == 1 else None
        most = min(most, JOINED_BYTES // one) if one else 1
    return max(1, min(most, trials // (workers * TRIALS_IN_TURN)))


@dataclass(eq=False)
class Member:
    """A trial in an engine.

    `asked` is the question that waits for its next report, None while nobody asks: then it does not train. `alone`
    keeps it out of batches after one of them failed.
    """

    order: Order
    asked: Future[Report] | None = None
    last_asked: float = 0.0
    run: Training | None = None
    reported: float = 0.0
    alone: bool = False

    @property
    def folder(self) -> Path:
        return trial_folder(Path(self.order.terms.folder), self.order.number)

    def answer(self, result: Report | BaseException) -> None:
        asked, self.asked = self.asked, None
        if asked is None:
            return
        if isinstance(result, BaseException):
            asked.set_exception(result)
        else:
            asked.set_result(result)


class Engine:
    """Trains in a thread of its own; every method may be called from any thread.

    Args:
        contents: the data without its test part, the network and the metric.
        threads: of the CPU that a training step may use.
        device: `cpu` or `cuda`, see `device_of`.
        abandoned: called when for so many seconds nobody has asked.
    """

    def __init__(
        self, contents: Contents, threads: int, device: str, abandoned: tuple[float, Callable[[], object]] | None = None
    ) -> None:
        self.device = device_of(device)
        self.contents = contents._replace(data=contents.data.to(self.device))
        self.threads = threads
        self.abandoned = abandoned
        self.members: dict[int, Member] = {}
        self.changed = threading.Condition()
        self.joined: dict[tuple[Member, ...], InnerLoop] = {}
        threading.Thread(target=self._work, name="training", daemon=True).start()

    def join(self, order: Order, expected: Sequence[int]) -> bool:
        """Takes a trial in, unless the trials here are no longer the `expected` ones."""
        with self.changed:
            if list(expected) != self.trials():
                return False
            member = self.members.setdefault(order.number, Member(order))
            member.last_asked = time.monotonic()
            return True

    def trials(self) -> list[int]:
        """The numbers of the trials here; one that is no longer asked for is forgotten."""
        with self.changed:
            late = time.monotonic() - SECONDS_TO_ASK_AGAIN
            for number, member in list(self.members.items()):
                if member.asked is None and member.last_asked < late:
                    del self.members[number]
            return list(self.members)

    def report(self, order: Order) -> Report:
        """Trains a trial until it has something to report, and returns that.

        What the training raises is the trial's own failure; an error of any other kind is raised here: a fault of the
        machine.
        """
        asked: Future[Report] = Future()
        with self.changed:
            member = self.members.setdefault(order.number, Member(order))
            member.asked, member.last_asked = asked, time.monotonic()
            self.changed.notify()
        return asked.result()

    def _work(self) -> None:
        torch.set_num_threads(self.threads)
        seconds, give_up = self.abandoned or (None, lambda: None)
        while True:
            with self.changed:
                if not self.changed.wait_for(self._asked, seconds):
                    give_up()
                members = self._asked()
            try:
                for member in members:
                    if member.run is None:
                        self._begin(member)
                self._train_all([member for member in members if member.asked])
            except Exception as error:  # a trial that waits must learn of it
                for member in self._asked():
                    self._end(member, error)

    def _asked(self) -> list[Member]:
        with self.changed:
            return [member for member in self.members.values() if member.asked]

    def _train_all(self, members: Sequence[Member]) -> None:
        """One epoch of each trial, the groups that share a batch one after the other."""
        groups: dict[Hashable, list[Member]] = {}
        for member in sorted(members, key=lambda m: m.run.loop.proposals if m.run else 0, reverse=True):
            groups.setdefault(self._kind(member), []).append(member)
        kept = {tuple(group) for group in groups.values()}
        self.joined = {group: loop for group, loop in self.joined.items() if group in kept}
        for group in groups.values():
            self._epoch(group)

    def _kind(self, member: Member) -> Hashable:
        if member.run is None or member.alone or (self.device.type == "cpu" and self.threads > 1):
            return member
        return member.run.kind or member

    def _end(self, member: Member, result: Report | BaseException) -> None:
        with self.changed:
            self.members.pop(member.order.number, None)
            member.answer(result)

    def _begin(self, member: Member) -> None:
        """Prepares a trial, or brings it back to its newest checkpoint."""
        try:
            trial_config = TrialConfig.model_validate_json(member.order.hyperparameters)
            member.run = begin(trial_config, self.contents, range(trial_config.seeds), self.device)
            stopped = restore(member.run, member.folder)
        except Exception:
            self._end(member, Report.failure(traceback.format_exc()))
            return
        member.reported = time.monotonic()
        if stopped or member.run.finished:
            self._report(member, stopped)

    def _epoch(self, group: list[Member]) -> None:
        """Trains one epoch of trials that share a batch, and reports of those of which it is time to."""
        runs = [member.run for member in group if member.run is not None]
        loop = runs[0].loop
        try:
            if len(runs) > 1:
                loop = self.joined.get(tuple(group)) or join([run.loop for run in runs])
                self.joined[tuple(group)] = loop
            train_epoch(runs, loop)
        except Exception:
            if len(group) == 1:
                self._end(group[0], Report.failure(traceback.format_exc()))
                return
            for member in group:  # whose failure it is shows when each goes on from its checkpoint by itself
                member.run, member.alone = None, True
            return
        for member, run in zip(group, runs, strict=True):
            terms = member.order.terms
            hopeless = terms.stop_hopeless and not run.finished
            stopped = (run.history.hopeless() or "") if hopeless else ""
            waited = time.monotonic() - member.reported >= terms.report_after
            if stopped or run.finished or (waited and len(run.history) % _curve_step(run.config) == 0):
                self._report(member, stopped)

    def _report(self, member: Member, stopped: str) -> None:
        assert member.run is not None
        try:
            result = report(member.run, stopped, member.folder)
        except OSError as error:  # such as a full disk
            self._end(member, error)
            return
        member.reported = time.monotonic()
        if result.ended:
            self._end(member, result)
        else:
            with self.changed:
                member.answer(result)


def report(run: Training, stopped: str, folder: Path) -> Report:
    """The report of the last epoch, after a checkpoint of it."""
    write_checkpoint(run, stopped, folder)
    last = run.history.records[-1]
    score_R = last.quantity(_score(run))
    return Report(
        epoch=last.epoch,
        total_loss=float(last.total_loss.mean()),
        score=float(score_R.mean()),
        standard_error=standard_error(score_R),
        curve=_curve(run),
        completed=float(last.complete.mean()),
        completion_epoch=_completion_epoch(run),
        active=float(last.active.mean()),
        ended=run.finished or bool(stopped),
        stopped=stopped,
    )


def standard_error(score_R: Sequence[float] | np.ndarray) -> float:
    """The standard error of a mean over replicas; 0 of one replica, which shows none."""
    return float(np.std(score_R, ddof=1) / math.sqrt(len(score_R))) if len(score_R) > 1 else 0.0


def _score(run: Training) -> str:
    return f"pruned_{run.metric.name}"


def _curve_step(config: TrialConfig) -> int:
    return max(1, config.epochs // CURVE_POINTS)


def _curve(run: Training) -> tuple[tuple[int, float], ...]:
    step, records = _curve_step(run.config), run.history.records
    shown = [*records[step - 1 :: step], records[-1]]
    return tuple((record.epoch, float(record.quantity(_score(run)).mean())) for record in shown)


def _completion_epoch(run: Training) -> float:
    epochs = completion_epochs(run.history.array("complete").astype(bool))
    return sum(run.config.epochs if epoch is None else epoch for epoch in epochs) / len(epochs)


def restore(run: Training, folder: Path) -> str:
    """Brings a run back to the newest checkpoint in its trial's folder; returns why it was stopped, or "".

    What a power cut left unreadable is removed, and what a killed worker left half written.
    """
    for partial in folder.glob(f"{PARTIAL}*"):
        shutil.rmtree(partial, ignore_errors=True)
    for checkpoint in read_checkpoints(folder, run.settled_R.device):
        if isinstance(checkpoint, Checkpoint):
            run.load_state_dict(checkpoint.training)
            return checkpoint.stopped
        shutil.rmtree(checkpoint, ignore_errors=True)
    return ""
