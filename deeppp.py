"""The command `deeppp`: looks whether the packages that it runs are its own, since others have a `search`, too."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path


def main() -> int:
    """Runs the command; 2 where a module on `PYTHONPATH` stands in the place of a package of deepPP."""
    for name in ("pruning_core", "search"):
        found = find_spec(name)
        origin = found.origin if found else None
        if origin is None or not os.path.samefile(origin, Path(__file__).parent / name / "__init__.py"):
            print(f"deeppp: {origin} hides deepPP's own package {name}: take it off PYTHONPATH", file=sys.stderr)
            return 2
    from search.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
