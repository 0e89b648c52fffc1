"""What is known of rows before their inputs are read: which ones the cut keeps, their classes, weights and parts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pruning_core.data.columns import Pick, check_column
from pruning_core.data.cut import Cut
from pruning_core.data.dataset import DataError
from pruning_core.data.encode import encode_labels, first_text
from pruning_core.data.readers import Column, Lists, read_columns
from pruning_core.data.sources import OpenFile
from pruning_core.data.spec import DataSpec
from pruning_core.data.split import PARTS, ByFiles, Fractions, Grouped, Labels, Split, check_parts
from pruning_core.data.wording import hint


@dataclass(frozen=True)
class Roles:
    """The columns that are read for what they say about a row, and the condition that rows must meet."""

    target: str | None
    weight: str | None
    split: str | None
    cut: Cut | None

    @classmethod
    def of(cls, spec: DataSpec, split: Split, cut: Cut | None, target: str | None) -> "Roles":
        """The roles in a study."""
        return cls(target, spec.weight, split.column, cut)

    @property
    def named(self) -> dict[str, str]:
        """Columns that are no inputs, with the key that says so."""
        keys = {"data.target": self.target, "data.weight": self.weight, "data.split": self.split}
        return {name: key for key, name in keys.items() if name is not None}

    def check(self, files: Sequence[OpenFile]) -> None:
        """Refuses a column that a file lacks."""
        for key, name in {name: (key, name) for name, key in self.named.items()}.values():
            for each in files:
                check_column(key, name, each.columns, each.file.given)
        for pick in self.cut.picks if self.cut else ():
            for each in files:
                _check_in_cut(pick, each, self.cut)

    @property
    def picks(self) -> list[Pick]:
        """All that must be read."""
        return list(dict.fromkeys([*map(Pick, self.named), *(self.cut.picks if self.cut else ())]))


@dataclass(frozen=True)
class Places:
    """Where rows that are numbered through all files stand.

    ``kept`` are the row numbers in each file that the cut keeps, None for all, and ``counts`` how many these are;
    ``files`` are the files as the study calls them.
    """

    kept: list[np.ndarray | None]
    counts: list[int]
    files: Sequence[str]

    def locate(self, row: int) -> str:
        """Where a row stands: `in row 3`, counted from 1 without a header, and of which of several files."""
        ends = np.cumsum(self.counts)
        number = int(np.searchsorted(ends, row, side="right"))
        local, kept = int(row) - (int(ends[number]) - self.counts[number]), self.kept[number]
        where = f" of {self.files[number]!r}" if len(self.files) > 1 else ""
        return f"in row {(local if kept is None else int(kept[local])) + 1}{where}"


@dataclass(frozen=True)
class Rows(Places):
    """The rows that the cut keeps, numbered through all files.

    ``read`` is how many rows there were. ``parts`` are the row numbers of each part of the split, ``group`` (rows,)
    int64 says which rows it keeps together, None where it says nothing of groups.
    """

    read: int
    labels: Labels
    classes: Sequence[Any]
    weight: np.ndarray | None
    parts: list[np.ndarray]
    group: np.ndarray | None


def read_rows(spec: DataSpec, files: Sequence[OpenFile], roles: Roles, split: Split) -> Rows:
    """Reads the columns that have a role, and splits the rows.

    Raises:
        DataError: what they hold cannot be used.
    """
    kept: list[np.ndarray | None] = []
    columns: dict[str, list[Column]] = {name: [] for name in roles.named}
    for each in files:
        values = dict(pick_columns(each, roles.picks))
        rows = np.flatnonzero(roles.cut.keeps(values, each.columns.rows)) if roles.cut else None
        kept.append(rows)
        for name, column in columns.items():
            read = values[Pick(name)]
            column.append(read if rows is None else Column(read.values[rows], read.dtype))
    counts = [each.columns.rows if rows is None else len(rows) for each, rows in zip(files, kept, strict=True)]
    read_count = sum(each.columns.rows for each in files)
    if not read_count:
        raise DataError(f"data.source = {files[0].file.given!r} must hold rows, and holds none below its header")
    if roles.cut and not sum(counts):
        raise roles.cut.refusal(f"must keep some rows, and keeps none of {read_count}")
    whole = {name: _joined(pieces, files, roles.named[name]) for name, pieces in columns.items()}
    places = Places(kept, counts, [each.file.given for each in files])
    labels, classes = _labels(files, places, roles, whole)
    if roles.cut and len(labels.names) == 1:
        raise roles.cut.refusal(f"must keep rows of at least 2 classes, and keeps those of {labels.names[0]!r} only")
    labels.check()
    if roles.cut and (empty := np.flatnonzero(np.bincount(labels.codes, minlength=len(classes)) == 0)).size:
        raise roles.cut.refusal(f"must keep rows of every class, and keeps none of {labels.names[empty[0]]!r}")
    parts = _parts(spec, split, labels, whole, np.repeat([each.file.part for each in files], counts))
    group = split.groups(whole[split.column]) if isinstance(split, Grouped) else None
    weight = None if spec.weight is None else _weights(spec.weight, whole[spec.weight], labels, parts, places)
    return Rows(kept, counts, places.files, read_count, labels, classes, weight, parts, group)


def pick_columns(each: OpenFile, picks: Sequence[Pick]) -> Iterator[tuple[Pick, Column]]:
    """These columns and elements of a file, column after column.

    Raises:
        DataError: a column has not as many rows as the file.
    """
    by_column: dict[str, list[Pick]] = {}
    for pick in picks:
        by_column.setdefault(pick.column, []).append(pick)
    read = read_columns(each.file, each.columns, list(by_column))
    for wanted, column in zip(by_column.values(), read, strict=True):
        if len(column) != each.columns.rows:
            raise DataError(
                f"{each.file} must hold columns of one length, and {wanted[0].column} has {len(column)} rows of "
                f"{each.columns.rows}"
            )
        for pick in wanted:
            yield pick, column.element(pick.index or 0) if isinstance(column, Lists) else column


def _check_in_cut(pick: Pick, each: OpenFile, cut: Cut | None) -> None:
    assert cut is not None
    names = each.columns.names
    if pick.column not in names:
        raise cut.refusal(
            f"must name columns of {each.file.given!r}, and {pick.column} is none{hint(pick.column, names)}"
        )
    if pick.column in each.columns.others:
        raise cut.refusal(f"cannot use {pick.column}, which holds {each.columns.others[pick.column]}")
    if pick.index is None and pick.column in each.columns.lists:
        raise cut.refusal(f"must name an element of {pick.column}, such as {pick.column}[0], as it holds lists")
    if pick.index is not None and pick.column not in each.columns.lists:
        raise cut.refusal(f"must not name an element of {pick.column}, as it holds one value per row")


def _joined(pieces: Sequence[Column], files: Sequence[OpenFile], key: str) -> Column:
    """The column of all files."""
    if len({column.text for column in pieces}) > 1:
        text, numbers = (files[[column.text for column in pieces].index(kind)].file.given for kind in (True, False))
        raise DataError(
            f"{key} must be of one kind in all files, and holds text in {text!r} and numbers in {numbers!r}"
        )
    if len(pieces) == 1:
        return pieces[0]
    return Column(np.concatenate([column.values for column in pieces]), pieces[0].dtype)


def _labels(
    files: Sequence[OpenFile], places: Places, roles: Roles, whole: Mapping[str, Column]
) -> tuple[Labels, list[Any]]:
    if roles.target is None:
        classes = sorted({str(each.file.label) for each in files})
        codes = np.repeat([classes.index(str(each.file.label)) for each in files], places.counts)
        return Labels(codes, tuple(classes), "data.source"), classes
    codes, classes = encode_labels(whole[roles.target], roles.target, places.locate)
    return Labels(codes, tuple(map(str, classes))), classes


def _parts(
    spec: DataSpec, split: Split, labels: Labels, whole: Mapping[str, Column], part_of_file: np.ndarray
) -> list[np.ndarray]:
    if isinstance(split, Fractions):
        return split.parts(labels, spec.split_seed)
    values = Column(part_of_file, "int64") if isinstance(split, ByFiles) else whole[split.column]
    parts = split.parts(labels, spec.split_seed, values)
    check_parts(parts, labels, split)
    return parts


def _weights(given: str, column: Column, labels: Labels, parts: Sequence[np.ndarray], places: Places) -> np.ndarray:
    """The weights as they stand in the column, (rows,) float64."""
    key = f"data.weight = {given!r}"
    if column.text:
        place = first_text(column.values)
        example = f": {column.values[place]!r} {places.locate(place)}" if place is not None else ""
        raise DataError(f"{key} must be a column of numbers, and holds text{example}")
    weight = column.numbers
    unusable = np.flatnonzero(~np.isfinite(weight))
    if unusable.size:
        raise DataError(
            f"{key} must hold a finite number in every row, and {unusable.size} of {len(weight)} are missing or "
            f"infinite, as {places.locate(unusable[0])}"
        )
    if not weight.any():
        raise DataError(f"{key} must not be 0 in every row")
    everywhere = {"": np.arange(len(weight))} | {
        f" in the {part} part": rows for part, rows in zip(PARTS, parts, strict=True)
    }
    for where, rows in everywhere.items():
        sums = np.bincount(labels.codes[rows], weights=weight[rows], minlength=len(labels.names))
        low = int(sums.argmin())
        if sums[low] <= 0:
            name = labels.names[low]
            raise DataError(
                f"{key} must have a sum above 0 in every class, and that of {name!r} is {sums[low]:g}{where}"
            )
    return weight
