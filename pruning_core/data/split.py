"""Which rows train, validate and test: at random, by groups, by what a column holds, or by files.

`data.split` is one of

- ``[0.7, 0.15, 0.15]``: fractions, stratified;
- ``{group: run}``: the same, but rows of one run stay together; with ``fractions`` if others are wanted;
- ``{column: event, modulo: 10, validation: [7, 8], test: [9]}``: by the remainder of a whole number;
- ``{column: part}``: the column says training, validation or test;
- ``{validation: FILE, test: FILE}``: `data.source` trains, these files validate and test.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pruning_core.data.dataset import DataError
from pruning_core.data.readers import Column
from pruning_core.data.spec import Paths
from pruning_core.data.wording import some

PARTS = ("training", "validation", "test")
FRACTIONS = (0.7, 0.15, 0.15)
FORMS = (
    "[0.7, 0.15, 0.15], {group: COLUMN}, {column: COLUMN, modulo: 10, validation: [7, 8], test: [9]}, "
    "{column: COLUMN} or {validation: FILE, test: FILE}"
)


@dataclass(frozen=True)
class Labels:
    """The classes of the rows: ``codes`` (rows,) int in [0, C), C ``names``, and the ``key`` that tells them apart."""

    codes: np.ndarray
    names: Sequence[str]
    key: str = "data.target"

    def check(self) -> None:
        """Refuses a single class."""
        if len(self.names) < 2:
            raise DataError(
                f"{self.key} must tell at least 2 classes apart, and the labels hold {list(self.names)} only"
            )


@dataclass(frozen=True)
class Fractions:
    """At random, with as much of every class in each part as the fractions say."""

    fractions: tuple[float, ...]
    column: None = None

    def parts(self, labels: Labels, seed: int) -> list[np.ndarray]:
        """Row numbers of each part."""
        return stratified(labels, np.asarray(self.fractions, dtype=float), seed)


@dataclass(frozen=True)
class Grouped:
    """At random, but a group lies in one part as a whole."""

    column: str
    fractions: tuple[float, ...]

    def groups(self, values: Column) -> np.ndarray:
        """The number of each row's group, (rows,) int64."""
        return _distinct(values, f"data.split.group = {self.column!r}")[1].astype(np.int64)

    def parts(self, labels: Labels, seed: int, values: Column) -> list[np.ndarray]:
        """Row numbers of each part, see `spread_groups`."""
        return _by_part(spread_groups(self.groups(values), labels.codes, len(labels.names), self.fractions, seed))


@dataclass(frozen=True)
class Remainders:
    """By what is left of a whole number, such as that of the event."""

    column: str
    modulo: int
    validation: tuple[int, ...]
    test: tuple[int, ...]

    def parts(self, labels: Labels, seed: int, values: Column) -> list[np.ndarray]:
        """Row numbers of each part."""
        numbers = values.values
        kind = numbers.dtype.kind
        if kind == "O" or (kind == "f" and not np.all(np.floor(numbers) == numbers)) or np.isinf(numbers).any():
            example = f", unlike {_odd(values)}" if len(values) else ""
            raise DataError(f"data.split.column = {self.column!r} must hold a whole number in every row{example}")
        left = numbers % self.modulo
        part = np.zeros(len(values), dtype=np.int64)
        part[np.isin(left, self.validation)] = 1
        part[np.isin(left, self.test)] = 2
        return _by_part(part)


@dataclass(frozen=True)
class Marked:
    """By a column that names the part of each row."""

    column: str

    def parts(self, labels: Labels, seed: int, values: Column) -> list[np.ndarray]:
        """Row numbers of each part."""
        distinct, codes = _distinct(values, f"data.split.column = {self.column!r}")
        names = [str(value) for value in distinct]
        if other := [name for name in names if name not in PARTS]:
            raise DataError(
                f"data.split.column = {self.column!r} must hold training, validation or test in every row, and holds "
                f"{some(other)}; to split by the remainder of a number, add modulo, validation and test"
            )
        return _by_part(np.array([PARTS.index(name) for name in names], dtype=np.int64)[codes])


@dataclass(frozen=True)
class ByFiles:
    """By files: each names them as `data.source` does."""

    validation: Paths | Mapping[str, Paths]
    test: Paths | Mapping[str, Paths]
    column: None = None

    def parts(self, labels: Labels, seed: int, values: Column) -> list[np.ndarray]:
        """Row numbers of each part, which ``values`` gives as a number."""
        return _by_part(values.values)


Split = Fractions | Grouped | Remainders | Marked | ByFiles


def parse_split(split: Sequence[float] | Mapping[str, Any]) -> Split:
    """What `data.split` says.

    Raises:
        DataError: it is none of the forms above.
    """
    if not isinstance(split, Mapping):
        return Fractions(_fractions("data.split", split))
    keys = set(split)
    if keys == {"validation", "test"}:
        for name in ("validation", "test"):
            _check_paths(f"data.split.{name}", split[name])
        return ByFiles(split["validation"], split["test"])
    if "group" in keys and keys <= {"group", "fractions"}:
        return Grouped(str(split["group"]), _fractions("data.split.fractions", split.get("fractions", FRACTIONS)))
    if keys == {"column"}:
        return Marked(str(split["column"]))
    if keys == {"column", "modulo", "validation", "test"}:
        return _remainders(split)
    raise DataError(f"data.split = {dict(split)} must be {FORMS}")


def check_parts(parts: Sequence[np.ndarray], labels: Labels, split: Split) -> None:
    """Refuses a part that lacks a class."""
    for name, rows in zip(PARTS, parts, strict=True):
        present = np.bincount(labels.codes[rows], minlength=len(labels.names))
        if lacking := [labels.names[int(i)] for i in np.flatnonzero(present == 0)]:
            by = f" by {split.column!r}" if split.column else ""
            raise DataError(
                f"data.split{by} must leave rows of every class in every part, and the {name} part has "
                f"{f'none of {some(map(repr, lacking))}' if len(rows) else 'no rows'}"
            )


def stratified(labels: Labels, split: np.ndarray, seed: int) -> list[np.ndarray]:
    """Row numbers of each part; rounding is carried from class to class, so that the parts' sizes come out.

    (scikit-learn's `train_test_split` splits too, but importing it takes a second.)

    Args:
        labels: of the rows.
        split: the parts' fractions.
        seed: which rows go where.

    Raises:
        DataError: a class with fewer rows than parts.
    """
    sizes = np.bincount(labels.codes, minlength=len(labels.names))
    if sizes.min() < len(PARTS):
        smallest = int(sizes.argmin())
        raise DataError(
            f"{labels.key}: class {labels.names[smallest]!r} has {sizes[smallest]} rows, and every class "
            f"needs {len(PARTS)} at least, one each for {', '.join(PARTS)}"
        )
    # RandomState, unlike Generator, promises the same numbers in every version of NumPy
    random = np.random.RandomState(seed)
    rows_by_class = np.split(np.argsort(labels.codes, kind="stable"), np.cumsum(sizes)[:-1])
    pieces: list[list[np.ndarray]] = [[] for _ in PARTS]
    carry = np.zeros(len(PARTS))
    for rows in rows_by_class:
        wanted = len(rows) * split + carry
        counts = np.maximum(1, np.floor(wanted).astype(int))
        while counts.sum() < len(rows):
            counts[np.argmax(wanted - counts)] += 1
        while counts.sum() > len(rows):
            counts[np.argmin(np.where(counts > 1, wanted - counts, np.inf))] -= 1
        carry = wanted - counts
        shares = np.split(random.permutation(rows), np.cumsum(counts)[:-1])
        for piece, share in zip(pieces, shares, strict=True):
            piece.append(share)
    return [np.sort(np.concatenate(piece)) for piece in pieces]


def spread_groups(
    groups: np.ndarray, codes: np.ndarray, classes: int, fractions: Sequence[float], seed: int
) -> np.ndarray:
    """The part of each row, (rows,) int64, where a group lies in one part as a whole.

    The largest group comes first, and each goes to where its classes are wanted most.

    Args:
        groups: the number of each row's group, (rows,); numbers may be missing.
        codes: that of its class, (rows,) in [0, classes).
        classes: C.
        fractions: of each part.
        seed: which of two equally large groups comes first.
    """
    count = int(groups.max(initial=-1)) + 1
    sizes = np.bincount(groups * classes + codes, minlength=count * classes).reshape(count, classes)
    shares = sizes / np.maximum(1, sizes.sum(axis=0))
    wanted = np.outer(fractions, np.ones(classes))
    order = np.random.RandomState(seed).permutation(count)
    order = order[np.argsort(-sizes.sum(axis=1)[order], kind="stable")]
    part_of_group = np.empty(count, dtype=np.int64)
    for group in order:
        part = int((wanted @ shares[group]).argmax())
        part_of_group[group] = part
        wanted[part] -= shares[group]
    return part_of_group[groups]


def _check_paths(key: str, paths: Any) -> None:
    addresses = [*(paths.values() if isinstance(paths, Mapping) else [paths])]
    flat = [each for address in addresses for each in (address if isinstance(address, list | tuple) else [address])]
    if not flat or not all(isinstance(each, str) for each in flat):
        raise DataError(f"{key} = {paths!r} must name files as data.source does")


def _fractions(key: str, split: Any) -> tuple[float, ...]:
    given = list(split) if isinstance(split, Sequence) and not isinstance(split, str) else split
    numbers = isinstance(given, list) and all(isinstance(part, int | float) for part in given)
    if not numbers or len(given) != len(PARTS) or not all(part > 0 for part in given) or abs(sum(given) - 1) > 1e-6:
        raise DataError(f"{key} = {given} must be three fractions above 0 ({', '.join(PARTS)}) with the sum 1")
    return tuple(given)


def _remainders(split: Mapping[str, Any]) -> Remainders:
    modulo = split["modulo"]
    if not isinstance(modulo, int) or isinstance(modulo, bool) or modulo < 3:
        raise DataError(f"data.split.modulo = {modulo!r} must be a whole number of at least 3")
    sides = []
    for name in ("validation", "test"):
        given = split[name] if isinstance(split[name], list | tuple) else [split[name]]
        if not given or not all(type(each) is int and 0 <= each < modulo for each in given):
            raise DataError(
                f"data.split.{name} = {split[name]!r} must be remainders, whole numbers in 0 ... {modulo - 1}"
            )
        sides.append(tuple(given))
    if both := set(sides[0]) & set(sides[1]):
        raise DataError(
            f"data.split.test = {list(sides[1])} must share no remainder with validation, as it does {some(both)}"
        )
    if len({*sides[0], *sides[1]}) == modulo:
        raise DataError(f"data.split.modulo = {modulo} must leave a remainder for the training part")
    return Remainders(str(split["column"]), modulo, *sides)


def _distinct(values: Column, where: str) -> tuple[np.ndarray, np.ndarray]:
    """The different values of a column, and which of them each row has."""
    missing = values.values == None if values.text else np.isnan(values.values)  # noqa: E711
    if missing.any():
        raise DataError(
            f"{where} must hold a value in every row, and {int(missing.sum())} of {len(values)} are missing"
        )
    distinct, codes = np.unique(values.values, return_inverse=True)
    return distinct, codes


def _odd(values: Column) -> Any:
    """A value that is no whole number."""
    if values.text:
        return repr(values.values[0])
    with np.errstate(invalid="ignore"):
        return values.values[~(np.floor(values.values) == values.values) | np.isinf(values.values)][0]


def _by_part(part: np.ndarray) -> list[np.ndarray]:
    return [np.flatnonzero(part == number) for number in range(len(PARTS))]
