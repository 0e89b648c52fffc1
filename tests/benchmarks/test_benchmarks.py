"""The benchmarks run anywhere, and the formula for a worker's memory holds."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.many_trials import TINY
from benchmarks.networks import NETWORKS, seconds_per_epoch
from benchmarks.throughput import search
from benchmarks.timed_search import timed_parts

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
WITHOUT = """
import runpy, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"numpy", "pydantic", "sklearn", "pandas", "ray", "optuna", "mlflow", "yaml", "rich"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
MEASURE = """
import sys
sys.path.insert(0, sys.argv.pop())
from benchmarks.scaling import MIB, Size, expected_bytes, measure
size = Size(*map(int, sys.argv[1:4]), sys.argv[4])
_, peak = measure(size)
print(peak / MIB, expected_bytes(size) / MIB)
"""


def run(code: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_own_networks_are_timed_beside_the_built_in_one_and_vmap() -> None:
    seconds = seconds_per_epoch(replicas=1, turns=1)
    assert seconds.keys() == {"built-in", *NETWORKS, *(f"vmap: {name}" for name in NETWORKS)}
    assert all(len(of_network) == 1 and of_network[0] > 0 for of_network in seconds.values())


def test_gpu_benchmark_needs_nothing_but_pytorch() -> None:
    printed = run(WITHOUT, BENCHMARKS / "gpu.py", "--quick", "--device", "cpu")
    lines = [line for line in printed.splitlines() if line.startswith("| ")][2:]
    assert [line.split(" | ")[0] for line in lines] == ["| 1", "| 4", "| 16"]
    assert all(float(line.split(" | ")[1]) > 0 and line.endswith("% |") for line in lines)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("gates", "replicas", "rows", "strategy"),
    [(5_000, 8, 600, "stepped"), (5_000, 8, 600, "markov"), (64, 256, 1_344, "stepped"), (200, 2, 60_000, "stepped")],
)
def test_a_workers_memory_stays_within_the_formula(gates: int, replicas: int, rows: int, strategy: str) -> None:
    measured, formula = map(float, run(MEASURE, gates, replicas, rows, strategy, BENCHMARKS.parent).split())
    assert 0.5 * formula < measured < formula


def test_every_part_of_a_search_that_is_timed_exists() -> None:
    for part, functions in timed_parts().items():
        for owner, name in functions:
            assert callable(getattr(owner, name, None)), f"{part}: {name}"


@pytest.mark.long
def test_the_fourth_hundred_of_trials_costs_the_driver_what_the_second_does(tmp_path: Path) -> None:
    figures, times, recorded = search(tmp_path, TINY, 400)
    assert figures["trials"] == len(times["ends"]) == len(recorded) == 400
    memory, seconds = ([end[name] for end in times["ends"]] for name in ("bytes", "processor"))
    assert abs(memory[399] / memory[199] - 1) < 0.1
    assert seconds[399] - seconds[299] < 1.6 * (seconds[199] - seconds[99])
