"""`deeppp search` with a clock on its parts, to see where a search spends its time and what its driver keeps.

    python benchmarks/timed_search.py TIMES.json STUDY [options of `deeppp search`]

The search is the command's own; a few of its functions are wrapped in the driver process, which costs microseconds.
It writes `parts`, the seconds of each part, and `ends`: for each trial, in the order in which they ended, the seconds
since the command began, those that sampling had taken by then, the driver's processor time and its resident memory in
bytes.
"""

import functools
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

STARTED = time.perf_counter()


def timed_parts() -> dict[str, list[tuple[Any, str]]]:
    """The functions that make up each part, as their owners and names; imports what a search imports."""
    from search.propose import ledger
    from search.propose.proposer import Proposer
    from search.record import recorder
    from search.record.tracking import Tracking
    from search.train import confirmation
    from search.train.tune import Trials

    logged = ("open_search", "start_trial", "finish_trial", "log_confirmation", "close_search")
    return {
        "databases": [(ledger, "open_ledger"), (recorder, "open_recorder")],
        "trials": [(Trials, "train")],
        "confirmation": [(confirmation, "confirm")],
        "sampling": [(Proposer, name) for name in ("next", "reported", "ended")],
        "MLflow": [(Tracking, name) for name in logged],
    }


def main() -> int:
    """Runs the search and writes the file; `start` is the part before the trials begin."""
    from search import cli
    from search.study import Study
    from search.train import cluster

    seconds = defaultdict(float, {"imports": time.perf_counter() - STARTED})

    @contextmanager
    def clock(part: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            seconds[part] += time.perf_counter() - began

    def timed(part: str, owner: Any, name: str) -> None:
        function = getattr(owner, name)

        @functools.wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            if part == "trials":
                seconds["start"] = time.perf_counter() - STARTED
            with clock(part):
                return function(*arguments, **options)

        setattr(owner, name, call)

    ends: list[dict[str, float]] = []

    def noted(owner: Any, name: str) -> None:
        from benchmarks.scaling import resident

        function = getattr(owner, name)

        @functools.wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            result = function(*arguments, **options)
            moment = {"seconds": time.perf_counter() - STARTED, "sampling": seconds["sampling"]}
            ends.append({**moment, "processor": time.process_time(), "bytes": resident("VmRSS")})
            return result

        setattr(owner, name, call)

    started_ray = cluster.started_ray

    @contextmanager
    def started_ray_beside_imports(*arguments: Any) -> Iterator[Any]:
        with started_ray(*arguments) as ray_is_up:
            with clock("imports"):
                parts = timed_parts()
            for part, functions in parts.items():
                for owner, name in functions:
                    timed(part, owner, name)
            from search.record.recorder import Recorder

            noted(Recorder, "ended")
            yield ray_is_up

    setattr(cluster, "started_ray", started_ray_beside_imports)  # noqa: B010
    timed("data", Study, "load_data")
    timed("Ray", cluster, "_start_here")
    status = cli.main(["search", *sys.argv[2:]])
    seconds["whole"] = time.perf_counter() - STARTED
    Path(sys.argv[1]).write_text(json.dumps({"parts": seconds, "ends": ends}))
    return status


if __name__ == "__main__":
    sys.exit(main())
