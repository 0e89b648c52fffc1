"""How well stacked replicas fill a device: replica-epochs per second for R = 1 ... 4096, and the share of its roofline.

    python benchmarks/gpu.py            # on cuda if there is one; prints Markdown
    python benchmarks/gpu.py --quick    # a few seconds, on any machine

Needs PyTorch and this repository, nothing else: no Ray, no MLflow, no pydantic, no NumPy. What is timed is the inner
loop that `train()` runs, with the default network on noise in the shape of the digits (1,344 rows, 64 gates), and both
evaluations on 288 rows after each epoch. The roofline of an epoch's steps is the longer of its matrix products at the
device's peak and its unavoidable traffic at the device's bandwidth (`Shape.flops`, `Shape.bytes`); both peaks are
measured here, by one large float32 product and one large copy. A share above 1 would mean that a cache holds the
parameters from one step to the next.
"""

import argparse
import platform
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.arithmetic import Shape, best_seconds
from pruning_core.inner_loop import InnerLoop, Rows, optimizer_of
from pruning_core.metrics import BESIDE, measure
from pruning_core.networks import GatedMLP
from pruning_core.replicas import ReplicaRandom, Replicas

SHAPE = Shape()
KEEP, STEPS, VALIDATION_ROWS = 16, 21, 288
# What the inner loop reads of a TrialConfig, which would need pydantic.
CONFIG = SimpleNamespace(
    chain=False,
    rejection="modified",
    rejection_weight=1.0,
    learning_rate=5e-3,
    pruner_learning_rate=0.1,
    weight_decay=0.0,
    label_smoothing=0.1,
)


def peaks(device: str, seconds: float) -> tuple[float, float]:
    """The most operations (flop/s, float32) and bytes per second that the device was seen to do."""
    side, numbers = (8192, 2**28) if device == "cuda" else (1024, 2**24)
    a, b, c = (torch.randn(side, side, device=device) for _ in range(3))
    source, target = (torch.empty(numbers, device=device) for _ in range(2))
    product, copy = best_seconds([partial(torch.mm, a, b, out=c), partial(target.copy_, source)], seconds, device)
    return 2 * side**3 / product, 2 * 4 * numbers / copy


def epoch_seconds(replicas: int, device: str, seconds: float) -> float:
    """The shortest epoch of the inner loop with its two evaluations."""
    generator = torch.Generator().manual_seed(0)

    def part(rows: int) -> Any:
        x = torch.randn(rows, SHAPE.features, generator=generator)
        y = torch.randint(SHAPE.classes, (rows,), generator=generator)
        return SimpleNamespace(x=x.to(device), y=y.to(device), weight=None)

    train, validation = part(STEPS * SHAPE.batch), part(VALIDATION_ROWS)
    stacked = Replicas(
        lambda: GatedMLP(SHAPE.features, SHAPE.classes, KEEP, (SHAPE.hidden,), 3.0), range(replicas), device
    )
    random = ReplicaRandom(range(replicas), device)
    config = cast(Any, CONFIG)
    rows = Rows(train.x, train.y, SHAPE.batch)
    loop = InnerLoop.of(config, stacked, random, rows, optimizer_of(config, stacked, rows.steps))
    alpha_R = torch.full((replicas,), 0.1, dtype=torch.float64, device=device)

    def epoch() -> None:
        loop.epoch(alpha_R)
        for pruned in (True, False):
            measure(stacked.answers(validation, pruned), BESIDE)

    return best_seconds([epoch], seconds, device)[0]


def main() -> None:
    """Prints one line per number of replicas."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--quick", action="store_true", help="R = 1 ... 16 and short measurements")
    options = parser.parse_args()
    device, seconds = options.device, 0.2 if options.quick else 5.0
    torch.set_num_threads(1)
    flops, bandwidth = peaks(device, seconds)
    name = torch.cuda.get_device_name() if device == "cuda" else f"one thread of {platform.machine()}"
    print(f"{name}, PyTorch {torch.__version__}: {flops / 1e12:.3g} Tflop/s float32, {bandwidth / 1e9:.4g} GB/s\n")
    print("| R | replica-epochs/s | epoch, ms | roofline, ms | share of roofline |")
    print("| --- | --- | --- | --- | --- |")
    for replicas in (1, 4, 16) if options.quick else (1, 4, 16, 64, 256, 1024, 4096):
        epoch = epoch_seconds(replicas, device, seconds)
        roofline = replicas * STEPS * max(SHAPE.flops / flops, SHAPE.bytes / bandwidth)
        print(f"| {replicas} | {replicas / epoch:.0f} | {epoch * 1e3:.2f} | {roofline * 1e3:.3f} |", end="")
        print(f" {roofline / epoch:.1%} |", flush=True)


if __name__ == "__main__":
    main()
