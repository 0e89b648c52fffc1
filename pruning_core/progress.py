"""What a run has come to: active gates, completeness, completion epoch, drasticness, outcome, and whether to stop it.

Everything here follows the section "What a finished run is" of the deck's formula sheet.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pruning_core.config import TrialConfig
from pruning_core.strategies import STRATEGIES

OUTCOMES = ("complete", "too little", "collapsed", "undecided")
WORST_FIRST = ("collapsed", "too little", "undecided", "complete")
DRASTIC = 0.5
FROZEN = 0.01
FAR = 0.1


def completion_epochs(complete_ER: NDArray[np.bool_]) -> list[int | None]:
    """For each replica the first epoch (counted from 1) from which it stays complete to its end, else None."""
    epochs, replicas = complete_ER.shape
    result: list[int | None] = []
    for r in range(replicas):
        incomplete = np.flatnonzero(~complete_ER[:, r])
        first = int(incomplete[-1]) + 2 if len(incomplete) else 1
        result.append(first if first <= epochs else None)
    return result


def drasticness(fell_ER: NDArray[np.floating], dropped: int) -> NDArray[np.floating]:
    """The most gates that fell below 0.5 in one epoch over the N - n that shall fall, (R,); 1 means all at once."""
    return fell_ER.max(0) / dropped


def outcome(complete: bool, active: int, keep: int) -> str:
    """The outcome of one pruner of a replica: `complete`, `too little`, `collapsed` or `undecided`."""
    if complete:
        return "complete"
    if active == keep:
        return "undecided"
    return "too little" if active > keep else "collapsed"


def worst(outcomes: Iterable[str]) -> str:
    """The outcome of a replica, given those of its pruners.

    >>> worst(["complete", "too little", "undecided"])
    'too little'
    """
    return min(outcomes, key=WORST_FIRST.index)


def best_complete(completion_epochs: Sequence[int | None], accuracies: Sequence[float]) -> int | None:
    """The most accurate replica of those that completed, the first of equals; None if none did."""
    complete = [r for r, epoch in enumerate(completion_epochs) if epoch is not None]
    return max(complete, key=lambda r: accuracies[r], default=None)


@dataclass(frozen=True)
class OpenGates:
    """How many gates of one pruner are open in each replica, `active_R`, of N `units` of which n = `keep` shall be."""

    active_R: NDArray[np.floating]
    keep: int
    units: int


def hopeless(
    config: TrialConfig,
    pruners: Sequence[OpenGates],
    total_loss_R: NDArray[np.floating],
    complete_R: NDArray[np.bool_],
    drift_R: NDArray[np.floating],
    lambda_R: NDArray[np.floating],
) -> str | None:
    """Why a trial cannot come to a complete end any more, or None.

    A trial is given up when a loss is not finite, or when at least half of its replicas are stuck: *collapsed* (some
    pruner has fewer than its n gates open and no gate moved by more than 0.01 over the last `settle_epochs` epochs),
    or *far from complete* (lambda has reached `lambda_max`, more than a tenth of the N - n gates over all pruners have
    yet to fall, and none moves).

    Args:
        pruners: their open gates.
        drift_R: the largest move of any gate over the last `settle_epochs` epochs; infinite before that.
    """
    if not np.isfinite(total_loss_R).all():
        return "the loss is not finite"
    still_R = (drift_R < FROZEN) & ~complete_R
    collapsed_R = still_R & np.any([gates.active_R < gates.keep for gates in pruners], axis=0)
    if 2 * collapsed_R.sum() >= len(total_loss_R):
        return "collapsed and frozen"
    to_fall_R = np.sum([np.maximum(gates.active_R - gates.keep, 0) for gates in pruners], axis=0)
    at_the_top_R = STRATEGIES[config.alpha_strategy].exhausted(config, lambda_R)
    far_R = still_R & at_the_top_R & (to_fall_R > FAR * sum(gates.units - gates.keep for gates in pruners))
    if 2 * (far_R | collapsed_R).sum() >= len(total_loss_R):
        return "far from complete at lambda_max"
    return None


def summary(values: Sequence[float] | NDArray[np.floating]) -> dict[str, object]:
    """Mean, standard deviation over the seeds (population) and the values themselves."""
    return {
        "mean": float(np.mean(values)),
        "std": float(np.std(values)),
        "per_seed": [float(v) for v in values],
    }


def frequencies(selected: Sequence[Sequence[str]]) -> dict[str, float]:
    """How often each unit is kept, as a fraction of the seeds: the most frequent first, of equals the first to appear.

    Args:
        selected: the names of the kept units of each seed.

    >>> frequencies([["a", "b"], ["b", "c"]])
    {'b': 1.0, 'a': 0.5, 'c': 0.5}
    """
    counts = Counter(name for names in selected for name in names)
    return {name: count / len(selected) for name, count in counts.most_common()}


def kept_most(selected: Sequence[Sequence[str]], keep: int) -> list[str]:
    """The `keep` units that most of the seeds keep, in the order of `frequencies`."""
    return list(frequencies(selected))[:keep]
