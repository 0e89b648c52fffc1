"""What of a user's environment would keep Ray from starting here, or its workers from finding this package.

Each is refused in a sentence before anything is written, where Ray would end in a traceback or its workers in a row.
"""

import os
import tempfile
from importlib.machinery import PathFinder
from pathlib import Path

import pruning_core
from search.study import StudyError

LONGEST_SOCKET = 107
SOCKET = "ray/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store"
BYTES_TO_START = 2**18
OWN = Path(pruning_core.__path__[0]).parent


def check_surroundings() -> None:
    """Looks at the folder for temporary files, the working directory and `PYTHONPATH`.

    Raises:
        StudyError: names the variable, its value and what is allowed.
    """
    name = next((name for name in ("RAY_TMPDIR", "TMPDIR") if name in os.environ), "the folder for temporary files")
    _check_temporary(Path(os.environ.get(name, "/tmp")), name)
    _check_modules()


def _check_temporary(folder: Path, name: str) -> None:
    """Refuses a folder in which Ray cannot keep what it needs to start."""
    too_long = len(os.fsencode(folder.absolute() / SOCKET)) - LONGEST_SOCKET
    if too_long > 0:
        most = len(os.fsencode(folder.absolute())) - too_long
        raise StudyError(
            f"{name} = {folder} must have {most} letters at most, as Ray makes sockets in it: RAY_TMPDIR may name "
            "another folder"
        )
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(BYTES_TO_START))
    except OSError as error:
        raise StudyError(
            f"{name} = {folder} must be a folder that Ray can write to: {error.strerror}; RAY_TMPDIR may name "
            "another one"
        ) from None


def _check_modules() -> None:
    """Refuses modules that stand before this package on the path of Ray's workers and bear its name."""
    folders = [os.getcwd(), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    for package in ("search", "pruning_core"):
        found = next(filter(None, (PathFinder.find_spec(package, [folder or os.curdir]) for folder in folders)), None)
        if found is None or found.origin is None:
            continue
        if not os.path.samefile(found.origin, OWN / package / "__init__.py"):
            raise StudyError(
                f"{found.origin} hides deepPP's own package {package} from Ray's workers: search in another folder, "
                "or take it off PYTHONPATH"
            )
