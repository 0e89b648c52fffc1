"""Locks between the processes of a machine, or of several if the file system has them; they end with their process."""

import fcntl
from pathlib import Path
from typing import IO


def hold(path: Path, wait: bool) -> IO[str]:
    """Holds the lock that is the file at ``path``, until what is returned is closed.

    Args:
        path: of the file, which is made and remains; its folder exists.
        wait: wait for another holder to let go.

    Raises:
        BlockingIOError: another process holds it, and `wait` is false.
    """
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        file.close()
        raise
    return file
