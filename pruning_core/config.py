"""The configuration of one trial: every hyperparameter, its meaning and its range of validity.

A hyperparameter has one name everywhere: here, in the study file, in Optuna, in MLflow and in the report.
Legend of tensor dimensions used throughout the package: ``R`` replicas, ``B`` batch rows, ``F`` features,
``N`` gates, ``C`` classes, ``E`` epochs.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Strategy = Literal["fixed", "ratio", "stepped", "plateau", "markov"]
AlphaStrategy = Literal["fixed", "ratio", "stepped", "plateau"]
MuReading = Literal["current", "windowed", "frozen", "one"]

LARGEST_DEFAULT_BATCH = 64

ALPHA_HYPERPARAMETERS: dict[str, tuple[str, ...]] = {
    "fixed": ("lambda_start",),
    "ratio": ("window",),
    "stepped": ("lambda_start", "lambda_max", "growth", "step_epochs", "mu", "window"),
    "plateau": (
        "lambda_start",
        "lambda_max",
        "growth",
        "plateau_threshold",
        "patience",
        "plateau_monitor",
        "mu",
        "window",
    ),
}
CHAIN_HYPERPARAMETERS = ("alpha", "delta", "block", "proposals", "temperature")
STRATEGY_HYPERPARAMETERS = frozenset(
    [name for names in ALPHA_HYPERPARAMETERS.values() for name in names] + list(CHAIN_HYPERPARAMETERS)
)


class TrialConfig(BaseModel):
    """One configuration of a pruning run. The defaults complete the pruning without any search.

    >>> TrialConfig(keep=16, strategy="plateau", growth=1.5).alpha_strategy
    'plateau'

    Raises:
        pydantic.ValidationError: a value outside its range, or an unknown name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    keep: int = Field(ge=1, description="n, how many input units survive")

    strategy: Strategy = Field("stepped", description="how alpha, the weight of the pruner loss, evolves")
    alpha: AlphaStrategy = Field("stepped", description="the alpha strategy that `markov` combines with")
    lambda_start: float = Field(0.2, gt=0, description="first value of lambda; alpha itself for `fixed`")
    lambda_max: float = Field(1e7, gt=0, description="lambda grows no further than this")
    growth: float = Field(1.15, gt=1, description="factor by which lambda grows")
    step_epochs: int = Field(1, ge=1, description="`stepped`: epochs between two growths")
    plateau_threshold: float = Field(
        0.2, ge=0, description="`plateau`: relative change of the variance that counts as none"
    )
    patience: int = Field(1, ge=1, description="`plateau`: epochs over which the variance is compared")
    plateau_monitor: Literal["weights", "gates"] = Field(
        "weights", description="`plateau`: variance of w or of sigma(w)"
    )
    mu: MuReading = Field("one", description="reading of mu = <L_cla> / (lambda <L_pru>) in alpha = mu lambda")
    window: int = Field(10, ge=1, description="epochs averaged by <...>")

    rejection: Literal["plain", "modified"] = Field(
        "modified", description="rejection loss without or with the product term N prod(sigma)"
    )
    rejection_weight: float = Field(1.0, ge=0, description="L_pru = L_sel + rejection_weight L_rej")

    delta: float = Field(1.0, gt=0, description="chain: largest move of a pruner weight in one proposal")
    block: float = Field(
        0.1, gt=0, le=1, description="chain: probability with which each weight takes part in a proposal (deck: 1)"
    )
    proposals: int = Field(2, ge=1, description="chain: proposals per training step (deck: 1)")
    temperature: float = Field(
        0.0, ge=0, description="chain: T in the acceptance exp(-dL/T) of a worse point; 0 never accepts one"
    )

    initial_weight: float = Field(3.0, description="w_0, the value at which every pruner weight starts")
    learning_rate: float = Field(5e-3, gt=0, description="Adam step size of the network's weights")
    pruner_learning_rate: float = Field(0.1, gt=0, description="Adam step size of the pruner weights")
    weight_decay: float = Field(0.0, ge=0, description="decoupled decay (AdamW) of the network's weights per step")

    label_smoothing: float = Field(
        0.1, ge=0, lt=1, description="share of each label that L_cla spreads over all classes (deck: 0)"
    )

    hidden: tuple[int, ...] = Field((64,), description="widths of the hidden layers of the default network")
    batch_size: int | None = Field(
        None, ge=1, description="rows per training step, at most; by default 64, or fewer so that an epoch has 8 steps"
    )
    epochs: int = Field(120, ge=1, description="the longest a trial trains")
    settle_epochs: int = Field(
        10, ge=1, description="training ends once all replicas have been complete for so many epochs"
    )
    tolerance: float = Field(0.05, gt=0, lt=0.5, description="a gate this close to 0 or 1 counts as closed or open")
    seeds: int = Field(8, ge=1, description="R, replicas trained at once, each with a seed of its own")

    @model_validator(mode="after")
    def _check(self) -> "TrialConfig":
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"hidden must hold positive widths, got {list(self.hidden)}")
        if "lambda_max" in ALPHA_HYPERPARAMETERS[self.alpha_strategy] and self.lambda_max < self.lambda_start:
            raise ValueError(
                f"lambda_max must not be below lambda_start = {self.lambda_start:g}, got {self.lambda_max:g}"
            )
        return self

    @property
    def alpha_strategy(self) -> str:
        """The strategy that sets alpha: `alpha` for `markov`, else the strategy itself."""
        return self.alpha if self.strategy == "markov" else self.strategy

    @property
    def chain(self) -> bool:
        """Whether the pruner weights move by the Markov chain instead of back-propagation."""
        return self.strategy == "markov"

    def used(self) -> dict[str, object]:
        """The hyperparameters that this trial's strategy really uses, by name, in the order above."""
        active = set(ALPHA_HYPERPARAMETERS[self.alpha_strategy])
        if self.chain:
            active |= set(CHAIN_HYPERPARAMETERS)
        if self.mu == "one" and self.alpha_strategy != "ratio":
            active -= {"window"}
        unused = STRATEGY_HYPERPARAMETERS - active
        if self.chain:
            unused |= {"pruner_learning_rate"}
        return {name: value for name, value in self.model_dump(mode="json").items() if name not in unused}
