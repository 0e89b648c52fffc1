"""What every strategy is: lambda, mu and alpha of R replicas, and the hyperparameters that several of them share."""

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
    of a replica, are those of w and of sigma(w) at the epoch's end. `excess_R` is how much of the pruning is left then:
    sum sigma(w) above n, as a share of N - n, in [0, 1].
    """

    classification_R: Tensor
    pruner_R: Tensor
    weight_variance_R: Tensor
    gate_variance_R: Tensor
    excess_R: Tensor


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
SHRINK_EPOCHS = Hyperparameter(
    "shrink_epochs",
    int,
    30,
    "`adaptive`, `swap`: epochs after which the timetable has n gates open; all epochs, if there are fewer",
    Range(10, 80, log=True, integer=True),
    {"ge": 1},
)


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
    first_weight : float or None
        The w at which it starts every gate, whatever the network says; None leaves that to `initial_weight`.
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
    first_weight: ClassVar[float | None] = None
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

    def begin(self, units: int) -> None:
        """Is told, before the first epoch, how many gates all pruners have together."""

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
