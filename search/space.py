"""The search space: which hyperparameters a search varies, within which limits, and for which strategies.

It is conditional: a point holds `strategy` and only those names that this strategy uses. Nothing here knows
Optuna, so that `deeppp check` can show the space without it; the sampler translates `Range` and `Choices`.
"""

import difflib
import math
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice, zip_longest
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import ConfigDict, TypeAdapter, ValidationError

from pruning_core.config import LARGEST_DEFAULT_BATCH, TrialConfig

if TYPE_CHECKING:
    from search.study import Study


class StudyError(ValueError):
    """A study that cannot be run; the message is one sentence for the user."""


Value = str | int | float
Point = dict[str, Value]


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; on a log scale or integers only, if so marked."""

    low: float
    high: float
    log: bool = False
    integer: bool = False

    def nearest(self, value: Any) -> Value:
        """The number of this range that is closest to the number ``value``."""
        inside = min(max(value, self.low), self.high)
        return round(inside) if self.integer else inside

    def grid(self) -> list[Value]:
        """Both ends and the middle (the geometric one if ``log``), each once."""
        middle = math.sqrt(self.low) * math.sqrt(self.high) if self.log else self.low / 2 + self.high / 2
        return list(dict.fromkeys([self.low, self.nearest(middle), self.high]))

    def __str__(self) -> str:
        return f"{self.low:g} ... {self.high:g}" + ", log" * self.log + ", integer" * self.integer


@dataclass(frozen=True)
class Choices:
    """One of ``values``."""

    values: tuple[Value, ...]

    def nearest(self, value: Any) -> Value:
        """``value`` itself if it is among the choices, else the first of them."""
        return value if value in self.values else self.values[0]

    def grid(self) -> list[Value]:
        """All the choices."""
        return list(self.values)

    def __str__(self) -> str:
        return " | ".join(map(_short, self.values))


Entry = Range | Choices | Value

BUILT_IN: dict[str, Range | Choices] = {
    "alpha": Choices(("stepped", "plateau")),
    "lambda_start": Range(1e-4, 10.0, log=True),
    "growth": Range(1.02, 10.0, log=True),
    "step_epochs": Range(1, 20, log=True, integer=True),
    "plateau_threshold": Range(1e-4, 0.5, log=True),
    "patience": Range(1, 10, integer=True),
    "plateau_monitor": Choices(("weights", "gates")),
    "mu": Choices(("frozen", "windowed", "one")),
    "delta": Range(0.01, 3.0, log=True),
    "block": Range(0.02, 1.0, log=True),
    "learning_rate": Range(1e-3, 1e-2, log=True),
    "pruner_learning_rate": Range(1e-2, 0.2, log=True),
}
"""What is searched where a study leaves a name out; every other hyperparameter then keeps its default."""

DECK_SCHEDULE: Point = {
    "lambda_start": 1.0,
    "lambda_max": 1e7,
    "growth": 10.0,
    "step_epochs": 20,
    "mu": "frozen",
}
"""`stepped` as in the deck of 12/05/2023, "Results with increasing λ": 1 → 10⁷, ×10 every 20 epochs."""

HOMES = {
    "keep": "data.keep",
    "hidden": "network.hidden",
    "strategy": "strategies",
    "epochs": "training.epochs",
    "batch_size": "training.batch_size",
    "seeds": "training.seeds",
    "settle_epochs": "training.settle_epochs",
    "tolerance": "training.tolerance",
}
"""Hyperparameters that a study sets outside `space`, and under which key."""

SEARCHABLE = tuple(name for name in TrialConfig.model_fields if name not in HOMES or name == "batch_size")
"""The names that `space` may hold. `batch_size` may stand there too, and then overrides `training`."""


def parse_entry(name: str, value: object) -> Entry:
    """A line of `space` as a range, choices or a fixed value, all within the limits of `TrialConfig`.

    Raises:
        StudyError: the name cannot stand in `space`, or the value is not allowed.
    """
    key = f"space.{name}"
    if name in HOMES and name not in SEARCHABLE:
        raise StudyError(f"{key} = {show(value)} cannot be searched: {HOMES[name]} sets it")
    if name not in SEARCHABLE or not isinstance(value, Mapping):
        return check_hyperparameter(name, value, key)
    allowed = ("choices",) if "choices" in value else ("low", "high", "log")
    for part in value:
        if part not in allowed:
            raise StudyError(
                f"{key}.{part} = {show(value[part])} is not a key: a range takes low, high and log, "
                "and a choice takes choices"
            )
    return _choices(name, key, value["choices"]) if "choices" in value else _range(name, key, value)


def plain_entry(entry: Entry) -> Any:
    """The entry as it stands in a study file."""
    if isinstance(entry, Range):
        return {"low": entry.low, "high": entry.high, "log": entry.log}
    return {"choices": list(entry.values)} if isinstance(entry, Choices) else entry


def check_hyperparameter(name: str, value: object, key: str) -> Any:
    """The value as `TrialConfig` would take it for ``name``; messages call it ``key``.

    Raises:
        StudyError: there is no such hyperparameter, or the value is outside its range.
    """
    if name not in TrialConfig.model_fields:
        close = difflib.get_close_matches(name, TrialConfig.model_fields, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(TrialConfig.model_fields)}"
        raise StudyError(f"{key} = {show(value)} is not a hyperparameter: {hint}")
    if isinstance(value, bool):
        raise StudyError(f"{key} = {show(value)} must be a number or a name, not true or false")
    try:
        return _limits(name).validate_python(value)
    except ValidationError as error:
        raise StudyError(sentence(error, key)) from None


def sentence(error: ValidationError, key: str = "") -> str:
    """The first of pydantic's complaints as one sentence; ``key`` is where the validated value stands."""
    first = error.errors(include_url=False)[0]
    cause = first.get("ctx", {}).get("error")
    key = ".".join(filter(None, [key, *map(str, first["loc"])]))
    if isinstance(cause, StudyError) or not key:
        return str(cause or first["msg"])
    if first["type"] == "missing":
        return f"{key} is missing"
    allowed = re.sub(r"^\w+ should ", "must ", first["msg"].removeprefix("Value error, "))
    return f"{key} = {show(first['input'])} {allowed.replace('valid tuple', 'list')}"


def show(value: object) -> str:
    """The value, shortened if need be, for a message."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


@cache
def _limits(name: str) -> TypeAdapter[Any]:
    field = TrialConfig.model_fields[name]
    kind: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    return TypeAdapter(kind, config=ConfigDict(allow_inf_nan=False))


def _choices(name: str, key: str, values: object) -> Choices:
    if not isinstance(values, list | tuple) or not values:
        raise StudyError(f"{key}.choices = {show(values)} must be a list of at least one value")
    checked = tuple(check_hyperparameter(name, value, f"{key}.choices") for value in values)
    if len(set(checked)) < len(checked):
        raise StudyError(f"{key}.choices = {show(values)} must hold every value once")
    return Choices(checked)


def _range(name: str, key: str, value: Mapping[str, object]) -> Range:
    kind = TrialConfig.model_fields[name].annotation
    integer = kind in (int, int | None)
    if not integer and kind is not float:
        raise StudyError(f"{key} = {show(dict(value))} must be {{choices: [...]}}, as {name} is not a number")
    for end in ("low", "high"):
        if end not in value:
            raise StudyError(f"{key}.{end} is missing: a range has low and high, and log if wanted")
    low, high = (check_hyperparameter(name, value[end], f"{key}.{end}") for end in ("low", "high"))
    log = value.get("log", False)
    if not isinstance(log, bool):
        raise StudyError(f"{key}.log = {show(log)} must be true or false")
    if low > high:
        raise StudyError(f"{key}.low = {low} must not exceed {key}.high = {high}")
    if log and low <= 0:
        raise StudyError(f"{key}.low = {low} must be above 0, as log is true")
    return Range(low, high, log, integer=integer)


def entries(study: "Study") -> dict[str, Entry]:
    """The study's space over the built-in one: name -> what is searched, or the value that is fixed."""
    return {**BUILT_IN, **study.space}


def searched(study: "Study", strategy: str, alpha: str | None = None) -> dict[str, Range | Choices]:
    """What is searched for ``strategy``, in the order in which to draw it.

    For ``markov`` the names depend on `alpha`, which comes first: draw it, and call again with the ``alpha``
    drawn. Without ``alpha``, what every possible `alpha` uses is returned. Other strategies ignore ``alpha``.
    """
    space = entries(study)
    alphas = _alphas(study, strategy) if alpha is None or strategy != "markov" else (alpha,)
    first, *others = (_used(study, strategy, each) for each in alphas)
    found: dict[str, Range | Choices] = {}
    for name in first:
        entry = space.get(name)
        if isinstance(entry, Range | Choices) and all(name in used for used in others):
            found[name] = entry
    return found


def possible_numbers(study: "Study", name: str) -> list[float]:
    """Numbers that ``name`` may have in a trial, the least and the greatest among them.

    The default is one of them unless the study fixes the name: trials that do not search it have that.
    """
    default = TrialConfig.model_fields[name].default
    entry: Any = entries(study).get(name, default)
    return [default, *map(float, entry.grid())] if isinstance(entry, Range | Choices) else [entry]


def users(study: "Study") -> dict[str, tuple[str, ...]]:
    """Hyperparameter -> the study's strategies that use it, in the order of `TrialConfig`; only used ones."""
    used = {s: {name for a in _alphas(study, s) for name in _used(study, s, a)} for s in study.strategies}
    using = {name: tuple(s for s in used if name in used[s]) for name in TrialConfig.model_fields}
    return {name: strategies for name, strategies in using.items() if strategies}


def known_points(study: "Study") -> list[Point]:
    """Where a search starts, for each n: the default for each strategy, and the deck's `stepped` schedule.

    Each is moved into the study's space: numbers to the nearest allowed one, other choices to the first.
    """
    points: list[Point] = []
    for strategy in study.strategies:
        default = TrialConfig(keep=1, strategy=strategy, batch_size=LARGEST_DEFAULT_BATCH).model_dump()
        wanted = [default, {**default, **DECK_SCHEDULE}] if strategy == "stepped" else [default]
        for values in wanted:
            alpha = searched(study, strategy).get("alpha")
            chosen = None if alpha is None else str(alpha.nearest(values["alpha"]))
            names = searched(study, strategy, chosen)
            point: Point = {"strategy": strategy}
            point |= {name: entry.nearest(values[name]) for name, entry in names.items()}
            if point not in points:
                points.append(point)
    return [p | fixed for fixed in study.arms.values() for p in points if p["strategy"] == fixed["strategy"]]


def grid(study: "Study") -> list[Point]:
    """At most `search.trials` points of the study's grid: ranges at three points, all combinations.

    Strategies take turns, those with each n. Within each, the combinations come in an order that `search.seed` shuffles
    and that does not depend on `search.trials`: a study continued with more trials begins with the same points.
    """
    trials = study.search.trials
    grids = {strategy: _shuffled_grid(study, strategy, trials) for strategy in study.strategies}
    turns = zip_longest(*([point | fixed for point in grids[fixed["strategy"]]] for fixed in study.arms.values()))
    return list(islice((point for turn in turns for point in turn if point is not None), trials))


class Row(NamedTuple):
    """A line of the table that `deeppp check` prints; ``strategies`` use the hyperparameter ``name``."""

    name: str
    values: str
    strategies: str


def table(study: "Study") -> list[Row]:
    """Every hyperparameter that the study searches, fixes in `space` or leaves at its default."""
    space = entries(study)
    rows = [Row("strategy", " | ".join(study.strategies), "all")]
    if len(study.data.keeps) > 1:
        rows.append(Row("keep", " | ".join(map(str, study.data.keeps)), "all"))
    for name, strategies in users(study).items():
        if name in space:
            entry = space[name]
            values = str(entry) if isinstance(entry, Range | Choices) else f"fixed: {_short(entry)}"
        elif name in HOMES:
            continue
        else:
            values = f"default: {_short(TrialConfig.model_fields[name].default)}"
        rows.append(Row(name, values, "all" if strategies == study.strategies else ", ".join(strategies)))
    return rows


def _short(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _alphas(study: "Study", strategy: str) -> tuple[str | None, ...]:
    """The values of `alpha` that trials of ``strategy`` may have; (None,) where it has no meaning."""
    if strategy != "markov":
        return (None,)
    entry = entries(study)["alpha"]
    return tuple(map(str, entry.values)) if isinstance(entry, Choices) else (str(entry),)


def _used(study: "Study", strategy: str, alpha: str | None) -> list[str]:
    """What trials of ``strategy`` may use. (`window` is searched for the sake of any `mu` that averages.)"""
    mu = entries(study)["mu"]
    readings = mu.values if isinstance(mu, Choices) else (mu,)
    values = {"keep": 1, "strategy": strategy, "mu": next((r for r in readings if r != "one"), "one")}
    return list(TrialConfig.model_validate(values | ({"alpha": alpha} if alpha else {})).used())


def _shuffled_grid(study: "Study", strategy: str, count: int) -> list[Point]:
    """``count`` different combinations, or all there are; the product itself may be astronomically large."""
    branches: list[dict[str, list[Value]]] = []
    for alpha in _alphas(study, strategy):
        names = searched(study, strategy, alpha)
        branch: dict[str, list[Value]] = {"strategy": [strategy]}
        branch |= {name: entry.grid() for name, entry in names.items()}
        if "alpha" in names and alpha is not None:
            branch["alpha"] = [alpha]
        branches.append(branch)
    sizes = [math.prod(map(len, branch.values())) for branch in branches]

    shuffle = random.Random(f"{study.search.seed} {strategy}")
    drawn: dict[int, Point] = {}
    while len(drawn) < min(count, sum(sizes)):
        index = rest = shuffle.randrange(sum(sizes))
        for branch, size in zip(branches, sizes, strict=True):
            if rest < size:
                drawn.setdefault(index, _combination(branch, rest))
                break
            rest -= size
    return list(drawn.values())


def _combination(branch: dict[str, list[Value]], index: int) -> Point:
    point: Point = {}
    for name, values in branch.items():
        index, position = divmod(index, len(values))
        point[name] = values[position]
    return point
