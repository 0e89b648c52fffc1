"""How a table of text is laid out: its encoding, the comments above it, its separator and the names in its header."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pruning_core.data.dataset import DataError
from pruning_core.data.readers.table import FileSource, path_of
from pruning_core.data.wording import some

SEPARATORS = (",", "\t", ";", "|")
SPACES = r"\s+"
SEPARATOR_LINE = re.compile('"?sep=(.)"?')
"""The first line of a file that Excel shall read whatever the country."""
COMMENT = "#"
HEAD_BYTES, HEAD_LINES = 1 << 18, 20
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Layout:
    """`comments` are the lines above the header."""

    encoding: str
    separator: str
    comments: int
    header: tuple[str, ...]

    @classmethod
    def of(cls, head: bytes, file: FileSource) -> "Layout":
        """The layout that the first bytes of a file show.

        Raises:
            DataError: it is empty or no text, its header has a name twice, or there is none.
        """
        if not head.strip():
            raise DataError(f"{file} is empty")
        encoding = "utf-16" if head[:2] in UTF_16 else "utf-8-sig"
        if encoding != "utf-16" and b"\0" in head:
            raise DataError(f"{file} must be text, and holds zero bytes (of UTF-16 the byte order mark must be there)")
        lines = head.decode(encoding, errors="replace").splitlines()
        if len(head) >= HEAD_BYTES and len(lines) > 1:
            lines = lines[:-1]  # it may be cut off
        declared = SEPARATOR_LINE.fullmatch(lines[0])
        comments = 1 if declared else _comments(lines, file)
        filled = [line for line in lines[comments:][:HEAD_LINES] if line.strip()]
        separator = declared.group(1) if declared else _separator(filled, file)
        header = tuple(_cells(filled[:1], separator)[0]) if filled else ()
        _check_header(header, file)
        return cls(encoding.removesuffix("-sig"), separator, comments, header)

    def check_cells(self, stream: Any, file: FileSource) -> None:
        """Refuses a row that has more or fewer cells than the header; an empty one behind every row is none.

        Raises:
            DataError: names the line.
        """
        cells, spare = len(self.header), None
        for line, row in self._rows(io.TextIOWrapper(stream, encoding=self.encoding, newline="")):
            if line <= self.comments or not row or row == list(self.header):
                continue
            if spare is None:
                spare = len(row) == cells + 1 and not row[-1].strip()
            if len(row) != cells + spare or (spare and row[-1].strip()):
                what = ", which looks like a comment" if row[0].startswith(COMMENT) else ""
                raise DataError(
                    f"{file} must have as many cells in every row as in its header, {cells}, and line {line} has "
                    f"{len(row)}{what}: it begins with {self.separator.join(row)[:30]!r}"
                )

    def _rows(self, lines: io.TextIOWrapper) -> Iterator[tuple[int, list[str]]]:
        """Every row with the number of its line."""
        if self.separator == SPACES:
            yield from ((number, line.split()) for number, line in enumerate(lines, 1))
        else:
            reader = csv.reader(lines, delimiter=self.separator)
            yield from ((reader.line_num, row) for row in reader)


def _comments(lines: Sequence[str], file: FileSource) -> int:
    """How many lines stand above the header: those that begin with # and do not have the cells of what follows."""
    begin = next((number for number, line in enumerate(lines) if line.strip() and line[0] != COMMENT), len(lines))
    if begin in (0, len(lines)):
        return 0
    separator = _separator(lines[begin : begin + HEAD_LINES], file)
    above, first = _cells(lines[begin - 1 : begin], separator), _cells(lines[begin : begin + 1], separator)
    is_header = begin > 0 and bool(above) and len(above[0]) == len(first[0]) > 1
    return begin - is_header


def _separator(lines: Sequence[str], file: FileSource) -> str:
    """The file type's own separator if it splits the first lines evenly, or the one that does, or is in the header."""
    usual = "\t" if ".tsv" in path_of(file.where).name.lower() else ","
    candidates = sorted(SEPARATORS, key=lambda each: each != usual)
    for separator in candidates:
        widths = {len(row) for row in csv.reader(lines, delimiter=separator)}
        if len(widths) == 1 and widths.pop() > 1:
            return separator
    widths = {len(line.split()) for line in lines}
    if not any(usual in line for line in lines) and len(widths) == 1 and widths.pop() > 1:
        return SPACES
    header = lines[0] if lines else ""
    return max(candidates, key=header.count)


def _cells(lines: Sequence[str], separator: str) -> list[list[str]]:
    if separator == SPACES:
        return [line.split() for line in lines]
    return list(csv.reader(lines, delimiter=separator))


def _check_header(header: Sequence[str], file: FileSource) -> None:
    named = Counter(name for name in header if name)
    if twice := [name for name, count in named.items() if count > 1]:
        raise DataError(f"{file} must have every column once, and has several of the name {some(map(repr, twice))}")
    if named and all(map(is_number, named)) and not all(name.isdecimal() for name in named):
        raise DataError(f"{file} must have a header, and its first row holds numbers alone: {some(header)}")


def is_number(text: str) -> bool:
    """Whether text can be read as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
