"""Training in pieces of a few seeds each, as plain Ray tasks, so that all workers have something to do."""

from collections.abc import Sequence

import ray

from search.trials.watcher import Watcher

FEWEST_SEEDS = 8


def seeds_per_task(seeds: int, trials: int, slots: int, fewest: int = FEWEST_SEEDS) -> int:
    """How many seeds train together: all of a trial if every worker then has two tasks or more, else fewer.

    The more train together, the quicker is each of them.

    >>> seeds_per_task(seeds=16, trials=9, slots=2), seeds_per_task(seeds=16, trials=3, slots=2)
    (16, 8)
    """
    size = seeds
    while size > fewest and trials * -(-seeds // size) < 2 * slots:
        size = -(-size // 2)
    return size


def cut(seeds: Sequence[int], size: int) -> list[list[int]]:
    """The seeds in pieces of this size.

    >>> cut(range(5), 2)
    [[0, 1], [2, 3], [4]]
    """
    return [list(seeds[i : i + size]) for i in range(0, len(seeds), size)]


def wait_for(tasks: Sequence[ray.ObjectRef], watcher: Watcher) -> None:
    """Waits until all are done; the watcher is told how many there are, and of each that is done."""
    watcher.confirming(len(tasks))
    waiting = list(tasks)
    while waiting:
        _, waiting = ray.wait(waiting)
        watcher.confirmed()
