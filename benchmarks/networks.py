"""How fast networks of one's own train: as stacked layers, by `vmap`, and beside the built-in network.

    python benchmarks/networks.py            # three minutes; prints Markdown
    python benchmarks/networks.py --quick    # a few epochs each

One thread; 1,344 training rows of 64 inputs (60 for the convolution), 10 classes, batches of 64 rows, two evaluations
of 288 rows per epoch. All take turns, epoch by epoch. A number is replica-epochs per second of the quickest epoch; the
ratios are medians over the turns. `vmap` computes a network that nobody can look into: one with a hook.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.scaling import Size, noise
from pruning_core.config import TrialConfig
from pruning_core.networks import GATED_MLP, NetworkFactory
from pruning_core.pruner import Pruner
from pruning_core.training import train

KEEP, HIDDEN, CHANNELS, KERNEL = 16, 64, 8, 5
TURNS = {False: 60, True: 3}


def written(config: TrialConfig, features: int, classes: int) -> nn.Module:
    """The built-in network as a user writes it."""
    return nn.Sequential(
        Pruner(features, KEEP, name="inputs"), nn.Linear(features, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, classes)
    )


def normalised(config: TrialConfig, features: int, classes: int) -> nn.Module:
    """The same with BatchNorm and a second pruner."""
    return nn.Sequential(
        *(Pruner(features, KEEP, name="inputs"), nn.Linear(features, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU()),
        *(Pruner(HIDDEN, KEEP, name="hidden"), nn.Linear(HIDDEN, classes)),
    )


def convolution(config: TrialConfig, features: int, classes: int) -> nn.Module:
    """A convolution along the gated inputs."""
    places = features - KERNEL + 1
    return nn.Sequential(
        *(Pruner(features, KEEP, name="inputs"), nn.Unflatten(1, (1, features)), nn.Conv1d(1, CHANNELS, KERNEL)),
        *(nn.ReLU(), nn.Flatten(), nn.Linear(CHANNELS * places, classes)),
    )


def pruned_convolution(config: TrialConfig, features: int, classes: int) -> nn.Module:
    """The same with gates on its channels."""
    network = convolution(config, features, classes)
    assert isinstance(network, nn.Sequential)
    return network.insert(4, Pruner(CHANNELS, CHANNELS // 2, trailing_dims=1, name="channels"))


NETWORKS: dict[str, tuple[NetworkFactory, int]] = {
    "`Sequential` like the built-in one": (written, 64),
    "with BatchNorm and a second pruner": (normalised, 64),
    "convolution, 8 channels": (convolution, 60),
    "convolution, its channels pruned": (pruned_convolution, 60),
}


def by_vmap(build: NetworkFactory) -> NetworkFactory:
    """The same network with a hook, which might change what it computes."""

    def hooked(config: TrialConfig, features: int, classes: int) -> nn.Module:
        network = build(config, features, classes)
        network.register_forward_hook(lambda *_: None)
        return network

    return hooked


def seconds_per_epoch(replicas: int, turns: int) -> dict[str, list[float]]:
    """The seconds of each epoch of each network, which take turns."""
    config = TrialConfig(keep=KEEP, hidden=(HIDDEN,), batch_size=64, epochs=turns + 1, settle_epochs=turns + 1)
    networks = {"built-in": (GATED_MLP.build, 64), **NETWORKS}
    networks |= {f"vmap: {name}": (by_vmap(build), inputs) for name, (build, inputs) in NETWORKS.items()}
    epochs = {
        name: iter(train(config, noise(Size(gates=inputs)), range(replicas), build, device="cpu"))
        for name, (build, inputs) in networks.items()
    }
    for each in epochs.values():
        next(each)
    seconds: dict[str, list[float]] = {name: [] for name in epochs}
    for _ in range(turns):
        for name, each in epochs.items():
            started = time.perf_counter()
            next(each)
            seconds[name].append(time.perf_counter() - started)
    return seconds


def main() -> None:
    """Prints a line per network and number of replicas."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few epochs each")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| R | network | replica-epochs/s | by `vmap` | to `vmap` | to the built-in one |")
    print("| --- | --- | --- | --- | --- | --- |")
    for replicas in (8, 32):
        seconds = seconds_per_epoch(replicas, TURNS[options.quick])

        def ratio(name: str, other: str, seconds: dict[str, list[float]] = seconds) -> str:
            return f"{statistics.median(b / a for a, b in zip(seconds[name], seconds[other], strict=True)):.2f}"

        print(f"| {replicas} | built-in | {replicas / min(seconds['built-in']):.0f} | | | 1 |")
        for name in NETWORKS:
            own, vmap = (replicas / min(seconds[key]) for key in (name, f"vmap: {name}"))
            to_vmap, to_built_in = ratio(name, f"vmap: {name}"), ratio(name, "built-in")
            print(f"| {replicas} | {name} | {own:.0f} | {vmap:.0f} | {to_vmap} | {to_built_in} |", flush=True)


if __name__ == "__main__":
    main()
