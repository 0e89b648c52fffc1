"""What a trial costs a search besides its training, and what the driver keeps of it, from the first to the thousandth.

    python benchmarks/many_trials.py                    # 1,000 trials of `many_trials.yaml`; prints Markdown
    python benchmarks/many_trials.py --study STUDY      # of another study
    python benchmarks/many_trials.py --quick            # 40 trials, to see that it runs

Each line is about the trials since the line before. `overhead` is the wall time that training does not explain: the
time between two ends less what the bare loop takes for these trials in as many processes as cores, measured after the
search. The first line includes the start of the workers. Memory is the driver's resident set when the last of these
trials ended.

Then, for each sampler, how long a suggestion takes after so many finished trials of one strategy, with made-up results
of which a third is incomplete: the mean of the next ten.
"""

import argparse
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import optuna

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.scaling import MIB
from benchmarks.throughput import CORES, bare, search
from search.propose.optimiser import Optimiser
from search.propose.reading import CONSTRAINT
from search.study import Study

TINY = Path(__file__).parent / "many_trials.yaml"
LINES = (10, 20, 50, 100, 200, 500, 1000)
SAMPLERS = ("tpe", "gp", "cmaes", "qmc", "random")


def table(times: dict[str, Any], training: Sequence[float], ends: Sequence[int]) -> None:
    """Prints a line for the trials up to each of `ends`; `training` holds the seconds of each in the bare loop."""
    print("| trials | ms per trial | training, ms | overhead, ms | sampling, ms | driver memory, MiB |")
    print("| --- | --- | --- | --- | --- | --- |")
    begin = {"seconds": times["parts"]["start"], "sampling": 0.0}
    for first, last in pairwise((0, *ends)):
        before, now = times["ends"][first - 1] if first else begin, times["ends"][last - 1]
        wall, sampling = (1e3 * (now[name] - before[name]) / (last - first) for name in ("seconds", "sampling"))
        explained = 1e3 * sum(training[first:last]) / CORES / (last - first)
        print(f"| {first + 1:,} ... {last:,} | {wall:.0f} | {explained:.0f} | {wall - explained:.0f} ", end="")
        print(f"| {sampling:.1f} | {now['bytes'] / MIB:.0f} |")


def suggestion_seconds(strategy: str, sampler: str, finished: Sequence[int]) -> list[float]:
    """The mean time of ten suggestions after so many finished trials of a study about one strategy."""
    study = Study.model_validate(
        {
            "name": "suggestions",
            "data": {"source": "digits", "keep": 16},
            "strategies": [strategy],
            "search": {"trials": finished[-1], "sampler": sampler},
        }
    )
    optimiser, drawn = Optimiser(study, strategy, [], []), random.Random(0)
    seconds: list[float] = []
    while len(seconds) < finished[-1] + 10:
        started = time.perf_counter()
        trial, values = optimiser.ask()[:2]
        seconds.append(time.perf_counter() - started)
        trial.set_constraint(CONSTRAINT, drawn.choice([0.0, 0.0, 0.5]))
        trial.study.tell(trial, drawn.gauss(-abs(values["learning_rate"] - 0.01), 0.001))
    return [sum(seconds[n : n + 10]) / 10 for n in finished]


def suggestion_table(finished: Sequence[int]) -> None:
    """Prints a line for each sampler, for a strategy whose trials all have the same hyperparameters and for another."""
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(f"\n| ms per suggestion | {' | '.join(f'after {n:,}' for n in finished)} |")
    print(f"| --- |{' --- |' * len(finished)}")
    for strategy in ("plateau", "markov"):
        for sampler in SAMPLERS:
            each = suggestion_seconds(strategy, sampler, finished)
            print(f"| {strategy}, {sampler} | {' | '.join(f'{1e3 * s:.1f}' for s in each)} |", flush=True)


def main() -> None:
    """Runs the search and prints the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--study", type=Path, default=TINY, help="the study file")
    parser.add_argument("--trials", type=int, default=1000, help="how many (default 1000)")
    parser.add_argument("--quick", action="store_true", help="40 trials")
    options = parser.parse_args()
    trials = 40 if options.quick else options.trials
    study = options.study.resolve()
    with tempfile.TemporaryDirectory() as folder:
        searched, times, recorded = search(Path(folder), study, trials)
    print(f"{trials} trials in {searched['seconds']:.0f} s\n")
    table(times, bare(study, recorded), [n for n in LINES if n < trials] + [trials])
    suggestion_table((10, 30) if options.quick else (10, 90, 300, 1000))


if __name__ == "__main__":
    main()
