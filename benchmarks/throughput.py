"""Replica-epochs per second: the textbook composition, the bare training loop, and `deeppp search`, in one run.

    python benchmarks/throughput.py [--trials 24] [--textbook-trials 8] [--json FILE]

All three train the same network on the same data. The textbook composition trains one seed per trial; the bare loop
is `train()` in as many processes as there are cores, without Ray, Optuna and MLflow; the search is the command with
MLflow on, timed from its start to its exit, confirmation included.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
STUDY = HERE.parent / "studies" / "quick.yaml"


def textbook(folder: Path, trials: int, epochs: int) -> dict[str, Any]:
    """Runs `textbook.py` as a process of its own."""
    result = folder / "textbook.json"
    command = [sys.executable, str(HERE / "textbook.py"), "--trials", str(trials), "--epochs", str(epochs)]
    subprocess.run(
        [*command, "--output", str(folder / "textbook"), "--json", str(result)],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return dict(json.loads(result.read_text()))


def search(folder: Path, trials: int) -> dict[str, Any]:
    """Runs `deeppp search` as a process of its own, timed from outside."""
    result = folder / "search.json"
    command = [sys.executable, "-m", "search", "search", str(STUDY), "--trials", str(trials)]
    started = time.perf_counter()
    subprocess.run(
        [*command, "--output", str(folder / "runs"), "--json", str(result)],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=HERE.parent,
    )
    seconds = time.perf_counter() - started
    counted = json.loads(result.read_text())
    replica_epochs = counted["replica_epochs"]
    return {
        "trials": counted["trials"],
        "seconds": seconds,
        "replica_epochs": replica_epochs,
        "replica_epochs_per_second": replica_epochs / seconds,
    }


def train_bare(trial: int) -> tuple[int, float]:
    """One trial of the default configuration in the bare loop: its replica-epochs and seconds."""
    import torch

    from pruning_core.training import train
    from search.study import load_study

    torch.set_num_threads(1)
    study = load_study(STUDY)
    config = study.trial_config()
    run = train(config, study.load_data(), range(config.seeds))
    for _ in run:
        pass
    return len(run.history) * config.seeds, run.history.seconds


def bare(trials: int) -> dict[str, Any]:
    """The bare loop in one process per core; imports and data are not counted."""
    processes = os.cpu_count() or 1
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        counted = list(pool.map(train_bare, range(trials)))
    replica_epochs = sum(epochs for epochs, _ in counted)
    seconds = sum(seconds for _, seconds in counted) / processes
    return {
        "trials": trials,
        "seconds": seconds,
        "replica_epochs": replica_epochs,
        "replica_epochs_per_second": replica_epochs / seconds,
    }


def main() -> None:
    """Runs all three and prints the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=24, help="of the search (default 24)")
    parser.add_argument("--textbook-trials", type=int, default=8, help="of the textbook composition (default 8)")
    parser.add_argument("--epochs", type=int, default=160, help="of the textbook composition (default 160)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures = {
            "bare loop": bare(2 * (os.cpu_count() or 1)),
            "deeppp search": search(folder, options.trials),
            "textbook": textbook(folder, options.textbook_trials, options.epochs),
        }
    slowest = figures["textbook"]["replica_epochs_per_second"]
    print(f"{'':16}{'trials':>8}{'seconds':>10}{'replica-epochs':>16}{'per second':>12}{'ratio':>8}")
    for what, f in figures.items():
        rate = f["replica_epochs_per_second"]
        print(f"{what:16}{f['trials']:>8}{f['seconds']:>10.1f}{f['replica_epochs']:>16}", end="")
        print(f"{rate:>12.1f}{rate / slowest:>7.1f}x")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
