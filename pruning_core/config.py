"""The configuration of one trial: every hyperparameter, its meaning and its range of validity.

A hyperparameter has one name everywhere: here, in the study file, in Optuna, in MLflow and in the report. Those of a
strategy stand with the strategy (`strategies/`); `register` adds them to `TrialConfig`.
Legend of tensor dimensions used throughout the package: ``R`` replicas, ``B`` batch rows, ``F`` features,
``N`` gates, ``C`` classes, ``E`` epochs.
"""

from collections.abc import Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo

from pruning_core.hyperparameters import Choices, Hyperparameter, Range, search_of, searched_field
from pruning_core.strategies import STRATEGIES, Adaptive, Fixed, Markov, Plateau, Ratio, Stepped, Strategy, Swap

USUAL_BATCH = 64
ARGUMENT = "network."
AnyStrategy = TypeVar("AnyStrategy", bound=type[Strategy])


class TrialConfig(BaseModel):
    """One configuration of a pruning run. The defaults complete the pruning without any search.

    Raises
    ------
    pydantic.ValidationError
        A value outside its range, or an unknown name.

    Examples
    --------
    >>> TrialConfig(keep=16, strategy="plateau", growth=1.5).alpha_strategy
    'plateau'
    >>> TrialConfig(**{"keep": 16, "network.width": 32}).arguments
    {'width': 32}
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    keep: int = Field(  # type: ignore[assignment]
        None, ge=1, description="n, how many input units survive; None where none is dropped"
    )

    strategy: str = Field("adaptive", description="how alpha, the weight of the pruner loss, evolves")
    alpha: str = searched_field(
        "stepped", Choices(("stepped", "plateau")), description="the alpha strategy that `markov` combines with"
    )

    rejection: Literal["plain", "modified"] = Field(
        "modified", description="rejection loss without or with the product term N prod(sigma)"
    )
    rejection_weight: float = Field(1.0, ge=0, description="L_pru = L_sel + rejection_weight L_rej")

    initial_weight: float = Field(3.0, description="w_0, the value at which every pruner weight starts")
    learning_rate: float = searched_field(
        5e-3, Range(1e-3, 1e-2, log=True), gt=0, description="Adam step size of the network's weights"
    )
    pruner_learning_rate: float = searched_field(
        0.1,
        Range(1e-2, 0.2, log=True),
        gt=0,
        description="Adam step size of the pruner weights, while an epoch has up to 25 steps; of more steps each is "
        "as much smaller",
    )
    weight_decay: float = searched_field(
        0.1,
        Range(1e-3, 3.0, log=True, drawn=True),
        ge=0,
        description="decoupled decay (AdamW) of the network's weights per step, while an epoch has up to 25 steps; of "
        "more steps each is as much smaller",
    )

    label_smoothing: float = searched_field(
        0.1,
        Range(0.0, 0.4, drawn=True),
        ge=0,
        lt=1,
        description="share of each label that L_cla spreads over all classes (deck: 0)",
    )

    hidden: tuple[int, ...] = Field((64,), description="widths of the hidden layers of the built-in networks")
    arguments: dict[str, Any] = Field(
        {}, description="what else the function that builds the network takes, each called network.NAME"
    )
    batch_size: int | None = Field(
        None,
        ge=1,
        description="rows per training step, at most; by default 64, or so many that an epoch has 8 to 400 steps",
    )
    epochs: int = Field(120, ge=1, description="the longest a trial trains")
    folds: int | None = Field(
        None, ge=2, description="K folds of all rows but the test part: each seed trains on K - 1 and holds out its own"
    )
    settle_epochs: int = Field(
        10, ge=1, description="training ends once all replicas have been complete for so many epochs"
    )
    tolerance: float = Field(0.05, gt=0, lt=0.5, description="a gate this close to 0 or 1 counts as closed or open")
    seeds: int = Field(8, ge=1, description="R, replicas trained at once, each with a seed of its own")

    if TYPE_CHECKING:  # the strategies' hyperparameters are fields that no type checker sees

        def __init__(self, **values: Any) -> None: ...

        def __getattr__(self, name: str) -> Any: ...

    @model_validator(mode="before")
    @classmethod
    def _gather_arguments(cls, values: object) -> object:
        """Takes arguments of the network under their names in searches, `network.width`, as well."""
        if not isinstance(values, Mapping):
            return values
        values = {name: value for name, value in values.items() if (name, value) != ("keep", None)}
        named = {name: value for name, value in values.items() if str(name).startswith(ARGUMENT)}
        rest = {name: value for name, value in values.items() if name not in named}
        arguments = {str(name).removeprefix(ARGUMENT): value for name, value in named.items()}
        return rest | {"arguments": {**rest.get("arguments", {}), **arguments}} if named else values

    @model_validator(mode="after")
    def _check(self) -> "TrialConfig":
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"hidden must hold positive widths, got {list(self.hidden)}")
        STRATEGIES[self.alpha_strategy].check(self)
        return self

    @property
    def alpha_strategy(self) -> str:
        """The strategy that sets alpha: the one that `alpha` names for `markov`, else the strategy itself."""
        return self.strategy if "alpha" in STRATEGIES[self.strategy].ignored else self.alpha

    @property
    def chain(self) -> bool:
        """Whether the pruner weights move by a Markov chain instead of back-propagation."""
        return STRATEGIES[self.strategy].chain

    @property
    def first_weight(self) -> float | None:
        """The w at which the strategy starts every gate; None leaves that to the network."""
        return STRATEGIES[self.strategy].first_weight

    @property
    def masks(self) -> bool:
        """Whether that chain moves between hard masks, with gates that are open or closed from the first step."""
        return issubclass(STRATEGIES[self.strategy], Swap)

    def used(self) -> dict[str, object]:
        """The hyperparameters that this trial's strategy really uses, by name, in the order of the fields."""
        active = STRATEGIES[self.alpha_strategy].used(self)
        unused = set(STRATEGIES[self.strategy].ignored)
        if self.chain:
            active |= STRATEGIES[self.strategy].used(self)
        unused |= strategy_hyperparameters() - active
        unused |= {"arguments"} | {name for name in ("keep", "folds") if getattr(self, name) is None}
        used = {name: value for name, value in self.model_dump(mode="json").items() if name not in unused}
        return used | {f"{ARGUMENT}{name}": value for name, value in self.arguments.items()}


def strategy_hyperparameters() -> frozenset[str]:
    """The names of all hyperparameters that belong to strategies."""
    return frozenset(h.name for strategy in STRATEGIES.values() for h in strategy.hyperparameters)


def search_ranges() -> dict[str, Range | Choices]:
    """What is searched where a study leaves a name out, in the order of the fields; the others keep their default."""
    found = {name: search_of(info) for name, info in TrialConfig.model_fields.items()}
    return {name: search for name, search in found.items() if search is not None}


def alpha_strategy(config: TrialConfig, replicas: int, device: torch.device | str = "cpu") -> Strategy:
    """The strategy that sets alpha in this configuration (for `markov`: the one that its `alpha` names)."""
    return STRATEGIES[config.alpha_strategy](config, replicas, device)


def register(strategy: AnyStrategy) -> AnyStrategy:
    """Makes a strategy known: its label can stand in a study file, its hyperparameters belong to `TrialConfig`.

    Parameters
    ----------
    strategy : type
        A class with a `label` of its own. One that bears the label of another takes its place.

    Raises
    ------
    ValueError
        One of its hyperparameters bears a name that means something else already.

    Examples
    --------
    >>> from pruning_core import register
    >>> from pruning_core.strategies import Stepped
    >>> register(Stepped) is Stepped
    True
    """
    others = {h.name: h for k in STRATEGIES.values() if k.label != strategy.label for h in k.hyperparameters}
    for mine in strategy.hyperparameters:
        if mine.name in _OWN_FIELDS or others.get(mine.name, mine) != mine:
            raise ValueError(f"the hyperparameter {mine.name} of {strategy.label} exists with another meaning")
    STRATEGIES[strategy.label] = strategy
    _declare_fields()
    return strategy


_OWN_FIELDS: dict[str, FieldInfo] = dict(TrialConfig.model_fields)


def _declare_fields() -> None:
    """Gives `TrialConfig` the fields of all strategies: those of alpha after `alpha`, those of chains after L_pru."""
    alphas = [label for label, strategy in STRATEGIES.items() if not strategy.chain]
    chains = [strategy for strategy in STRATEGIES.values() if strategy.chain]
    fields: dict[str, FieldInfo] = {}
    for name, info in _OWN_FIELDS.items():
        if name in ("strategy", "alpha"):
            info = copy(info)
            info.annotation = Literal[tuple(STRATEGIES if name == "strategy" else alphas)]  # type: ignore[assignment]
        fields[name] = info
        if name == "alpha":
            fields |= {h.name: h.as_field() for h in _in_order([STRATEGIES[label] for label in alphas])}
        if name == "rejection_weight":
            fields |= {h.name: h.as_field() for h in _in_order(chains)}
    TrialConfig.model_fields.clear()
    TrialConfig.model_fields.update(fields)
    TrialConfig.model_rebuild(force=True)


def _in_order(strategies: list[type[Strategy]]) -> list[Hyperparameter]:
    """All their hyperparameters once; a new one comes before the next known one of its strategy."""
    found: list[Hyperparameter] = []
    for strategy in strategies:
        known = [h for h in strategy.hyperparameters if h in found]
        for h in strategy.hyperparameters:
            if h in found:
                known = known[1:]
            else:
                found.insert(found.index(known[0]) if known else len(found), h)
    return found


for _strategy in (Fixed, Ratio, Stepped, Plateau, Adaptive, Markov, Swap):
    register(_strategy)
