"""Which trial is next, and what Optuna is told of it.

The *ledger* is the search's Optuna study in its storage: a trial is its number there everywhere, and after a fault
the ledger decides what is still to be run. Only the driver writes to it.
"""

import math
from collections import Counter, deque
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from search.propose.ledger import Ledger
from search.propose.lending import Lending
from search.propose.optimiser import Optimiser, budget, first_points
from search.propose.private import Told, add_reports
from search.propose.reading import COMPLETE, CONSTRAINT, EPOCHS, ERROR, NODE, STANDARD_ERROR, STOPPED
from search.study import Study
from search.study.objectives import SPEED
from search.study.samplers import SAMPLERS
from search.trials.order import Order, Report, Terms
from search.trials.pace import Pace
from search.trials.plateau import Plateau


class Proposer:
    """Orders one trial after the other and tells Optuna how each ended.

    A trial whose replicas are not all complete is infeasible (constraint `incomplete` = 1 - completed > 0). A trial
    that was given up or stopped by a rule is told as pruned, after its last report; one whose training raised
    or whose loss is not finite as failed.

    Args:
        study: the study file.
        ledger: the search's trials. What it has running was left behind, and is ordered first.
        terms: of every order.
        pace: says whether there is time for another trial.
        plateau: says whether another trial is worth it.

    Attributes:
        running: the trials on their way, by number: their twins in the memory of their optimiser.
    """

    def __init__(
        self, study: Study, ledger: Ledger, terms: Terms, pace: Pace | None = None, plateau: Plateau | None = None
    ) -> None:
        self.study = study
        self.ledger = ledger
        self.terms = terms
        self.pace = pace or Pace(until=None)
        self.plateau = plateau or Plateau(patience=None)
        start = ledger.start
        points = [point for of_arm in start.points.values() for point in of_arm]
        points += [point for point in first_points(study) if point not in points]
        self.points = Counter(study.arm(point) for point in points)
        self.arms = [*start.points, *(arm for arm in study.arms if arm not in start.points)]
        self.budget = budget(study)
        self.lending = Lending(study)
        self.running: dict[int, optuna.Trial] = {}
        self.orphans: deque[FrozenTrial] = deque()
        past: dict[str, list[FrozenTrial]] = {arm: [] for arm in study.arms}
        for trial in ledger.entries:
            past[study.arm(trial.params)].append(trial)
            if trial.state.is_finished():
                self.lending.ended(ledger.trial(trial.number))
            else:
                self.orphans.append(trial)
        self.created = Counter({arm: len(trials) for arm, trials in past.items()})
        self.optimisers = {
            arm: Optimiser(study, arm, [p for p in points if study.arm(p) == arm], past[arm], start)
            for arm in study.arms
        }
        for trial in self.orphans:
            self.running[trial.number] = self.optimisers[study.arm(trial.params)].adopted[trial.number]

    def next(self) -> Order | None:
        """The next trial, None when there are no more: first those that were left behind, then new ones."""
        if self.orphans:
            orphan = self.orphans.popleft()
            return self._order(orphan.number, orphan.params)
        if not self.left() or not self.pace.may_begin(len(self.running)):
            return None
        arm = min(self.open_arms(), key=lambda a: self.created[a])
        proposal = self.optimisers[arm].ask(self.lending.point(arm, self.created[arm]))
        number = self.ledger.begin(proposal.values, proposal.distributions)
        self.running[number] = proposal.trial
        self.created[arm] += 1
        return self._order(number, proposal.values)

    def open_arms(self) -> list[str]:
        """The arms that may have more trials, in the order of their turns: all; of a grid those with points left."""
        if not SAMPLERS[self.study.search.sampler].whole_grid:
            return self.arms
        return [arm for arm in self.arms if self.created[arm] < self.points[arm]]

    def left(self) -> int:
        """How many trials are still to be proposed; none once the hours are used up or a plateau is reached."""
        return 0 if self.pace.used_up or self.plateau.reached else max(0, self.budget - sum(self.created.values()))

    def _order(self, number: int, values: dict[str, Any]) -> Order:
        return Order(number, self.study.trial_config(values).model_dump_json(), self.terms)

    def reported(self, number: int, report: Report) -> None:
        """Takes in a report on the way. A step that was reported before a fault is not reported again."""
        if number in self.running:
            reports = self._reports(number, report)
            self.ledger.report(number, reports, self._attributes(report))
            add_reports(self.running[number], reports)

    def _reports(self, number: int, report: Report) -> dict[int, float]:
        """What a report adds to the trial's curve; with two objectives Optuna takes none."""
        if len(self.study.search.objectives) > 1:
            return {}
        known = self.ledger.entries[number].intermediate_values
        return {epoch: score for epoch, score in report.curve if math.isfinite(score) and epoch not in known}

    def _attributes(self, report: Report) -> dict[str, Any]:
        """What stands for the curve's last point where there is no curve."""
        score, *others = self.study.search.objectives
        return {score: report.score} if others and math.isfinite(report.score) else {}

    def ended(self, number: int, report: Report, node: str) -> None:
        """Tells how a trial ended on a node. Told again, it changes nothing."""
        if number in self.running:
            self._end(number, self._told(number, report, node))

    def _told(self, number: int, report: Report, node: str) -> Told:
        reports, attributes = self._reports(number, report), {NODE: node, **self._attributes(report)}
        if report.error:
            attributes[ERROR] = report.error
        if not math.isfinite(report.total_loss):
            return Told(TrialState.FAIL, [], reports, attributes)
        attributes[EPOCHS] = report.epoch
        attributes[COMPLETE] = report.completed  # Optuna's dashboard does not show constraints
        attributes[STANDARD_ERROR] = report.standard_error
        constraints = {CONSTRAINT: 1 - report.completed}
        if report.ended and not report.stopped:
            values = [
                report.completion_epoch if name == SPEED else report.score for name in self.study.search.objectives
            ]
            return Told(TrialState.COMPLETE, values, reports, attributes, constraints)
        attributes[STOPPED] = report.stopped or f"by {self.study.search.early_stopping}"
        scores = [report.score] if len(self.study.search.objectives) == 1 else []
        return Told(TrialState.PRUNED, scores, reports, attributes, constraints)

    def give_up(self, number: int, error: str) -> None:
        """Tells a trial that lost its worker too often as failed."""
        self._end(number, Told(TrialState.FAIL, user_attrs={ERROR: error}))

    def _end(self, number: int, told: Told) -> None:
        """Tells the ledger, then the optimiser."""
        self.ledger.end(number, told)
        over = self.ledger.trial(number)
        self.plateau.ended(over)
        self.lending.ended(over)
        trial = self.running.pop(number)
        add_reports(trial, told.reports)
        for name, value in told.constraints.items():
            trial.set_constraint(name, value)
        trial.study.tell(trial, told.values if told.state == TrialState.COMPLETE else None, told.state)
