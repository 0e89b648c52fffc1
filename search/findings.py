"""What the trials of a search say, in numbers and in sentences: intervals, the Pareto front, rules, the opening.

Pure functions of what `search.results` has read; a sentence says no more than its numbers carry.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution
from scipy import stats

from search.results import SearchRecord, TrialRecord

LEVEL = 0.95
FEWEST_FOR_A_RULE = 5
FEWEST_FOR_IMPORTANCE = 10


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and the half width of its 95 % interval (Student's t), None for a single seed."""

    mean: float
    half: float | None

    def __str__(self) -> str:
        """`96.0 % (95 % interval 95.6 to 96.4 %)`."""
        if self.half is None:
            return f"{points(self.mean)} % (one seed, so without an interval)"
        low, high = points(max(self.mean - self.half, 0.0)), points(min(self.mean + self.half, 1.0))
        return f"{points(self.mean)} % (95 % interval {low} to {high} %)"

    @property
    def short(self) -> str:
        """`96.0 ± 0.4 %`."""
        return f"{points(self.mean)} %" if self.half is None else f"{points(self.mean)} ± {points(self.half)} %"


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and interval of values that differ by their seed only."""
    count = len(values)
    if count < 2:
        return Estimate(float(np.mean(values)), None)
    half = stats.t.ppf((1 + LEVEL) / 2, count - 1) * np.std(values, ddof=1) / np.sqrt(count)
    return Estimate(float(np.mean(values)), float(half))


def paired(values: Sequence[float], others: Sequence[float]) -> Estimate:
    """The mean difference `values` - `others` of two results with the same seeds, seed by seed."""
    return estimate((np.asarray(values) - np.asarray(others)).tolist())


def points(fraction: float) -> str:
    """A fraction in per cent with one decimal: 0.9604 -> '96.0'."""
    return f"{100 * fraction:.1f}".replace("-", "−")


def count(number: int, noun: str) -> str:
    """`1 trial`, `1,000 trials`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listing(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


def pareto_front(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The completed trials than which none is both earlier complete and at least as accurate, earliest first."""
    completed = [t for t in trials if t.completed and t.accuracy is not None and t.completion_epoch is not None]
    front: list[TrialRecord] = []
    for trial in sorted(completed, key=lambda t: (t.completion_epoch or 0.0, -(t.accuracy or 0.0))):
        if not front or (trial.accuracy or 0.0) > (front[-1].accuracy or 0.0):
            front.append(trial)
    return front


def shared_by_two_seeds(frequency: Mapping[str, float], seeds: int) -> float | None:
    """How many of their inputs two seeds have in common on average, from how often each input is kept."""
    if seeds < 2:
        return None
    kept = np.array(list(frequency.values())) * seeds
    return float((kept * (kept - 1)).sum() / (seeds * (seeds - 1)))


def opening(search: SearchRecord) -> list[str]:
    """The search in a few sentences: how many trials, who wins and by how much, who completes, who comes second."""
    strategies = search.strategies
    sentences = [_extent(search)]
    confirmed: Mapping[str, Any] = search.result.get("strategies") or {}
    best = search.result.get("winner")
    if best is None:
        sentences.append(
            "No winner has been confirmed with fresh seeds, and the test part has not been read."
            if not search.finished
            else "No trial came to an end that could be confirmed, so there is no winner."
        )
    else:
        sentences.append(_victory(best, confirmed[best], len(strategies)))
    sentences.append(_completions(search))
    ranked = [s for s in strategies if s in confirmed and s != best]
    if best is not None and ranked:
        sentences.append(_runner_up(ranked[0], confirmed[ranked[0]], best, confirmed[best]))
    return sentences


def _extent(search: SearchRecord) -> str:
    sizes = f"{search.study['data']['keep']} inputs of {search.study['data'].get('source', 'the data')} are to be kept"
    over = len(search.trials)
    sentence = f"{count(over, 'trial')} of {listing(search.strategies)}: {sizes}."
    if not search.finished:
        planned = search.study["search"].get("trials")
        of = f" of {planned:,} planned" if planned else ""
        sentence = (
            f"The search is not finished: {count(over, 'trial')}{of} {'is' if over == 1 else 'are'} over. " + sentence
        )
    return sentence


def _victory(best: str, entry: Mapping[str, Any], strategies: int) -> str:
    test = entry["test"]["per_seed"]
    seeds = count(len(test), "fresh seed")
    complete, epoch = entry["outcome"]["complete"], entry["completion_epoch"]["mean"]
    when = f", on average at epoch {epoch:.0f}" if epoch is not None else ""
    how = f"{'all' if complete == 1 else f'{100 * complete:.0f} % of'} {seeds} complete the pruning{when}"
    if len(test) == 1:
        how = f"its one fresh seed {'completes' if complete else 'does not complete'} the pruning{when}"
    wins = f"{best} wins" if strategies > 1 else f"The best trial of {best} was confirmed"
    return f"{wins}: {how}, and the pruned network reaches {estimate(test)} on the test part."


def _completions(search: SearchRecord) -> str:
    shares = []
    for strategy in search.strategies:
        trials = search.of(strategy)
        completed = sum(t.completed for t in trials)
        shares.append(f"{completed:,} of {count(len(trials), 'trial')} with {strategy}")
    return f"Every seed completed in {listing(shares)}."


def _runner_up(second: str, entry: Mapping[str, Any], best: str, first: Mapping[str, Any]) -> str:
    lacks = []
    missing = first["outcome"]["complete"] - entry["outcome"]["complete"]
    if missing > 0:
        lacks.append(f"only {100 * entry['outcome']['complete']:.0f} % of its fresh seeds complete")
    behind = paired(first["validation"]["per_seed"], entry["validation"]["per_seed"])
    lacks.append(f"on the validation part it is {_gap(behind)}")
    epoch, other = entry["completion_epoch"]["mean"], first["completion_epoch"]["mean"]
    if epoch is not None and other is not None and round(abs(epoch - other)) > 0:
        lacks.append(f"it completes {abs(epoch - other):.0f} epochs {'later' if epoch > other else 'earlier'}")
    lacks.append(f"on the test part it is {_gap(paired(first['test']['per_seed'], entry['test']['per_seed']))}")
    return f"The runner-up is {second}: {listing(lacks)}."


def _gap(behind: Estimate) -> str:
    """How far behind a strategy is, and whether the seeds can tell."""
    if behind.half is None or f"{abs(100 * behind.mean):.1f}" == "0.0":
        return _side(behind.mean)
    apart = f"{_side(behind.mean)} (± {points(behind.half)})"
    return apart if abs(behind.mean) > behind.half else f"{apart}, which these seeds do not resolve"


def _side(behind: float) -> str:
    size = f"{abs(100 * behind):.1f}"
    if size == "0.0":
        return "as accurate"
    return f"{size} points {'behind' if behind > 0 else 'ahead'}"


@dataclass(frozen=True)
class Rule:
    """A depth-2 decision tree in words: what each leaf asks for, its trials, and those of them that completed."""

    leaves: list[tuple[str, int, int]]
    right: float
    guess: float

    @property
    def verdict(self) -> str:
        """Whether the tree says anything that holds beyond its own trials."""
        usual = f"always giving the commoner answer is right for {100 * self.guess:.0f} %"
        if self.right > self.guess:
            return f"In five-fold cross-validation such a tree is right for {100 * self.right:.0f} % of the trials; {usual}."
        return (
            f"It does not hold beyond these trials, though: cross-validated it is right for {100 * self.right:.0f} %, "
            f"and {usual}."
        )


def rule(trials: Sequence[TrialRecord]) -> Rule | None:
    """What separates trials of one strategy that completed from those that did not, None if too few did either.

    Hyperparameters that only some of the trials have are left out.
    """
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.tree import DecisionTreeClassifier

    completed = np.array([t.completed for t in trials], dtype=bool)
    fewer = min(completed.sum(), (~completed).sum())
    names, x = _features(trials)
    if fewer < FEWEST_FOR_A_RULE or not names:
        return None
    tree = DecisionTreeClassifier(max_depth=2, min_samples_leaf=max(3, len(trials) // 20), random_state=0)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    right = float(np.mean(cross_val_predict(tree, x, completed, cv=folds) == completed))
    tree.fit(x, completed)
    leaf_of = tree.apply(x)
    leaves = []
    for leaf, conditions in _paths(tree.tree_, names):
        inside = leaf_of == leaf
        leaves.append((conditions, int(inside.sum()), int(completed[inside].sum())))
    leaves.sort(key=lambda entry: entry[2] / entry[1], reverse=True)
    return Rule(leaves, right, float(max(completed.mean(), 1 - completed.mean())))


def _features(trials: Sequence[TrialRecord]) -> tuple[list[tuple[str, str | None, bool]], NDArray[Any]]:
    """Columns for the tree: (hyperparameter, choice or None, whether its logarithm is taken), and the values."""
    names: list[tuple[str, str | None, bool]] = []
    columns: list[list[float]] = []
    for name in trials[0].optuna.params if trials else ():
        if name == "strategy" or any(name not in t.optuna.params for t in trials):
            continue
        distribution = trials[0].optuna.distributions[name]
        values = [t.optuna.params[name] for t in trials]
        if isinstance(distribution, CategoricalDistribution):
            for choice in distribution.choices:
                names.append((name, str(choice), False))
                columns.append([float(value == choice) for value in values])
        else:
            log = bool(getattr(distribution, "log", False))
            names.append((name, None, log))
            columns.append([float(np.log(value)) if log else float(value) for value in values])
    return names, np.array(columns, dtype=float).T


def _paths(tree: Any, names: Sequence[tuple[str, str | None, bool]]) -> list[tuple[int, str]]:
    """Every leaf of a tree with its conditions in words."""
    found: list[tuple[int, str]] = []

    def walk(node: int, limits: dict[tuple[str, str | None], tuple[float, float]]) -> None:
        if tree.children_left[node] < 0:
            found.append((node, listing([_condition(*key, *ends) for key, ends in limits.items()]) or "any trial"))
            return
        name, choice, log = names[tree.feature[node]]
        cut = float(np.exp(tree.threshold[node])) if log else float(tree.threshold[node])
        low, high = limits.get((name, choice), (-np.inf, np.inf))
        walk(tree.children_left[node], {**limits, (name, choice): (low, min(high, cut))})
        walk(tree.children_right[node], {**limits, (name, choice): (max(low, cut), high)})

    walk(0, {})
    return found


def _condition(name: str, choice: str | None, low: float, high: float) -> str:
    if choice is not None:
        return f"{name} = {choice}" if low > 0 else f"{name} other than {choice}"
    if np.isinf(low):
        return f"{name} up to {high:.3g}"
    return f"{name} above {low:.3g}" if np.isinf(high) else f"{name} between {low:.3g} and {high:.3g}"
