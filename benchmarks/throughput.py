"""Replica-epochs per second of a search and of everything it can be compared with, in one run on one machine.

    python benchmarks/throughput.py            # 100 trials, some ten minutes on two cores; prints Markdown
    python benchmarks/throughput.py --turns 3  # search and bare loop three times in turn, on a machine of varying speed
    python benchmarks/throughput.py --quick    # tiny numbers, to see that it runs

- textbook: Ray Tune + OptunaSearch + MLflowLoggerCallback as their documentation shows (`textbook.py`), one seed per
  trial; lean: the same with reused actors and without MLflow. From `ray.init` to the end of the fit.
- deeppp search: the command with MLflow on, from its start to its exit, confirmation included.
- bare loop: `train()` alone in as many processes as cores, on the very configurations that the search tried, for as
  many epochs each; imports and data are not counted.
- floor: the matrix products alone of a step of back-propagation, as many processes as cores (`arithmetic.py`).

Then where the search's time went, and the bare loop against the floor for R = 1 ... 128 on one thread.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.arithmetic import Shape, best_seconds, rows_first, rows_last
from benchmarks.scaling import Size, noise
from pruning_core.config import TrialConfig
from pruning_core.data import Dataset
from pruning_core.training import train
from search.study import load_study

HERE = Path(__file__).parent
STUDY = HERE.parent / "studies" / "quick.yaml"
CORES = os.cpu_count() or 1
DIGITS_ROWS = 1344
START = ("imports", "data", "Ray", "databases")


def textbook(folder: Path, trials: int, epochs: int, *options: str) -> dict[str, Any]:
    """Runs `textbook.py` as a process of its own."""
    result = folder / "textbook.json"
    command = [sys.executable, str(HERE / "textbook.py"), "--trials", str(trials), "--epochs", str(epochs), *options]
    subprocess.run(
        [*command, "--output", str(folder / f"textbook{len(options)}"), "--json", str(result)],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return dict(json.loads(result.read_text()))


def search(
    folder: Path, study: Path, trials: int, *overrides: str
) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """Runs `deeppp search` as a process of its own.

    Returns:
        Its figures, timed from outside; what `timed_search.py` wrote; the `trial.json` of each of its trials.
    """
    folder.mkdir(parents=True, exist_ok=True)
    result, times = folder / "search.json", folder / "times.json"
    command = [sys.executable, str(HERE / "timed_search.py"), str(times), str(study), "--trials", str(trials)]
    started = time.perf_counter()
    subprocess.run(
        [*command, *overrides, "--output", str(folder / "runs"), "--json", str(result)],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=HERE.parent,
        env={**os.environ, "PYTHONPATH": f"{HERE.parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
    )
    seconds = time.perf_counter() - started
    counted = json.loads(result.read_text())
    recorded = sorted((folder / "runs" / "ray" / counted["study"]).glob("trial_*/checkpoint_*/trial.json"))
    figures = {"trials": counted["trials"], "seconds": seconds, "replica_epochs": counted["replica_epochs"]}
    return figures, json.loads(times.read_text()), [json.loads(path.read_text()) for path in recorded]


@cache
def worker_data(study: Path) -> Dataset:
    """The study's data, and one thread from then on: what a worker pays once."""
    torch.set_num_threads(1)
    return load_study(study).load_data()


def train_bare(study: Path, trial: dict[str, Any]) -> float:
    """Trains one of the search's trials again in the bare loop; returns the seconds of its epochs."""
    run = train(TrialConfig(**trial["config"]), worker_data(study), trial["seeds"], device="cpu")
    for record in run:
        if record.epoch == trial["epochs_run"]:
            break
    return run.history.seconds


def floor_seconds(replicas: int, products: Any, seconds: float) -> float:
    """The shortest time of an epoch's matrix products."""
    data = worker_data(STUDY)
    shape = Shape(features=len(data.feature_names))
    return best_seconds([products(shape, replicas, len(data.train.y) // shape.batch)], seconds)[0]


def bare(study: Path, trials: Sequence[dict[str, Any]]) -> list[float]:
    """The seconds of each trial in the bare loop, in one process per core."""
    with ProcessPoolExecutor(CORES, mp_context=get_context("spawn")) as pool:
        return list(pool.map(partial(train_bare, study), trials))


def floors(replicas: int, seconds: float) -> dict[str, dict[str, Any]]:
    """The arithmetic floors, in one process per core."""
    figures = {}
    with ProcessPoolExecutor(CORES, mp_context=get_context("spawn")) as pool:
        for name, products in (("floor", rows_first), ("floor, rows last", rows_last)):
            took = list(pool.map(floor_seconds, [replicas] * CORES, [products] * CORES, [seconds] * CORES))
            figures[name] = {"trials": 0, "seconds": sum(took) / CORES, "replica_epochs": CORES * replicas}
    return figures


def _figures(trials: Sequence[dict[str, Any]], seconds: float) -> dict[str, Any]:
    replica_epochs = sum(len(trial["seeds"]) * trial["epochs_run"] for trial in trials)
    return {"trials": len(trials), "seconds": seconds, "replica_epochs": replica_epochs}


def show_compositions(figures: dict[str, dict[str, Any]]) -> None:
    """One line per composition; ratios to the textbook's and to the bare loop."""
    for f in figures.values():
        f["replica_epochs_per_second"] = f["replica_epochs"] / f["seconds"]
    print("| | trials | seconds | replica-epochs | per second | to textbook | to bare loop |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    slowest, loop = (figures[name]["replica_epochs_per_second"] for name in ("textbook", "bare loop"))
    for what, f in figures.items():
        rate = f["replica_epochs_per_second"]
        print(f"| {what} | {f['trials'] or ''} | {f['seconds']:.3g} | {f['replica_epochs']} | {rate:.4g} ", end="")
        print(f"| {rate / slowest:.3g} x | {rate / loop:.3g} x |")


def show_parts(parts: dict[str, float], seconds: float, trials: Sequence[dict[str, Any]]) -> None:
    """Where the wall time of a search went, and the time of its workers while trials ran."""
    outside = seconds - parts["whole"]
    shown = {
        "start, until trials are asked for": outside + parts["start"],
        "trials": parts["trials"],
        "confirmation": parts["confirmation"],
    }
    shown["end: the winner's model, databases, exit"] = seconds - sum(shown.values())
    print("\n| part of the search, one after the other | seconds | share of the wall time |\n| --- | --- | --- |")
    for name, value in shown.items():
        print(f"| {name} | {value:.2f} | {value / seconds:.1%} |")
    print("\n| within the start, some of it at the same time | seconds |\n| --- | --- |")
    for name, value in {"process start and exit": outside, **{n: parts[n] for n in START}}.items():
        print(f"| {name} | {value:.2f} |")
    slots, training = CORES * parts["trials"], sum(trial["seconds"] for trial in trials)
    print("\n| while trials ran | seconds | share of all workers' time |\n| --- | --- | --- |")
    print(f"| training, in the workers | {training:.2f} | {training / slots:.1%} |")
    print(f"| start of the workers, reports, Tune, idle | {slots - training:.2f} | {1 - training / slots:.1%} |")
    print(f"| sampling, in the driver | {parts['sampling']:.2f} | {parts['sampling'] / slots:.1%} |")
    print(f"| MLflow, in the driver's second thread | {parts['MLflow']:.2f} | {parts['MLflow'] / slots:.1%} |")


def show_loop_and_floor(replicas: Sequence[int], seconds: float) -> None:
    """The bare loop with its evaluations against the products of its steps, taking turns on one thread."""
    torch.set_num_threads(1)
    print("\n| one thread: R | replica-epochs/s | floor | of it | floor, rows last | of it |")
    print("| --- | --- | --- | --- | --- | --- |")
    shape = Shape()
    steps = DIGITS_ROWS // shape.batch
    config = TrialConfig(keep=16, batch_size=shape.batch, epochs=10**6, settle_epochs=10**6)
    for r in replicas:
        epochs = iter(train(config, noise(Size(shape.features, r, DIGITS_ROWS)), range(r), device="cpu"))
        calls: list[Callable[[], object]] = [
            partial(next, epochs),
            rows_first(shape, r, steps),
            rows_last(shape, r, steps),
        ]
        loop, first, last = (r / best for best in best_seconds(calls, seconds))
        print(f"| {r} | {loop:.0f} | {first:.0f} | {loop / first:.0%} | {last:.0f} | {loop / last:.0%} |", flush=True)


def main() -> None:
    """Runs everything and prints the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=100, help="of the search (default 100)")
    parser.add_argument("--textbook-trials", type=int, default=8, help="of both textbook compositions (default 8)")
    parser.add_argument("--turns", type=int, default=1, help="how often search and bare loop take turns (default 1)")
    parser.add_argument("--quick", action="store_true", help="tiny numbers")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    trials, textbook_trials, epochs, seconds = options.trials, options.textbook_trials, 160, 5.0
    overrides: list[str] = []
    if options.quick:
        trials, textbook_trials, epochs, seconds = 6, 2, 4, 0.1
        overrides = ["--set", "training.epochs=12", "--set", "search.confirm_seeds=2"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pairs: list[tuple[dict[str, Any], dict[str, Any]]] = []
        for turn in range(options.turns):
            searched, times, recorded = search(folder / str(turn), STUDY, trials, *overrides)
            pairs.append((searched, _figures(recorded, sum(bare(STUDY, recorded)) / CORES)))
        all_searched, all_bare = (
            {key: sum(f[key] for f in each) for key in searched} for each in zip(*pairs, strict=True)
        )
        figures = {
            "textbook": textbook(folder, textbook_trials, epochs),
            "textbook, lean": textbook(folder, textbook_trials, epochs, "--lean"),
            "deeppp search": all_searched,
            "bare loop": all_bare,
            **floors(len(recorded[0]["seeds"]), seconds),
        }
    show_compositions(figures)
    if options.turns > 1:
        ratios = [s["replica_epochs"] / s["seconds"] / (b["replica_epochs"] / b["seconds"]) for s, b in pairs]
        print(f"\nsearch to bare loop, turn by turn: {', '.join(f'{ratio:.3f}' for ratio in ratios)}; the last search:")
    show_parts(times["parts"], searched["seconds"], recorded)
    show_loop_and_floor((1, 8) if options.quick else (1, 8, 32, 128), seconds)
    if options.json:
        options.json.write_text(json.dumps({"figures": figures, "parts": times["parts"]}, indent=1))


if __name__ == "__main__":
    main()
