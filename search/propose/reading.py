"""What deepPP leaves in an Optuna trial, and how it is read back as a plain `Trial`."""

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from pruning_core.hyperparameters import Choices, Range
from search.study import Study
from search.study.objectives import SCORES, SPEED
from search.trials.trial import Trial, TrialEnding

CONSTRAINT = "incomplete"
NODE, EPOCHS, STOPPED, ERROR = "node", "epochs_run", "stopped", "error"
COMPLETE, STANDARD_ERROR = "complete", "standard_error"
ENDINGS: dict[TrialState, TrialEnding] = {
    TrialState.COMPLETE: "ended",
    TrialState.PRUNED: "stopped",
    TrialState.FAIL: "failed",
}


def directions(study: Study) -> list[StudyDirection]:
    """Whether Optuna shall maximise or minimise each of the study's objectives."""
    lower = StudyDirection.MINIMIZE
    return [lower if name == SPEED else StudyDirection.MAXIMIZE for name in study.search.objectives]


def distribution(searched: Range | Choices) -> BaseDistribution:
    """One searched hyperparameter as Optuna knows it."""
    if isinstance(searched, Choices):
        return CategoricalDistribution(searched.values)
    if searched.integer:
        return IntDistribution(int(searched.low), int(searched.high), log=searched.log)
    return FloatDistribution(searched.low, searched.high, log=searched.log)


def searched(known: BaseDistribution) -> Range | Choices:
    """The range or the choices that a distribution of Optuna stands for."""
    if isinstance(known, CategoricalDistribution):
        return Choices(tuple(known.choices))  # type: ignore[arg-type]
    assert isinstance(known, IntDistribution | FloatDistribution)
    return Range(known.low, known.high, known.log, isinstance(known, IntDistribution))


def as_trial(trial: FrozenTrial) -> Trial:
    """An Optuna trial in plain data.

    With two objectives Optuna takes no reports, and the score is an attribute of the trial instead.
    """
    reported = max(trial.intermediate_values.items(), default=(0, None))[1]
    last = next((trial.user_attrs[name] for name in SCORES if name in trial.user_attrs), reported)
    score = trial.values[0] if trial.values else last
    return Trial(
        number=trial.number,
        params=trial.params,
        space={name: searched(known) for name, known in trial.distributions.items()},
        ending=ENDINGS.get(trial.state),
        score=None if score is None else float(score),
        standard_error=trial.user_attrs.get(STANDARD_ERROR, 0.0),
        complete=1 - trial.constraints.get(CONSTRAINT, 1.0),
        values=tuple(trial.values or ()) if trial.state == TrialState.COMPLETE else (),
        epochs_run=trial.user_attrs.get(EPOCHS, 0),
        stopped=trial.user_attrs.get(STOPPED, ""),
        error=trial.user_attrs.get(ERROR, ""),
        node=trial.user_attrs.get(NODE, ""),
    )
