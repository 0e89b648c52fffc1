"""Strategies under which a chain of proposals moves the pruner weights; see `chain.py` and `swap.py`."""

from pruning_core.hyperparameters import Hyperparameter, Range
from pruning_core.strategies.strategy import PROPOSALS, SHRINK_EPOCHS, TEMPERATURE, Strategy, Values


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
        SHRINK_EPOCHS,
        PROPOSALS,
        TEMPERATURE,
    )

    def first_lambda(self) -> float:
        return 0.0

    @classmethod
    def check(cls, config: Values) -> None:
        if config.tolerance < cls.least_tolerance:
            raise ValueError(f"tolerance must be at least {cls.least_tolerance:g} for swap, got {config.tolerance:g}")
