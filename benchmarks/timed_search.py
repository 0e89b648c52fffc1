"""`deeppp search` with a clock on its parts: what `throughput.py` runs to see where a search spends its time.

    python benchmarks/timed_search.py PARTS.json STUDY [options of `deeppp search`]

The search is the command's own; a few of its functions are wrapped in the driver process, which costs microseconds.
"""

import functools
import json
import sys
import time
from pathlib import Path
from typing import Any


def timed_parts() -> dict[str, list[tuple[Any, str]]]:
    """The functions that make up each part, as their owners and names; imports what a search imports."""
    import ray

    from search import runner
    from search.sampler import StudySearcher
    from search.study import Study
    from search.tracking import Tracking

    logged = ("open_search", "start_trial", "finish_trial", "log_confirmation", "close_search")
    return {
        "data": [(Study, "load_data")],
        "Ray start": [(ray, "init")],
        "trials": [(runner, "run_tune")],
        "confirmation": [(runner, "confirm")],
        "sampling": [(StudySearcher, name) for name in ("suggest", "on_trial_result", "on_trial_complete")],
        "MLflow": [(Tracking, name) for name in logged],
    }


def main() -> int:
    """Runs the search; writes the seconds of each part, and of the imports and the whole, to the file."""
    started = time.perf_counter()
    parts = timed_parts()
    from search import cli

    imported = time.perf_counter()
    seconds = {"imports": imported - started, **dict.fromkeys(parts, 0.0)}

    def clocked(part: str, function: Any) -> Any:
        @functools.wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                seconds[part] += time.perf_counter() - began

        return call

    for part, functions in parts.items():
        for owner, name in functions:
            setattr(owner, name, clocked(part, getattr(owner, name)))
    status = cli.main(["search", *sys.argv[2:]])
    seconds["whole"] = time.perf_counter() - started
    Path(sys.argv[1]).write_text(json.dumps(seconds))
    return status


if __name__ == "__main__":
    sys.exit(main())
