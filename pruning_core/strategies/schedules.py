"""Strategies under which back-propagation moves the pruner weights: they differ in how lambda grows."""

from collections import deque
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pruning_core.hyperparameters import Choices, Hyperparameter, Range
from pruning_core.strategies.strategy import (
    EPSILON,
    GROWTH,
    LAMBDA_MAX,
    LAMBDA_START,
    MU,
    SHRINK_EPOCHS,
    WINDOW,
    EpochMeans,
    Strategy,
    Values,
)
from pruning_core.timetable import share_left


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
        if MU in self.hyperparameters:
            self.reading = config.mu
        super().__init__(config, replicas, device)

    def raised(self, times: Tensor | float = 1.0) -> Tensor:
        """lambda after one growth, or so many."""
        return (self.lambda_R * self.config.growth**times).clamp_max(self.config.lambda_max)

    @classmethod
    def used(cls, config: Values) -> set[str]:
        return super().used(config) - ({"window"} if config.mu == "one" else set())

    @classmethod
    def check(cls, config: Values) -> None:
        start, most = config.lambda_start, config.lambda_max
        if most < start and LAMBDA_START in cls.hyperparameters:
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


class Adaptive(Growing):
    """lambda grows only while the gates lag behind a timetable, the faster the further they lag.

    With e the `excess_R` of the gates at an epoch's end and t what `share_left` leaves at the end of the next, lambda
    grows m times, m = 7 ln((e + 0.01) / (t + 0.01)) between 0 and 5; five times once `shrink_epochs` are over. With the
    default `growth` that is by the factor (e + 0.01) / (t + 0.01), at most 2. The calendar of `stepped` takes no notice
    of the gates: among many useless inputs the network fits its rows by their noise before alpha has closed them.

    lambda starts at N / 300. L_pru is a mean over N gates, so that each feels alpha / N: as much in a layer of 1,000
    units as in one of 10. Gates start at w = 1, where L_pru is four times as steep as at 3, so that they can keep to
    the timetable at once. See docs/strategies.md.
    """

    label = "adaptive"
    hyperparameters = (LAMBDA_MAX, GROWTH, SHRINK_EPOCHS)
    first_weight = 1.0
    ignored = ("alpha", "initial_weight")
    first_lambda_per_unit = 1 / 300
    per_lag, most, margin = 7.0, 5.0, 0.01

    def begin(self, units: int) -> None:
        self.lambda_R.fill_(min(units * self.first_lambda_per_unit, self.config.lambda_max))

    def grown(self, epoch: EpochMeans) -> Tensor:
        share = (self.epoch + 1) / min(self.config.shrink_epochs, self.config.epochs)
        lag_R = torch.log((epoch.excess_R + self.margin) / (share_left(share) + self.margin))
        return self.raised((self.per_lag * lag_R).clamp(0, self.most) if share < 1 else self.most)
