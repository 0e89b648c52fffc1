"""Which hyperparameters set the best trials apart, as Optuna computes it."""

import warnings
from collections.abc import Sequence

import optuna

from search.propose.reading import distribution
from search.propose.storage import quiet_optuna
from search.trials.trial import FIXED_BY_ARM, Trial

BEST_TRIALS = 5


def importance(trials: Sequence[Trial]) -> dict[str, float]:
    """Optuna's PED-ANOVA over trials that came to their own end, most important first; the sum is 1.

    It asks what sets the best tenth of the trials (but at least 5 of them) apart from all of them. Empty if
    they all score the same.
    """
    if len({t.score for t in trials}) < 2:
        return {}
    ended = [
        optuna.trial.create_trial(
            value=t.score,
            params=dict(t.params),
            distributions={name: distribution(entry) for name, entry in t.space.items()},
        )
        for t in trials
        if t.ending == "ended"
    ]
    with quiet_optuna():
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    study.add_trials(ended)
    quantile = min(max(0.1, BEST_TRIALS / len(ended)), 0.5)
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=quantile)
    with warnings.catch_warnings():  # about hyperparameters that few trials have
        warnings.simplefilter("ignore", UserWarning)
        values = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: value for name, value in values.items() if name not in FIXED_BY_ARM}
