"""What the trials of a search say, in numbers and in sentences: intervals, the Pareto front, rules, the opening.

Pure functions of what `search_record` has read; a sentence says no more than its numbers carry.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pruning_core.hyperparameters import Choices
from pruning_core.metrics import ACCURACY, Metric
from search.report.search_record import SearchRecord
from search.trials.defaults import verdict
from search.trials.estimate import count, estimate, gap, listing, paired
from search.trials.result import network_of, refit_sentence
from search.trials.trial import LoggedTrial

FEWEST_FOR_A_RULE = 5
FEWEST_FOR_IMPORTANCE = 10


def shared_by_two_seeds(frequency: Mapping[str, float], seeds: int) -> float | None:
    """How many of their inputs two seeds have in common on average, from how often each input is kept."""
    if seeds < 2:
        return None
    kept = np.array(list(frequency.values())) * seeds
    return float((kept * (kept - 1)).sum() / (seeds * (seeds - 1)))


def typical_failure(trials: Sequence[LoggedTrial]) -> LoggedTrial | None:
    """Of those that ended in the commonest way but complete, the trial with the median score, if any."""
    known = [t for t in trials if t.run_id and t.score is not None]
    categories = Counter(t.category for t in known if t.category not in ("complete", "failed", "unknown"))
    if not categories:
        return None
    commonest = max(categories, key=lambda name: (categories[name], name != "mixed"))
    alike = sorted((t for t in known if t.category == commonest), key=lambda t: (t.score or 0.0, t.number))
    return alike[len(alike) // 2]


def opening(search: SearchRecord, inputs: int | None = None) -> list[str]:
    """The search in a few sentences: how many trials, who wins and by how much, who completes, who comes second.

    Args:
        search: the search.
        inputs: N, how many inputs the data has, if known.
    """
    strategies = search.strategies
    sentences = [_extent(search, inputs)]
    confirmed: Mapping[str, Any] = search.result.get("strategies") or {}
    best = search.result.get("winner")
    if best is None:
        sentences.append(
            "No trial came to an end that could be confirmed, so there is no winner."
            if search.finished
            else "Nothing has been confirmed with fresh seeds yet, and the test part has not been read."
        )
    else:
        sentences.append(_victory(best, confirmed[best], len(strategies), search.metric))
        said = [verdict(best, confirmed[best], search.metric), refit_sentence(confirmed[best], search.metric)]
        sentences += filter(None, said)
    sentences.append(_completions(search))
    ranked = [s for s in strategies if s in confirmed and s != best]
    if best is not None and ranked:
        sentences.append(_runner_up(ranked[0], confirmed[ranked[0]], confirmed[best], search.metric))
    return sentences


def _extent(search: SearchRecord, inputs: int | None) -> str:
    over, data = len(search.trials), search.study["data"]
    inputs_of = f"{inputs} " if inputs else ""
    what = f"to prune the {inputs_of}inputs of a network on {data_name(data)} to {data['keep']}"
    if search.pruners:
        units = listing([f"{pruner['keep']} {name}" for name, pruner in search.pruners.items()])
        what = f"to prune a network on {data_name(data)} to {units}"
    elif data["keep"] is None:
        what = f"to prune a network on {data_name(data)}"
    compete = f"{listing(search.strategies)} {'compete' if len(search.strategies) > 1 else 'is tuned'}"
    if search.finished:
        early = search.result.get("ended_early")
        return f"In {count(over, 'trial')}, {compete} {what}." + (f" The search {early}." if early else "")
    planned = search.study["search"].get("trials")
    of = f" of {planned:,} planned" if planned else ""
    is_over = f"{count(over, 'trial')}{of} {'is' if over == 1 else 'are'} over"
    return f"The search is not finished: {is_over}, in which {compete} {what}."


def data_name(data: Mapping[str, Any]) -> str:
    """The data set, without the folders of its files; of several files the first and how many there are."""
    source = data.get("source", "the data")
    named = list(source.values()) if isinstance(source, Mapping) else [source]
    files = [file for each in named for file in ([each] if isinstance(each, str) else each)]
    rest = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return Path(files[0]).name + rest


def _victory(best: str, entry: Mapping[str, Any], strategies: int, metric: Metric) -> str:
    test = entry["test"]["per_seed"]
    seeds = count(len(test), "fresh seed")
    complete, epoch = entry["outcome"]["complete"], entry["completion_epoch"]["mean"]
    when = f", on average at epoch {epoch:.0f}" if epoch is not None else ""
    how = f"{'all' if complete == 1 else f'{100 * complete:.0f} % of'} {seeds} complete the pruning{when}"
    if len(test) == 1:
        how = f"its one fresh seed {'completes' if complete else 'does not complete'} the pruning{when}"
    wins = f"The winner is {best}" if strategies > 1 else f"The best trial of {best} was confirmed"
    reaches = f"the {network_of(entry)} network reaches {_what(metric)}{estimate(test, metric)}"
    return f"{wins}: {how}, and {reaches} on the test part."


def _what(metric: Metric) -> str:
    """Of which metric a number is, where it is not that of which everyone thinks."""
    return "" if metric == ACCURACY else f"{'an' if metric.label[0] in 'aeiouA' else 'a'} {metric.label} of "


def _completions(search: SearchRecord) -> str:
    shares = []
    for strategy in search.strategies:
        arm = search.overview.arms[strategy]
        shares.append(f"{arm.completed:,} of {arm.trials:,} trials of {strategy}")
    return f"Every seed completed in {listing(shares)}."


def _runner_up(second: str, entry: Mapping[str, Any], first: Mapping[str, Any], metric: Metric) -> str:
    facts = []
    if entry["outcome"]["complete"] < first["outcome"]["complete"]:
        facts.append(f"only {100 * entry['outcome']['complete']:.0f} % of its fresh seeds complete")
    for part in ("validation", "test"):
        behind = paired(first[part]["per_seed"], entry[part]["per_seed"], metric)
        facts.append(f"{'it is ' if part == 'validation' else ''}{gap(behind)} on the {part} part")
    epoch, other = entry["completion_epoch"]["mean"], first["completion_epoch"]["mean"]
    if epoch is not None and other is not None and round(abs(epoch - other)) > 0:
        apart = count(round(abs(epoch - other)), "epoch")
        facts.append(f"it completes {apart} {'later' if epoch > other else 'earlier'}")
    return f"The runner-up is {second}: {listing(facts)}."


@dataclass(frozen=True)
class Rule:
    """A depth-2 decision tree in words: what each leaf asks for, its trials, and those of them that completed."""

    leaves: list[tuple[str, int, int]]
    right: float
    guess: float

    trials: int

    @property
    def holds(self) -> bool:
        """Whether, cross-validated, it beats the commoner answer by more than a standard error."""
        return self.right - self.guess > np.sqrt(self.right * (1 - self.right) / self.trials)

    @property
    def verdict(self) -> str:
        """Whether the tree says anything that holds beyond its own trials."""
        right, guess = f"{100 * self.right:.0f} %", f"{100 * self.guess:.0f} %"
        if self.holds:
            return (
                f"Five-fold cross-validation supports such a rule: it is right for {right} of the trials, "
                f"and always giving the commoner answer for {guess}."
            )
        return (
            f"Take it as a description of these trials only: in five-fold cross-validation such a rule is right for "
            f"{right} of the trials, and always giving the commoner answer for {guess}."
        )


def rule(trials: Sequence[LoggedTrial]) -> Rule | None:
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
    return Rule(leaves, right, float(max(completed.mean(), 1 - completed.mean())), len(trials))


def _features(trials: Sequence[LoggedTrial]) -> tuple[list[tuple[str, str | None, bool]], NDArray[Any]]:
    """Columns for the tree: (hyperparameter, choice or None, whether its logarithm is taken), and the values."""
    names: list[tuple[str, str | None, bool]] = []
    columns: list[list[float]] = []
    for name in trials[0].params if trials else ():
        if name not in trials[0].searched or any(name not in t.params for t in trials):
            continue
        searched = trials[0].searched[name]
        values = [t.params[name] for t in trials]
        if isinstance(searched, Choices):
            for choice in searched.values:
                names.append((name, str(choice), False))
                columns.append([float(value == choice) for value in values])
        else:
            log = searched.log
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
