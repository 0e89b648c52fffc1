"""What large data costs: 5,000,000 rows of 100 inputs from Parquet and ROOT, at the first start and at the second.

    python benchmarks/size.py                    # some minutes, 8 GB of disk; prints Markdown
    python benchmarks/size.py --quick            # 900,000 rows of 20 inputs, half a minute
    python benchmarks/size.py --folder DIR       # the generated files stay in DIR and are used again

`peak` is the peak of the resident set (VmHWM) of a process that loads the data, above what it was when everything had
been imported. The first time the file is read; the second time what the first has kept is mapped. The second start is
all of it, from the start of the interpreter until a training is ready for its first step. Linux only.
"""

import argparse
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

CHUNK = 250_000
TELLING = 10
MIB = 2**20

READERS = ("pandas", "pyarrow.parquet", "uproot", "awkward")
START = """
import importlib, sys, time
sys.path.insert(0, sys.argv[1])
for module in sys.argv[4:]:
    importlib.import_module(module)
from pathlib import Path
from benchmarks.scaling import resident
from pruning_core.config import TrialConfig
from pruning_core.data import load_dataset
from pruning_core.training import train
before, started, busy = resident("VmRSS"), time.perf_counter(), time.process_time()
data = load_dataset(sys.argv[2], target="label", folder=Path(), cache=Path(sys.argv[3]))
loading, loading_busy = time.perf_counter() - started, time.process_time() - busy
peak = resident("VmHWM") - before
train(TrialConfig(keep=5), data.without_test(), [0], device="cpu")
tensors = sum(p.x.numel() * 4 + p.y.numel() * 8 for p in (data.train, data.validation, data.test))
print(loading, loading_busy, time.process_time(), peak, tensors)
"""


def chunks(rows: int, inputs: int) -> Iterator[dict[str, np.ndarray]]:
    """Rows of two classes, of which the first inputs tell something, in float32."""
    random = np.random.default_rng(0)
    for start in range(0, rows, CHUNK):
        count = min(CHUNK, rows - start)
        label = random.integers(0, 2, count)
        columns = {f"x{i:03d}": random.standard_normal(count, np.float32) for i in range(inputs)}
        for name in list(columns)[:TELLING]:
            columns[name] += np.float32(0.3) * label.astype(np.float32)
        yield {**columns, "label": label}


def write_parquet(path: Path, rows: int, inputs: int) -> None:
    """A Parquet file of them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = (pa.table(chunk) for chunk in chunks(rows, inputs))
    first = next(tables)
    with pq.ParquetWriter(path, first.schema) as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)


def write_root(path: Path, rows: int, inputs: int) -> None:
    """A TTree of them."""
    import uproot

    with uproot.recreate(path, compression=uproot.ZLIB(1)) as file:
        tree = None
        for chunk in chunks(rows, inputs):
            tree = tree or file.mktree("events", {name: values.dtype for name, values in chunk.items()})
            tree.extend(chunk)


WRITERS: dict[str, Callable[[Path, int, int], None]] = {"parquet": write_parquet, "root": write_root}


def started(path: Path, cache: Path, *modules: str) -> dict[str, float]:
    """Loads a file in a fresh process that has imported these modules beforehand.

    Returns:
        The ``seconds`` of the whole process and those of ``loading``, the same in processor time as ``busy`` and
        ``loading_busy``, and the bytes of its ``peak`` and ``tensors``.
    """
    begin = time.perf_counter()
    command = [sys.executable, "-c", START, str(Path(__file__).parents[1]), str(path), str(cache), *modules]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    names = ("loading", "loading_busy", "busy", "peak", "tensors")
    measured = dict(zip(names, map(float, done.stdout.split()), strict=True))
    return {**measured, "seconds": time.perf_counter() - begin}


def shares(path: Path, cache: Path) -> list[dict[str, int]]:
    """The memory of two workers of a search that have gone through all training rows, in bytes, from smaps_rollup."""
    import ray

    from pruning_core.data import load_dataset
    from search.run import settings
    from search.study import Study
    from search.train.kit import Kit, pack

    class Worker:
        def __init__(self, kit: Kit) -> None:
            self.data = kit.open().data
            self.total = float(self.data.train.x.sum())

        def memory(self) -> dict[str, int]:
            lines = Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
            sizes = {name: 1024 * int(size) for name, size, _ in (line.replace(":", "").split() for line in lines)}
            return {name: sizes[name] for name in ("Rss", "Pss", "Private_Dirty")}

    data = load_dataset(str(path), target="label", folder=Path(), cache=cache)
    size = data.train.x.numel() * 4
    with settings():
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=256 * MIB + 4 * size,
        )
        try:
            kit = pack(
                data.without_test(), Study.model_validate({"name": "size", "data": {"source": str(path), "keep": 5}})
            )
            actor: Any = ray.remote(Worker)
            workers = [actor.remote(kit) for _ in range(2)]
            ray.get([worker.memory.remote() for worker in workers])  # both are there
            return [ray.get(worker.memory.remote()) for worker in workers]
        finally:
            ray.shutdown()


def measure(folder: Path, rows: int, inputs: int) -> None:
    """Prints the tables of both formats."""
    heads = ["file", "tensors, MiB", "peak, MiB", "of the tensors"]
    heads += ["first time, s", "processor, s", "second time, s", "second start, s", "processor, s"]
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
    for kind, write in WRITERS.items():
        path = folder / f"{rows}x{inputs}.{kind}"
        if not path.exists():
            write(path, rows, inputs)
        with tempfile.TemporaryDirectory(dir=folder) as cache:
            first, second = started(path, Path(cache), *READERS), started(path, Path(cache))
            if kind == "parquet":
                memory = shares(path, Path(cache))
        cells = [
            kind,
            f"{first['tensors'] / MIB:.0f}",
            f"{first['peak'] / MIB:.0f}",
            f"{first['peak'] / first['tensors']:.2f} x",
            f"{first['loading']:.1f}",
            f"{first['loading_busy']:.1f}",
            f"{second['loading']:.2f}",
            f"{second['seconds']:.1f}",
            f"{second['busy']:.1f}",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)
    print("\n| worker of two | resident, MiB | its share (PSS), MiB | its own, MiB |\n| --- | --- | --- | --- |")
    for number, sizes in enumerate(memory, 1):
        print(f"| {number} | {' | '.join(f'{size / MIB:.0f}' for size in sizes.values())} |")


def main() -> None:
    """Measures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small data")
    parser.add_argument("--folder", type=Path, help="for the generated files (default: a temporary one)")
    options = parser.parse_args()
    size = (900_000, 20) if options.quick else (5_000_000, 100)
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
        measure(options.folder, *size)
        return
    with tempfile.TemporaryDirectory() as name:
        measure(Path(name), *size)


if __name__ == "__main__":
    main()
