"""One optimiser per arm: an Optuna study in memory that proposes where the arm's next trial lies.

An *arm* is a strategy with one n. Each gets the same number of trials and an optimiser of its own, so that every
sampler faces one plain problem per arm.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from search.propose.reading import CONSTRAINT, directions, distribution
from search.propose.start import NO_START, Observed, Start
from search.study import Study
from search.study.samplers import SAMPLERS, Arm
from search.study.space import Point


class Proposal(NamedTuple):
    """The next point: its trial in the optimiser's memory, its values and their distributions, the arm's among them."""

    trial: optuna.Trial
    values: dict[str, Any]
    distributions: dict[str, BaseDistribution]


def make_sampler(study: Study, name: str, seed: int, conditional: bool) -> optuna.samplers.BaseSampler:
    """An Optuna sampler for one arm's share of the trials.

    Args:
        study: the study file.
        name: of the sampler, as `search.sampler` has it.
        seed: of its random numbers.
        conditional: whether trials of the arm differ in which hyperparameters they have.
    """
    kind = SAMPLERS[name]
    made: optuna.samplers.BaseSampler = getattr(optuna.samplers, kind.optuna)(
        seed=seed, **kind.options(Arm(conditional, startup(study)))
    )
    return made


def startup(study: Study) -> int:
    """How many trials of an arm are drawn at random before its sampler learns."""
    return max(4, min(10, study.search.trials // len(study.arms) // 3))


def first_points(study: Study) -> list[Point]:
    """What is tried first: the known points; for a sampler of the whole grid, all of its points and nothing else."""
    return _grid(study) if SAMPLERS[study.search.sampler].whole_grid else study.varied.known_points()


def budget(study: Study) -> int:
    """How many trials a search of this study has: `search.trials`, or fewer if a grid has no more points."""
    return len(_grid(study)) if SAMPLERS[study.search.sampler].whole_grid else study.search.trials


def _grid(study: Study) -> list[Point]:
    return study.varied.grid(study.search.trials, study.search.seed)


class Optimiser:
    """One arm's optimiser: an Optuna study in memory that starts from given points.

    Args:
        study: the study file.
        arm: the strategy, and n if there are several, whose hyperparameters are searched.
        points: to be tried first, in this order.
        past: this arm's trials of the ledger, from before a resume; `adopted` are those that the driver's death left
            running, by their numbers.
        start: what the search starts from; its sampler knows the trials observed there.
    """

    def __init__(
        self,
        study: Study,
        arm: str,
        points: Sequence[Point],
        past: Sequence[FrozenTrial],
        start: Start = NO_START,
    ) -> None:
        self.study = study
        self.fixed: dict[str, Any] = dict(study.arms[arm])
        self.seed = (study.search.seed + start.seed + list(study.arms).index(arm) + 1000 * len(past)) % 2**32
        self.hands_over = SAMPLERS[study.search.sampler].hands_over
        self.memory = optuna.create_study(sampler=self._sampler(study.search.sampler), directions=directions(study))
        self.memory.add_trials([self._as_known(trial) for trial in start.observed.get(arm, ())])
        self.adopted: dict[int, optuna.Trial] = {}
        for trial in past:
            if trial.state.is_finished():
                self.memory.add_trial(trial)
            else:
                self.memory.enqueue_trial(trial.params)
                self.adopted[trial.number] = self._fill(self.memory.ask()).trial
        for point in points[len(past) :]:
            self.memory.enqueue_trial(point)

    def ask(self, wanted: Point | None = None) -> Proposal:
        """The next point: the one that is wanted, unless it was tried, or one of the sampler's."""
        if wanted:
            self.memory.enqueue_trial({k: v for k, v in wanted.items() if k not in self.fixed}, skip_if_exists=True)
        if self.hands_over and len(self.memory.get_trials(deepcopy=False)) >= self.hands_over[0]:
            self.memory.sampler = self._sampler(self.hands_over[1])
            self.hands_over = None
        return self._fill(self.memory.ask())

    def _sampler(self, name: str) -> optuna.samplers.BaseSampler:
        conditional = "alpha" in self.study.varied.searched(self.fixed["strategy"])
        return make_sampler(self.study, name, self.seed, conditional)

    def _as_known(self, observed: Observed) -> FrozenTrial:
        """A trial of an earlier search as one of the memory's."""
        alpha = observed.params.get("alpha")
        names = self.study.varied.searched(self.fixed["strategy"], None if alpha is None else str(alpha))
        ended = observed.ending == "ended"
        curve = {} if ended or len(self.study.search.objectives) > 1 else {observed.epochs_run: observed.score}
        return optuna.trial.create_trial(
            state=TrialState.COMPLETE if ended else TrialState.PRUNED,
            values=observed.values if ended else None,
            params={name: observed.params[name] for name in names},
            distributions={name: distribution(entry) for name, entry in names.items()},
            intermediate_values=curve,
            constraints={CONSTRAINT: 1 - observed.complete},
        )

    def _fill(self, trial: optuna.Trial) -> Proposal:
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
        return Proposal(trial, values, distributions)


def drawn(study: Study, count: int) -> list[dict[str, Any]]:
    """So many different configurations of a study, or as many as it has: its strategies in turn, the default first.

    They are what each strategy's optimiser would try before it has learnt anything, without n.
    """
    points = first_points(study)
    optimisers = [Optimiser(study, arm, [p for p in points if study.arm(p) == arm], []) for arm in study.arms]
    found: list[dict[str, Any]] = []
    for _ in range(count):
        for optimiser in optimisers:
            values = optimiser.ask().values
            if values not in found:
                found.append(values)
    return found[:count]


def _suggest(trial: optuna.Trial, name: str, what: BaseDistribution) -> Any:
    if isinstance(what, FloatDistribution):
        return trial.suggest_float(name, what.low, what.high, log=what.log)
    if isinstance(what, IntDistribution):
        return trial.suggest_int(name, what.low, what.high, log=what.log)
    assert isinstance(what, CategoricalDistribution)
    return trial.suggest_categorical(name, what.choices)
