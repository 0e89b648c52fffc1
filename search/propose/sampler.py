"""Optuna behind Ray Tune: a `Searcher` that knows constraints, stopped trials, persistent storage and resuming.

The *ledger* is the search's Optuna study in its storage: a trial is its number there everywhere, and after a fault
the ledger decides what is still to be run. Only the driver writes to it. Each *arm*, a strategy with one n, gets the
same number of trials and an optimiser of its own, so that every sampler faces one plain problem per arm.
"""

import math
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState
from ray.tune.search import Searcher
from ray.tune.search.search_generator import SearchGenerator

from pruning_core.hyperparameters import Choices, Range
from search.propose.ledger import Ledger
from search.propose.ledger_writer import Ending
from search.propose.optuna_trials import CONSTRAINT, LAST_ACCURACY, NODE, directions
from search.study import Study
from search.study.space import Point

GP_TRIALS = 100


def make_sampler(study: Study, name: str, seed: int, conditional: bool) -> optuna.samplers.BaseSampler:
    """An Optuna sampler for one arm's share of the trials.

    For `grid` the points themselves are enqueued, so the sampler behind them does not matter.

    Args:
        study: the study file.
        name: of the sampler, as `search.sampler` has it.
        seed: of its random numbers.
        conditional: whether trials of the arm differ in which hyperparameters they have.
    """
    startup = max(4, min(10, study.search.trials // len(study.arms) // 3))
    match name:
        case "tpe":
            return optuna.samplers.TPESampler(
                seed=seed, multivariate=True, group=conditional, constant_liar=True, n_startup_trials=startup
            )
        case "gp":
            return optuna.samplers.GPSampler(seed=seed, n_startup_trials=startup)
        case "cmaes":
            return optuna.samplers.CmaEsSampler(seed=seed, n_startup_trials=startup)
        case "qmc":
            return optuna.samplers.QMCSampler(seed=seed, scramble=True)
        case _:
            return optuna.samplers.RandomSampler(seed=seed)


def distribution(searched: Range | Choices) -> BaseDistribution:
    """One searched hyperparameter as Optuna knows it."""
    if isinstance(searched, Choices):
        return CategoricalDistribution(searched.values)
    if searched.integer:
        return IntDistribution(int(searched.low), int(searched.high), log=searched.log)
    return FloatDistribution(searched.low, searched.high, log=searched.log)


def first_points(study: Study) -> list[Point]:
    """What is tried first: the known points; for the grid sampler, all of its points and nothing else."""
    return _grid(study) if study.search.sampler == "grid" else study.varied.known_points()


def _grid(study: Study) -> list[Point]:
    return study.varied.grid(study.search.trials, study.search.seed)


def budget(study: Study) -> int:
    """How many trials a search of this study has: `search.trials`, or fewer if a grid has no more points."""
    if study.search.sampler == "grid":
        return min(study.search.trials, len(_grid(study)))
    return study.search.trials


class Optimiser:
    """One arm's optimiser: an Optuna study in memory that starts from the known points.

    A Gaussian process takes ever longer over its next point, 0.2 s after 100 trials and more than a second after 500
    (benchmarks/README), so that `gp` hands over to `tpe` after `GP_TRIALS`.

    Args:
        study: the study file.
        arm: the strategy, and n if there are several, whose hyperparameters are searched.
        points: to be tried first, in this order.
        past: this arm's trials of the ledger, from before a resume; `adopted` are those that the driver's death left
            running, by their numbers.
    """

    def __init__(self, study: Study, arm: str, points: list[Point], past: list[FrozenTrial]) -> None:
        self.study = study
        self.fixed: dict[str, Any] = dict(study.arms[arm])
        self.seed = study.search.seed + list(study.arms).index(arm) + 1000 * len(past)
        self.memory = optuna.create_study(sampler=self._sampler(study.search.sampler), directions=directions(study))
        self.adopted: dict[int, optuna.Trial] = {}
        for trial in past:
            if trial.state.is_finished():
                self.memory.add_trial(trial)
            else:
                self.memory.enqueue_trial(trial.params)
                self.adopted[trial.number] = self._fill(self.memory.ask())[0]
        for point in points[len(past) :]:
            self.memory.enqueue_trial(point)

    def ask(self) -> tuple[optuna.Trial, dict[str, Any], dict[str, BaseDistribution]]:
        """The next point: the trial in memory, its values and their distributions, with what the arm fixes."""
        process = isinstance(self.memory.sampler, optuna.samplers.GPSampler)
        if process and len(self.memory.get_trials(deepcopy=False)) >= GP_TRIALS:
            self.memory.sampler = self._sampler("tpe")
        return self._fill(self.memory.ask())

    def _sampler(self, name: str) -> optuna.samplers.BaseSampler:
        conditional = "alpha" in self.study.varied.searched(self.fixed["strategy"])
        return make_sampler(self.study, name, self.seed, conditional)

    def _fill(self, trial: optuna.Trial) -> tuple[optuna.Trial, dict[str, Any], dict[str, BaseDistribution]]:
        values, strategy = dict(self.fixed), self.fixed["strategy"]
        several: dict[str, Any] = {"strategy": self.study.strategies, "keep": self.study.data.keeps}
        distributions: dict[str, BaseDistribution] = {name: CategoricalDistribution(several[name]) for name in values}
        names = self.study.varied.searched(strategy)
        if "alpha" in names:
            alpha = _suggest(trial, "alpha", distribution(names["alpha"]))
            names = self.study.varied.searched(strategy, alpha)
        for name, searched in names.items():
            distributions[name] = distribution(searched)
            values[name] = _suggest(trial, name, distributions[name])
        return trial, values, distributions


def _suggest(trial: optuna.Trial, name: str, what: BaseDistribution) -> Any:
    if isinstance(what, FloatDistribution):
        return trial.suggest_float(name, what.low, what.high, log=what.log)
    if isinstance(what, IntDistribution):
        return trial.suggest_int(name, what.low, what.high, log=what.log)
    assert isinstance(what, CategoricalDistribution)
    return trial.suggest_categorical(name, what.choices)


class StudySearcher(Searcher):
    """Hands Tune one configuration after the other and tells Optuna how each ended.

    A trial whose replicas are not all complete is infeasible (constraint `incomplete` = 1 - completed > 0). A trial
    that was given up or stopped by a scheduler is told as pruned, after its last report; one whose training raised
    or whose loss is not finite as failed.

    Args:
        study: the study file.
        ledger: the search's trials.
        in_tune: the trials that Tune itself knows after a resume: Tune's id -> number.

    Attributes:
        running: the trials on their way, by number: their twins in the memory of their optimiser.
    """

    def __init__(self, study: Study, ledger: Ledger, in_tune: Mapping[str, int] | None = None) -> None:
        super().__init__(metric="pruned_accuracy", mode="max")
        self.study = study
        points = first_points(study)
        self.points = Counter(study.arm(point) for point in points)
        self.budget = budget(study)
        self.numbers: dict[str, int] = dict(in_tune or {})
        self.ledger = ledger
        self.running: dict[int, optuna.Trial] = {}
        self.orphans: deque[FrozenTrial] = deque()
        past: dict[str, list[FrozenTrial]] = {arm: [] for arm in study.arms}
        known = set(self.numbers.values())
        for trial in ledger.trials:
            past[study.arm(trial.params)].append(trial)
            if trial.number not in known:
                self.orphans.append(trial)
        self.created = Counter({arm: len(trials) for arm, trials in past.items()})
        self.optimisers = {
            arm: Optimiser(study, arm, [p for p in points if study.arm(p) == arm], past[arm]) for arm in study.arms
        }
        for trial in [t for trials in past.values() for t in trials if not t.state.is_finished()]:
            self.running[trial.number] = self.optimisers[study.arm(trial.params)].adopted[trial.number]

    def suggest(self, trial_id: str) -> Any:
        """The configuration of the next trial: first those that a dead driver left behind, then new ones."""
        if self.orphans:
            orphan = self.orphans.popleft()
            self.numbers[trial_id] = orphan.number
            return self._config(orphan.number, orphan.params)
        if not self.left():
            return Searcher.FINISHED
        arm = min(self.open_arms(), key=lambda a: self.created[a])
        in_memory, values, distributions = self.optimisers[arm].ask()
        number = self.ledger.begin(values, distributions)
        self.running[number] = in_memory
        self.created[arm] += 1
        self.numbers[trial_id] = number
        return self._config(number, values)

    def open_arms(self) -> list[str]:
        """The arms that may have more trials: all of them, but of a grid those with points left."""
        if self.study.search.sampler != "grid":
            return list(self.study.arms)
        return [arm for arm in self.study.arms if self.created[arm] < self.points[arm]]

    def left(self) -> int:
        """How many trials are still to be proposed."""
        return max(0, self.budget - sum(self.created.values()))

    def _config(self, number: int, values: Mapping[str, Any]) -> dict[str, Any]:
        """What the trial's worker is told. A text, since Tune copies, flattens and keeps what lies in a dictionary."""
        return {"number": number, "hyperparameters": self.study.trial_config(values).model_dump_json()}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Takes in a report on the way. A step that was reported before a fault is not reported again."""
        number = self.numbers[trial_id]
        if number in self.running:
            reports = self._reports(number, result)
            self.ledger.report(number, reports, self._attributes(result))
            _report(self.running[number], reports)

    def _reports(self, number: int, result: dict[str, Any]) -> dict[int, float]:
        """What a report adds to the trial's curve; with two objectives Optuna takes none."""
        if len(self.study.search.objectives) > 1:
            return {}
        known = self.ledger.trials[number].intermediate_values
        return {e: a for e, a in result["curve"] if math.isfinite(a) and e not in known}

    def _attributes(self, result: dict[str, Any]) -> dict[str, float]:
        """What stands for the curve's last point where there is no curve."""
        accuracy = result["pruned_accuracy"]
        return {LAST_ACCURACY: accuracy} if len(self.study.search.objectives) > 1 and math.isfinite(accuracy) else {}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tells how a trial ended. Told again after a resume, it changes nothing.

        A trial that lost its worker is not told: it is still to be run.
        """
        number = self.numbers[trial_id]
        if number in self.running and not error and result is not None:
            self._end(number, self._ending(number, result))

    def _ending(self, number: int, result: dict[str, Any]) -> Ending:
        reports, attributes = self._reports(number, result), {NODE: result["hostname"], **self._attributes(result)}
        if result["error"]:
            attributes["error"] = result["error"]
        if not math.isfinite(result["total_loss"]):
            return Ending(TrialState.FAIL, [], reports, attributes)
        attributes["epochs_run"] = result["epoch"]
        attributes["complete"] = result["completed"]  # Optuna's dashboard does not show constraints
        constraints = {CONSTRAINT: 1 - result["completed"]}
        if result["ended"] and not result["stopped"]:
            values = [result[name] for name in self.study.search.objectives]
            return Ending(TrialState.COMPLETE, values, reports, attributes, constraints)
        attributes["stopped"] = result["stopped"] or f"by {self.study.search.early_stopping}"
        accuracies = [result["pruned_accuracy"]] if len(self.study.search.objectives) == 1 else []
        return Ending(TrialState.PRUNED, accuracies, reports, attributes, constraints)

    def give_up(self, number: int, error: str) -> None:
        """Tells a trial that lost its worker too often as failed."""
        self._end(number, Ending(TrialState.FAIL, user_attrs={"error": error}))

    def _end(self, number: int, ending: Ending) -> None:
        """Tells the ledger, then the optimiser."""
        self.ledger.end(number, ending)
        trial = self.running.pop(number)
        _report(trial, ending.reports)
        for name, value in ending.constraints.items():
            trial.set_constraint(name, value)
        trial.study.tell(trial, ending.values if ending.state == TrialState.COMPLETE else None, ending.state)

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Saves nothing: the ledger holds everything."""

    def restore_from_dir(self, checkpoint_dir: str) -> None:
        """Restores nothing: the constructor has read the ledger."""


def _report(trial: optuna.Trial, reports: Mapping[int, float]) -> None:
    for epoch, accuracy in reports.items():
        trial.storage.set_trial_intermediate_value(trial._trial_id, epoch, accuracy)


class StudySearch(SearchGenerator):
    """Tune's trial generator, except that after a resume it asks the searcher anew whether trials are left.

    So a finished search goes on when it is resumed with more trials.
    """

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        self._finished = False
