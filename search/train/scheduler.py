"""What stops trials from outside, as Tune schedulers that do not take a trial's worker away while it starts."""

from ray.tune import schedulers
from ray.tune.schedulers import TrialScheduler

from search.study import Study
from search.study.early_stopping import STOPPING_RULES
from search.train.private_tune import LetsWorkersStart


def make_scheduler(study: Study) -> TrialScheduler:
    """The rule that compares trials if the study names one, else nothing that stops them."""
    rule = STOPPING_RULES[study.search.early_stopping]
    if rule.ray is None:
        return LetsWorkersStart()
    stopping = type(rule.ray, (LetsWorkersStart, getattr(schedulers, rule.ray)), {})
    made: TrialScheduler = stopping(
        time_attr="epoch", metric="score", mode="max", **rule.options(study.training.epochs)
    )
    return made
