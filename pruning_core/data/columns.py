"""Which columns are inputs: names, globs and elements of lists, less those that have another role."""

import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pruning_core.data.dataset import DataError
from pruning_core.data.readers import Columns
from pruning_core.data.spec import DataSpec
from pruning_core.data.wording import hint, some

GLOB = re.compile(r"[*?\[]")
ELEMENTS = re.compile(r"(.+)\[(?:(\d+)|(\d*):(\d+))\]")
MOST_ELEMENTS = 1000


@dataclass(frozen=True)
class Pick:
    """A column, or an element of each row's list in it."""

    column: str
    index: int | None = None

    def __str__(self) -> str:
        return self.column if self.index is None else f"{self.column}[{self.index}]"


def in_order(columns: Columns, picks: Iterable[Pick]) -> list[Pick]:
    """Inputs as a network gets them, whatever the order in the file: in the natural order of their names.

    That is by the alphabet, capitals first, with the numbers in them by their size. Ordered columns stay as they are.
    """
    return list(picks) if columns.ordered else sorted(picks, key=lambda pick: _natural(str(pick)))


def _natural(name: str) -> tuple[list[str | tuple[int, str]], str]:
    """What a name is sorted by; no two have the same.

    >>> sorted(["x10", "x2", "x02", "a", "MET"], key=_natural)
    ['MET', 'a', 'x02', 'x2', 'x10']
    """
    runs = re.split(r"([0-9]+)", name)  # text, number, text and so on; a number by the count of its digits first
    return [(len(run.lstrip("0")), run.lstrip("0")) if i % 2 else run for i, run in enumerate(runs)], name


def choose(spec: DataSpec, roles: Mapping[str, str], columns: Columns, where: str) -> list[Pick]:
    """The inputs, in the order in which `features` names them, or else in the file's.

    Args:
        spec: says which.
        roles: the columns that are no inputs, with the key that gives each its role.
        columns: of the file.
        where: the file as the study calls it, for messages.

    Raises:
        DataError: a name or glob fits no column, or one that cannot be an input.
    """
    excluded = {name for pattern in spec.exclude for name in _excluded(pattern, columns, where)}
    if spec.features is None:
        picks = [Pick(name) for name in columns.names if name not in roles and name not in columns.index]
    else:
        chosen = (pick for pattern in spec.features for pick in _picked(pattern, roles, columns, where))
        picks = list(dict.fromkeys(chosen))
    picks = [pick for pick in picks if not {pick.column, str(pick)} & excluded]
    if len({*map(str, picks)}) < len(picks):
        twice = {str(pick) for pick in picks if pick.index is not None and str(pick) in columns.names}
        raise DataError(
            f"data.features must name every input once: of {where!r}, {some(sorted(twice))} is a column as well"
        )
    if lists := [pick.column for pick in picks if pick.index is None and pick.column in columns.lists]:
        first = lists[0]
        raise DataError(
            f"data.features must name elements of lists, and every row of {where!r} has a list in {some(lists)}: "
            f"{first}[0] is the first one, {first}[:3] are the first three; data.exclude leaves it out"
        )
    if others := [pick.column for pick in picks if pick.column in columns.others]:
        kinds = some(f"{name} ({columns.others[name]})" for name in others)
        raise DataError(
            f"data.features: columns must hold numbers, text or lists of numbers, unlike {kinds} of {where!r}; "
            "leave them out with data.exclude"
        )
    return picks


def check_column(key: str, name: str, columns: Columns, where: str) -> None:
    """Refuses the name of a column that is not there, or does not hold one value per row."""
    if name not in columns.names:
        raise DataError(
            f"{key} = {name!r} must be a column of {where!r}, which has {some(columns.names)}"
            f"{hint(name, columns.names)}"
        )
    if name in columns.lists or name in columns.others:
        what = "a list of numbers" if name in columns.lists else columns.others[name]
        raise DataError(f"{key} = {name!r} must hold one value per row, and holds {what} in {where!r}")


def _excluded(pattern: str, columns: Columns, where: str) -> Iterator[str]:
    """The columns that a name or glob leaves out, or the elements."""
    if pattern in columns.names:
        yield pattern
    elif elements := _elements(pattern, columns):
        yield from map(str, elements)
    elif found := fnmatch.filter(columns.names, pattern):
        yield from found
    else:
        raise _no_match("data.exclude", pattern, columns, where)


def _picked(pattern: str, roles: Mapping[str, str], columns: Columns, where: str) -> Iterator[Pick]:
    """The columns or elements that one entry of `features` names; globs pass over those with another role."""
    if pattern in roles:
        raise DataError(f"data.features = {pattern!r} must not be an input, as it is {roles[pattern]}")
    if pattern in columns.names:
        yield Pick(pattern)
    elif match := ELEMENTS.fullmatch(pattern):
        base = match.group(1)
        if base in columns.names and base not in columns.lists:
            raise DataError(
                f"data.features = {pattern!r}: {base} of {where!r} must hold lists, and holds one value per row"
            )
        if not (elements := _elements(pattern, columns)):
            raise _no_match("data.features", pattern, columns, where)
        yield from elements
    elif found := _globbed(pattern, [name for name in columns.names if name not in columns.index]):
        yield from in_order(columns, (Pick(name) for name in found if name not in roles))
    else:
        raise _no_match("data.features", pattern, columns, where)


def _elements(pattern: str, columns: Columns) -> list[Pick]:
    """`Jet_p?[:2]` as Jet_pt[0], Jet_pt[1], Jet_px[0] and so on; empty where it names no element of a list."""
    match = ELEMENTS.fullmatch(pattern)
    if match is None:
        return []
    base, index, first, end = match.groups()
    start, stop = (int(index), int(index) + 1) if index else (int(first or 0), int(end))
    if not start < stop <= MOST_ELEMENTS:
        raise DataError(
            f"data.features = {pattern!r} must name at least one element, and none beyond the {MOST_ELEMENTS}th"
        )
    lists = [name for name in columns.names if name in columns.lists]
    return in_order(columns, (Pick(name, i) for name in _globbed(base, lists) for i in range(start, stop)))


def _globbed(pattern: str, names: Sequence[str]) -> list[str]:
    if pattern in names:
        return [pattern]
    return fnmatch.filter(names, pattern) if GLOB.search(pattern) else []


def _no_match(key: str, pattern: str, columns: Columns, where: str) -> DataError:
    base = match.group(1) if (match := ELEMENTS.fullmatch(pattern)) else pattern
    what, known = "match" if GLOB.search(base) else "be", hint(base, columns.names)
    return DataError(f"{key} = {pattern!r} must {what} a column of {where!r}, which has {some(columns.names)}{known}")
