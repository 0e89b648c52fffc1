"""A configuration trained on inputs and decoys, and what that says of the inputs."""

from collections.abc import Sequence

import torch

from pruning_core.config import TrialConfig
from pruning_core.data import Dataset
from pruning_core.networks import GATED_MLP, NetworkFactory, NetworkSpec
from pruning_core.selection.claims import Claims, claims
from pruning_core.selection.decoys import kept_beside, with_decoys
from pruning_core.selection.frequency import kept_matrix
from pruning_core.training import train


def compete(
    config: TrialConfig,
    data: Dataset,
    copies: int,
    seeds: Sequence[int],
    network: NetworkSpec | NetworkFactory = GATED_MLP,
    device: torch.device | str | None = None,
) -> Claims:
    """Lets every input compete with decoys for the gates.

    Parameters
    ----------
    config : TrialConfig
        Every hyperparameter.
    data : Dataset
        Of which the test part is not looked at.
    copies : int
        M, how many decoys each input has.
    seeds : sequence of int
        One per replica.
    network : NetworkSpec or callable, default=GATED_MLP
        How a network is built, which must take 1 + M times as many inputs.
    device : torch.device or str, optional
        `cuda` if there is one, else `cpu`, unless given.

    Examples
    --------
    >>> from pathlib import Path
    >>> from pruning_core import TrialConfig, load_dataset
    >>> wine = load_dataset("wine", folder=Path())
    >>> found = compete(TrialConfig(keep=4), wine, copies=2, seeds=range(2), device="cpu")
    >>> found.q_values.shape
    (13,)
    """
    beside = with_decoys(data, copies)
    run = train(config, beside, seeds, network, device)
    for _ in run:
        pass
    return claims(kept_beside(kept_matrix(run.selected(), beside.feature_names), copies))
