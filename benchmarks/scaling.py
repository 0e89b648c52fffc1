"""How time and memory of `train()` grow with the gates N, the replicas R and the rows, on one thread.

    python benchmarks/scaling.py            # some minutes; prints Markdown
    python benchmarks/scaling.py --quick    # small sizes only, some seconds

One of the three varies, the others stay at N = 64, R = 8, 1,344 training rows; 10 classes, 64 hidden units, batches of
64 rows. Every line is measured in a process of its own. Time is CPU time of the quickest epoch, evaluation included,
per replica; `exponent` is the slope of log(time) over log(size) since the line before: 1 is linear. Memory is the peak
of the resident set above that of a process that has imported torch; `formula` is `expected_bytes`.
"""

import argparse
import math
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.arithmetic import Shape
from pruning_core.config import TrialConfig
from pruning_core.data import Dataset, Part
from pruning_core.training import train

EPOCHS = 3
VALIDATION_SHARE = 0.15 / 0.7
MIB = 2**20


@dataclass(frozen=True)
class Size:
    """What is trained: N gates, R replicas, and the rows of the training part."""

    gates: int = 64
    replicas: int = 8
    rows: int = 1344
    strategy: str = "stepped"


def noise(size: Size, classes: int = 10) -> Dataset:
    """Data without any meaning, of the given size, with as many validation rows as a study would have."""
    generator = torch.Generator().manual_seed(0)

    def part(rows: int) -> Part:
        x = torch.randn(rows, size.gates, generator=generator)
        return Part(x, torch.randint(classes, (rows,), generator=generator))

    return Dataset(
        name="noise",
        feature_names=tuple(f"x{i}" for i in range(size.gates)),
        class_names=tuple(f"c{i}" for i in range(classes)),
        train=part(size.rows),
        validation=part(max(1, round(VALIDATION_SHARE * size.rows))),
        test=None,
        mean=torch.zeros(size.gates),
        scale=torch.ones(size.gates),
        fingerprint="noise",
        dropped=(),
    )


def expected_bytes(size: Size, hidden: int = 64, classes: int = 10, batch: int = 64) -> int:
    """Peak memory of a worker above its libraries, in float32 and int32 numbers of 4 bytes.

    4 [ R (5 P + N H + B (2 N + 4 H + 8 C)) + 1.2 rows (N + 2) + 2 R rows ] + 16 MiB, with P parameters per replica:
    parameters, gradients, Adam's two moments and what settled replicas are put back to (5 P), the gated first layer,
    two batches and what the layers make of one, the data with its validation part (labels are int64), two copies of
    the order of the rows, and at most 16 MiB for evaluation and the history of the gates. `markov` adds
    4 R 3 (N H + D): a proposal's first layer, as often as the allocator keeps it, and the random numbers drawn ahead,
    D = 2^16 or what an epoch needs, 2 N per proposal.
    """
    shape = Shape(size.gates, hidden, classes, batch)
    step = batch * (2 * size.gates + 4 * hidden + 8 * classes)
    replica = 5 * shape.parameters + size.gates * hidden + step + 2 * size.rows
    if size.strategy == "markov":
        proposals = TrialConfig.model_fields["proposals"].default * size.rows // batch
        replica += 3 * (size.gates * hidden + min(2**16, 2 * size.gates * proposals))
    data = (1 + VALIDATION_SHARE) * size.rows * (size.gates + 2)
    return round(4 * (size.replicas * replica + data)) + 16 * MIB


def resident(field: str) -> int:
    """VmRSS, the resident set now, or VmHWM, its peak, of this process in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))


def measure(size: Size) -> tuple[float, int]:
    """CPU seconds per replica-epoch and peak bytes above the libraries. Linux only; meant for a fresh process."""
    torch.set_num_threads(1)
    warm = noise(Size(rows=128))
    list(train(TrialConfig(keep=8, epochs=1), warm, [0], device="cpu"))
    before = resident("VmRSS")
    config = TrialConfig.model_validate(
        {"keep": 8, "batch_size": 64, "strategy": size.strategy, "epochs": EPOCHS, "settle_epochs": EPOCHS}
    )
    epochs = iter(train(config, noise(size), range(size.replicas), device="cpu"))
    seconds = []
    for _ in range(EPOCHS):
        started = time.process_time()
        next(epochs)
        seconds.append(time.process_time() - started)
    return min(seconds) / size.replicas, resident("VmHWM") - before


def table(varied: str, sizes: Sequence[Size]) -> None:
    """Prints one line per size. `varied` names the field of `Size` that grows."""
    print(f"\n| {sizes[0].strategy}: {varied} | ms per replica-epoch | exponent | memory, MiB | formula, MiB |")
    print("| --- | --- | --- | --- | --- |")
    last: tuple[int, float] | None = None
    for size in sizes:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
            seconds, peak = fresh.submit(measure, size).result()
        value = getattr(size, varied)
        exponent = f"{math.log(seconds / last[1]) / math.log(value / last[0]):.2f}" if last else ""
        last = value, seconds
        print(f"| {value:,} | {1e3 * seconds:.3f} | {exponent} ", end="")
        print(f"| {peak / MIB:.0f} | {expected_bytes(size) / MIB:.0f} |", flush=True)


def main() -> None:
    """Prints one table per size that varies, for a strategy of back-propagation and for the chain."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes only")
    options = parser.parse_args()
    varied = {
        "gates": [Size(gates=gates) for gates in (16, 64, 256, 1024, 4096, 10_000)],
        "replicas": [Size(replicas=replicas) for replicas in (1, 8, 32, 128, 256)],
        "rows": [Size(rows=rows) for rows in (1_000, 10_000, 100_000, 1_000_000)],
    }
    for strategy in ("stepped", "markov"):
        for name, sizes in varied.items():
            table(name, [replace(size, strategy=strategy) for size in (sizes[:2] if options.quick else sizes)])


if __name__ == "__main__":
    main()
