"""Optuna behind Ray Tune: a `Searcher` that knows constraints, stopped trials, persistent storage and resuming.

The *ledger* is the search's Optuna study in its storage: a trial is its number there everywhere, and after a fault
the ledger decides what is still to be run. Only the driver writes to it. Each strategy gets the same number of
trials and an optimiser of its own, so that every sampler faces one plain problem per strategy.
"""

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping
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

from search import space
from search.study import Study

CONSTRAINT = "incomplete"
TUNE_TRIAL = "tune_trial_id"


def make_sampler(study: Study, seed: int) -> optuna.samplers.BaseSampler:
    """The Optuna sampler that the study names, for one strategy's share of the trials.

    For `grid` the points themselves are enqueued, so the sampler behind them does not matter.
    """
    startup = max(4, min(10, study.search.trials // len(study.strategies) // 3))
    match study.search.sampler:
        case "tpe":
            return optuna.samplers.TPESampler(
                seed=seed, multivariate=True, group=True, constant_liar=True, n_startup_trials=startup
            )
        case "gp":
            return optuna.samplers.GPSampler(seed=seed, n_startup_trials=startup)
        case "cmaes":
            return optuna.samplers.CmaEsSampler(seed=seed, n_startup_trials=startup)
        case "qmc":
            return optuna.samplers.QMCSampler(seed=seed, scramble=True)
        case _:
            return optuna.samplers.RandomSampler(seed=seed)


def distribution(searched: space.Range | space.Choices) -> BaseDistribution:
    """One searched hyperparameter as Optuna knows it."""
    if isinstance(searched, space.Choices):
        return CategoricalDistribution(searched.values)
    if searched.integer:
        return IntDistribution(int(searched.low), int(searched.high), log=searched.log)
    return FloatDistribution(searched.low, searched.high, log=searched.log)


class Optimiser:
    """One strategy's optimiser: an Optuna study in memory that starts from the known points.

    Args:
        study: the study file.
        strategy: the strategy whose hyperparameters are searched.
        points: to be tried first, in this order.
        past: this strategy's trials of the ledger, from before a resume.
    """

    def __init__(
        self, study: Study, strategy: str, points: list[dict[str, Any]], past: list[FrozenTrial]
    ) -> None:
        self.study = study
        self.strategy = strategy
        seed = study.search.seed + study.strategies.index(strategy) + 1000 * len(past)
        self.memory = optuna.create_study(sampler=make_sampler(study, seed), direction="maximize")
        for trial in past:
            if trial.state.is_finished():
                self.memory.add_trial(trial)
        for point in points[len(past) :]:
            self.memory.enqueue_trial(point)

    def ask(self) -> tuple[optuna.Trial, dict[str, Any], dict[str, BaseDistribution]]:
        """The next point: the trial in memory, its values and their distributions, `strategy` among them."""
        return self._fill(self.memory.ask())

    def adopt(self, params: Mapping[str, Any]) -> optuna.Trial:
        """Takes over a trial that was running when the driver died."""
        self.memory.enqueue_trial(dict(params))
        return self._fill(self.memory.ask())[0]

    def _fill(
        self, trial: optuna.Trial
    ) -> tuple[optuna.Trial, dict[str, Any], dict[str, BaseDistribution]]:
        values: dict[str, Any] = {"strategy": self.strategy}
        distributions: dict[str, BaseDistribution] = {
            "strategy": CategoricalDistribution(tuple(self.study.strategies))
        }
        alpha = None
        if self.strategy == "markov":
            alphas = space.alpha_choices(self.study)
            alpha = alphas[0] if len(alphas) == 1 else trial.suggest_categorical("alpha", alphas)
        for name, searched in space.searched(self.study, self.strategy, alpha).items():
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
    that was given up or stopped by a scheduler is told as pruned, after its last report; one that raised or whose
    value is not finite as failed.

    Args:
        study: the study file.
        ledger: the Optuna study in the storage.
        in_tune: the Tune trials that Tune itself will go on with after a resume.
    """

    def __init__(self, study: Study, ledger: optuna.Study, in_tune: Iterable[str] = ()) -> None:
        super().__init__(metric="pruned_accuracy", mode="max")
        self.study = study
        self.ledger = ledger
        self.points = space.grid(study) if study.search.sampler == "grid" else space.known_points(study)
        self.budget = study.search.trials
        if study.search.sampler == "grid":
            self.budget = min(self.budget, len(self.points))
        self.numbers: dict[str, int] = {}
        self.in_memory: dict[int, optuna.Trial] = {}
        self.orphans: deque[FrozenTrial] = deque()
        past: dict[str, list[FrozenTrial]] = {strategy: [] for strategy in study.strategies}
        known = set(in_tune)
        for trial in ledger.get_trials():
            past[trial.params["strategy"]].append(trial)
            self.numbers[trial.user_attrs[TUNE_TRIAL]] = trial.number
            if trial.user_attrs[TUNE_TRIAL] not in known:
                self.orphans.append(trial)
        self.created = Counter({strategy: len(trials) for strategy, trials in past.items()})
        self.optimisers = {
            strategy: Optimiser(
                study, strategy, [p for p in self.points if p["strategy"] == strategy], past[strategy]
            )
            for strategy in study.strategies
        }
        for trial in [t for trials in past.values() for t in trials if not t.state.is_finished()]:
            self.in_memory[trial.number] = self.optimisers[trial.params["strategy"]].adopt(trial.params)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The configuration of the next trial: first those that a dead driver left behind, then new ones."""
        if self.orphans:
            orphan = self.orphans.popleft()
            self.numbers[trial_id] = orphan.number
            self._ledger_trial(orphan.number).set_user_attr(TUNE_TRIAL, trial_id)
            return self._config(orphan.number, orphan.params)
        if sum(self.created.values()) >= self.budget:
            return Searcher.FINISHED
        strategy = min(self.study.strategies, key=lambda s: self.created[s])
        in_memory, values, distributions = self.optimisers[strategy].ask()
        number = sum(self.created.values())
        self.ledger.add_trial(
            optuna.trial.create_trial(
                state=TrialState.RUNNING,
                params=values,
                distributions=distributions,
                user_attrs={TUNE_TRIAL: trial_id},
            )
        )
        self.created[strategy] += 1
        self.numbers[trial_id] = number
        self.in_memory[number] = in_memory
        return self._config(number, values)

    def _config(self, number: int, values: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "number": number,
            "hyperparameters": self.study.trial_config(values).model_dump(mode="json"),
        }

    def _ledger_trial(self, number: int) -> optuna.Trial:
        return optuna.Trial(self.ledger, self.ledger.get_trials(deepcopy=False)[number]._trial_id)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Takes in a report on the way."""
        self._report(self.numbers[trial_id], result)

    def _report(self, number: int, result: Mapping[str, Any]) -> list[optuna.Trial]:
        """Reports to the ledger and the optimiser; returns both trials, or none if the ledger's has ended."""
        if self.ledger.get_trials(deepcopy=False)[number].state.is_finished():
            return []
        trials = [self._ledger_trial(number), self.in_memory[number]]
        if math.isfinite(result["pruned_accuracy"]):
            for trial in trials:
                if result["epoch"] not in _reported(trial):
                    trial.report(result["pruned_accuracy"], step=result["epoch"])
        return trials

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tells how a trial ended. Told again after a resume, it changes nothing."""
        number = self.numbers[trial_id]
        if self.ledger.get_trials(deepcopy=False)[number].state.is_finished():
            return
        ...
