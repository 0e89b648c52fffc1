"""What the inputs of a study cost, from the names and globs under `data.costs`."""

from collections.abc import Mapping
from fnmatch import fnmatchcase

from pruning_core.data import DataError, Dataset


def costs_of(costs: Mapping[str, float], data: Dataset) -> dict[str, float]:
    """The cost of each input: 1 unless something names it, the last of several globs, a name before any glob.

    Raises:
        DataError: a name or glob fits no input.

    >>> from pathlib import Path
    >>> from pruning_core import load_dataset
    >>> wine = load_dataset("wine", folder=Path())
    >>> list(costs_of({"alcohol": 3, "*phenols": 2}, wine).items())[:1]
    [('alcohol', 3)]
    """
    found = dict.fromkeys(data.feature_names, 1.0)
    for pattern in sorted(costs, key=lambda pattern: pattern in found):
        fitting = [name for name in (*found, *data.dropped) if name == pattern or fnmatchcase(name, pattern)]
        if not fitting:
            some = ", ".join(data.feature_names[:5]) + (", ..." if len(data.feature_names) > 5 else "")
            raise DataError(
                f"data.costs.{pattern} = {costs[pattern]:g} names no input of {data.name}: there are {some}"
            )
        found |= {name: costs[pattern] for name in fitting if name in found}
    return found
