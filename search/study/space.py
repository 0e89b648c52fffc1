"""The search space: which hyperparameters a search varies, within which limits, and for which strategies.

It is conditional: a point holds `strategy` and only those names that this strategy uses. Nothing here knows
Optuna, so that `deeppp check` can show the space without it; the samplers translate `Range` and `Choices`.
"""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice, zip_longest
from typing import Any, NamedTuple

from pruning_core.config import ARGUMENT, USUAL_BATCH, TrialConfig, search_ranges
from pruning_core.hyperparameters import Choices, Range, Value, short
from pruning_core.strategies import STRATEGIES
from search.study.entries import HOMES, Entry, is_argument

Point = dict[str, Value]


class Row(NamedTuple):
    """A line of the table that `deeppp check` prints; ``strategies`` use the hyperparameter ``name``."""

    name: str
    values: str
    strategies: str


@dataclass(frozen=True)
class Space:
    """What a study searches.

    Args:
        given: the study's own entries: name -> what is searched, or the value that is fixed.
        strategies: that compete.
        keeps: every n that the study is about.
        arguments: of the network, from which a search of them starts.
    """

    given: Mapping[str, Entry]
    strategies: tuple[str, ...]
    keeps: tuple[Any, ...]
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """The study's entries over the ranges that hyperparameters bring along."""
        return {**search_ranges(), **self.given}

    @property
    def default_arguments(self) -> dict[str, Value]:
        """Where the search of the network's arguments starts: at what the study gives, else in the middle."""
        return {
            name: entry.nearest(self.arguments.get(name.removeprefix(ARGUMENT), _middle(entry)))
            for name, entry in self.given.items()
            if is_argument(name) and isinstance(entry, Range | Choices)
        }

    @property
    def arms(self) -> dict[str, Point]:
        """What competes, by name, and what each fixes: a strategy, and n where the study is about several.

        Each arm has an optimiser of its own and the same number of trials.
        """
        if len(self.keeps) == 1:
            return {strategy: {"strategy": strategy} for strategy in self.strategies}
        return {
            f"{strategy} n={keep}": {"strategy": strategy, "keep": keep}
            for keep in self.keeps
            for strategy in self.strategies
        }

    def searched(self, strategy: str, alpha: str | None = None) -> dict[str, Range | Choices]:
        """What is searched for ``strategy``, in the order in which to draw it.

        For `markov`, the names depend on `alpha`, which comes first: draw it, and call again with the ``alpha`` drawn.
        Without ``alpha``, what every possible `alpha` uses is returned. Other strategies ignore ``alpha``.
        """
        alphas = self._alphas(strategy) if alpha is None or not self._alphas(strategy)[0] else (alpha,)
        first, *others = (self._used(strategy, each) for each in alphas)
        found: dict[str, Range | Choices] = {}
        for name in first:
            entry = self.entries.get(name)
            if isinstance(entry, Range | Choices) and all(name in used for used in others):
                found[name] = entry
        return found

    def possible_numbers(self, name: str) -> list[float]:
        """Numbers that ``name`` may have in a trial, the least and the greatest among them.

        The default is one of them unless the study fixes the name: trials that do not search it have that.
        """
        default = TrialConfig.model_fields[name].default
        entry: Any = self.entries.get(name, default)
        return [default, *map(float, entry.grid())] if isinstance(entry, Range | Choices) else [entry]

    @property
    def users(self) -> dict[str, tuple[str, ...]]:
        """Hyperparameter -> the study's strategies that use it, in the order of `TrialConfig`; only used ones."""
        used = {s: {name for a in self._alphas(s) for name in self._used(s, a)} for s in self.strategies}
        names = [*TrialConfig.model_fields, *filter(is_argument, self.given)]
        using = {name: tuple(s for s in used if name in used[s]) for name in names}
        return {name: strategies for name, strategies in using.items() if strategies}

    def nearest(self, strategy: str, values: Mapping[str, Any]) -> Point:
        """The point of a strategy, without n, that is nearest to these values.

        Numbers go to the nearest allowed one, other choices to the first. A name that is missing, or that stands for
        another kind of value here, has its default; one that the strategy does not search here is left out.
        """
        default = TrialConfig(keep=1, strategy=strategy, batch_size=USUAL_BATCH).model_dump() | self.default_arguments
        known = {name: value for name, value in values.items() if _is_number(value) or name not in self._ranges}
        full = {**default, **known}
        alpha = self.searched(strategy).get("alpha")
        chosen = None if alpha is None else str(alpha.nearest(full["alpha"]))
        names = self.searched(strategy, chosen)
        return {"strategy": strategy} | {name: entry.nearest(full[name]) for name, entry in names.items()}

    def known_points(self) -> list[Point]:
        """Where a search starts, for each n: the default for each strategy, and the points that a strategy names.

        Each is moved into the study's space, see `nearest`.
        """
        points: list[Point] = []
        for strategy in self.strategies:
            for known in ({}, *STRATEGIES[strategy].known_points):
                point = self.nearest(strategy, known)
                if point not in points:
                    points.append(point)
        return [p | fixed for fixed in self.arms.values() for p in points if p["strategy"] == fixed["strategy"]]

    def grid(self, trials: int, seed: int) -> list[Point]:
        """At most ``trials`` points of the study's grid: ranges at three points, all combinations.

        Ranges that nothing but the library says, and that are `drawn`, stay at their default.

        Strategies take turns, those with each n. Within each, the combinations come in an order that ``seed`` shuffles
        and that does not depend on ``trials``: a study continued with more trials begins with the same points.
        """
        grids = {strategy: self._shuffled_grid(strategy, trials, seed) for strategy in self.strategies}
        turns = zip_longest(
            *([point | fixed for point in grids[str(fixed["strategy"])]] for fixed in self.arms.values())
        )
        return list(islice((point for turn in turns for point in turn if point is not None), trials))

    def table(self) -> list[Row]:
        """Every hyperparameter that the study searches, fixes in `space` or leaves at its default."""
        rows = [Row("strategy", " | ".join(self.strategies), "all")]
        if len(self.keeps) > 1:
            rows.append(Row("keep", " | ".join(map(str, self.keeps)), "all"))
        for name, strategies in self.users.items():
            if name in self.entries:
                entry = self.entries[name]
                values = str(entry) if isinstance(entry, Range | Choices) else f"fixed: {short(entry)}"
            elif name in HOMES:
                continue
            else:
                values = f"default: {short(TrialConfig.model_fields[name].default)}"
            rows.append(Row(name, values, "all" if strategies == self.strategies else ", ".join(strategies)))
        return rows

    @cached_property
    def _ranges(self) -> frozenset[str]:
        return frozenset(name for name, entry in self.entries.items() if isinstance(entry, Range))

    def _alphas(self, strategy: str) -> tuple[str | None, ...]:
        """The values of `alpha` that trials of ``strategy`` may have; (None,) where it has no meaning."""
        if "alpha" in STRATEGIES[strategy].ignored:
            return (None,)
        entry = self.entries["alpha"]
        return tuple(map(str, entry.values)) if isinstance(entry, Choices) else (str(entry),)

    def _used(self, strategy: str, alpha: str | None) -> list[str]:
        """What trials of ``strategy`` may use. (`window` is searched for the sake of any `mu` that averages.)"""
        mu = self.entries["mu"]
        readings = mu.values if isinstance(mu, Choices) else (mu,)
        values = {"keep": 1, "strategy": strategy, "mu": next((r for r in readings if r != "one"), "one")}
        used = TrialConfig.model_validate(values | ({"alpha": alpha} if alpha else {})).used()
        return [*used, *filter(is_argument, self.given)]

    def _shuffled_grid(self, strategy: str, count: int, seed: int) -> list[Point]:
        """``count`` different combinations, or all there are; the product itself may be astronomically large."""
        branches: list[dict[str, list[Value]]] = []
        for alpha in self._alphas(strategy):
            names = self.searched(strategy, alpha)
            branch: dict[str, list[Value]] = {"strategy": [strategy]}
            branch |= {name: _grid(name, entry) for name, entry in names.items()}
            if "alpha" in names and alpha is not None:
                branch["alpha"] = [alpha]
            branches.append(branch)
        sizes = [math.prod(map(len, branch.values())) for branch in branches]

        shuffle = random.Random(f"{seed} {strategy}")
        drawn: dict[int, Point] = {}
        while len(drawn) < min(count, sum(sizes)):
            index = rest = shuffle.randrange(sum(sizes))
            for branch, size in zip(branches, sizes, strict=True):
                if rest < size:
                    drawn.setdefault(index, _combination(branch, rest))
                    break
                rest -= size
        return list(drawn.values())


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _middle(entry: Range | Choices) -> Value:
    grid = entry.grid()
    return grid[len(grid) // 2] if isinstance(entry, Range) else grid[0]


def _grid(name: str, entry: Range | Choices) -> list[Value]:
    if isinstance(entry, Range) and entry.drawn:
        return [TrialConfig.model_fields[name].default]
    return entry.grid()


def _combination(branch: dict[str, list[Value]], index: int) -> Point:
    point: Point = {}
    for name, values in branch.items():
        index, position = divmod(index, len(values))
        point[name] = values[position]
    return point
