"""alpha per epoch: how strongly the pruner loss weighs in L_tot = L_cla + alpha L_pru.

A strategy is a small state object over R replicas: read `alpha_R` before an epoch, call `update` after it. alpha is
always mu lambda. To add one, write a class with a `grown` method and name it in `STRATEGIES` (and its
hyperparameters in `config.ALPHA_HYPERPARAMETERS`).
"""

from collections import deque

import torch
from torch import Tensor

from pruning_core.config import TrialConfig

EPSILON = 1e-12


class AlphaStrategy:
    """lambda, mu and alpha = mu lambda of R replicas, all (R,) in float64.

    Before the first epoch has been measured, <L_cla>/<L_pru> counts as 1.

    Args:
        config: the trial's configuration.
        replicas: R.
        device: where the replicas live.
    """

    reading = "one"
    start: float | None = None

    def __init__(self, config: TrialConfig, replicas: int, device: torch.device | str = "cpu") -> None:
        self.config = config
        self.epoch = 0
        self.lambda_R = torch.full((replicas,), self.start or config.lambda_start, dtype=torch.float64, device=device)
        self.mu_R = torch.ones_like(self.lambda_R)
        if self.reading in ("current", "windowed"):
            self.mu_R = 1 / self.lambda_R
        self.losses: deque[tuple[Tensor, Tensor, Tensor]] = deque(maxlen=config.window)

    @property
    def alpha_R(self) -> Tensor:
        """alpha = mu lambda of the coming epoch, (R,)."""
        return self.mu_R * self.lambda_R

    def grown(self, variance_R: Tensor) -> Tensor:
        """lambda of the coming epoch, given the variance of the pruner weights (or gates) after this one."""
        return self.lambda_R

    def update(self, classification_R: Tensor, pruner_R: Tensor, variance_R: Tensor) -> None:
        """Takes in one finished epoch: its mean L_cla and L_pru, and the variance that `plateau` watches, all (R,)."""
        self.epoch += 1
        lambda_R = self.lambda_R
        self.losses.append((classification_R.double(), pruner_R.double(), lambda_R))
        self.lambda_R = self.grown(variance_R.double())
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


class Fixed(AlphaStrategy):
    """alpha = lambda_start for ever (deck: "too little or too drastically")."""


class Ratio(AlphaStrategy):
    """alpha = <L_cla> / <L_pru> over the last `window` epochs (slide "What really works")."""

    reading = "current"
    start = 1.0


class Growing(AlphaStrategy):
    """alpha = mu lambda with a lambda that grows up to `lambda_max`, in the reading of mu that the config names."""

    def __init__(self, config: TrialConfig, replicas: int, device: torch.device | str = "cpu") -> None:
        self.reading = config.mu
        super().__init__(config, replicas, device)


class Stepped(Growing):
    """lambda_start growth^(epoch // step_epochs) (slides "Increasing the slope", "Results with increasing lambda")."""

    def grown(self, variance_R: Tensor) -> Tensor:
        if self.epoch % self.config.step_epochs:
            return self.lambda_R
        return (self.lambda_R * self.config.growth).clamp_max(self.config.lambda_max)


class Plateau(Growing):
    """lambda grows when the variance of the pruner weights stops changing (slide "What really works", IDEA).

    "Stops changing": |var_now - var_then| <= plateau_threshold max(var_then, epsilon), var_then `patience` epochs ago.
    After a growth the replica waits another `patience` epochs.
    """

    def __init__(self, config: TrialConfig, replicas: int, device: torch.device | str = "cpu") -> None:
        super().__init__(config, replicas, device)
        self.variances: deque[Tensor] = deque(maxlen=config.patience + 1)
        self.waited_R = torch.full((replicas,), -1, dtype=torch.int64, device=device)

    def grown(self, variance_R: Tensor) -> Tensor:
        self.variances.append(variance_R)
        self.waited_R = self.waited_R + 1
        then_R = self.variances[0]
        still_R = (variance_R - then_R).abs() <= self.config.plateau_threshold * then_R.clamp_min(EPSILON)
        grows_R = still_R & (self.waited_R >= self.config.patience)
        self.waited_R = torch.where(grows_R, 0, self.waited_R)
        grown_R = (self.lambda_R * self.config.growth).clamp_max(self.config.lambda_max)
        return torch.where(grows_R, grown_R, self.lambda_R)


STRATEGIES: dict[str, type[AlphaStrategy]] = {
    "fixed": Fixed,
    "ratio": Ratio,
    "stepped": Stepped,
    "plateau": Plateau,
}


def alpha_strategy(config: TrialConfig, replicas: int, device: torch.device | str = "cpu") -> AlphaStrategy:
    """The strategy that `config` names (for `markov`: the one that its `alpha` names)."""
    return STRATEGIES[config.alpha_strategy](config, replicas, device)
