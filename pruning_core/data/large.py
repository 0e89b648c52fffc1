"""When data is large, and how it is gone through a piece at a time, where all at once would be a second copy of it."""

from collections.abc import Iterator

LARGE = 2**24
"""Data of more values (inputs times rows) is large: it is read and prepared in blocks of columns with so many values.

It is a part of the fingerprint of large data (see `prepare.Preparation`): another number would make it another one.
"""

ROWS_AT_ONCE = 2**14


def is_large(values: int) -> bool:
    """Whether data of so many values is read in blocks, worth a cache, and shared rather than copied."""
    return values > LARGE


def columns_at_once(rows: int) -> int:
    """How many columns of so many rows are a block: all of them where data is not large."""
    return max(1, LARGE // max(1, rows))


def row_blocks(rows: int) -> Iterator[slice]:
    """Slices that together are all rows, in their order.

    >>> list(row_blocks(20_000))
    [slice(0, 16384, None), slice(16384, 20000, None)]
    """
    for start in range(0, rows, ROWS_AT_ONCE):
        yield slice(start, min(rows, start + ROWS_AT_ONCE))
