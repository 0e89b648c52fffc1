"""alpha per epoch: how strongly the pruner loss weighs in L_tot = L_cla + alpha L_pru.

A strategy is one class: its label, its hyperparameters and its alpha. `pruning_core.config.register` makes one known,
and with it the study file, the search space, the terminal, MLflow and the report::

    @register
    class Ramp(Strategy):
        label = "ramp"
        hyperparameters = (Hyperparameter("slope", float, 0.1, "rise of alpha per epoch", Range(0.01, 1, log=True)),)

        def grown(self, epoch):
            return self.lambda_R + self.config.slope
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pruning_core.hyperparameters import Choices, Hyperparameter, Range, Value

EPSILON = 1e-12


class Values(Protocol):
    """A configuration: each hyperparameter of the strategy is an attribute."""

    def __getattr__(self, name: str) -> Any: ...


@dataclass(frozen=True)
class EpochMeans:
    """What a strategy learns of a finished epoch; each (R,) in float64.

    `classification_R` and `pruner_R` are L_cla and L_pru, means over the epoch's steps; the variances, over all gates
    of a replica, are those of w and of sigma(w) at the epoch's end.
    """

    classification_R: Tensor
    pruner_R: Tensor
    weight_variance_R: Tensor
    gate_variance_R: Tensor


LAMBDA_START = Hyperparameter(
    "lambda_start",
    float,
    0.2,
    "first value of lambda; alpha itself for `fixed`",
    Range(1e-4, 10.0, log=True),
    {"gt": 0},
)
LAMBDA_MAX = Hyperparameter("lambda_max", float, 1e7, "lambda grows no further than this", limits={"gt": 0})
GROWTH = Hyperparameter("growth", float, 1.15, "factor by which lambda grows", Range(1.02, 10.0, log=True), {"gt": 1})
MU = Hyperparameter(
    "mu",
    Literal["current", "windowed", "frozen", "one"],
    "one",
    "reading of mu = <L_cla> / (lambda <L_pru>) in alpha = mu lambda",
    Choices(("frozen", "windowed", "one")),
)
PROPOSALS = Hyperparameter("proposals", int, 2, "chain: proposals per training step (deck: 1)", limits={"ge": 1})
TEMPERATURE = Hyperparameter(
    "temperature",
    float,
    0.0,
    "chain: T in the acceptance exp(-dL/T) of a worse point; 0 never accepts one",
    limits={"ge": 0},
)
WINDOW = Hyperparameter("window", int, 10, "epochs averaged by <...>", limits={"ge": 1})


class Strategy:
    """lambda, mu and alpha = mu lambda of R replicas, all (R,) in float64.

    Read `alpha_R` before an epoch, call `update` after it. Before the first epoch has been measured, <L_cla>/<L_pru>
    counts as 1. A strategy of your own overrides `grown`, and `first_lambda` if it has no `lambda_start`.

    Parameters
    ----------
    config : TrialConfig
        Its `hyperparameters` are read.
    replicas : int
        R.
    device : torch.device or str
        Where the replicas live.

    Attributes
    ----------
    label : str
        Its name everywhere.
    hyperparameters : tuple of Hyperparameter
        Those that it uses, in the order in which a search draws them.
    known_points : tuple of mapping
        Values that a search tries first, besides the defaults.
    chain : bool
        Whether a Markov chain moves the pruner weights, not back-propagation.
    ignored : tuple of str
        Hyperparameters of `TrialConfig` that have no meaning for it. One with `alpha` among them sets alpha itself, the
        others leave that to the strategy that `alpha` names.
    reading : str
        Of mu, as `MU` has them, where no hyperparameter sets it.

    Examples
    --------
    >>> from pruning_core import TrialConfig
    >>> from pruning_core.strategies import Stepped
    >>> strategy = Stepped(TrialConfig(keep=4, lambda_start=0.5), replicas=2)
    >>> strategy.alpha_R.tolist()
    [0.5, 0.5]
    """

    label: ClassVar[str]
    hyperparameters: ClassVar[tuple[Hyperparameter, ...]] = ()
    known_points: ClassVar[tuple[Mapping[str, Value], ...]] = ()
    chain: ClassVar[bool] = False
    ignored: ClassVar[tuple[str, ...]] = ("alpha",)
    reading = "one"

    def __init__(self, config: Values, replicas: int, device: torch.device | str = "cpu") -> None:
        self.config = config
        self.epoch = 0
        self.lambda_R = torch.full((replicas,), self.first_lambda(), dtype=torch.float64, device=device)
        self.mu_R = torch.ones_like(self.lambda_R)
        if self.reading in ("current", "windowed"):
            self.mu_R = 1 / self.lambda_R
        window = config.window if WINDOW in self.hyperparameters else 1
        self.losses: deque[tuple[Tensor, Tensor, Tensor]] = deque(maxlen=window)

    def first_lambda(self) -> float:
        """lambda of the first epoch."""
        return float(self.config.lambda_start) if LAMBDA_START in self.hyperparameters else 1.0

    @property
    def alpha_R(self) -> Tensor:
        """alpha = mu lambda of the coming epoch, (R,)."""
        return self.mu_R * self.lambda_R

    def grown(self, epoch: EpochMeans) -> Tensor:
        """lambda of the coming epoch, given the one that has just ended; `self.epoch` counts those that have."""
        return self.lambda_R

    def update(self, epoch: EpochMeans) -> None:
        """Takes in one finished epoch."""
        self.epoch += 1
        lambda_R = self.lambda_R
        self.losses.append((epoch.classification_R, epoch.pruner_R, lambda_R))
        self.lambda_R = self.grown(epoch)
        self.mu_R = self._measured_mu(lambda_R)

    def _measured_mu(self, lambda_before_R: Tensor) -> Tensor:
        """mu = <L_cla> / (lambda <L_pru>) over the last `window` epochs, in this strategy's reading."""
        if self.reading == "one" or (self.reading == "frozen" and self.epoch != self.config.window):
            return self.mu_R
        classification_R, pruner_R, lambdas_R = (torch.stack(kind) for kind in zip(*self.losses, strict=True))
        pruner_R = pruner_R.clamp_min(EPSILON)
        if self.reading == "windowed":
            return classification_R.mean(0) / (lambdas_R * pruner_R).mean(0)
        today_R = lambda_before_R if self.reading == "frozen" else self.lambda_R
        return classification_R.mean(0) / (today_R * pruner_R.mean(0))

    @classmethod
    def used(cls, config: Values) -> set[str]:
        """Which of its hyperparameters a trial with this configuration really uses."""
        return {hyperparameter.name for hyperparameter in cls.hyperparameters}

    @classmethod
    def check(cls, config: Values) -> None:
        """Refuses values that are allowed each, but not together.

        Raises
        ------
        ValueError
            A sentence.
        """

    @classmethod
    def exhausted(cls, config: Values, lambda_R: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Which replicas, (R,), have a lambda that grows no further although it was meant to."""
        return np.zeros(len(lambda_R), dtype=bool)

    def state_dict(self) -> dict[str, object]:
        """Everything that `load_state_dict` needs to go on as if nothing had happened: tensors and numbers."""
        return {
            name: list(value) if isinstance(value, deque) else value
            for name, value in vars(self).items()
            if name != "config"
        }

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Goes back to the state that `state_dict` described."""
        for name, value in state.items():
            if isinstance(value, list):
                value = deque(value, maxlen=getattr(self, name).maxlen)
            setattr(self, name, value)


class Fixed(Strategy):
    """alpha = lambda_start for ever (deck: "too little or too drastically")."""

    label = "fixed"
    hyperparameters = (LAMBDA_START,)


class Ratio(Strategy):
    """alpha = <L_cla> / <L_pru> over the last `window` epochs (slide "What really works")."""

    label = "ratio"
    hyperparameters = (WINDOW,)
    reading = "current"


class Growing(Strategy):
    """alpha = mu lambda with a lambda that grows up to `lambda_max`, in the reading of mu that the config names."""

    def __init__(self, config: Values, replicas: int, device: torch.device | str = "cpu") -> None:
        self.reading = config.mu
        super().__init__(config, replicas, device)

    def raised(self) -> Tensor:
        """lambda after one growth."""
        return (self.lambda_R * self.config.growth).clamp_max(self.config.lambda_max)

    @classmethod
    def used(cls, config: Values) -> set[str]:
        return super().used(config) - ({"window"} if config.mu == "one" else set())

    @classmethod
    def check(cls, config: Values) -> None:
        if config.lambda_max < config.lambda_start:
            start, most = config.lambda_start, config.lambda_max
            raise ValueError(f"lambda_max must not be below lambda_start = {start:g}, got {most:g}")

    @classmethod
    def exhausted(cls, config: Values, lambda_R: NDArray[np.floating]) -> NDArray[np.bool_]:
        return np.asarray(lambda_R >= config.lambda_max)


class Stepped(Growing):
    """lambda_start growth^(epoch // step_epochs) (slides "Increasing the slope", "Results with increasing lambda").

    A search also tries the deck's own schedule of 12/05/2023: 1 → 10⁷, ×10 every 20 epochs.
    """

    label = "stepped"
    hyperparameters = (
        LAMBDA_START,
        LAMBDA_MAX,
        GROWTH,
        Hyperparameter(
            "step_epochs",
            int,
            1,
            "`stepped`: epochs between two growths",
            Range(1, 20, log=True, integer=True),
            {"ge": 1},
        ),
        MU,
        WINDOW,
    )
    known_points = ({"lambda_start": 1.0, "lambda_max": 1e7, "growth": 10.0, "step_epochs": 20, "mu": "frozen"},)

    def grown(self, epoch: EpochMeans) -> Tensor:
        return self.lambda_R if self.epoch % self.config.step_epochs else self.raised()


class Plateau(Growing):
    """lambda grows when the variance of the pruner weights stops changing (slide "What really works", IDEA).

    "Stops changing": |var_now - var_then| <= plateau_threshold max(var_then, epsilon), var_then `patience` epochs ago.
    After a growth the replica waits another `patience` epochs.
    """

    label = "plateau"
    hyperparameters = (
        LAMBDA_START,
        LAMBDA_MAX,
        GROWTH,
        Hyperparameter(
            "plateau_threshold",
            float,
            0.2,
            "`plateau`: relative change of the variance that counts as none",
            Range(1e-4, 0.5, log=True),
            {"ge": 0},
        ),
        Hyperparameter(
            "patience",
            int,
            1,
            "`plateau`: epochs over which the variance is compared",
            Range(1, 10, integer=True),
            {"ge": 1},
        ),
        Hyperparameter(
            "plateau_monitor",
            Literal["weights", "gates"],
            "weights",
            "`plateau`: variance of w or of sigma(w)",
            Choices(("weights", "gates")),
        ),
        MU,
        WINDOW,
    )

    def __init__(self, config: Values, replicas: int, device: torch.device | str = "cpu") -> None:
        super().__init__(config, replicas, device)
        self.variances: deque[Tensor] = deque(maxlen=config.patience + 1)
        self.waited_R = torch.full((replicas,), -1, dtype=torch.int64, device=device)

    def grown(self, epoch: EpochMeans) -> Tensor:
        of_weights = self.config.plateau_monitor == "weights"
        variance_R = epoch.weight_variance_R if of_weights else epoch.gate_variance_R
        self.variances.append(variance_R)
        self.waited_R = self.waited_R + 1
        then_R = self.variances[0]
        still_R = (variance_R - then_R).abs() <= self.config.plateau_threshold * then_R.clamp_min(EPSILON)
        grows_R = still_R & (self.waited_R >= self.config.patience)
        self.waited_R = torch.where(grows_R, 0, self.waited_R)
        return torch.where(grows_R, self.raised(), self.lambda_R)


class Markov(Strategy):
    """A Markov chain moves the pruner weights (see `chain.py`); alpha follows the strategy that `alpha` names."""

    label = "markov"
    chain = True
    ignored = ("pruner_learning_rate",)
    hyperparameters = (
        Hyperparameter(
            "delta",
            float,
            1.0,
            "chain: largest move of a pruner weight in one proposal",
            Range(0.01, 3.0, log=True),
            {"gt": 0},
        ),
        Hyperparameter(
            "block",
            float,
            0.1,
            "chain: probability with which each weight takes part in a proposal (deck: 1)",
            Range(0.02, 1.0, log=True),
            {"gt": 0, "le": 1},
        ),
        PROPOSALS,
        TEMPERATURE,
    )


class Swap(Strategy):
    """Hard masks with fewer and fewer open gates, in which swaps are tried (see `swap.py`).

    alpha is 0: all masks with as many open gates have the same L_pru.
    """

    label = "swap"
    chain = True
    ignored = ("alpha", "pruner_learning_rate", "initial_weight")
    least_tolerance = 0.001
    hyperparameters = (
        Hyperparameter(
            "shrink_epochs",
            int,
            30,
            "`swap`: epochs after which n gates are open; all epochs, if there are fewer",
            Range(10, 80, log=True, integer=True),
            {"ge": 1},
        ),
        PROPOSALS,
        TEMPERATURE,
    )

    def first_lambda(self) -> float:
        return 0.0

    @classmethod
    def check(cls, config: Values) -> None:
        if config.tolerance < cls.least_tolerance:
            raise ValueError(f"tolerance must be at least {cls.least_tolerance:g} for swap, got {config.tolerance:g}")


STRATEGIES: dict[str, type[Strategy]] = {}
"""Every strategy by its label; `pruning_core.config.register` adds to it."""
