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

from pruning_core.strategies.chains import Markov, Swap
from pruning_core.strategies.schedules import Adaptive, Fixed, Growing, Plateau, Ratio, Stepped
from pruning_core.strategies.strategy import EpochMeans, Strategy

__all__ = [
    "STRATEGIES",
    "Adaptive",
    "EpochMeans",
    "Fixed",
    "Growing",
    "Markov",
    "Plateau",
    "Ratio",
    "Stepped",
    "Strategy",
    "Swap",
]

STRATEGIES: dict[str, type[Strategy]] = {}
"""Every strategy by its label; `pruning_core.config.register` adds to it."""
