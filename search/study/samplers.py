"""The samplers: one entry for each, from which study file, optimiser and error messages derive."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class Arm(NamedTuple):
    """What a sampler's options depend on: whether trials of the arm differ in which hyperparameters they have, and how
    many of them are drawn at random first."""

    conditional: bool
    startup: int


@dataclass(frozen=True)
class SamplerKind:
    """How the next trial is proposed.

    Args:
        optuna: the class in `optuna.samplers`; `seed` is handed to it besides its options.
        options: its arguments.
        several_objectives: whether it can maximise one and minimise another.
        hands_over: after how many trials of an arm another sampler takes over, and which; None for never.
        whole_grid: whether the points of the study's grid are tried, and nothing else.
        learns: whether what it proposes depends on how trials ended.
    """

    optuna: str
    options: Callable[[Arm], Mapping[str, Any]] = lambda arm: {}
    several_objectives: bool = True
    hands_over: tuple[int, str] | None = None
    whole_grid: bool = False
    learns: bool = True


SAMPLERS: dict[str, SamplerKind] = {
    "tpe": SamplerKind(
        "TPESampler",
        lambda arm: {
            "multivariate": True,
            "group": arm.conditional,
            "constant_liar": True,
            "n_startup_trials": arm.startup,
        },
    ),
    # A Gaussian process takes ever longer over its next point, 0.2 s after 100 trials and more than a second after 500
    # (benchmarks/README).
    "gp": SamplerKind("GPSampler", lambda arm: {"n_startup_trials": arm.startup}, hands_over=(100, "tpe")),
    "cmaes": SamplerKind("CmaEsSampler", lambda arm: {"n_startup_trials": arm.startup}, several_objectives=False),
    "random": SamplerKind("RandomSampler", learns=False),
    "qmc": SamplerKind("QMCSampler", lambda arm: {"scramble": True}, learns=False),
    "grid": SamplerKind("RandomSampler", whole_grid=True, learns=False),
}
