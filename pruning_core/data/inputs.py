"""The inputs of the rows, read column by column into the parts of the split, of large data a few columns at a time."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pruning_core.data.columns import Pick
from pruning_core.data.dataset import DataError
from pruning_core.data.encode import first_text, one_hot
from pruning_core.data.large import columns_at_once
from pruning_core.data.readers import Column
from pruning_core.data.rows import Rows, pick_columns
from pruning_core.data.sources import OpenFile
from pruning_core.data.spec import DataSpec
from pruning_core.data.wording import some

Progress = Callable[[float], object]
"""Is told which share of the columns has been read, up to 1."""


@dataclass(frozen=True)
class Inputs:
    """Some of the inputs, in their order.

    ``made_of`` are the columns or elements that each was made of: text becomes several inputs.

    ``x_parts`` are the raw values of each part, (rows, F) float64, NaN where one is missing.

    ``dtypes`` are the columns' types in pandas' words. ``restated`` are columns of text that say no more than the class
    that their file was given, and are no inputs. ``rounded`` are those of whole numbers that float64 cannot hold.
    """

    names: list[str]
    made_of: list[str]
    dtypes: list[str]
    x_parts: list[np.ndarray]
    restated: tuple[str, ...] = ()
    rounded: tuple[str, ...] = ()


def read_inputs(
    spec: DataSpec, files: Sequence[OpenFile], picks: Sequence[Pick], rows: Rows, given: str, progress: Progress
) -> Iterator[Inputs]:
    """Reads these columns of all files: at once, or of large data a block at a time.

    Args:
        spec: says what stands for a missing value, and whether text may be an input.
        files: opened.
        picks: the columns, and elements of lists.
        rows: which ones are kept, and in which part each lies.
        given: the source, for messages.
        progress: is told after every column.

    Raises:
        DataError: a column holds text.
    """
    numbers = itertools.count(1)

    def told() -> None:
        progress(next(numbers) / (len(picks) * len(files)))

    at_once = columns_at_once(sum(rows.counts))
    for first in range(0, len(picks), at_once):
        yield _read(_Filling(spec, picks[first : first + at_once], rows), files, told).filled(given)


def _read(filling: "_Filling", files: Sequence[OpenFile], told: Callable[[], object]) -> "_Filling":
    rows, start = filling.rows, 0
    for each, kept, count in zip(files, rows.kept, rows.counts, strict=True):
        places = filling.places(start, count)
        for pick, column in pick_columns(each, filling.picks):
            filling.fill(str(pick), column if kept is None else Column(column.values[kept], column.dtype), places)
            told()
        start += count
    return filling


@dataclass(frozen=True)
class _Place:
    """Rows of a file that lie in a part: which ones of the file, and where in the part."""

    part: int
    local: np.ndarray
    slots: slice


class _Filling:
    """The parts' arrays while columns arrive; text waits until all of it is there."""

    def __init__(self, spec: DataSpec, picks: Sequence[Pick], rows: Rows) -> None:
        self.spec, self.picks, self.rows = spec, picks, rows
        self.position = {str(pick): i for i, pick in enumerate(picks)}
        self.dtypes = [""] * len(picks)
        self.x_parts = [np.zeros((len(part), len(picks))) for part in rows.parts]
        self.text: dict[str, list[np.ndarray]] = {}
        self.numbers: set[str] = set()
        self.rounded: dict[str, None] = {}

    def places(self, start: int, count: int) -> list[_Place]:
        """Where the rows of the file that begins with row `start` belong."""
        found = []
        for number, part in enumerate(self.rows.parts):
            first, end = np.searchsorted(part, [start, start + count])
            found.append(_Place(number, part[first:end] - start, slice(first, end)))
        return found

    def fill(self, name: str, column: Column, places: Sequence[_Place]) -> None:
        """Takes a column of a file."""
        position = self.position[name]
        self.dtypes[position] = self.dtypes[position] or column.dtype
        if column.text:
            parts = self.text.setdefault(name, [np.full(len(part), None, dtype=object) for part in self.rows.parts])
            for place in places:
                parts[place.part][place.slots] = column.values[place.local]
            return
        self.numbers.add(name)
        values, absent = column.numbers, _equal_to_any(column.values, self.spec.missing)
        if _loses_digits(column.values, values):
            self.rounded[name] = None
        if absent.any():
            values[absent] = np.nan
            self.dtypes[position] = "float64"  # a whole number cannot be missing
        for place in places:
            self.x_parts[place.part][place.slots, position] = values[place.local]

    def filled(self, given: str) -> Inputs:
        """All columns, text among them as inputs of 0 and 1."""
        if both := [name for name in self.text if name in self.numbers]:
            raise DataError(
                f"data.source = {given!r} must have the same columns in all files, and {some(both)} is text in some "
                "only"
            )
        restated = self._restated()
        names = [name for name in self.position if name not in restated]
        text = [name for name in self.text if name not in restated]
        if not text:
            kept = [self.position[name] for name in names]
            x_parts = [x[:, kept] for x in self.x_parts] if restated else self.x_parts
            return Inputs(names, names, [self.dtypes[i] for i in kept], x_parts, restated, tuple(self.rounded))
        if self.spec.encode is None:
            raise DataError(
                f"data.source = {given!r} must have numeric feature columns only, unlike {some(text)}"
                f"{self._example(text[0])}"
            )
        return replace(self._encoded(names), restated=restated, rounded=tuple(self.rounded))

    def _restated(self) -> tuple[str, ...]:
        """Text that nobody asked for and that has a single value in each class, where files have classes."""
        if not self.spec.by_class or self.spec.features is not None:
            return ()
        codes = np.concatenate([self.rows.labels.codes[part] for part in self.rows.parts])
        classes = [codes == c for c in range(len(self.rows.labels.names))]
        columns = {name: np.concatenate(parts) for name, parts in self.text.items()}
        return tuple(name for name, values in columns.items() if all(len({*values[mine]}) == 1 for mine in classes))

    def _example(self, name: str) -> str:
        """The first cell of a column that is no number, and its row, in brackets."""
        order = np.argsort(rows := np.concatenate(self.rows.parts))
        place = first_text(np.concatenate(self.text[name])[order])
        if place is None:
            return ""
        value = np.concatenate(self.text[name])[order][place]
        dtype = self.dtypes[self.position[name]]
        kind = f"the {dtype} " if dtype not in ("object", "str", "string") else ""
        return f" ({name} holds {kind}{value!r} {self.rows.locate(rows[order][place])})"

    def _encoded(self, names: Sequence[str]) -> Inputs:
        pieces: list[tuple[list[str], list[str], list[np.ndarray]]] = []
        for name in names:
            position = self.position[name]
            if name in self.text:
                inputs, parts = one_hot(name, self.text[name])
                pieces.append((inputs, ["float64"] * len(inputs), parts))
            else:
                pieces.append(([name], [self.dtypes[position]], [x[:, position : position + 1] for x in self.x_parts]))
        return Inputs(
            [name for inputs, _, _ in pieces for name in inputs],
            [name for name, (inputs, _, _) in zip(names, pieces, strict=True) for _ in inputs],
            [dtype for _, dtypes, _ in pieces for dtype in dtypes],
            [np.concatenate([parts[i] for _, _, parts in pieces], axis=1) for i in range(len(self.x_parts))],
        )


def _loses_digits(values: np.ndarray, numbers: np.ndarray) -> bool:
    """Whether whole numbers are others as float64: beyond 2^53 not every one can be held."""
    if values.dtype.kind not in "iu" or np.abs(numbers).max(initial=0) <= 2**53:
        return False
    with np.errstate(invalid="ignore"):  # 2^63 is no int64
        return bool((numbers.astype(values.dtype) != values).any())


def _equal_to_any(values: np.ndarray, numbers: Sequence[float]) -> np.ndarray:
    """Which values are one of the numbers, as the type of the values has them: float32 has no -99.9 of float64."""
    found = np.zeros(len(values), dtype=bool)
    for number in numbers:
        found |= values == (values.dtype.type(number) if values.dtype.kind == "f" else number)
    return found
